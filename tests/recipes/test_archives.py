"""egs2/TEMPLATE/lib/archives.py: download, check, unpack, with a server at home."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from espnet_dsu.errors import DSUError
from tests.recipes.harness import ROOT
from tests.recipes.local_modules import importable
from tests.recipes.mirror import Mirror


@pytest.fixture(autouse=True)
def local_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the module importable, and its attempts follow at once."""
    with importable(ROOT / "egs2/TEMPLATE/lib"):
        import archives

        monkeypatch.setattr(archives, "PAUSE_SEC", 0)
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is packed."""
    (tmp_path / "corpus/wavs").mkdir(parents=True)
    (tmp_path / "corpus/README").write_text("a corpus")
    (tmp_path / "corpus/wavs/a.wav").write_bytes(bytes(range(256)) * 99)
    return tmp_path / "corpus"


def pack(folder: Path, archive: Path, name: str = "corpus") -> Path:
    """Pack ``folder`` as ``name`` in a tar or a zip."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as whole:
            for path in sorted(folder.rglob("*")):
                whole.write(path, f"{name}/{path.relative_to(folder)}")
    else:
        with tarfile.open(archive, f"w:{archive.suffix[1:]}") as tar:
            tar.add(folder, name)
    return archive


def test_fetch_goes_on_where_the_connection_was_cut(
    tmp_path: Path, mirror: Mirror
) -> None:
    from archives import fetch

    mirror.cut_after = 4000
    content = mirror.files["/x"]
    sha256 = hashlib.sha256(content).hexdigest()
    fetch(f"{mirror.url}/x", tmp_path / "x", "CORPUS", sha256)
    assert (tmp_path / "x").read_bytes() == content
    assert mirror.ranges == ["bytes=0-", "bytes=4000-", "bytes=8000-"]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_fetch_goes_on_with_what_an_earlier_run_left(
    tmp_path: Path, mirror: Mirror
) -> None:
    from archives import fetch

    content = mirror.files["/x"]
    sha256 = hashlib.sha256(content).hexdigest()
    for left in (content[:100], content):
        (tmp_path / "x.part").write_bytes(left)
        (tmp_path / "x").unlink(missing_ok=True)
        fetch(f"{mirror.url}/x", tmp_path / "x", "CORPUS", sha256)
        assert (tmp_path / "x").read_bytes() == content


def test_fetch_refuses_other_content_and_removes_it(
    tmp_path: Path, mirror: Mirror
) -> None:
    from archives import fetch

    with pytest.raises(DSUError, match="sha256 .*, expected 00"):
        fetch(f"{mirror.url}/x", tmp_path / "x", "CORPUS", "00")
    assert list(tmp_path.iterdir()) == []


def test_fetch_without_the_file_says_what_to_do_at_once(
    tmp_path: Path, mirror: Mirror
) -> None:
    from archives import fetch

    with pytest.raises(DSUError, match="404.*set CORPUS in db.sh"):
        fetch(f"{mirror.url}/nowhere", tmp_path / "x", "CORPUS")
    assert len(mirror.ranges) == 1


@pytest.mark.parametrize("ending", ["zip", "tar.gz", "tar.bz2"])
@pytest.mark.parametrize("inner", ["", "corpus"])
def test_unpack_gives_all_or_the_folder_asked_for(
    tmp_path: Path, folder: Path, ending: str, inner: str
) -> None:
    from archives import unpack

    target = tmp_path / "new/place"
    unpack(pack(folder, tmp_path / f"x.{ending}"), target, inner)
    root = target if inner else target / "corpus"
    for path in (p for p in folder.rglob("*") if p.is_file()):
        copied = root / path.relative_to(folder)
        assert copied.read_bytes() == path.read_bytes()
    assert [p.name for p in target.parent.iterdir()] == ["place"]


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside"])
def test_unpack_of_a_name_that_leads_out_is_refused(
    tmp_path: Path, folder: Path, ending: str, name: str
) -> None:
    from archives import unpack

    archive = tmp_path / f"x.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(archive, "w") as whole:
            whole.writestr(name, "x")
    else:
        with tarfile.open(archive, "w:gz") as tar:
            member = tar.gettarinfo(folder / "README", "README")
            member.name = name
            with (folder / "README").open("rb") as file:
                tar.addfile(member, file)
    with pytest.raises(DSUError, match="leads out of the folder"):
        unpack(archive, tmp_path / "downloads/corpus")
    assert not (tmp_path.parent / "outside").exists()
    assert not [p for p in (tmp_path / "downloads").rglob("*") if p.is_file()]


def test_unpack_of_a_link_is_refused(tmp_path: Path, folder: Path) -> None:
    from archives import unpack

    (folder / "link").symlink_to("/etc")
    archive = pack(folder, tmp_path / "x.tar.gz")
    with pytest.raises(DSUError, match="'corpus/link' is a link or a device"):
        unpack(archive, tmp_path / "downloads/corpus")
    assert not (tmp_path / "downloads/corpus").exists()


@pytest.mark.parametrize("ending", ["zip", "tar.gz", "tar.bz2"])
def test_unpack_of_a_cut_archive_leaves_nothing(
    tmp_path: Path, folder: Path, ending: str
) -> None:
    from archives import unpack

    archive = pack(folder, tmp_path / f"x.{ending}")
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(DSUError, match="does not unpack"):
        unpack(archive, tmp_path / "downloads/corpus")
    assert not list((tmp_path / "downloads").glob("*"))


def release(mirror: Mirror, sha256: str):
    from archives import Release

    return Release("MY_CORPUS", f"{mirror.url}/x.tar.gz", 0.1, sha256)


def test_find_corpus_given_folder_is_taken_as_it_is(
    tmp_path: Path, folder: Path, mirror: Mirror
) -> None:
    from archives import find_corpus

    downloads = tmp_path / "downloads"
    assert find_corpus(str(folder), release(mirror, ""), downloads) == folder
    assert not downloads.exists() and mirror.ranges == []


def test_find_corpus_given_archive_replaces_what_was_unpacked_before(
    tmp_path: Path, folder: Path, mirror: Mirror
) -> None:
    from archives import find_corpus

    archive = pack(folder, tmp_path / "mine.tar.bz2")
    stale = tmp_path / "downloads/my_corpus/stale"
    stale.mkdir(parents=True)
    found = find_corpus(str(archive), release(mirror, ""), tmp_path / "downloads")
    assert (found / "corpus/README").read_text() == "a corpus"
    assert not stale.exists() and mirror.ranges == []


def test_find_corpus_without_one_downloads_it_once(
    tmp_path: Path, folder: Path, mirror: Mirror
) -> None:
    from archives import find_corpus

    content = pack(folder, tmp_path / "x.tar.gz").read_bytes()
    mirror.files["/x.tar.gz"] = content
    wanted = release(mirror, hashlib.sha256(content).hexdigest())
    for _ in range(2):
        found = find_corpus("", wanted, tmp_path / "downloads")
        assert (found / "corpus/README").read_text() == "a corpus"
    assert len(mirror.ranges) == 1


def test_find_corpus_wrong_path_names_the_variable(
    tmp_path: Path, mirror: Mirror
) -> None:
    from archives import find_corpus

    with pytest.raises(DSUError, match="MY_CORPUS=/nowhere: no such folder or archive"):
        find_corpus("/nowhere", release(mirror, ""), tmp_path / "downloads")
