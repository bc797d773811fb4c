"""Data directories: what is wrong is named, what is kept is sorted and complete."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu.corpus.datadir import (
    fix,
    read_tables,
    spk2utt,
    validate,
    write_tables,
)
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import read_scp, write_scp

ids = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)


def make_dir(path: Path, **tables: str) -> Path:
    """Write tables given as text; `wav_scp` stands for wav.scp."""
    path.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (path / name.replace("_", ".")).write_text(text)
    return path


@given(st.dictionaries(ids, ids))
def test_scp_written_and_read_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("scp") / "text"
    write_scp(path, table)
    assert list(read_scp(path).items()) == list(table.items())


@given(st.lists(ids))
def test_write_tables_any_ids_are_in_c_order(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str]
) -> None:
    path = tmp_path_factory.mktemp("dir")
    write_tables(path, {"wav.scp": {key: "x" for key in keys}})
    written = [line.split(b" ")[0] for line in (path / "wav.scp").open("rb")]
    assert written == sorted(written)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"a x\nb y\na z\n", ":3: duplicate id 'a'"),
        (b"a x\nb\n", ":2: 'b' has no value"),
        (b"a x\n\nb y\n", ":2: empty line"),
        (b"a x\nb \xff\n", ":2: not UTF-8"),
    ],
)
def test_read_scp_bad_line_is_named(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "wav.scp").write_bytes(content)
    with pytest.raises(DSUError, match=message):
        read_scp(tmp_path / "wav.scp")


def test_read_scp_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DSUError, match="wav.scp: not found"):
        read_scp(tmp_path / "wav.scp")


def test_read_scp_keeps_order_spaces_and_unusual_line_ends(tmp_path: Path) -> None:
    content = "b  some  words \r\na\tx\u2028y\u3000z\nc\n"
    (tmp_path / "text").write_bytes(content.encode())
    table = read_scp(tmp_path / "text", allow_empty=True)
    expected = [("b", "some  words"), ("a", "x\u2028y\u3000z"), ("c", "")]
    assert list(table.items()) == expected


def test_read_scp_empty_file_is_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "text").touch()
    assert read_scp(tmp_path / "text") == {}


@given(st.dictionaries(ids, ids))
def test_spk2utt_turned_around_again_is_utt2spk(utt2spk: dict[str, str]) -> None:
    pairs = {
        utt: speaker
        for speaker, utts in spk2utt(utt2spk).items()
        for utt in utts.split()
    }
    assert pairs == utt2spk


def test_validate_good_directory_passes(tmp_path: Path) -> None:
    validate(make_dir(tmp_path, wav_scp="a x\n", text="a w\n", utt2spk="a s\n"))


def test_validate_bad_directory_lists_every_kind_of_problem(tmp_path: Path) -> None:
    make_dir(
        tmp_path,
        wav_scp="b x\na x\na y\nq\nn1 x\nn2 x\nn3 x\nn4 x\n",
        text="a w\nb w\nc w\n",
    )
    with pytest.raises(DSUError) as caught:
        validate(tmp_path)
    message = str(caught.value)
    for line in (
        "missing file: 1 (utt2spk)",
        "duplicate id in wav.scp: 1 (a)",
        "no value in wav.scp: 1 (q (line 4))",
        "unsorted wav.scp (C order): 1 (a)",
        "audio without text: 4 (n1, n2, n3, ...)",
        "text without audio: 1 (c)",
    ):
        assert f"  {line}\n" in message


def test_validate_segments_are_the_utterances(tmp_path: Path) -> None:
    tables = {"segments": "a r 0 1\nb r 1 2\n", "utt2spk": "a s\nb s\n"}
    make_dir(tmp_path, wav_scp="r x\n", text="a w\nb w\n", **tables)
    validate(tmp_path)
    (tmp_path / "wav.scp").write_text("other x\n")
    with pytest.raises(DSUError, match="segment of an unknown recording: 2"):
        validate(tmp_path)


def test_fix_bad_directory_keeps_the_intersection_and_names_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_dir(
        tmp_path,
        wav_scp="c x\nB x\na x\na y\nn x\nq\n",
        text="t w\nc w\nB\na w\n",
    )
    assert fix(tmp_path) == 3
    validate(tmp_path)
    tables = read_tables(tmp_path)
    assert tables["wav.scp"] == {"B": "x", "a": "x", "c": "x"}
    assert tables["utt2spk"] == {"B": "B", "a": "a", "c": "c"}
    assert (tmp_path / "spk2utt").read_text() == "B B\na a\nc c\n"
    assert sorted((tmp_path / "dropped.tsv").read_text().splitlines()) == [
        "a\tduplicate id in wav.scp",
        "n\taudio without text",
        "q (line 6)\tno value in wav.scp",
        "t\ttext without audio",
    ]
    assert "kept 3 utterances, dropped 4 entries" in caplog.text


def test_fix_segments_drop_recordings_that_nothing_uses(tmp_path: Path) -> None:
    segments = "a r 0 1\nb none 0 1\n"
    make_dir(tmp_path, wav_scp="r x\nidle x\n", text="a w\nb w\n", segments=segments)
    assert fix(tmp_path) == 1
    assert read_scp(tmp_path / "wav.scp") == {"r": "x"}
    assert read_scp(tmp_path / "text") == {"a": "w"}


def test_fix_nothing_in_common_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    make_dir(tmp_path, wav_scp="a x\n", text="b w\n")
    with pytest.raises(DSUError, match="no utterance has an entry in"):
        fix(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["text", "wav.scp"]
    assert read_scp(tmp_path / "wav.scp") == {"a": "x"}
