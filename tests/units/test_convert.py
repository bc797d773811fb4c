"""Unit directories to the files of other toolkits and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.units import UnitReader, UnitSpec, collapse_units, write_units
from espnet_dsu.units.convert import export_units, import_units
from espnet_dsu.units.formats import FORMATS
from espnet_dsu.units.unit_file import UnitFile

SPEC = UnitSpec("hubert_km100", (100,), 320, 16000, "abc")
NAMES = st.text("abc-_.|/09Zé語", min_size=1, max_size=8)
UNITS = st.lists(st.integers(0, 99), min_size=1, max_size=20)
SETS = st.dictionaries(NAMES, UNITS, min_size=1, max_size=5)
# Name, file of units, more arguments: a file of two utterances in every format.
EXAMPLES = {
    "cjk": "a 丁丁七\nb 一\n",
    "ids": "a 1 1 3\nb 0\n",
    "fairseq": "a|1 1 3\nb|0\n",
    "km": "1 1 3\n0\n",
    "textless": "a\t1 3\nb\t0\n",
    "jsonl": '{"id": "a", "units": [1, 3], "durations": [2, 1]}\n'
    '{"id": "b", "units": [0], "durations": [1]}\n',
}


def fill(folder, units, spec=SPEC):
    write_units(folder, ((n, np.array(u)) for n, u in units.items()), spec)
    return folder


def read(folder):
    reader = UnitReader(folder / "units.scp")
    return {name: reader[name].tolist() for name in reader}


def manifest(folder, names):
    rows = "".join(f"some/dir/{name}.flac\t16000\n" for name in names)
    (folder / "all.tsv").write_text(f"/corpus\n{rows}", encoding="utf-8")
    return folder / "all.tsv"


def bring(tmp_path, format, text, case=None, durations=None, tsv=None, **options):
    """Import a text with the options given; return the frame units."""
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    if durations is not None:
        (tmp_path / "d").write_text(durations, encoding="utf-8")
        durations = tmp_path / "d"
    source = UnitFile(path, format, durations, tsv)
    import_units(source, tmp_path / "units", SPEC, case, **options)
    return read(tmp_path / "units")


@pytest.mark.parametrize("case", ["ts", "rm"])
@pytest.mark.parametrize("format", FORMATS)
@settings(deadline=None, max_examples=7)
@given(units=SETS)
def test_units_exported_with_durations_come_back(format, case, units, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("c")
    if format == "km":
        units = {f"utt{index}": u for index, u in enumerate(units.values())}
    fill(tmp_path / "ours", units)
    tsv = manifest(tmp_path, units) if format == "km" else None
    durations = None if format in ("jsonl", "textless") else tmp_path / "durations"
    file = UnitFile(tmp_path / "file.units", format, durations, tsv)
    assert export_units(tmp_path / "ours", file, case) == len(units)
    assert import_units(file, tmp_path / "back", SPEC) == len(units)
    assert read(tmp_path / "back") == units
    assert list(read(tmp_path / "back")) == list(units)
    assert UnitReader(tmp_path / "back" / "units.scp").spec == SPEC


@settings(deadline=None, max_examples=7)
@given(format=st.sampled_from(["cjk", "ids", "fairseq"]), units=SETS)
def test_units_exported_without_repeats_come_back_as_runs(
    format, units, tmp_path_factory
):
    tmp_path = tmp_path_factory.mktemp("c")
    fill(tmp_path / "ours", units)
    file = UnitFile(tmp_path / "file", format)
    export_units(tmp_path / "ours", file, "rm")
    import_units(file, tmp_path / "back", SPEC, "rm", one_frame_runs=True)
    runs = {n: collapse_units(np.array(u))[0].tolist() for n, u in units.items()}
    assert read(tmp_path / "back") == runs
    spec = UnitReader(tmp_path / "back" / "units.scp").spec
    assert (spec.tag, spec.fingerprint) == ("hubert_km100_rm", "abc")


@pytest.mark.parametrize("format", FORMATS)
def test_export_writes_what_the_toolkit_writes(tmp_path, format):
    fill(tmp_path / "ours", {"a": [1, 1, 3], "b": [0]})
    tsv = manifest(tmp_path, ["a", "b"]) if format == "km" else None
    file = UnitFile(tmp_path / "out.units", format, manifest=tsv)
    case = "rm" if format in ("textless", "jsonl") else "ts"
    export_units(tmp_path / "ours", file, case)
    assert (tmp_path / "out.units").read_text("utf-8") == EXAMPLES[format]
    made = {"out.units", "out.durations"} if format == "textless" else {"out.units"}
    assert {p.name for p in tmp_path.glob("*out*")} == made
    if format == "textless":
        assert (tmp_path / "out.durations").read_text() == "a\t2 1\nb\t1\n"


@pytest.mark.parametrize("format", ["cjk", "ids", "fairseq"])
def test_import_frame_units_are_taken_as_they_are(tmp_path, format):
    found = bring(tmp_path, format, EXAMPLES[format], "ts")
    assert found == {"a": [1, 1, 3], "b": [0]}


def test_import_windows_newlines_and_more_spaces_change_nothing(tmp_path):
    found = bring(tmp_path, "ids", "a  1 1\t3 \r\nb\t0\r\n", "ts")
    assert found == {"a": [1, 1, 3], "b": [0]}


def test_import_textless_without_names_takes_those_of_the_manifest(tmp_path):
    tsv = manifest(tmp_path, ["a", "b"])
    found = bring(tmp_path, "textless", "1 3\n0\n", durations="2 1\n1\n", tsv=tsv)
    assert found == {"a": [1, 1, 3], "b": [0]}


def test_import_json_ignores_other_keys_and_keeps_streams(tmp_path):
    path = tmp_path / "x.jsonl"
    line = {"id": "a", "units": [[1, 2], [3, 4]], "durations": [1, 2], "text": "hm"}
    path.write_text(json.dumps(line) + "\n")
    spec = UnitSpec("x", (100, 100), 320, 16000, "abc")
    import_units(UnitFile(path, "jsonl"), tmp_path / "units", spec)
    assert read(tmp_path / "units") == {"a": [[1, 2], [3, 4], [3, 4]]}


def test_streams_survive_jsonl_and_are_refused_elsewhere(tmp_path):
    spec = UnitSpec("x", (100, 100), 320, 16000, "abc")
    units = {"a": [[1, 2], [1, 2], [1, 3]], "b": [[0, 0]]}
    fill(tmp_path / "ours", units, spec)
    file = UnitFile(tmp_path / "x.jsonl", "jsonl")
    export_units(tmp_path / "ours", file, "rm")
    assert json.loads((tmp_path / "x.jsonl").read_text().splitlines()[0]) == {
        "id": "a",
        "units": [[1, 2], [1, 3]],
        "durations": [2, 1],
    }
    import_units(file, tmp_path / "back", spec)
    assert read(tmp_path / "back") == units
    for format in set(FORMATS) - {"jsonl"}:
        message = f"holds 2 streams and {format} holds one; .* jsonl"
        with pytest.raises(DSUError, match=message):
            export_units(tmp_path / "ours", UnitFile(tmp_path / "x", format))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("format", "text", "message"),
    [
        ("ids", "a 1\nb 1 x\n", "file:2: 'x' is no unit, expected a whole number"),
        ("ids", "a 1\nb 1 -1\n", "file:2: '-1' is no unit"),
        ("ids", "a [ 1 2 ]\n", r"file:1: '\[' is no unit"),
        ("ids", "a 1 100\n", "file:1: a: unit 100 is outside 0..99 of hubert_km100"),
        ("ids", "a 99999999999\n", "file:1: '99999999999' is no unit"),
        ("ids", "a 1\n\nb 2\n", "file:2: empty line"),
        ("ids", "a 1\nb\n", "file:2: b has no units"),
        ("ids", "a 1\na 2\n", "file:2: utterance a comes twice"),
        ("cjk", "a 丁x\n", r"file:1: 'x' \(U\+0078\) is not the character of a unit"),
        ("cjk", "a 丁 丁\n", r"file:1: ' ' \(U\+0020\)"),
        ("cjk", "a \U00020000\n", r"\(U\+20000\)"),
        ("cjk", "a 龥\n", "file:1: a: unit 20901 is outside 0..99"),
        ("fairseq", "a 1 1\n", "file:1: no '|'"),
        ("fairseq", "a b|1 1\n", "file:1: 'a b' is no utterance id"),
        ("fairseq", "|1 1\n", "file:1: '' is no utterance id"),
        ("km", "1 1\n", "file does not name its utterances; give the .tsv"),
        ("textless", "1 1\n", r"file:1: no name of the utterance; .*\(--manifest\)"),
        ("jsonl", "{\n", "file:1: is no JSON"),
        ("jsonl", "[" * 100000 + "\n", "file:1: is no JSON"),
        ("jsonl", "[1]\n", 'file:1: expected {"id"'),
        ("jsonl", '{"id": 3, "units": [1]}\n', 'file:1: expected {"id"'),
        ("jsonl", '{"id": "\\ud800", "units": [1]}\n', "is no utterance id"),
        ("jsonl", '{"id": "a"}\n', "file:1: units are no list of whole numbers"),
        ("jsonl", '{"id": "a", "units": []}\n', "file:1: units are no list"),
        ("jsonl", '{"id": "a", "units": [true]}\n', "units are no list"),
        ("jsonl", '{"id": "a", "units": [1.0]}\n', "units are no list"),
        ("jsonl", '{"id": "a", "units": [[1], [1, 2]]}\n', "units are no list"),
        ("jsonl", '{"id": "a", "units": [1, [1]]}\n', "units are no list"),
        ("jsonl", '{"id": "a", "units": [[1, 2]]}\n', "2 unit streams, expected 1"),
        ("jsonl", '{"id": "a", "units": [1], "durations": [[1]]}\n', "list of lists"),
        ("jsonl", '{"id": "a", "units": [1], "durations": [0]}\n', "1 durations"),
        ("jsonl", '{"id": "a", "units": [1, 2], "durations": [2]}\n', "1 durations"),
    ],
)
def test_import_malformed_line_is_an_error_with_file_and_line(
    tmp_path, format, text, message
):
    with pytest.raises(DSUError, match=message):
        bring(tmp_path, format, text, "ts")
    assert not (tmp_path / "units" / "units.scp").exists()


@pytest.mark.parametrize(
    ("durations", "message"),
    [
        ("a 2 1\nb 1\nc 1\n", "the units have fewer lines"),
        ("a 2 1\n", "/d has fewer lines"),
        ("b 1\na 2 1\n", "d:1: durations of 'b', expected those of 'a' as in .*file:1"),
        ("a 2\nb 1\n", "file:1: a has 1 durations, expected 2 of at least one"),
        ("a 2 0\nb 1\n", "file:1: a has 2 durations, expected 2 of at least one"),
        ("a 2 x\nb 1\n", "d:1: 'x' is no unit"),
    ],
)
def test_import_durations_of_other_units_are_an_error(tmp_path, durations, message):
    with pytest.raises(DSUError, match=message):
        bring(tmp_path, "cjk", "a 丁七\nb 一\n", durations=durations)


@pytest.mark.parametrize(
    ("text", "case", "one_frame_runs", "message"),
    [
        ("a 1 2\n", None, False, "file:1: nothing says how long units last"),
        ("a 1 2\n", "rm", False, "file:1: .*durations missing.*--one_frame_runs"),
        ("a 1 1\n", "rm", True, "file:1: a has repeats, so they are not removed"),
        ("a 1 2\n", "ts", True, "case rm"),
        ("a 1 2\n", "RM", False, "case 'RM': expected one of ts, rm"),
    ],
)
def test_import_never_invents_time(tmp_path, text, case, one_frame_runs, message):
    with pytest.raises(DSUError, match=message):
        bring(tmp_path, "ids", text, case, one_frame_runs=one_frame_runs)


def test_import_durations_and_one_frame_runs_are_refused(tmp_path):
    with pytest.raises(DSUError, match="has 2 durations, expected none"):
        bring(
            *(tmp_path, "ids", "a 1 2\n", "rm"),
            durations="a 1 1\n",
            one_frame_runs=True,
        )


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]])
def test_import_manifest_of_another_length_is_an_error(tmp_path, names):
    tsv = manifest(tmp_path, names)
    shorter = "all.tsv" if len(names) == 1 else "file"
    with pytest.raises(DSUError, match=f"{shorter} ends first"):
        bring(tmp_path, "km", EXAMPLES["km"], "ts", tsv=tsv)


def test_import_manifest_for_lines_with_names_is_an_error(tmp_path):
    tsv = manifest(tmp_path, ["a", "b"])
    with pytest.raises(DSUError, match="file:1: names its utterance; drop --manifest"):
        bring(tmp_path, "ids", EXAMPLES["ids"], "ts", tsv=tsv)


def test_import_manifest_with_one_name_twice_is_an_error(tmp_path):
    tsv = manifest(tmp_path, ["x/a", "y/a"])
    with pytest.raises(DSUError, match="file:2: utterance a comes twice"):
        bring(tmp_path, "km", EXAMPLES["km"], "ts", tsv=tsv)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], r"leaves utterances out: b \(1 in all\)"),
        (["a", "b", "c"], r"names utterances without units: c \(1 in all\)"),
        (["a", "b", "b"], "names an utterance twice"),
        (None, "does not name its utterances"),
    ],
)
def test_export_manifest_must_name_the_utterances(tmp_path, names, message):
    fill(tmp_path / "ours", {"a": [1], "b": [2]})
    tsv = manifest(tmp_path, names) if names else None
    with pytest.raises(DSUError, match=message):
        export_units(tmp_path / "ours", UnitFile(tmp_path / "x", "km", None, tsv))
    assert not (tmp_path / "x").exists()


def test_export_takes_the_order_of_the_manifest(tmp_path):
    fill(tmp_path / "ours", {"a": [1, 1], "b": [2]})
    tsv = manifest(tmp_path, ["b", "a"])
    export_units(tmp_path / "ours", UnitFile(tmp_path / "x", "km", None, tsv))
    assert (tmp_path / "x").read_text() == "2\n1 1\n"


def test_export_unit_without_character_leaves_no_file(tmp_path):
    spec = UnitSpec("x", (30000,), 320, 16000, "abc")
    fill(tmp_path / "ours", {"a": [20991], "b": [20992]}, spec)
    with pytest.raises(DSUError, match="utterance b: unit 20992 has no character"):
        export_units(tmp_path / "ours", UnitFile(tmp_path / "x", "cjk"))
    assert not (tmp_path / "x").exists()


def test_export_utterance_without_units_is_an_error(tmp_path):
    fill(tmp_path / "ours", {"a": []})
    with pytest.raises(DSUError, match="a has no units"):
        export_units(tmp_path / "ours", UnitFile(tmp_path / "x", "ids"))


def test_unit_file_impossible_combinations_are_errors(tmp_path):
    with pytest.raises(DSUError, match="'fairsec': expected cjk, ids"):
        UnitFile("x", "fairsec")
    with pytest.raises(DSUError, match="jsonl hold durations; drop the file d"):
        UnitFile("x", "jsonl", "d")
    with pytest.raises(DSUError, match="x.durations cannot hold both"):
        UnitFile("x.durations", "textless")


def test_import_missing_or_undecodable_file_is_an_error(tmp_path):
    with pytest.raises(DSUError, match="cannot read .*none: No such file"):
        import_units(UnitFile(tmp_path / "none", "ids"), tmp_path / "u", SPEC, "ts")
    (tmp_path / "latin").write_bytes(b"a 1\n\xe9 1\n")
    with pytest.raises(DSUError, match="latin:2: not UTF-8"):
        import_units(UnitFile(tmp_path / "latin", "ids"), tmp_path / "u", SPEC, "ts")
