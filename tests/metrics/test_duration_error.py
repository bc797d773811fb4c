"""Duration errors by hand, and durations from files."""

from __future__ import annotations

import numpy as np
import pytest

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.duration_error import (
    UnitDurations,
    duration_error,
    read_durations,
)
from espnet_dsu.units import UnitSpec, write_units


def test_duration_error_is_the_mean_over_runs():
    error = duration_error(np.array([1, 2, 4]), np.array([2, 2, 2]))
    assert error.frames == pytest.approx((1 + 0 + 2) / 3)
    assert error.relative == pytest.approx(100 * (1 + 0 + 0.5) / 3)


@pytest.mark.parametrize(("ref", "gen"), [([1, 2], [1]), ([], [])])
def test_duration_error_of_other_runs_is_refused(ref, gen):
    with pytest.raises(DSUError, match=f"{len(gen)} unit runs for {len(ref)}"):
        duration_error(np.array(ref), np.array(gen))


def test_read_durations_and_unit_durations_agree_on_the_same_units(tmp_path):
    spec = UnitSpec("t", (8, 8), 320, 16000, "f")
    units = np.array([[1, 1], [1, 1], [1, 2], [3, 2]])
    write_units(tmp_path, [("a", units)], spec)
    (tmp_path / "durations").write_text("a 2 1 1\n")
    written = read_durations(tmp_path / "durations")
    found = UnitDurations(tmp_path / "units.scp")
    assert list(found) == ["a"] and len(found) == 1
    np.testing.assert_array_equal(found["a"], written["a"])


@pytest.mark.parametrize("bad", ["0", "-1", "1.5", "x"])
def test_read_durations_bad_value_is_named(tmp_path, bad):
    (tmp_path / "durations").write_text(f"a 2 {bad}\n")
    with pytest.raises(DSUError, match=f"a has the duration '{bad}'"):
        read_durations(tmp_path / "durations")
