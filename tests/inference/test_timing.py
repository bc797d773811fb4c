import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from espnet_dsu import DSUError
from espnet_dsu.inference.timing import fit_frames, follow_durations, scale_durations

DURATIONS = arrays(np.int32, st.integers(1, 30), elements=st.integers(1, 9))


@given(DURATIONS, st.floats(1.0, 4.0))
def test_scaled_durations_sum_to_the_scaled_length(durations, factor):
    scaled = scale_durations(durations, factor)
    assert scaled.min() >= 1 and scaled.dtype == durations.dtype
    assert abs(scaled.sum() - factor * durations.sum()) <= 0.5 + 1e-6


@given(DURATIONS, st.floats(0.05, 1.0))
def test_durations_made_shorter_keep_a_frame_each(durations, factor):
    scaled = scale_durations(durations, factor)
    assert scaled.min() >= 1 and scaled.sum() <= durations.sum()


@given(DURATIONS, st.data())
def test_values_stay_with_their_runs_in_order(before, data):
    after = data.draw(arrays(np.int32, len(before), elements=st.integers(1, 9)))
    values = np.arange(before.sum())
    followed = follow_durations(values, before, after)
    run_of_value = np.repeat(np.arange(len(before)), before)
    expected = np.repeat(np.arange(len(after)), after)
    assert np.array_equal(run_of_value[followed], expected)
    assert (np.diff(followed) >= 0).all()
    assert np.array_equal(follow_durations(values, before, before), values)


def test_values_of_a_doubled_run_come_twice():
    doubled = follow_durations(np.array([1, 2, 3]), np.array([2, 1]), np.array([4, 2]))
    assert doubled.tolist() == [1, 1, 2, 2, 3, 3]


def test_frames_that_differ_by_framing_are_fitted_and_others_refused():
    values = np.array([5.0, 6.0, 7.0])
    assert fit_frames(values, 2, "f0").tolist() == [5, 6]
    assert fit_frames(values, 5, "f0").tolist() == [5, 6, 7, 0, 0]
    for length in (0, 6):
        with pytest.raises(DSUError, match=f"f0 has 3 frames and the units {length}"):
            fit_frames(values, length, "f0")
