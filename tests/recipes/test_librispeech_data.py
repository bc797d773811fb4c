"""egs2/librispeech*/asr2/local: data preparation, on a miniature corpus."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from espnet_dsu.corpus.datadir import validate
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import read_scp
from tests.recipes.harness import ROOT, environment
from tests.recipes.librispeech_corpus import (
    EVALUATION_PARTS,
    PARTS_960,
    make_librispeech,
)
from tests.recipes.local_modules import importable

LOCAL = ROOT / "egs2/librispeech/asr2/local"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All parts in miniature; to be copied, not changed."""
    return make_librispeech(tmp_path_factory.mktemp("corpus"), PARTS_960)


@pytest.fixture
def own_corpus(corpus: Path, tmp_path: Path) -> Path:
    """A corpus that the test may damage."""
    return Path(shutil.copytree(corpus, tmp_path / "corpus"))


@pytest.fixture(autouse=True)
def local_modules() -> Iterator[None]:
    """Make the recipe's own modules importable, for this module only."""
    with importable(LOCAL):
        yield


def prepare(
    folder: Path, corpus: Path, recipe: str = "librispeech_100", *options: str
) -> subprocess.CompletedProcess[str]:
    """Run the recipe's local/data.sh with its data directory below ``folder``."""
    words = ["--data_dir", str(folder), "--partial", "true", *options]
    return subprocess.run(
        ["local/data.sh", *words],
        cwd=ROOT / "egs2" / recipe / "asr2",
        env=environment({"LIBRISPEECH": str(corpus)}),
        capture_output=True,
        text=True,
    )


def call_prepare(folder: Path, corpus: Path, *options: str) -> None:
    """The same in this process, without the shell."""
    import librispeech_data

    words = ["--corpus", str(corpus), "--data_dir", str(folder)]
    words += ["--train_set", "train_clean_100", *options]
    librispeech_data.main(words)


@pytest.mark.parametrize(
    "recipe, train_set, train_utterances",
    [("librispeech_100", "train_clean_100", 6), ("librispeech", "train_960", 18)],
)
def test_data_sh_makes_valid_sets_with_espnets_names(
    tmp_path: Path, corpus: Path, recipe: str, train_set: str, train_utterances: int
) -> None:
    done = prepare(tmp_path, corpus, recipe)
    assert done.returncode == 0, done.stderr
    sizes = {p.name: len(read_scp(p / "text")) for p in tmp_path.iterdir()}
    single = {part.replace("-", "_"): 6 for part in EVALUATION_PARTS}
    assert sizes == {train_set: train_utterances, "dev": 12, **single}
    for folder in tmp_path.iterdir():
        validate(folder)


def test_data_sets_dev_is_both_dev_sets_sorted(tmp_path: Path, corpus: Path) -> None:
    call_prepare(tmp_path, corpus, "--partial", "true")
    for table in ("wav.scp", "text", "utt2spk"):
        clean = read_scp(tmp_path / "dev_clean" / table)
        other = read_scp(tmp_path / "dev_other" / table)
        assert read_scp(tmp_path / "dev" / table) == dict(
            sorted((clean | other).items())
        )


def test_data_tables_hold_what_the_corpus_says(tmp_path: Path, corpus: Path) -> None:
    call_prepare(tmp_path, corpus / "LibriSpeech", "--partial", "true")
    train = tmp_path / "train_clean_100"
    wavs, texts = read_scp(train / "wav.scp"), read_scp(train / "text")
    assert list(wavs) == [
        f"{reader}-{chapter}-000{n}"
        for reader, chapter in (("190", 121), ("90", 120))
        for n in range(3)
    ]
    for utt, path in wavs.items():
        reader, chapter, _ = utt.split("-")
        folder = corpus / "LibriSpeech/train-clean-100" / reader / chapter
        assert Path(path) == folder / f"{utt}.flac"
        lines = (folder / f"{reader}-{chapter}.trans.txt").read_text().splitlines()
        assert f"{utt} {texts[utt]}" in lines
    assert read_scp(train / "spk2utt").keys() == {"190", "90"}


def test_data_missing_part_is_named_and_nothing_is_written(
    tmp_path: Path, own_corpus: Path
) -> None:
    shutil.rmtree(own_corpus / "LibriSpeech/dev-other")
    done = prepare(tmp_path / "data", own_corpus)
    assert done.returncode == 1 and not (tmp_path / "data").exists()
    assert "lacks dev-other; unpack dev-other.tar.gz there" in done.stderr
    assert "Traceback" not in done.stderr


def first_chapter(corpus: Path) -> Path:
    return next((corpus / "LibriSpeech/test-clean").glob("*/*"))


def test_data_missing_transcript_file_names_the_utterances(
    tmp_path: Path, own_corpus: Path
) -> None:
    chapter = first_chapter(own_corpus)
    next(chapter.glob("*.trans.txt")).unlink()
    first = min(path.stem for path in chapter.glob("*.flac"))
    with pytest.raises(DSUError, match=rf"3 utterances have no line.*\({first}"):
        call_prepare(tmp_path / "data", own_corpus, "--partial", "true")


def test_data_missing_audio_names_the_utterance(
    tmp_path: Path, own_corpus: Path
) -> None:
    victim = next(first_chapter(own_corpus).glob("*.flac"))
    victim.unlink()
    with pytest.raises(DSUError, match=rf"1 transcripts have no .flac \({victim.stem}"):
        call_prepare(tmp_path / "data", own_corpus, "--partial", "true")
    assert not (tmp_path / "data").exists()


def test_data_transcript_of_another_chapter_is_refused(
    tmp_path: Path, own_corpus: Path
) -> None:
    path = next(first_chapter(own_corpus).glob("*.trans.txt"))
    path.write_text(path.read_text() + "1-2-0003 WORDS\n")
    with pytest.raises(DSUError, match="'1-2-0003' is of another chapter"):
        call_prepare(tmp_path / "data", own_corpus, "--partial", "true")


def test_data_part_with_fewer_utterances_than_published_is_refused(
    tmp_path: Path, corpus: Path
) -> None:
    with pytest.raises(DSUError, match="6 utterances.*expected 28539.*--partial true"):
        call_prepare(tmp_path / "data", corpus)


def test_data_lm_text_gets_ids_that_sort(tmp_path: Path, own_corpus: Path) -> None:
    options = ("--partial", "true", "--lm_text", "true")
    with pytest.raises(DSUError, match="librispeech-lm-norm.txt.gz: not found"):
        call_prepare(tmp_path / "data", own_corpus, *options)
    with gzip.open(own_corpus / "librispeech-lm-norm.txt.gz", "wt") as lines:
        lines.write("A A A\nONE SENTENCE \n\n")
    call_prepare(tmp_path / "data", own_corpus, *options)
    assert (tmp_path / "data/local/other_text/text").read_text() == (
        "librispeech_lng_00000000 A A A\n"
        "librispeech_lng_00000001 ONE SENTENCE\n"
        "librispeech_lng_00000002 \n"
    )


def test_data_damaged_lm_text_leaves_no_file(tmp_path: Path, own_corpus: Path) -> None:
    whole = gzip.compress(b"SOME WORDS\n" * 1000)
    (own_corpus / "librispeech-lm-norm.txt.gz").write_bytes(whole[:-20])
    with pytest.raises(DSUError, match="download it again"):
        call_prepare(
            tmp_path / "data", own_corpus, "--partial", "true", "--lm_text", "true"
        )
    assert not (tmp_path / "data/local/other_text/text").exists()
