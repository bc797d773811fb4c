"""What a fit did, and whether its units are good for anything."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from espnet_dsu.errors import DSUError

# A sane clustering of speech carries 85 to 99 % of log2(K) bits per frame. With 80 % of
# digital silence in one unit it still carries above 20 %. Below a tenth nearly every
# frame has the same unit: for K = 500, 0.9 bits, which is 94 % of the frames in one
# unit while the rest spreads evenly. Being relative to log2(K), the rule fits any K.
_MIN_ENTROPY_SHARE = 0.1
# More than nine frames in ten of one unit leave too little of the speech in any case.
_MAX_TOP_SHARE = 0.9
# Empty units are reseeded, so a unit stays empty only where distinct frames run out.
_MIN_ACTIVE_SHARE = 0.5


@dataclass(frozen=True)
class FitReport:
    """The course and the outcome of one fit.

    Attributes:
        vocab_size: K, number of units.
        num_frames: Frames that were fitted.
        num_iterations: Passes over the frames (polishing passes included).
        inertia: Sum of squared distances of all frames to their centroids.
        inertia_curve: The same per iteration (a mini-batch epoch sums its batches).
        perplexity: 2 ** entropy of unit usage: K if all units are used alike.
        active_units: Units used by at least one frame.
        top_share: Share of the frames that have the most frequent unit, 0 to 1.
    """

    vocab_size: int
    num_frames: int
    num_iterations: int
    inertia: float
    inertia_curve: tuple[float, ...]
    perplexity: float
    active_units: int
    top_share: float

    @classmethod
    def from_units(
        cls, units: torch.Tensor, vocab_size: int, inertia_curve: list[float]
    ) -> FitReport:
        """Describe the final ``units (N,)``; the curve's last value is the inertia."""
        share = torch.bincount(units, minlength=vocab_size).double() / len(units)
        used = share[share > 0]
        return cls(
            vocab_size=vocab_size,
            num_frames=len(units),
            num_iterations=len(inertia_curve) - 1,
            inertia=inertia_curve[-1],
            inertia_curve=tuple(inertia_curve),
            perplexity=2.0 ** float(-(used * used.log2()).sum()),
            active_units=len(used),
            top_share=float(share.max()),
        )


def check_collapse(report: FitReport) -> None:
    """Refuse a model whose units are nearly constant.

    Raises:
        DSUError: The units carry less than a tenth of the bits that K units could, one
            unit has more than nine frames in ten, or more than half of the units are
            never used.
    """
    bits, capacity = math.log2(report.perplexity), math.log2(report.vocab_size)
    if (
        bits >= _MIN_ENTROPY_SHARE * capacity
        and report.top_share <= _MAX_TOP_SHARE
        and report.active_units >= _MIN_ACTIVE_SHARE * report.vocab_size
    ):
        return
    raise DSUError(
        f"the units have collapsed: {report.active_units} of {report.vocab_size} are "
        f"used, the most frequent by {report.top_share:.1%} of {report.num_frames} "
        f"frames, {bits:.2f} of {capacity:.2f} possible bits per frame. Look for "
        "silent audio, a wrong upstream layer, features that are not normalised, and "
        "duplicated frames; or train fewer units"
    )
