"""What a unit vocoder is asked to say, and the checks that it can."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.inference.timing import fit_frames
from espnet_dsu.units.sequence import UnitSequence, collapse_units
from espnet_dsu.units.spec import UnitSpec

if TYPE_CHECKING:
    from espnet_dsu.models.vocoder import UnitVocoder

_MANY = 10
# ESPnet's id 0, which stands for whoever was not in the training.
_UNKNOWN = "<unk>"


@dataclass(frozen=True)
class Request:
    """One utterance to be spoken.

    Attributes:
        units: a :class:`UnitSequence`, or integers (T,) or (T, S).
        speaker: name or id in the vocoder's speaker table.
        style: name or id in its style table.
        spemb: (D,) speaker embedding.
        f0: (T,) in Hz at the frames of ``units``, 0 where unvoiced; None is predicted.
    """

    units: UnitSequence | np.ndarray | Sequence[int]
    speaker: str | int | None = None
    style: str | int | None = None
    spemb: np.ndarray | None = None
    f0: np.ndarray | None = None


@dataclass(frozen=True)
class Manner:
    """How to speak all of a batch.

    Attributes:
        streams: which of the S streams to read, the others are ignored; None is all.
        durations: ``given`` by the units, or ``predicted`` for their runs.
        length_scale: every duration is multiplied by it; above 1 is slower.
        units_are: ``frames``, or ``runs`` that come without durations. A
            :class:`UnitSequence` with durations above 1 is known to have them.
    """

    streams: tuple[int, ...] | None = None
    durations: str = "given"
    length_scale: float = 1.0
    units_are: str = "frames"

    def __post_init__(self) -> None:
        if self.streams is not None:
            object.__setattr__(self, "streams", tuple(self.streams))
        for name, choices in (
            ("durations", ("given", "predicted")),
            ("units_are", ("frames", "runs")),
        ):
            if getattr(self, name) not in choices:
                found = getattr(self, name)
                raise DSUError(f"{name} is {found!r}, expected {' or '.join(choices)}")
        if not 0 < self.length_scale < float("inf"):
            raise DSUError(
                f"length_scale is {self.length_scale}, expected a factor above 0; 1.0 "
                "keeps durations"
            )

    def check(self, num_streams: int) -> None:
        """Refuse streams that a vocoder of ``num_streams`` does not read."""
        if self.streams is None:
            return
        known = set(range(num_streams))
        distinct = set(self.streams)
        if not distinct or distinct - known or len(distinct) < len(self.streams):
            raise DSUError(
                f"streams are {list(self.streams)}, expected one or more different "
                f"ones of 0..{num_streams - 1}"
            )


@dataclass(frozen=True)
class Utterance:
    """A request that was found to be sound, as the vocoder takes it.

    Attributes:
        runs: (R, S) int64; 0 in streams that are ignored.
        durations: (R,) of the units that came; None where they came without.
        predict: whether durations are to be predicted.
        sid, style, spemb: as the vocoder's conditions.
        f0: (sum(durations),) in Hz, or None.
    """

    runs: np.ndarray
    durations: np.ndarray | None
    predict: bool
    sid: int | None
    style: int | None
    spemb: np.ndarray | None
    f0: np.ndarray | None


def prepare(request: Request, vocoder: UnitVocoder, manner: Manner) -> Utterance:
    """Check a request against a vocoder.

    Raises:
        DSUError: saying what is missing or does not fit.
    """
    manner.check(vocoder.spec.num_streams)
    sequence = _sequence(request.units, vocoder.spec)
    read = sequence.units.reshape(len(sequence), -1).astype(np.int64)
    if manner.streams is not None:
        ignored = sorted(set(range(read.shape[1])) - set(manner.streams))
        read[:, ignored] = 0
    vocoder.spec.check_units(read, "units")
    untimed = manner.units_are == "runs" and bool((sequence.durations == 1).all())
    runs, durations = collapse_units(np.repeat(read, sequence.durations, axis=0))
    predict = untimed or manner.durations == "predicted"
    if predict and not vocoder.has_duration:
        raise DSUError(
            "the vocoder was trained without a duration predictor; give frame units, "
            "or unit runs with their durations"
        )
    return Utterance(
        runs=runs,
        durations=None if untimed else durations,
        predict=predict,
        sid=_look_up("speaker", request.speaker, vocoder.speakers),
        style=_look_up("style", request.style, vocoder.styles),
        spemb=_embedding(request.spemb, vocoder.spk_embed_dim),
        f0=_pitch(request.f0, vocoder, None if untimed else int(durations.sum())),
    )


def _sequence(units: Any, spec: UnitSpec) -> UnitSequence:
    if len(units) == 0:
        raise DSUError("the unit sequence is empty, expected at least one unit")
    if not isinstance(units, UnitSequence):
        shift, rate = spec.frame_shift, spec.sample_rate
        array = np.asarray(units)
        return UnitSequence.from_frames(array, shift, rate, spec.fingerprint)
    if units.fingerprint != spec.fingerprint:
        raise DSUError(
            f"the units have the fingerprint {units.fingerprint or '(none)'}, the "
            f"vocoder was trained with {spec.fingerprint} ({spec.tag}); encode with "
            "that tokenizer, or take a vocoder of the other"
        )
    return units


def _look_up(
    kind: str, given: str | int | None, table: Mapping[str, int]
) -> int | None:
    """Find the id of a speaker or style; None where the vocoder knows no such thing."""
    if not table:
        if given is not None:
            raise DSUError(
                f"{kind} is {given!r}, but the vocoder was trained without; give none"
            )
        return None
    known = {name: number for name, number in table.items() if name != _UNKNOWN}
    if isinstance(given, str) and given in known:
        return known[given]
    if isinstance(given, numbers.Integral) and given in known.values():
        return int(given)
    more = f", ... ({len(known)} in all)" if len(known) > _MANY else ""
    names = ", ".join(sorted(known, key=known.__getitem__)[:_MANY]) + more
    found = "is missing" if given is None else f"{given!r} is unknown to the vocoder"
    raise DSUError(f"{kind} {found}; give one of {names}")


def _embedding(given: np.ndarray | None, dim: int | None) -> np.ndarray | None:
    if dim is None:
        if given is not None:
            raise DSUError(
                "a speaker embedding (spemb) is given, but the vocoder was trained "
                "without; leave it out"
            )
        return None
    vector = None if given is None else np.asarray(given, np.float32).reshape(-1)
    if vector is None or len(vector) != dim or not np.isfinite(vector).all():
        found = "missing" if vector is None else f"of {len(vector)} values"
        raise DSUError(
            f"the speaker embedding (spemb) is {found}, expected {dim} finite values "
            "of the model that the vocoder was trained with"
        )
    return vector


def _pitch(
    given: np.ndarray | None, vocoder: UnitVocoder, num_frames: int | None
) -> np.ndarray | None:
    if given is None:
        return None
    if not vocoder.uses_f0:
        raise DSUError("f0 is given, but the vocoder was trained without; leave it out")
    if num_frames is None:
        raise DSUError(
            "f0 is given for unit runs without durations, so nothing says where its "
            "frames belong; give frame units, or let F0 be predicted"
        )
    f0 = np.asarray(given, np.float32).reshape(-1)
    if not np.isfinite(f0).all() or (f0 < 0).any():
        raise DSUError("f0 holds values that are no frequency, expected Hz from 0 up")
    return fit_frames(f0, num_frames, "f0")
