"""The tokenize command on a real Slurm of one node, which this test starts and ends.

Needs root, Debian's packages (see slurm_node.sh) and ESPNET_DSU_SLURM=1.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from espnet_dsu.corpus.engine import Options
from espnet_dsu.corpus.tokenizing import tokenize_corpus
from tests.corpus.gate_job import wait_until
from tests.speech import train_bundle, write_corpus

NODE = Path(__file__).with_name("slurm_node.sh")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        os.environ.get("ESPNET_DSU_SLURM") != "1" or os.geteuid() != 0,
        reason="starts a Slurm of its own; asked for by ESPNET_DSU_SLURM=1, as root",
    ),
    pytest.mark.skipif(
        not all(map(shutil.which, PROGRAMS)),
        reason="apt-get install slurmctld slurmd slurm-client munge",
    ),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", f"{folder}/slurm.conf")
        try:
            subprocess.run(["bash", NODE, "start", folder], check=True, timeout=60)
            yield
        finally:
            subprocess.run(["bash", NODE, "stop", folder], check=True, timeout=60)


def jobs() -> list[str]:
    """The running jobs of Slurm."""
    command = ["squeue", "--noheader", "--states=RUNNING", "--format=%i"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.split()


@contextmanager
def tokenize(folder: Path, *options: str) -> Iterator[subprocess.Popen]:
    """Run the command on Slurm."""
    command = [sys.executable, "-m", "espnet_dsu.bin.tokenize", "--nj", "2"]
    command += ["--wav_scp", "wav/wav.scp", "--tokenizer", "bundle", "--shard_sec", "2"]
    command += ["--output_dir", "out", "--launcher", "dask"]
    for option in ("cluster=slurm", "mem=2G", "time=10:00", *options):
        command += ["--launcher_conf", option]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def content(folder: Path) -> dict[str, bytes]:
    """The files of a unit directory; its own name left out."""
    name = folder.name.encode() + b"/units.ark"
    paths = (folder / n for n in ("units.ark", "units.scp", "utt2num_frames"))
    return {p.name: re.sub(rb"\S*" + name, b"", p.read_bytes()) for p in paths}


def test_tokenize_all_jobs_cancelled_in_mid_run_equals_local(slurm, tmp_path):
    train_bundle(tmp_path / "bundle")
    wav_scp = write_corpus(tmp_path / "wav", [2.0 + i % 3 for i in range(120)])
    expected = tmp_path / "local"
    tokenize_corpus(wav_scp, tmp_path / "bundle", expected, Options())
    with tokenize(tmp_path) as process:
        wait_until(lambda: list(tmp_path.glob("out/.shards/[!.]*/shard.json")), 90)
        cancelled = jobs()
        subprocess.run(["scancel", *cancelled], check=True)
        output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    assert "#SBATCH -t 10:00" in output
    assert "has ended; submitting another one" in output
    assert "tokenized 120 utterances, 0 failed" in output
    assert content(tmp_path / "out") == content(expected)
    logs = list(tmp_path.glob("out/log/dask/*.out"))
    assert len(logs) > len(cancelled) > 0, output  # others took their place
    wait_until(lambda: not jobs())


def test_tokenize_refused_job_is_one_clear_error(slurm, tmp_path):
    train_bundle(tmp_path / "bundle")
    write_corpus(tmp_path / "wav", [0.5])
    with tokenize(tmp_path, "queue=nosuch") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    last = output.splitlines()[-1]
    assert "slurm took no job: " in last
    assert "invalid partition specified: nosuch" in last


def test_tokenize_jobs_that_fail_at_once_are_one_clear_error(slurm, tmp_path):
    train_bundle(tmp_path / "bundle")
    write_corpus(tmp_path / "wav", [0.5, 0.5, 2.0, 2.0])
    setup = "job_setup=echo no module named x >&2; exit 3"
    with tokenize(tmp_path, setup) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.search("jobs ended before .*: no module named x$", output)
