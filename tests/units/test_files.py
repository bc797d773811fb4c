import hashlib
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.units import UnitReader, UnitSpec, atomic_path, read_spec, write_units
from espnet_dsu.units.files import count_lines, file_sha256

SPEC = UnitSpec("mfcc_km100", (100,), 160, 16000, "abc")


def test_units_written_come_back_as_integers_in_order(tmp_path):
    items = [("b", np.array([5, 5, 0])), ("a", np.array([99]))]
    assert write_units(tmp_path, items, SPEC) == 2
    reader = UnitReader(tmp_path / "units.scp")
    assert list(reader) == ["b", "a"]
    assert reader["b"].tolist() == [5, 5, 0]
    assert reader["b"].dtype == np.int32
    assert reader.spec == read_spec(tmp_path) == SPEC
    frames = (tmp_path / "utt2num_frames").read_text()
    assert frames == "b 3\na 1\n"


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.integers(0, 99), max_size=20), min_size=1, max_size=6))
def test_units_any_content_survives_the_file(tmp_path_factory, many):
    folder = tmp_path_factory.mktemp("u")
    items = [(f"utt{i}", np.array(u, dtype=np.int64)) for i, u in enumerate(many)]
    write_units(folder, items, SPEC)
    reader = UnitReader(folder / "units.scp")
    assert [reader[name].tolist() for name in reader] == many


def test_units_of_two_streams_come_back_in_shape(tmp_path):
    spec = UnitSpec("x", (100, 100), 160, 16000, "abc")
    units = np.arange(10).reshape(5, 2)
    write_units(tmp_path, [("a", units)], spec)
    assert np.array_equal(UnitReader(tmp_path / "units.scp")["a"], units)
    assert (tmp_path / "utt2num_frames").read_text() == "a 5\n"


def test_units_out_of_range_leave_nothing_under_the_final_name(tmp_path):
    write_units(tmp_path, [("a", np.array([1]))], SPEC)
    with pytest.raises(DSUError, match="b: unit 100"):
        write_units(tmp_path, [("a", np.array([1])), ("b", np.array([100]))], SPEC)
    assert not (tmp_path / "units.scp").exists()
    assert not list(tmp_path.glob(".*"))


def test_units_with_an_id_twice_are_refused(tmp_path):
    with pytest.raises(DSUError, match="a comes twice"):
        write_units(tmp_path, [("a", np.array([1]))] * 2, SPEC)


@pytest.mark.parametrize(
    "line", ["a", "a units.ark:1 x", "a rm -rf / |", "a units.ark"]
)
def test_reader_line_that_is_no_entry_is_refused_and_never_run(tmp_path, line):
    write_units(tmp_path, [("a", np.array([1]))], SPEC)
    (tmp_path / "units.scp").write_text(line + "\n")
    with pytest.raises(DSUError, match="units.scp:1"):
        UnitReader(tmp_path / "units.scp")


def test_reader_duplicate_id_is_an_error(tmp_path):
    write_units(tmp_path, [("a", np.array([1]))], SPEC)
    scp = tmp_path / "units.scp"
    scp.write_text(scp.read_text() * 2)
    with pytest.raises(DSUError, match="comes twice"):
        UnitReader(scp)


def test_reader_without_spec_or_file_says_what_to_do(tmp_path):
    with pytest.raises(DSUError, match="tokenize"):
        UnitReader(tmp_path / "units.scp")
    write_units(tmp_path, [("a", np.array([1]))], SPEC)
    (tmp_path / "units.yaml").unlink()
    with pytest.raises(DSUError, match="which tokenizer"):
        UnitReader(tmp_path / "units.scp")


def test_reader_float_entry_is_refused(tmp_path):
    import kaldiio

    write_units(tmp_path, [("a", np.array([1]))], SPEC)
    ark, scp = tmp_path / "units.ark", tmp_path / "units.scp"
    kaldiio.save_ark(str(ark), {"a": np.ones(3, np.float32)}, scp=str(scp))
    with pytest.raises(DSUError, match="float32, expected int32"):
        UnitReader(scp)["a"]


def test_atomic_path_success_replaces_the_file(tmp_path):
    path = tmp_path / "new" / "file"
    with atomic_path(path) as temporary:
        temporary.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"
    assert os.listdir(path.parent) == ["file"]


def test_atomic_path_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_sha256_and_line_count(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"a\nb\n")
    assert count_lines(path) == 2
    assert file_sha256(path) == hashlib.sha256(b"a\nb\n").hexdigest()
