"""egs2/fsdd/asr2/local: digit strings from recordings, on a miniature corpus."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from espnet_dsu.audio import read_audio
from espnet_dsu.corpus.datadir import validate
from espnet_dsu.scp import read_scp

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / "egs2/fsdd/asr2/local"
WORDS = "zero one two three four five six seven eight nine".split()
COUNTS = {"train": 30, "valid": 12, "test": 13}
FS = 8000


def level(digit: int, speaker: int, index: int) -> float:
    """The constant value of a recording, from which it can be told."""
    return (1 + digit + 10 * speaker + 20 * index) / 1024


def make_fsdd(folder: Path, num_indices: int = 12) -> Path:
    recordings = folder / "fsdd/recordings"
    recordings.mkdir(parents=True)
    for digit in range(10):
        for number, speaker in enumerate(["anna", "bert"]):
            for index in range(num_indices):
                wav = np.full(800, level(digit, number, index))
                sf.write(recordings / f"{digit}_{speaker}_{index}.wav", wav, FS)
    return folder / "fsdd"


@pytest.fixture(scope="module")
def fsdd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fsdd(tmp_path_factory.mktemp("corpus"))


def run(cwd: Path, command: list[str], **variables: str) -> subprocess.CompletedProcess:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, **variables}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def make_strings(
    cwd: Path, fsdd: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(LOCAL / "make_strings.py"), "--fsdd", str(fsdd)]
    counts = [f"--num_{name}={count}" for name, count in COUNTS.items()]
    return run(cwd, [*script, *counts, *options])


def snapshot(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def runs_of_speech(wav: np.ndarray) -> list[tuple[int, int]]:
    """Return (start, end) of the stretches of `wav` that are not faint noise."""
    loud = np.concatenate([[False], np.abs(wav) > 8e-4, [False]])
    edges = np.flatnonzero(np.diff(loud.astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def test_make_strings_text_says_which_recordings_of_which_set_were_joined(
    tmp_path: Path, fsdd: Path
) -> None:
    done = make_strings(tmp_path, fsdd)
    assert done.returncode == 0, done.stderr
    allowed = {"train": {5, 6}, "valid": set(range(7, 12)), "test": set(range(5))}
    for name, count in COUNTS.items():
        data = tmp_path / "data" / name
        validate(data)
        text, utt2spk = read_scp(data / "text"), read_scp(data / "utt2spk")
        assert len(text) == count
        speakers = Counter(utt2spk.values())
        assert max(speakers.values()) - min(speakers.values()) <= 1
        used = set()
        for utt, source in read_scp(data / "wav.scp").items():
            speaker = ["anna", "bert"].index(utt2spk[utt])
            assert utt.startswith(f"{utt2spk[utt]}-{name}-")
            wav, fs = read_audio(str(tmp_path / source))
            assert fs == FS and sf.info(tmp_path / source).subtype == "PCM_16"
            words, speech = text[utt].split(), runs_of_speech(wav)
            assert 3 <= len(words) == len(speech) <= 7
            edges = [0, *(edge for pair in speech for edge in pair), len(wav)]
            gaps = [b - a for a, b in zip(edges[::2], edges[1::2])]
            assert all(0.05 * FS <= gap <= 0.15 * FS for gap in gaps)
            assert 0 < wav[: gaps[0]].std() < 3e-4
            for word, (start, end) in zip(words, speech):
                assert end - start == 800
                number = round(wav[start] * 1024) - 1
                digit, index = number % 10, number // 20
                assert (WORDS[digit], speaker) == (word, number // 10 % 2)
                used.add(index)
        assert used == allowed[name]


def test_make_strings_same_seed_same_bytes_and_sets_do_not_depend_on_each_other(
    tmp_path: Path, fsdd: Path
) -> None:
    for name, options in {"a": [], "b": [], "c": ["--seed=1"], "d": []}.items():
        (tmp_path / name).mkdir()
        more = ["--num_train=6"] if name == "d" else []
        assert make_strings(tmp_path / name, fsdd, *options, *more).returncode == 0
    a, b, c, d = (snapshot(tmp_path / name) for name in "abcd")
    assert a == b and a.keys() == c.keys() and a != c
    assert {k: v for k, v in a.items() if "test" in k} == {
        k: v for k, v in d.items() if "test" in k
    }


def spoil(folder: Path, kind: str) -> None:
    first = folder / "recordings/0_anna_0.wav"
    if kind == "missing":
        first.unlink()
    elif kind == "odd name":
        first.rename(first.with_name("zero_anna_0.wav"))
    elif kind == "rate":
        sf.write(first, np.zeros(800), 16000)
    elif kind == "truncated":
        first.write_bytes(first.read_bytes()[:100])
    elif kind == "no folder":
        shutil.rmtree(folder / "recordings")


@pytest.mark.parametrize(
    "kind, message",
    [
        ("missing", "1 recordings are missing (0_anna_0.wav"),
        ("odd name", "1 files (zero_anna_0.wav) are not named <digit>_<speaker>"),
        ("rate", "0_anna_0.wav: 16000 Hz where 8000 Hz was expected"),
        ("truncated", "0_anna_0.wav: truncated"),
        ("no folder", "0 folders named recordings/ where one was expected"),
    ],
)
def test_make_strings_bad_corpus_is_one_error_and_leaves_nothing(
    tmp_path: Path, fsdd: Path, kind: str, message: str
) -> None:
    shutil.copytree(fsdd, tmp_path / "fsdd")
    spoil(tmp_path / "fsdd", kind)
    (tmp_path / "run").mkdir()
    done = make_strings(tmp_path / "run", tmp_path / "fsdd")
    assert done.returncode == 1 and message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "run").iterdir())


def test_make_strings_too_few_recordings_is_an_error(tmp_path: Path) -> None:
    done = make_strings(tmp_path, make_fsdd(tmp_path, num_indices=10))
    assert done.returncode == 1 and "expected 0 to 4 for test" in done.stderr


def make_recipe(folder: Path) -> Path:
    """A recipe's folder with the least that local/data.sh needs."""
    folder.mkdir()
    shutil.copytree(LOCAL, folder / "local")
    (folder / "path.sh").write_text("")
    (folder / "db.sh").write_text('FSDD="${MY_FSDD:-}"\n')
    return folder


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_data_sh_folder_or_archive_gives_the_three_sets(
    tmp_path: Path, fsdd: Path, kind: str
) -> None:
    recipe = make_recipe(tmp_path / "a recipe")
    source = fsdd
    if kind == "archive":
        source = tmp_path / "the corpus.tar.gz"
        with tarfile.open(source, "w:gz") as tar:
            tar.add(fsdd, "free-spoken-digit-dataset-1.0.10")
    command = ["local/data.sh", "--num_train=4", "--num_valid=4", "--num_test=4"]
    for _ in range(2):
        done = run(recipe, command, MY_FSDD=str(source))
        assert done.returncode == 0, done.stderr
    for name in COUNTS:
        assert len(read_scp(recipe / "data" / name / "text")) == 4
    assert (recipe / "downloads/fsdd").exists() == (kind == "archive")
    assert not (recipe / "downloads/fsdd.part").exists()


def test_data_sh_wrong_source_is_an_error(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path / "recipe")
    done = run(recipe, ["local/data.sh"], MY_FSDD=str(tmp_path / "none"))
    assert done.returncode == 1 and "no such folder or .tar.gz" in done.stderr
    (tmp_path / "bad.tar.gz").write_text("not an archive")
    done = run(recipe, ["local/data.sh"], MY_FSDD=str(tmp_path / "bad.tar.gz"))
    assert done.returncode == 1 and "does not unpack" in done.stderr
    assert not (recipe / "data").exists()


def test_data_sh_download_that_fails_says_what_to_do(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path / "recipe")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("curl", "wget"):
        (tools / name).write_text('#!/bin/sh\necho half > "$4" 2> /dev/null\nexit 6\n')
        (tools / name).chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    done = run(recipe, ["local/data.sh"], MY_FSDD="", PATH=path)
    assert done.returncode == 1 and "name the file in db.sh (FSDD)" in done.stderr
    assert not (recipe / "downloads/fsdd.tar.gz").exists()


@pytest.mark.skipif("FSDD" not in os.environ, reason="FSDD names no corpus")
def test_data_sh_real_corpus_gives_the_sets_of_the_recipe(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path / "recipe")
    done = run(recipe, ["local/data.sh"], MY_FSDD=os.path.abspath(os.environ["FSDD"]))
    assert done.returncode == 0, done.stderr
    words = {}
    for name, count in {"train": 3000, "valid": 200, "test": 1000}.items():
        validate(recipe / "data" / name)
        text = read_scp(recipe / "data" / name / "text")
        words[name] = sum(len(line.split()) for line in text.values())
        assert len(text) == count
    assert 4800 < words["test"] < 5200
