"""Make or refresh ``.venv/`` from the package index; needs nothing but Python."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
INPUTS = ("setup.cfg", "pyproject.toml", ".ci/make_venv.py")
EXTRAS = "dev,hf,hub,dask,digits"
PYTHONS = ((3, 10), (3, 13))
# pip 26.3 refuses espnet 202511: an extra of its dependency ci_sdr names a URL
PIP_BELOW = "26.3"
NEEDED_GB = 10
REMEDIES = {
    "No space left on device": "the disk is full",
    "CERTIFICATE_VERIFY_FAILED": "the package index's certificate is not trusted; "
    "apt-get install ca-certificates, or name your own in PIP_CERT",
    "cannot read|versions: none|timed out|Temporary failure|ProxyError": "the package "
    "index cannot be reached, or lacks this; check the network and pip's settings",
}
BIG_STEP = (
    r"^ *(Downloading|Using cached) ([^-]+-[^-]+).* (\(\d{3,}\.\d MB\))"
    r"|^(Installing collected packages)(?=(?:.*,){9})"
)
PIP_ENV = {"PIP_PROGRESS_BAR": "off", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def say(line: str) -> None:
    print(f"install: {line}", flush=True)


def fail(message: str) -> SystemExit:
    """One message for the person who typed ``make``, with what to do where known."""
    known = [REMEDIES[text] for text in REMEDIES if re.search(text, message)]
    return SystemExit("\ninstall: ".join([f"install: error: {message}", *known[:1]]))


def check_python(version: tuple[int, ...]) -> None:
    """Refuse a Python on which ESPnet or PyTorch cannot be installed."""
    given, low, high = (".".join(map(str, v)) for v in (version, *PYTHONS))
    if not PYTHONS[0] <= version[:2] <= PYTHONS[1]:
        raise fail(
            f"this is Python {given}; ESPnet and PyTorch install on {low} to {high}. "
            f"Name another one, as in 'make PYTHON=python{high} install'"
        )


def wanted_stamp(root: Path) -> list[str]:
    """What an environment must be made for: [Python and place, its input files]."""
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((root / name).read_bytes() + b"\0")
    return [f"{sysconfig.get_python_version()} {root}", digest.hexdigest()]


def read_stamp(venv: Path) -> list[str]:
    """What the environment was completed for; [] if it is missing or half made."""
    stamp = venv / "stamp"
    usable = stamp.is_file() and (venv / "bin" / "python").exists()
    return stamp.read_text().splitlines() if usable else []


def can_compile() -> bool:
    header = Path(sysconfig.get_path("include"), "Python.h")
    return header.exists() and shutil.which("g++") is not None


def drop_requirement(venv: Path, package: str, unwanted: str) -> bool:
    """Strike a requirement off an installed package's metadata; False if not in it."""
    (path,) = venv.glob(f"lib/python*/site-packages/{package}-*.dist-info/METADATA")
    text = path.read_text(encoding="utf-8")
    # an optional requirement ("; extra == ...") is not asked for and stays
    kept = re.sub(rf"(?m)^Requires-Dist: {unwanted}(?![\w.-])[^;\n]*\n", "", text)
    path.write_text(kept, encoding="utf-8")
    return kept != text


def run(*command: str | Path) -> None:
    """Run the environment's Python; show pip's big steps, log everything."""
    # pip's temporary gigabytes stay on the checkout's disk: /tmp may be small
    log = VENV / "install.log"
    lines: list[str] = []
    with log.open("a") as file, subprocess.Popen(
        [VENV / "bin" / "python", *command],
        cwd=ROOT,
        env={**os.environ, **PIP_ENV, "TMPDIR": f"{VENV}/tmp"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            file.write(line)
            for step in re.findall(BIG_STEP, line):
                say(" ".join(filter(None, step)))
    if process.returncode:
        raise fail(f"pip failed (in full in {log}):\n{''.join(lines[-8:]).rstrip()}")


def make_bare(venv: Path) -> None:
    """A new environment with nothing but pip."""
    from importlib.util import find_spec
    from venv import EnvBuilder

    say(f"making {venv} for Python {sysconfig.get_python_version()}")
    say("PyTorch comes with CUDA: about 3 GB to download, 6 GB on disk")
    EnvBuilder(clear=True, symlinks=True).create(venv)
    (venv / "tmp").mkdir()
    free = shutil.disk_usage(venv).free / 1e9
    if free < NEEDED_GB:
        raise fail(f"{venv} has {free:.1f} GB of disk left but needs {NEEDED_GB}")
    if find_spec("ensurepip"):
        run("-m", "ensurepip")
        run("-m", "pip", "install", "--upgrade", f"pip<{PIP_BELOW}")
    else:
        from fetch_pip import fetch_pip

        say("this Python has no pip: fetching it")
        wheel = fetch_pip(venv / "tmp", PIP_BELOW)
        run(wheel / "pip", "install", "--no-index", wheel)


def install(venv: Path) -> None:
    """Everything that setup.cfg asks for, and this checkout itself, editable."""
    (venv / "tmp").mkdir(exist_ok=True)
    if not can_compile():
        config = (ROOT / "setup.cfg").read_text(encoding="utf-8")
        (espnet,) = re.findall(r"(?m)^ *(espnet[<>=!~].*)$", config)
        run("-m", "pip", "install", "--no-deps", espnet)
        if drop_requirement(venv, "espnet", "pyworld"):
            say("no g++ or Python.h, so without pyworld (F0 for ESPnet's TTS); for it:")
            say("  apt-get install g++ python3-dev && make clean install")
    run("-m", "pip", "install", "--editable", f".[{EXTRAS}]")
    stand_in_for_editdistance(venv)
    shutil.rmtree(venv / "tmp")


def stand_in_for_editdistance(venv: Path) -> None:
    """Give ESPnet 202611 the module it imports undeclared, which lacks new wheels."""
    (site,) = venv.glob("lib/python*/site-packages")
    if not (site / "editdistance").exists():
        say("editdistance has no wheel for this Python: rapidfuzz takes its place")
        code = "from rapidfuzz.distance.Levenshtein import distance as eval\n"
        (site / "editdistance.py").write_text(code, encoding="utf-8")


def main() -> None:
    check_python(sys.version_info[:3])
    wanted, found = wanted_stamp(ROOT), read_stamp(VENV)
    if found == wanted:
        return say(f"{VENV} is up to date")
    if found[:1] == wanted[:1]:
        say(f"bringing {VENV} up to date with setup.cfg")
    else:
        make_bare(VENV)
    # without its stamp, what an interrupted run leaves counts for nothing
    (VENV / "stamp").unlink(missing_ok=True)
    install(VENV)
    (VENV / "stamp").write_text("\n".join(wanted))
    say(f"{VENV} is ready")


if __name__ == "__main__":
    try:
        main()
    except (ImportError, OSError) as error:
        raise fail(str(error)) from None
    except KeyboardInterrupt:
        raise fail("interrupted; the next run starts afresh") from None
