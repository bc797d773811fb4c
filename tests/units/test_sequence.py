import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from espnet_dsu.errors import DSUError
from espnet_dsu.units import UnitSequence, collapse_units, expand_runs

frame_units = hnp.arrays(np.int32, st.integers(0, 60), elements=st.integers(0, 3))
streams = hnp.arrays(
    np.int32,
    st.tuples(st.integers(0, 30), st.integers(1, 3)),
    elements=st.integers(0, 2),
)


def sequence(units, **kwargs):
    facts = dict(frame_shift=320, sample_rate=16000, fingerprint="f")
    return UnitSequence.from_frames(np.asarray(units, np.int32), **{**facts, **kwargs})


@given(st.one_of(frame_units, streams))
def test_collapse_any_units_expand_gives_them_back(units):
    runs, durations = collapse_units(units)
    assert np.array_equal(expand_runs(runs, durations), units)
    assert durations.sum() == len(units)


@given(st.one_of(frame_units, streams))
def test_collapse_any_units_neighbours_differ(units):
    runs, durations = collapse_units(units)
    if runs.ndim == 1:
        assert (runs[1:] != runs[:-1]).all()
    else:
        assert (runs[1:] != runs[:-1]).any(axis=1).all()
    assert (durations >= 1).all()


@pytest.mark.parametrize("first", [0, 5, 7])
def test_collapse_first_unit_whatever_it_is_is_kept(first):
    # ESPnet's asr2 compares the first unit with the utterance id and loses it if equal.
    runs, durations = collapse_units(np.array([first, first, 1]))
    assert runs.tolist() == [first, 1]
    assert durations.tolist() == [2, 1]


def test_sequence_collapse_then_expand_is_identity_with_time_kept():
    frames = sequence([0, 0, 3, 3, 3, 1])
    runs = frames.collapse()
    assert runs.units.tolist() == [0, 3, 1]
    assert runs.durations.tolist() == [2, 3, 1]
    assert runs.num_frames == frames.num_frames == 6
    assert runs.duration_sec == pytest.approx(6 * 0.02)
    assert runs.expand() == frames
    assert runs.collapse() == runs


@given(frame_units, st.integers(0, 30), st.integers(0, 30))
def test_slice_sec_of_runs_equals_runs_of_the_slice(units, first, length):
    frames = sequence(units)
    start, end = first * 0.02, (first + length) * 0.02
    expected = units[first : first + length]
    assert np.array_equal(frames.slice_sec(start, end).units, expected)
    assert np.array_equal(
        frames.collapse().slice_sec(start, end).expand().units, expected
    )


def test_slice_sec_adjacent_slices_share_no_frame_and_lose_none():
    frames = sequence(np.arange(50))
    cuts = [0.0, 0.13, 0.31, 1.0]
    parts = [frames.slice_sec(a, b).units for a, b in zip(cuts, cuts[1:])]
    assert np.concatenate(parts).tolist() == list(range(50))


def test_slice_sec_backwards_is_an_error():
    with pytest.raises(DSUError, match="expected 0 <= start <= end"):
        sequence([1, 2]).slice_sec(0.5, 0.1)


def test_bitrate_of_50_hz_and_500_units_is_that_of_the_challenge():
    frames = sequence(np.zeros(100))
    assert frames.bitrate(500) == pytest.approx(50 * math.log2(500))
    assert frames.collapse().bitrate(500) == pytest.approx(math.log2(500) / 2)


def test_bitrate_counts_every_stream():
    two = sequence(np.zeros((100, 2)))
    assert two.bitrate(16) == pytest.approx(2 * 50 * 4)
    assert two.bitrate(16, 4) == pytest.approx(50 * 4 + 50 * 2)
    with pytest.raises(DSUError, match="3 numbers of units for 2 streams"):
        two.bitrate(16, 4, 2)
    assert two.num_streams == 2


def test_bitrate_empty_sequence_is_zero():
    assert sequence([]).bitrate(10) == 0.0


@pytest.mark.parametrize(
    ("units", "durations", "message"),
    [
        ([1, -1], [1, 1], "-1 is negative"),
        ([1, 2], [1], "1 durations for 2 units"),
        ([1, 2], [1, 0], "duration 0"),
        ([1.5], [1], "expected\\s+integers"),
        ([[[1]]], [1], "shape"),
    ],
)
def test_sequence_invalid_values_are_refused(units, durations, message):
    with pytest.raises(DSUError, match=message):
        UnitSequence(np.array(units), np.array(durations), 320, 16000)


def test_sequence_equality_sees_fingerprint():
    assert sequence([1]) != sequence([1], fingerprint="g")
    assert sequence([1]) != "something else"
