"""What a fit did, and whether its units are good for anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

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
class FitPass:
    """One pass over frames.

    Attributes:
        phase: ``sample`` (some frames, again and again), ``mini-batch`` (all frames,
            centroids moving meanwhile) or ``lloyd`` (all frames, centroids at rest).
        frames: Frames seen.
        inertia: Mean squared distance of these frames to their centroids.
        empty_units: Units that none of these frames has.
        perplexity: 2 ** entropy of unit usage: K if all units are used alike.
    """

    phase: str
    frames: int
    inertia: float
    empty_units: int
    perplexity: float

    @classmethod
    def of(cls, phase: str, inertia: float, counts: torch.Tensor) -> FitPass:
        """Describe a pass by its summed inertia and the ``counts (K,)`` of units."""
        total = float(counts.sum())
        share = counts[counts > 0].double() / total
        return cls(
            phase=phase,
            frames=round(total),
            inertia=inertia / total,
            empty_units=len(counts) - len(share),
            perplexity=2.0 ** float(-(share * share.log2()).sum()),
        )

    def __str__(self) -> str:
        return (
            f"inertia {self.inertia:.4f} per frame, {self.empty_units} empty units, "
            f"perplexity {self.perplexity:.1f}"
        )


@dataclass(frozen=True)
class FitReport:
    """The course and the outcome of one fit.

    Attributes:
        vocab_size: K, number of units.
        num_frames: Frames that were fitted.
        inertia: Sum of squared distances of all frames to their centroids.
        perplexity: 2 ** entropy of unit usage: K if all units are used alike.
        active_units: Units used by at least one frame.
        top_share: Share of the frames that have the most frequent unit, 0 to 1.
        passes: The course; the last one saw all frames and the final centroids.
    """

    vocab_size: int
    num_frames: int
    inertia: float
    perplexity: float
    active_units: int
    top_share: float
    passes: tuple[FitPass, ...]

    @classmethod
    def of(cls, passes: Sequence[FitPass], counts: torch.Tensor) -> FitReport:
        """Describe a fit by its passes and the final ``counts (K,)`` of units."""
        last = passes[-1]
        return cls(
            vocab_size=len(counts),
            num_frames=last.frames,
            inertia=last.inertia * last.frames,
            perplexity=last.perplexity,
            active_units=len(counts) - last.empty_units,
            top_share=float(counts.max()) / last.frames,
            passes=tuple(passes),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all of it in plain JSON types."""
        return asdict(self)


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
