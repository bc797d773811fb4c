"""F0 errors of tracks whose differences are known."""

from __future__ import annotations

import numpy as np
import pytest

from espnet_dsu.metrics.alignment import frame_by_frame
from espnet_dsu.metrics.f0_error import f0_error


def compare(ref, gen):
    ref, gen = np.array(ref), np.array(gen)
    return f0_error(ref, gen, frame_by_frame(ref, gen))


def test_f0_error_counts_pitch_where_both_are_voiced_and_voicing_elsewhere():
    error = compare([100, 100, 0, 100, 0], [200, 100, 0, 0, 100])
    # An octave and nothing, over two frames.
    assert error.log_f0_rmse == pytest.approx(np.log(2) / np.sqrt(2))
    assert error.f0_rmse_cents == pytest.approx(1200 / np.sqrt(2))
    assert error.voicing_error == pytest.approx(40)


def test_f0_error_without_a_frame_voiced_in_both_has_no_pitch():
    error = compare([0, 100], [100, 0])
    assert error.log_f0_rmse is None and error.f0_rmse_cents is None
    assert error.voicing_error == 100


def test_f0_error_follows_the_path():
    ref, gen = np.array([100.0, 200.0]), np.array([100.0, 100.0, 200.0])
    error = f0_error(ref, gen, np.array([[0, 0], [0, 1], [1, 2]]))
    assert (error.log_f0_rmse, error.voicing_error) == (0, 0)
