"""The collapse check, on both sides of its rule."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer import FitReport, check_collapse
from espnet_dsu.quantizer.fit_report import FitPass


def report_of(counts: list[int]) -> FitReport:
    usage = torch.tensor(counts, dtype=torch.float64)
    passes = [FitPass.of("lloyd", inertia, usage) for inertia in (2.0, 1.0)]
    return FitReport.of(passes, usage)


@given(st.lists(st.integers(0, 20), min_size=2, max_size=30).filter(any))
def test_fit_report_any_usage_is_bounded(counts):
    report = report_of(counts)
    assert 1 - 1e-9 <= report.perplexity <= report.active_units + 1e-9
    assert report.active_units == sum(c > 0 for c in counts)
    assert report.top_share == pytest.approx(max(counts) / sum(counts))
    assert report.inertia == pytest.approx(1.0)
    assert report.num_frames == sum(counts)


def test_fit_report_equal_usage_has_perplexity_of_vocabulary():
    assert report_of([3] * 8).perplexity == pytest.approx(8)


@pytest.mark.parametrize(
    "counts",
    [
        [100] * 500,
        [1 + 10000 // (rank + 1) for rank in range(500)],  # Zipf
        [200_000] + [100] * 499,  # 80 % digital silence in one unit
        [7, 3],
        [90, 10],
    ],
)
def test_check_collapse_sane_usage_is_accepted(counts):
    check_collapse(report_of(counts))


@pytest.mark.parametrize(
    "counts",
    [
        [1000] + [0] * 499,
        [100_000] + [10] * 499,  # 95 % of the frames
        [999, 1],
        [95, 5],  # digital silence gives such units
        [100] * 240 + [0] * 260,  # fewer distinct frames than units
    ],
)
def test_check_collapse_nearly_constant_units_are_refused(counts):
    with pytest.raises(DSUError, match="collapsed.*silent audio, a wrong upstream lay"):
        check_collapse(report_of(counts))
