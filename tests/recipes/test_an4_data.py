"""egs2/mini_an4/asr2: its data and its formatted audio, on a miniature corpus."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_dsu.audio import read_audio
from espnet_dsu.corpus.datadir import validate
from espnet_dsu.scp import read_scp
from tests.recipes.an4_corpus import FS, WORDS, make_an4
from tests.recipes.harness import copy_recipe, environment, run_recipe


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature; to be copied, not changed."""
    return make_an4(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return copy_recipe(tmp_path, "mini_an4/asr2")


def prepare(recipe: Path, corpus: Path) -> subprocess.CompletedProcess[str]:
    """Run stage 1's program."""
    return subprocess.run(
        ["local/data.sh"],
        cwd=recipe,
        env=environment({"MINI_AN4": str(corpus)}),
        capture_output=True,
        text=True,
    )


def test_data_sh_sets_are_those_of_espnet_with_every_utterance(
    recipe: Path, corpus: Path
) -> None:
    done = prepare(recipe, corpus)
    assert done.returncode == 0, done.stderr
    sets = {path.name: read_scp(path / "text") for path in (recipe / "data").iterdir()}
    assert sets.keys() == {"train_nodev", "train_dev", "test", "test_seg"}
    assert list(sets["train_dev"]) == ["fash-an251-b"]
    assert list(sets["train_nodev"]) == [
        *("fash-cen7-b", "fbbh-cen8-b", "mwhw-an152-b", "mwhw-cen8-b")
    ]
    assert sets["test"] == sets["test_seg"]
    texts = {**sets["train_dev"], **sets["train_nodev"], **sets["test"]}
    expected = {**WORDS["train"], **WORDS["test"]}
    for utt, words in texts.items():
        speaker, prompt, take = utt.split("-")
        assert expected.pop(f"{prompt}-{speaker}-{take}") == words
    assert not expected
    for name in sets:
        validate(recipe / "data" / name)
        utt2spk = read_scp(recipe / "data" / name / "utt2spk")
        assert all(utt.startswith(f"{speaker}-") for utt, speaker in utt2spk.items())


def test_data_sh_segments_name_recordings_of_their_own(
    recipe: Path, corpus: Path
) -> None:
    assert prepare(recipe, corpus).returncode == 0
    data = recipe / "data"
    recordings = read_scp(data / "test_seg/wav.scp")
    for utt, value in read_scp(data / "test_seg/segments").items():
        recording, start, end = value.split()
        assert recording == f"{utt}_org"
        assert recordings[recording] == read_scp(data / "test/wav.scp")[utt]
        assert float(start) == 0
        assert float(end) == soundfile.info(recordings[recording]).duration


def test_data_sh_archive_gives_the_sets_of_the_folder(
    recipe: Path, corpus: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "an4 packed.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(corpus / "an4", "downloads/an4")
    assert prepare(recipe, archive).returncode == 0
    wav, *_ = read_scp(recipe / "data/test/wav.scp").values()
    assert wav.startswith("downloads/mini_an4/downloads/an4/wav/an4test_clstk/")
    assert read_audio(str(recipe / wav))[1] == FS


def spoil(an4: Path, kind: str) -> None:
    wav = an4 / "wav/an4_clstk/mwhw/an152-mwhw-b.sph"
    lines = an4 / "etc/an4_train.transcription"
    if kind == "missing":
        wav.unlink()
    elif kind == "truncated":
        wav.write_bytes(wav.read_bytes()[:9000])
    elif kind == "compressed":
        sphere = wav.read_bytes()
        coding = b"sample_coding -s26 pcm,embedded-shorten-v2.00"
        head = sphere[:900].replace(b"sample_coding -s3 pcm", coding).strip()
        wav.write_bytes(head.ljust(1024) + sphere[1024:])
    elif kind == "line":
        lines.write_text(lines.read_text() + "WITHOUT ITS NAME\n")
    elif kind == "no test":
        (an4 / "etc/an4_test.transcription").unlink()
    elif kind == "no corpus":
        lines.unlink()
    elif kind == "one utterance":
        lines.write_text(lines.read_text().splitlines()[0] + "\n")


@pytest.mark.parametrize(
    "kind, message",
    [
        ("missing", "1 recordings cannot be used; first .*an152-mwhw-b.sph: not found"),
        ("truncated", r"an152-mwhw-b.sph: truncated \(\d+ samples declared"),
        ("compressed", r"compressed sphere file \(pcm,embedded-shorten-v2.00\)"),
        ("line", "an4_train.transcription:6: 'WITHOUT ITS NAME': expected `words"),
        ("no test", "an4_test.transcription: not found; unpack"),
        ("no corpus", "0 files etc/an4_train.transcription where one was expected"),
        ("one utterance", "1 training utterances, expected more than 1"),
    ],
)
def test_data_sh_bad_corpus_is_one_error_and_leaves_nothing(
    recipe: Path, corpus: Path, tmp_path: Path, kind: str, message: str
) -> None:
    shutil.copytree(corpus, tmp_path / "corpus")
    spoil(tmp_path / "corpus/an4", kind)
    done = prepare(recipe, tmp_path / "corpus")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (line,) = (li for li in done.stderr.splitlines() if "error" in li)
    assert re.search(message, line), done.stderr
    assert not (recipe / "data").exists()


def formatted(recipe: Path, name: str) -> dict[str, np.ndarray]:
    """Return the samples of a formatted set."""
    table = read_scp(recipe / "dump/raw" / name / "wav.scp")
    return {utt: read_audio(str(recipe / path))[0] for utt, path in table.items()}


def test_ref_channels_takes_the_channel_in_every_set_and_at_every_speed(
    tmp_path: Path, corpus: Path
) -> None:
    """Stages 1 to 3 of stereo sphere files give what mono ones give."""
    options = ("--stop_stage", "3", "--test_sets", "test test_seg")
    options += ("--speed_perturb_factors", "0.9 1.0")
    recipes = {}
    for kind, source in {
        "mono": corpus,
        "stereo": make_an4(tmp_path / "corpus", channel=1, channels=2),
    }.items():
        recipes[kind] = copy_recipe(tmp_path / kind, "mini_an4/asr2")
        channel = ("--ref_channels", "1") if kind == "stereo" else ()
        env = {"MINI_AN4": str(source)}
        run_recipe(recipes[kind], *options, *channel, env=env)
    for name in ("org/train_nodev_sp", "org/train_dev", "test", "test_seg"):
        mono, stereo = (formatted(recipes[kind], name) for kind in recipes)
        assert mono.keys() == stereo.keys() and mono
        assert all(np.array_equal(mono[utt], stereo[utt]) for utt in mono)


def test_several_channels_without_a_choice_are_named(
    recipe: Path, tmp_path: Path
) -> None:
    env = {"MINI_AN4": str(make_an4(tmp_path / "corpus", channels=2))}
    done = subprocess.run(
        ["./run.sh", "--stop_stage", "3"],
        cwd=recipe,
        env=environment(env),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "2 channels where one was expected; pick one with --ref_channels" in (
        done.stdout + done.stderr
    )
