"""A packed tiny model, a published one, and processes that know nothing of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from espnet_dsu.bin import pack
from espnet_dsu.metrics.report import write_results_md
from tests.asr_experiment import chdir
from tests.hub_server import HubServer
from tests.speech import voice

CONFIG, MODEL = "exp/asr/config.yaml", "exp/asr/valid.acc.ave.pth"
REPO = "me/tiny"
METRICS = {
    "test": {
        **{"wer": 12.3456, "wer_ci": [10.0, 14.0], "num_words": 81, "ser": 50.0},
        **{"sub": 10, "del": 0, "ins": 0, "num_utts": 30, "num_missing": 0},
        **{"cer": 3.2, "cer_ci": [1.0, 4.0], "num_chars": 250, "cer_ser": 50.0},
        **{"cer_sub": 8, "cer_del": 0, "cer_ins": 0, "decode": "d", "bitrate": 400.0},
    }
}
Process = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep unpacked models of a test to itself."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def wav() -> Iterator[object]:
    """A second of sound."""
    return voice(1.0, 77)


@pytest.fixture(scope="package")
def scored(experiment: Path) -> Path:
    """The experiment, with scores and a decoding config."""
    (experiment / "exp/asr/metrics.json").write_text(json.dumps(METRICS))
    with chdir(experiment):
        write_results_md("exp/asr")
    (experiment / "decode.yaml").write_text("beam_size: 7\nctc_weight: 0.4\nngpu: 0\n")
    return experiment


def pack_options(outpath: Path) -> list[str]:
    """Give the options of pack for the experiment."""
    options = ["asr", "--outpath", str(outpath), "--asr_train_config", CONFIG]
    options += ["--asr_model_file", MODEL, "--inference_config", "decode.yaml"]
    options += ["--inference_args= --beam_size 3", "--lang", "en", "--corpus", "digits"]
    return options


@pytest.fixture(scope="package")
def archive(scored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The experiment, packed."""
    path = tmp_path_factory.mktemp("pack") / "model.zip"
    with chdir(scored):
        pack.main(pack_options(path))
    return path


@pytest.fixture(scope="package")
def hub() -> Iterator[HubServer]:
    """A hub that holds nothing but what the tests upload."""
    with HubServer() as server:
        yield server


@pytest.fixture(scope="package")
def uploaded(archive: Path, hub: HubServer) -> str:
    """The output of the upload of the packed model to ``REPO``."""
    command = ["-m", "espnet_dsu.bin.upload", "--pack", str(archive)]
    done = run(archive.parent, *command, "--hf_repo", REPO, env=hub.environment)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def run(
    folder: Path, *arguments: str, env: Mapping[str, str]
) -> subprocess.CompletedProcess:
    """Run python in another place, with a home and a cache of its own."""
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / ".cache")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **home, **env},
        capture_output=True,
        text=True,
    )
