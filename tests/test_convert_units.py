"""The command convert_units: which unit space the units come into."""

from __future__ import annotations

import pytest

from espnet_dsu import DSUError
from espnet_dsu.bin.convert_units import main
from espnet_dsu.units import UnitReader
from tests.speech import train_bundle

FOREIGN = ["--tag", "hubert_km8", "--vocab_size", "8"]
FOREIGN += ["--frame_shift", "320", "--sample_rate", "16000"]


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text").write_text("a 1 1 7\nb 0 0 2 2\n")
    return tmp_path / "text"


def bring(path, *options, case="ts"):
    output = path.parent / "units"
    files = ["--input", str(path), "--output", str(output)]
    main(["--from", "ids", *files, "--case", case, *options])
    return UnitReader(output / "units.scp")


def test_convert_units_of_a_bundle_are_of_its_unit_space(tmp_path, text):
    tokenizer = train_bundle(tmp_path / "bundle")
    reader = bring(text, "--tokenizer", str(tmp_path / "bundle"))
    assert reader.spec == tokenizer.spec
    assert reader["a"].tolist() == [1, 1, 7]


def test_convert_units_without_a_bundle_say_that_they_are_foreign(text):
    spec = bring(text, *FOREIGN).spec
    assert (spec.tag, spec.vocab_size, spec.num_streams) == ("hubert_km8", 8, 1)
    assert (spec.frame_shift, spec.sample_rate) == (320, 16000)
    assert spec.fingerprint.startswith("foreign-")


def test_convert_units_there_and_back_by_command(tmp_path, text):
    ours = bring(text, *FOREIGN)
    other = tmp_path / "text.rm.hubert_km8"
    durations = ["--durations", str(tmp_path / "durations")]
    main(
        ["--to", "cjk", "--input", str(tmp_path / "units"), "--output", str(other)]
        + ["--case", "rm", *durations]
    )
    assert other.read_text("utf-8") == "a 丁万\nb 一丂\n"
    back = ["--input", str(other), "--output", str(tmp_path / "back")]
    main(["--from", "cjk", *back, *durations, *FOREIGN])
    reader = UnitReader(tmp_path / "back" / "units.scp")
    assert reader.spec == ours.spec
    assert all((reader[name] == ours[name]).all() for name in ours)


def test_convert_units_one_frame_runs_are_marked_by_their_tag(tmp_path):
    (tmp_path / "text").write_text("a 1 7\n")
    options = [*FOREIGN, "--one_frame_runs", "true"]
    reader = bring(tmp_path / "text", *options, case="rm")
    assert reader.spec.tag == "hubert_km8_rm" and reader["a"].tolist() == [1, 7]


@pytest.mark.parametrize(
    "options", [[], FOREIGN[:-2], ["--tokenizer", "x", *FOREIGN[:2]]]
)
def test_convert_units_of_an_unknown_tokenizer_are_refused(text, options):
    with pytest.raises(DSUError, match="either --tokenizer, or all of --tag"):
        bring(text, *options)
    assert not (text.parent / "units").exists()


@pytest.mark.parametrize(
    "options", [FOREIGN[:2], ["--tokenizer", "x"], ["--one_frame_runs", "true"]]
)
def test_convert_units_export_refuses_options_of_the_import(text, options):
    bring(text, *FOREIGN)
    files = ["--input", str(text.parent / "units"), "--output", "x"]
    with pytest.raises(DSUError, match="--to takes what the unit directory says"):
        main(["--to", "ids", *files, *options])


def test_convert_units_several_streams_of_a_foreign_tokenizer(tmp_path):
    (tmp_path / "x").write_text('{"id": "a", "units": [[1, 2], [3, 4]]}\n')
    files = ["--input", str(tmp_path / "x"), "--output", str(tmp_path / "units")]
    command = ["--from", "jsonl", *files, "--case", "ts", *FOREIGN]
    main([*command, "--num_streams", "2"])
    reader = UnitReader(tmp_path / "units" / "units.scp")
    assert reader.spec.vocab_sizes == (8, 8) and reader["a"].tolist() == [
        [1, 2],
        [3, 4],
    ]
    main([*command, "--vocab_size", "4+5"])
    assert UnitReader(tmp_path / "units" / "units.scp").spec.vocab_sizes == (4, 5)
    with pytest.raises(DSUError, match="unit 3 in stream 0 is outside 0..2"):
        main([*command, "--vocab_size", "3+5"])


def test_convert_units_needs_one_direction(text, capsys):
    for ways in ([], ["--from", "ids", "--to", "cjk"]):
        with pytest.raises(SystemExit):
            main([*ways, "--input", str(text), "--output", "x"])
    assert "not allowed with argument" in capsys.readouterr().err
