"""egs2/ljspeech/voc1/local: data preparation, on a miniature and the real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from espnet_dsu.corpus.datadir import validate
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import read_scp
from tests.recipes.harness import ROOT, environment
from tests.recipes.ljspeech_corpus import WORDS, make_ljspeech
from tests.recipes.local_modules import importable

RECIPE = ROOT / "egs2/ljspeech/voc1"
BESIDE_CHECKOUT = ROOT.parent / "shared/data/ljspeech_mini.tar.gz"
SMALL = ("--partial", "true", "--num_dev", "2", "--num_eval", "3")


@pytest.fixture(autouse=True)
def local_modules() -> Iterator[None]:
    """Make the recipe's own modules importable, for this module only."""
    with importable(RECIPE / "local"):
        yield


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Ten utterances; the test may damage them."""
    return make_ljspeech(tmp_path / "corpus")


def prepare(corpus: Path | str, *options: str) -> Path:
    """Prepare data beside the corpus; return the folder of the sets."""
    import ljspeech_data

    data = Path(corpus).parent / "data"
    words = ["--corpus", str(corpus), "--data_dir", str(data)]
    words += ["--download_dir", str(Path(corpus).parent / "downloads")]
    ljspeech_data.main([*words, *options])
    return data


def test_data_sets_are_espnets_first_then_dev_then_eval(corpus: Path) -> None:
    data = prepare(corpus, *SMALL)
    numbers = {
        path.name: [int(utt[-4:]) for utt in read_scp(path / "text")]
        for path in data.iterdir()
    }
    assert numbers == {
        "tr_no_dev": [1, 2, 3, 4, 5],
        "dev": [6, 7],
        "eval1": [8, 9, 10],
    }
    for path in data.iterdir():
        validate(path)
        assert set(read_scp(path / "utt2spk").values()) == {"LJ"}


def test_data_tables_hold_the_normalized_words_and_the_wavs(corpus: Path) -> None:
    data = prepare(corpus / "LJSpeech-1.1", *SMALL)
    for name in ("tr_no_dev", "eval1"):
        wavs = read_scp(data / name / "wav.scp")
        for utt, text in read_scp(data / name / "text").items():
            assert text == WORDS[int(utt[-4:]) % len(WORDS)]
            assert Path(wavs[utt]) == corpus / f"LJSpeech-1.1/wavs/{utt}.wav"


def test_data_incomplete_corpus_is_refused_unless_partial(corpus: Path) -> None:
    with pytest.raises(DSUError, match="10 utterances, expected 13100.*--partial true"):
        prepare(corpus)
    assert not (corpus.parent / "data").exists()


def test_data_audio_without_text_is_left_out_only_if_partial(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = corpus / "LJSpeech-1.1/metadata.csv"
    lines = metadata.read_text().splitlines(keepends=True)
    metadata.write_text("".join(lines[1:]))
    (corpus / "LJSpeech-1.1/wavs/LJ001-0002.wav").unlink()
    with pytest.raises(DSUError, match="2 lack one of both .LJ001-0001: no text, LJ00"):
        prepare(corpus, "--num_dev", "2")
    data = prepare(corpus, *SMALL)
    assert list(read_scp(data / "tr_no_dev/wav.scp")) == [
        "LJ001-0003",
        "LJ001-0004",
        "LJ001-0005",
    ]
    assert "LJ001-0002: no audio); these are left out" in caplog.text


@pytest.mark.parametrize(
    "line, message",
    [
        ("LJ001-0011|one text only", "expected `id.text.normalized text`"),
        ("LJ001-0011|a|", "expected `id.text.normalized text`"),
        ("LJ001-0003|a|b", "duplicate id 'LJ001-0003'"),
    ],
)
def test_data_bad_line_is_named(corpus: Path, line: str, message: str) -> None:
    with (corpus / "LJSpeech-1.1/metadata.csv").open("a") as metadata:
        metadata.write(line + "\n")
    with pytest.raises(DSUError, match=rf"metadata.csv:11: .*{message}"):
        prepare(corpus, *SMALL)


def test_data_too_few_utterances_to_split_is_an_error(corpus: Path) -> None:
    with pytest.raises(DSUError, match="10 utterances cannot be split into 250"):
        prepare(corpus, "--partial", "true")


def test_data_folder_of_something_else_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(DSUError, match="correct LJSPEECH in db.sh"):
        prepare(tmp_path / "other", *SMALL)


def test_data_archive_is_unpacked(tmp_path: Path, corpus: Path) -> None:
    archive = tmp_path / "LJSpeech-1.1.tar.bz2"
    with tarfile.open(archive, "w:bz2") as tar:
        tar.add(corpus / "LJSpeech-1.1", "LJSpeech-1.1")
    shutil.rmtree(corpus)
    data = prepare(archive, *SMALL)
    wavs = read_scp(data / "eval1/wav.scp")
    assert len(wavs) == 3 and all(Path(wav).is_file() for wav in wavs.values())


def test_data_sh_takes_the_corpus_of_db_sh(tmp_path: Path, corpus: Path) -> None:
    done = subprocess.run(
        ["local/data.sh", "--data_dir", str(tmp_path / "data"), *SMALL],
        cwd=RECIPE,
        env=environment({"LJSPEECH": str(corpus)}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    validate(tmp_path / "data/tr_no_dev")


def test_data_real_recordings_with_text_give_three_sets(tmp_path: Path) -> None:
    archive = Path(os.environ.get("LJSPEECH") or BESIDE_CHECKOUT).absolute()
    if not archive.exists():
        pytest.skip("LJSPEECH names no corpus")
    (tmp_path / "corpus").symlink_to(archive)
    data = prepare(tmp_path / "corpus", *SMALL)
    for name, size in {"dev": 2, "eval1": 3}.items():
        validate(data / name)
        assert len(read_scp(data / name / "text")) == size
    first = read_scp(data / "tr_no_dev/text")["LJ001-0002"]
    assert first == "IN BEING COMPARATIVELY MODERN"
