"""egs2/librispeech*/asr2/local: the download, from a mirror on this machine."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from espnet_dsu.corpus.datadir import validate
from tests.recipes.harness import ROOT
from tests.recipes.librispeech_corpus import PARTS_100, make_librispeech
from tests.recipes.local_modules import importable

LOCAL = ROOT / "egs2/librispeech/asr2/local"


@pytest.fixture(autouse=True)
def local_modules() -> Iterator[None]:
    """Make the recipe's own modules importable, for this module only."""
    with importable(LOCAL):
        yield


def pack(corpus: Path, part: str, target: Path) -> bytes:
    with tarfile.open(target, "w:gz") as tar:
        tar.add(corpus / "LibriSpeech/README.TXT", "LibriSpeech/README.TXT")
        tar.add(corpus / "LibriSpeech" / part, f"LibriSpeech/{part}")
    return target.read_bytes()


def test_data_without_a_corpus_is_downloaded_once(
    tmp_path: Path, mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    import librispeech_data
    from librispeech_parts import PARTS, Part

    corpus = make_librispeech(tmp_path / "corpus")
    for part in PARTS_100:
        archive = pack(corpus, part, tmp_path / "archive")
        mirror.files[f"/12/{part}.tar.gz"] = archive
        sha256 = hashlib.sha256(archive).hexdigest()
        monkeypatch.setitem(PARTS, part, Part(6, 0.1, sha256))
    mirror.files["/11/librispeech-lm-norm.txt.gz"] = gzip.compress(b"WORDS\n")
    words = ["--train_set", "train_clean_100", "--mirror", mirror.url]
    words += ["--data_dir", str(tmp_path / "data"), "--lm_text", "true"]
    words += ["--download_dir", str(tmp_path / "downloads")]
    librispeech_data.main(words)
    validate(tmp_path / "data/dev")
    assert (tmp_path / "data/local/other_text/text").exists()
    assert not list((tmp_path / "downloads").rglob("*.unpacking"))
    requests = len(mirror.ranges)
    librispeech_data.main(words)
    assert len(mirror.ranges) == requests == 6
