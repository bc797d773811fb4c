"""egs2/digits/asr2/local: spoken digit strings by espeak-ng."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from espnet_dsu.audio import read_audio
from espnet_dsu.corpus.datadir import validate
from espnet_dsu.scp import read_scp

pytest.importorskip("espeakng_loader")

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / "egs2/digits/asr2/local"
COUNTS = {"train": 36, "valid": 18, "test": 18}


def run(cwd: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run in a fresh process: espeak-ng keeps state, and starts once in each."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{LOCAL}", "PATH": path}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def make_digits(cwd: Path, *options: str) -> subprocess.CompletedProcess[str]:
    counts = [f"--num_{name}={count}" for name, count in COUNTS.items()]
    cwd.mkdir(exist_ok=True)
    return run(cwd, sys.executable, str(LOCAL / "make_digits.py"), *counts, *options)


def snapshot(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("lang, first", [("en", ["three"]), ("es", ["tres"])])
def test_make_digits_sets_are_valid_speakers_balanced_and_strings_disjoint(
    tmp_path: Path, lang: str, first: list[str]
) -> None:
    done = make_digits(tmp_path, "--lang", lang)
    assert done.returncode == 0, done.stderr
    strings = {}
    for name, count in COUNTS.items():
        data = tmp_path / "data" / name
        validate(data)
        text = read_scp(data / "text")
        assert len(text) == count
        assert all(3 <= len(words.split()) <= 7 for words in text.values())
        strings[name] = set(text.values())
        speakers = list(read_scp(data / "utt2spk").values())
        assert len(set(speakers)) == {"en": 18, "es": 12}[lang]
        for source in read_scp(data / "wav.scp").values():
            wav, fs = read_audio(str(tmp_path / source))
            assert fs == 22050 and len(wav) > fs / 2 and np.abs(wav).max() > 0.1
    assert any(first[0] in words for words in strings["train"])
    assert not strings["train"] & strings["valid"]
    assert not strings["train"] & strings["test"]
    assert not strings["valid"] & strings["test"]


def test_make_digits_both_languages_are_spoken_in_turn(tmp_path: Path) -> None:
    assert make_digits(tmp_path, "--lang", "both").returncode == 0
    words = " ".join(read_scp(tmp_path / "data/train/text").values()).split()
    assert {"three", "five", "tres", "cinco"} <= set(words)


def test_make_digits_same_options_same_bytes_whatever_the_time(tmp_path: Path) -> None:
    assert make_digits(tmp_path / "a").returncode == 0
    time.sleep(1.1)  # espeak-ng would seed its noise with the second of the clock
    assert make_digits(tmp_path / "b").returncode == 0
    assert make_digits(tmp_path / "c", "--seed=1").returncode == 0
    a, b, c = (snapshot(tmp_path / name) for name in "abc")
    assert a == b and a.keys() == c.keys() and a != c


def test_speakers_differ_more_than_repetitions_do(tmp_path: Path) -> None:
    program = """
import numpy as np
from espeak import espeak
from make_digits import list_speakers
def spectrum(voice):
    wav = espeak().synthesize("three one four nine zero", voice, 50, 150)
    frames = np.lib.stride_tricks.sliding_window_view(wav / 2**15, 1024)[::256]
    power = np.abs(np.fft.rfft(frames * np.hanning(1024))[:, :480]) ** 2
    return np.log(power + 1e-5).mean(0).reshape(40, 12).mean(1)
voices = [voice for _, voice in list_speakers("en")]
again = max(np.abs(spectrum("en-us") - spectrum("en-us")).mean() for _ in range(5))
table = np.array([spectrum(voice) for voice in voices])
gaps = np.abs(table[:, None] - table).mean(2) + 9 * np.eye(len(voices))
print(again, gaps.min())
"""
    done = run(tmp_path, sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr
    repetition, nearest = map(float, done.stdout.split())
    assert nearest > 2 * repetition


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("'one', 'xx-nowhere'", "cannot load voice 'xx-nowhere'"),
        ("'one', 'en-us+nobody'", "no variant 'nobody'"),
        ("'', 'en-us'", "makes no sound"),
        ("'one', 'en-us', pitch=101", "expected 0-100"),
        ("'one', 'en-us', rate=10", "expected 0-100 and 80-450"),
    ],
)
def test_espeak_bad_argument_is_an_error(
    tmp_path: Path, arguments: str, message: str
) -> None:
    program = f"from espeak import espeak; espeak().synthesize({arguments})"
    done = run(tmp_path, sys.executable, "-c", program)
    assert done.returncode == 1
    assert "DSUError" in done.stderr and message in done.stderr


def test_make_digits_empty_set_is_an_error(tmp_path: Path) -> None:
    done = make_digits(tmp_path, "--num_test=0")
    assert done.returncode == 1 and "at least one string" in done.stderr
    assert not list(tmp_path.iterdir())


def test_data_sh_makes_the_three_sets(tmp_path: Path) -> None:
    recipe = tmp_path / "a recipe"
    shutil.copytree(LOCAL, recipe / "local")
    (recipe / "path.sh").write_text("")
    options = ["--num_train=4", "--num_valid=4", "--num_test=4"]
    done = run(recipe, "local/data.sh", *options)
    assert done.returncode == 0, done.stderr
    for name in COUNTS:
        assert len(read_scp(recipe / "data" / name / "text")) == 4
