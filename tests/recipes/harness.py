"""What the tests of whole recipes share: a copy of a recipe, its run, tiny inputs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from tests.speech import voice
from tests.upstream.tiny_checkpoints import LAYER, randomize

ROOT = Path(__file__).parents[2]
MADE_BY_RUNS = shutil.ignore_patterns(
    "data", "dump", "exp", "downloads", ".stamps", "__pycache__"
)
# The convolutions of the real models: 20 ms from frame to frame at 16 kHz.
REAL_CONVS = {
    "conv_dim": (8,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
}
LIMIT_SEC = 3600  # of a run; minutes are normal, unless the machine is busy
SMALL_OPTIONS = ("--nj", "2", "--inference_nj", "2", "--ngpu", "0")
TRANSCRIBE = """
import sys, soundfile
from espnet_dsu import Speech2Text
model = Speech2Text.from_pretrained(sys.argv[1], beam_size=3)
print("heard:", model(soundfile.read(sys.argv[2])[0])[0][0])
"""


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the environment of a user whose python is the one that runs the tests."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
        **(more or {}),
    }


def copy_recipe(root: Path, name: str) -> Path:
    """Copy egs2/ and conf/ below ``root``, without what runs made.

    Args:
        root: a folder of the test's own.
        name: of the recipe below egs2, such as ``librispeech_100/asr2``.

    Returns:
        the folder of the copied recipe.
    """
    for part in ("egs2", "conf"):
        shutil.copytree(ROOT / part, root / part, symlinks=True, ignore=MADE_BY_RUNS)
    return root / "egs2" / name


def run_recipe(
    folder: Path, *options: str, env: Mapping[str, str] | None = None
) -> str:
    """Run ``run.sh`` with two jobs on the CPU; give its output. It must succeed.

    Args:
        folder: of the recipe.
        options: of the recipe's task script; they win over the small ones.
        env: variables besides those of the test, such as the corpus's of db.sh.
    """
    process = subprocess.Popen(
        ["./run.sh", *SMALL_OPTIONS, *options],
        cwd=folder,
        env=environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT_SEC)
    except BaseException:
        # its jobs too, or they would go on beside the next test
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, output[-8000:]
    return output


def tiny_upstream(folder: Path, layer: int = 2, seed: int = 0) -> str:
    """Save a tiny random HuBERT (20 ms frames, 3 layers) in Hugging Face's format.

    Returns:
        its upstream name, ``hf:<folder>@<layer>``.
    """
    transformers = pytest.importorskip("transformers")
    model = transformers.HubertModel(
        transformers.HubertConfig(**{**LAYER, **REAL_CONVS})
    )
    with torch.no_grad():
        randomize(model, seed)
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return f"hf:{folder}@{layer}"


def write_voice(path: Path, seconds: float, seed: int, fs: int = 16000) -> None:
    """Write a speech-like signal; the ending of ``path`` says in which format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, voice(seconds, seed, fs), fs)


def find_experiment(folder: Path, pattern: str = "asr_train*") -> Path:
    """Give the one folder of ``exp/`` that fits the pattern and holds scores."""
    found = [p.parent for p in (folder / "exp").glob(f"{pattern}/metrics.json")]
    assert len(found) == 1, found
    return found[0]


def read_metrics(experiment: Path) -> dict[str, dict[str, Any]]:
    """Read the scores of an experiment: set -> metric -> value."""
    return json.loads((experiment / "metrics.json").read_text())


def transcribe(
    model: str | Path, wav: Path, home: Path, env: Mapping[str, str] | None = None
) -> str:
    """Load a model by ``Speech2Text.from_pretrained`` in a new process; transcribe.

    Args:
        model: a zip, a folder or a name on the hub.
        wav: an audio file.
        home: the process's folder and cache; empty, so that nothing is at hand.
        env: variables besides those of the test.
    """
    done = subprocess.run(
        [sys.executable, "-c", TRANSCRIBE, str(model), str(wav)],
        cwd=home,
        env=environment({"XDG_CACHE_HOME": str(home / "cache"), **(env or {})}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    (heard,) = (li for li in done.stdout.splitlines() if li.startswith("heard:"))
    return heard.removeprefix("heard:").strip()
