"""egs2/libritts/voc1/local: data preparation, on a miniature corpus."""

from __future__ import annotations

import hashlib
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
from tests.recipes.libritts_corpus import PARTS, WORDS, make_libritts
from tests.recipes.local_modules import importable
from tests.recipes.mirror import Mirror

RECIPE = ROOT / "egs2/libritts/voc1"
PARTIAL = ("--partial", "true")


@pytest.fixture(autouse=True)
def local_modules() -> Iterator[None]:
    """Make the recipe's own modules importable, for this module only."""
    with importable(RECIPE / "local"):
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All parts in miniature; to be copied, not changed."""
    return make_libritts(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def own_corpus(corpus: Path, tmp_path: Path) -> Path:
    """A corpus that the test may damage."""
    return Path(shutil.copytree(corpus, tmp_path / "corpus"))


def prepare(data: Path, corpus: Path | str, *options: str) -> Path:
    """Prepare data; return the folder of the sets."""
    import libritts_data

    libritts_data.main(["--corpus", str(corpus), "--data_dir", str(data), *options])
    return data


def test_data_sets_have_espnets_names_and_readers_as_speakers(
    tmp_path: Path, corpus: Path
) -> None:
    data = prepare(tmp_path, corpus, *PARTIAL)
    readers = {}
    for path in data.iterdir():
        validate(path)
        readers[path.name] = list(read_scp(path / "spk2utt"))
    assert readers == {
        "train-clean-460": ["190", "191", "90", "91"],
        "dev-clean": ["192", "92"],
        "test-clean": ["193", "93"],
    }


def test_data_tables_hold_the_normalized_words_and_the_wavs(
    tmp_path: Path, corpus: Path
) -> None:
    data = prepare(tmp_path, corpus / "LibriTTS", *PARTIAL)
    texts = read_scp(data / "test-clean/text")
    for utt, path in read_scp(data / "test-clean/wav.scp").items():
        reader, chapter, *_ = utt.split("_")
        folder = corpus / "LibriTTS/test-clean" / reader / chapter
        assert Path(path) == folder / f"{utt}.wav" and Path(path).is_file()
        normalized = (folder / f"{utt}.normalized.txt").read_text("utf-8")
        assert texts[utt].split()[-1] in normalized.upper().replace("\u2019", "'")
    assert set(texts.values()) == set(WORDS)


def test_data_missing_part_is_named_and_nothing_is_written(
    tmp_path: Path, own_corpus: Path
) -> None:
    shutil.rmtree(own_corpus / "LibriTTS/train-clean-360")
    with pytest.raises(DSUError, match="lacks train-clean-360; unpack train-clean-360"):
        prepare(tmp_path / "data", own_corpus, *PARTIAL)
    assert not (tmp_path / "data").exists()


def test_data_audio_without_text_is_refused_unless_partial(
    tmp_path: Path, own_corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    victim = next((own_corpus / "LibriTTS/dev-clean").rglob("*.normalized.txt"))
    victim.unlink()
    utt = victim.name.removesuffix(".normalized.txt")
    import libritts_data

    with pytest.raises(DSUError, match=rf"1 lack one of both \({utt}: no text\)"):
        libritts_data.read_part(own_corpus / "LibriTTS/dev-clean", partial=False)
    data = prepare(tmp_path / "data", own_corpus, *PARTIAL)
    assert len(read_scp(data / "dev-clean/wav.scp")) == 5
    assert f"{utt}: no text); these are left out" in caplog.text


def test_data_part_with_fewer_utterances_than_published_is_refused(
    tmp_path: Path, corpus: Path
) -> None:
    with pytest.raises(DSUError, match="6 utterances, expected 33236.*--partial true"):
        prepare(tmp_path / "data", corpus)
    assert not (tmp_path / "data").exists()


def test_data_text_that_is_not_utf8_is_named(tmp_path: Path, own_corpus: Path) -> None:
    bad = next((own_corpus / "LibriTTS/dev-clean").rglob("*.normalized.txt"))
    bad.write_bytes(b"caf\xe9")
    with pytest.raises(DSUError, match=f"{bad.name}: not UTF-8"):
        prepare(tmp_path / "data", own_corpus, *PARTIAL)


def test_data_without_a_corpus_is_downloaded_once(
    tmp_path: Path, corpus: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    import libritts_data

    for part in PARTS:
        with tarfile.open(tmp_path / "archive", "w:gz") as tar:
            tar.add(corpus / "LibriTTS/SPEAKERS.txt", "LibriTTS/SPEAKERS.txt")
            tar.add(corpus / "LibriTTS" / part, f"LibriTTS/{part}")
        content = (tmp_path / "archive").read_bytes()
        mirror.files[f"/{part}.tar.gz"] = content
        published = libritts_data.Part(6, 0.1, hashlib.sha256(content).hexdigest())
        monkeypatch.setitem(libritts_data.PARTS, part, published)
    options = ("--mirror", mirror.url, "--download_dir", str(tmp_path / "downloads"))
    for _ in range(2):
        data = prepare(tmp_path / "data", "", *options)
        assert len(read_scp(data / "train-clean-460/wav.scp")) == 12
    assert len(mirror.ranges) == 4


def test_data_sh_takes_the_corpus_of_db_sh(tmp_path: Path, corpus: Path) -> None:
    done = subprocess.run(
        ["local/data.sh", "--data_dir", str(tmp_path / "data"), *PARTIAL],
        cwd=RECIPE,
        env=environment({"LIBRITTS": str(corpus)}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    validate(tmp_path / "data/train-clean-460")
