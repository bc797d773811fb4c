"""The environment bootstrap: what it fetches, when it redoes, what it says."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

CI = Path(__file__).parent.parent / ".ci"
SHA = hashlib.sha256(b"new wheel").hexdigest()
PAGE = f"""<!DOCTYPE html><html><body>
<a href="../../p/pip-9.0.1-py3-none-any.whl#sha256={'1' * 64}">pip-9.0.1</a><br/>
<a data-requires-python="&gt;=3.10"
   href="../../p/pip-26.2.1-py3-none-any.whl#sha256={SHA}">pip-26.2.1</a><br/>
<a href="../../p/pip-26.2-py3-none-any.whl#sha256={'2' * 64}">pip-26.2</a><br/>
<a href="../../p/pip-26.2.9-py3-none-any.whl#sha256={'3' * 64}" data-yanked="">x</a>
<a href="../../p/pip-26.2.8-py3-none-any.whl">no hash</a>
<a href="../../p/pip-26.2.7.tar.gz#sha256={'4' * 64}">not a wheel</a>
<a href="../../p/pip-26.2.10b1-py3-none-any.whl#sha256={'5' * 64}">beta</a>
<a href="../../p/pip-26.3-py3-none-any.whl#sha256={'6' * 64}">too new</a>
</body></html>"""
METADATA = """Metadata-Version: 2.1
Name: espnet
Requires-Dist: scipy>=1.4.1
Requires-Dist: pyworld>=0.3.4
Requires-Dist: pyworld-extra
Requires-Dist: pyworld>=0.3.4; extra == "tts"

About pyworld.
"""


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, CI / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_venv = load("make_venv")
fetch_pip = load("fetch_pip")


# pip's wheel


def test_choose_wheel_takes_the_newest_release_under_the_bound() -> None:
    link, sha256 = fetch_pip.choose_wheel(PAGE, "26.3")
    assert (link, sha256) == ("../../p/pip-26.2.1-py3-none-any.whl", SHA)


def test_choose_wheel_versions_compare_as_numbers() -> None:
    assert "pip-9.0.1" in fetch_pip.choose_wheel(PAGE, "10")[0]


def test_choose_wheel_from_a_page_without_one_is_an_error() -> None:
    with pytest.raises(OSError, match="no usable wheel"):
        fetch_pip.choose_wheel("<html>sign in first</html>", "26.3")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index on disk, reached as pip's own settings say."""
    (tmp_path / "simple" / "pip").mkdir(parents=True)
    (tmp_path / "p").mkdir()
    page = tmp_path / "simple" / "pip" / "index.html"
    page.write_text(PAGE.replace("../../p", (tmp_path / "p").as_uri()))
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://index.invalid/simple/\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    pages = {"https://index.invalid/simple/pip/": page}

    def fetch(url: str) -> bytes:
        return pages[url].read_bytes() if url in pages else Path(url[7:]).read_bytes()

    monkeypatch.setattr(fetch_pip, "fetch", fetch)
    return tmp_path


def test_fetch_pip_keeps_the_wheel_that_the_index_states(index: Path) -> None:
    (index / "p" / "pip-26.2.1-py3-none-any.whl").write_bytes(b"new wheel")
    wheel = fetch_pip.fetch_pip(index, "26.3")
    assert wheel == index / "pip-26.2.1-py3-none-any.whl"
    assert wheel.read_bytes() == b"new wheel"


def test_fetch_pip_changed_wheel_is_refused_and_not_kept(index: Path) -> None:
    (index / "p" / "pip-26.2.1-py3-none-any.whl").write_bytes(b"nEw wheel")
    with pytest.raises(OSError, match="does not have the sha256"):
        fetch_pip.fetch_pip(index, "26.3")
    assert not list(index.glob("*.whl"))


def test_pip_setting_environment_goes_before_configuration(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fetch_pip.pip_setting("index-url") == "https://index.invalid/simple/"
    monkeypatch.setenv("PIP_INDEX_URL", "https://mine.invalid/")
    assert fetch_pip.pip_setting("index-url") == "https://mine.invalid/"


def test_fetch_unreachable_index_names_it_and_the_remedy() -> None:
    with pytest.raises(OSError, match="cannot read http://127.0.0.1:9/pip/") as error:
        fetch_pip.fetch("http://127.0.0.1:9/pip/")
    assert "check the network" in str(make_venv.fail(str(error.value)))


# without a compiler


def test_drop_requirement_strikes_the_required_one_only(tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "python3.11" / "site-packages"
    (folder / "espnet-202511.dist-info").mkdir(parents=True)
    (folder / "espnet_model_zoo-0.1.7.dist-info").mkdir()
    metadata = folder / "espnet-202511.dist-info" / "METADATA"
    metadata.write_text(METADATA)
    assert make_venv.drop_requirement(tmp_path, "espnet", "pyworld")
    expected = METADATA.replace("Requires-Dist: pyworld>=0.3.4\n", "")
    assert metadata.read_text() == expected
    assert not make_venv.drop_requirement(tmp_path, "espnet", "pyworld")


def test_stand_in_is_written_only_where_editdistance_is_missing(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.13" / "site-packages"
    (site / "editdistance").mkdir(parents=True)
    make_venv.stand_in_for_editdistance(tmp_path)
    assert not (site / "editdistance.py").exists()
    (site / "editdistance").rmdir()
    make_venv.stand_in_for_editdistance(tmp_path)
    names: dict = {}
    exec((site / "editdistance.py").read_text(), names)
    assert names["eval"]("abc", "abd") == names["eval"](["a"], ["b"]) == 1


# when to redo


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of which every step of the installation is only noted, in ``log``."""
    for name in make_venv.INPUTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(CI.parent / name, tmp_path / name)

    def note(step: str) -> None:
        with (tmp_path / "log").open("a") as log:
            log.write(f"{step} ")

    def make_bare(venv: Path) -> None:
        shutil.rmtree(venv, ignore_errors=True)
        (venv / "bin").mkdir(parents=True)
        (venv / "bin" / "python").touch()
        note("bare")

    monkeypatch.setattr(make_venv, "ROOT", tmp_path)
    monkeypatch.setattr(make_venv, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(make_venv, "make_bare", make_bare)
    monkeypatch.setattr(make_venv, "install", lambda venv: note("install"))
    return tmp_path


def steps(checkout: Path) -> str:
    """Run the bootstrap and say which steps it took."""
    (checkout / "log").write_text("")
    make_venv.main()
    return (checkout / "log").read_text().strip()


def test_main_current_environment_is_reused_in_one_line(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert steps(checkout) == "bare install"
    capsys.readouterr()
    assert steps(checkout) == ""
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("name", make_venv.INPUTS)
def test_main_changed_input_installs_again(checkout: Path, name: str) -> None:
    steps(checkout)
    with (checkout / name).open("a") as file:
        file.write("# changed\n")
    assert steps(checkout) == "install"
    assert steps(checkout) == ""


def test_main_copied_checkout_starts_afresh(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps(checkout)
    copied = shutil.copytree(checkout, checkout / "copied")
    monkeypatch.setattr(make_venv, "ROOT", copied)
    monkeypatch.setattr(make_venv, "VENV", copied / ".venv")
    assert steps(checkout) == "bare install"


def test_main_vanished_python_starts_afresh(checkout: Path) -> None:
    steps(checkout)
    (checkout / ".venv" / "bin" / "python").unlink()
    assert steps(checkout) == "bare install"


@pytest.mark.parametrize("complete", [False, True])
def test_main_interrupted_run_counts_for_nothing(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, complete: bool
) -> None:
    if complete:
        steps(checkout)
        (checkout / "setup.cfg").write_text("")

    def interrupt(venv: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(make_venv, "install", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make_venv.main()
    assert make_venv.read_stamp(checkout / ".venv") == []
    assert steps(checkout) == "bare install"


# what it says


@pytest.mark.parametrize("version", [(3, 9, 18), (2, 7, 18), (3, 14, 0), (4, 0, 0)])
def test_check_python_unfit_version_says_which_are(version: tuple[int, ...]) -> None:
    given = ".".join(map(str, version))
    message = rf"Python {given}; .*3\.10 to 3\.13.*make PYTHON=python3\.13"
    with pytest.raises(SystemExit, match=message):
        make_venv.check_python(version)


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 13, 9)])
def test_check_python_fit_version_passes(version: tuple[int, ...]) -> None:
    make_venv.check_python(version)


@pytest.mark.parametrize(
    "text, remedy",
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("<urlopen error [SSL: CERTIFICATE_VERIFY_FAILED]>", "ca-certificates"),
        ("Temporary failure in name resolution", "check the network"),
        ("Could not find torch (from versions: none)", "check the network"),
        ("something else", "something else"),
    ],
)
def test_fail_known_cause_gets_its_remedy(text: str, remedy: str) -> None:
    message = str(make_venv.fail(text))
    assert message.startswith(f"install: error: {text}")
    assert remedy in message.splitlines()[-1]


def test_run_failed_pip_shows_its_end_and_names_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_venv, "VENV", tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    program = (
        "print('  Downloading torch-2.11.0-cp311-linux.whl (532.2 MB)');"
        "print('  Downloading six-1.17.0-py3-none-any.whl (11 kB)');"
        "raise SystemExit('No space left on device')"
    )
    with pytest.raises(SystemExit, match="(?s)install.log.*the disk is full"):
        make_venv.run("-c", program)
    assert "six-1.17.0" in (tmp_path / "install.log").read_text()
    assert capsys.readouterr().out == "install: Downloading torch-2.11.0 (532.2 MB)\n"


def test_bootstrap_imports_nothing_but_the_standard_library() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(CI)!r}); import make_venv, fetch_pip"
    )
    # -I -S: no site-packages, as in a bare Python
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)
