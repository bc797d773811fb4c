"""egs2/librispeech*/asr2/local: the download, from a mirror on this machine."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from espnet_dsu.corpus.datadir import validate
from espnet_dsu.errors import DSUError
from tests.recipes.harness import ROOT
from tests.recipes.librispeech_corpus import PARTS_100, make_librispeech

LOCAL = ROOT / "egs2/librispeech/asr2/local"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is packed; not to be changed."""
    return make_librispeech(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(autouse=True)
def local_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the recipe's own modules importable, for this module only."""
    monkeypatch.syspath_prepend(str(LOCAL))
    yield
    for name in ("data", "download", "parts"):
        sys.modules.pop(f"librispeech_{name}", None)


class Mirror(http.server.ThreadingHTTPServer):
    """Serves files, and cuts each connection after so many bytes."""

    daemon_threads = True
    cut_after = 10**9

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), MirrorHandler)
        self.files = files
        self.ranges: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class MirrorHandler(http.server.BaseHTTPRequestHandler):
    """Answers ranges as OpenSLR does."""

    server: Mirror

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers["Range"])
        start = int(self.headers["Range"][6:-1])
        content = self.server.files.get(self.path)
        if content is None or start >= len(content):
            self.send_error(404 if content is None else 416)
            return
        self.send_response(206)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : start + self.server.cut_after])


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    import librispeech_download

    monkeypatch.setattr(librispeech_download, "PAUSE_SEC", 0)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Mirror({"/x": bytes(range(256)) * 40})
    yield server
    server.shutdown()
    server.server_close()


def test_fetch_goes_on_where_the_connection_was_cut(
    tmp_path: Path, mirror: Mirror
) -> None:
    from librispeech_download import fetch

    mirror.cut_after = 4000
    content = mirror.files["/x"]
    fetch(f"{mirror.url}/x", tmp_path / "x", hashlib.sha256(content).hexdigest())
    assert (tmp_path / "x").read_bytes() == content
    assert mirror.ranges == ["bytes=0-", "bytes=4000-", "bytes=8000-"]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_fetch_goes_on_with_what_an_earlier_run_left(
    tmp_path: Path, mirror: Mirror
) -> None:
    from librispeech_download import fetch

    content = mirror.files["/x"]
    for left in (content[:100], content):
        (tmp_path / "x.part").write_bytes(left)
        (tmp_path / "x").unlink(missing_ok=True)
        fetch(f"{mirror.url}/x", tmp_path / "x", hashlib.sha256(content).hexdigest())
        assert (tmp_path / "x").read_bytes() == content


def test_fetch_refuses_other_content_and_removes_it(
    tmp_path: Path, mirror: Mirror
) -> None:
    from librispeech_download import fetch

    with pytest.raises(DSUError, match="sha256 .*, expected 00"):
        fetch(f"{mirror.url}/x", tmp_path / "x", "00")
    assert list(tmp_path.iterdir()) == []


def test_fetch_without_the_file_says_what_to_do_at_once(
    tmp_path: Path, mirror: Mirror
) -> None:
    from librispeech_download import fetch

    with pytest.raises(DSUError, match="404.*set LIBRISPEECH in db.sh"):
        fetch(f"{mirror.url}/nowhere", tmp_path / "x")
    assert len(mirror.ranges) == 1


def pack(corpus: Path, part: str, target: Path) -> bytes:
    with tarfile.open(target, "w:gz") as tar:
        tar.add(corpus / "LibriSpeech/README.TXT", "LibriSpeech/README.TXT")
        tar.add(corpus / "LibriSpeech" / part, f"LibriSpeech/{part}")
    return target.read_bytes()


def test_data_without_a_corpus_is_downloaded_once(
    tmp_path: Path, corpus: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    import librispeech_data
    from librispeech_parts import PARTS, Part

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
    assert not list((tmp_path / "downloads").glob("*.unpacking"))
    requests = len(mirror.ranges)
    librispeech_data.main(words)
    assert len(mirror.ranges) == requests == 6


def test_unpack_of_a_name_that_leads_out_is_refused(tmp_path: Path) -> None:
    from librispeech_download import unpack

    (tmp_path / "evil").write_text("x")
    archive = tmp_path / "dev-clean.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "evil", "../../outside")
    with pytest.raises(DSUError, match="does not unpack to LibriSpeech/dev-clean"):
        unpack(archive, tmp_path / "downloads", "dev-clean")
    assert not (tmp_path.parent / "outside").exists()
    assert not [p for p in (tmp_path / "downloads").rglob("*") if p.is_file()]


def test_unpack_of_a_cut_archive_leaves_no_part(tmp_path: Path, corpus: Path) -> None:
    from librispeech_download import unpack

    archive = tmp_path / "dev-clean.tar.gz"
    content = pack(corpus, "dev-clean", archive)
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(DSUError, match="remove it and download it again"):
        unpack(archive, tmp_path / "downloads", "dev-clean")
    assert not (tmp_path / "downloads/LibriSpeech/dev-clean").exists()
