"""Voice conversion with units: another speaker, another's prosody, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.inference.request import Request
from espnet_dsu.inference.timing import fit_frames
from espnet_dsu.inference.vocoder_inputs import VectorReader, read_entry
from espnet_dsu.scp import read_scp
from espnet_dsu.units.files import UnitReader
from espnet_dsu.units.sequence import UnitSequence
from espnet_dsu.units.spec import UnitSpec


def transfer_prosody(
    source: UnitSequence,
    reference: UnitSequence,
    reference_f0: np.ndarray | None,
    centroids: Sequence[np.ndarray],
) -> tuple[UnitSequence, np.ndarray | None]:
    """Let an utterance follow the rhythm and melody of another with the same words.

    Dynamic time warping (Sakoe and Chiba, 1978) of the centroids of both gives each
    frame of the reference a frame of the source. A unit run of the source lasts as long
    as the frames that it was given; one that was given none keeps one frame.

    Args:
        source: whose units are spoken.
        reference: whose prosody is taken; of the same bundle.
        reference_f0: (T,) in Hz at the frames of ``reference``; None leaves F0 out.
        centroids: (K, D) of each stream.

    Returns:
        unit runs of the source with new durations, and F0 at their frames, or None.

    Raises:
        DSUError: units of different bundles, none at all, or another number of F0
            values than frames.
    """
    if source.fingerprint != reference.fingerprint:
        raise DSUError(
            f"source and reference are of different bundles ({source.fingerprint} and "
            f"{reference.fingerprint}); encode both with the same tokenizer"
        )
    if not len(source) or not len(reference):
        raise DSUError("source or reference holds no units; give both some")
    runs = source.collapse()
    frames = _align(
        _centroids_of(source.expand().units, centroids),
        _centroids_of(reference.expand().units, centroids),
    )
    run_of_frame = np.repeat(np.arange(len(runs)), runs.durations)
    # For each frame of the reference, a run: never one before that of the last frame.
    owner = run_of_frame[frames]
    counts = np.bincount(owner, minlength=len(runs))
    moved = replace(runs, durations=np.maximum(counts, 1).astype(np.int32))
    if reference_f0 is None:
        return moved, None
    f0 = fit_frames(
        np.asarray(reference_f0), reference.num_frames, "the reference's F0"
    )
    return moved, _pitch_of_runs(f0, owner, counts)


def _centroids_of(units: np.ndarray, centroids: Sequence[np.ndarray]) -> np.ndarray:
    """Give the vectors (T, D) that units (T,) or (T, S) stand for, streams joined."""
    columns = units.reshape(len(units), -1).T
    parts = [table[column] for table, column in zip(centroids, columns, strict=True)]
    return np.concatenate(parts, axis=1)


def _align(source: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Give for each reference frame (T2,) the source frame, in order, that fits it."""
    import librosa

    _, path = librosa.sequence.dtw(source.T, reference.T, metric="euclidean")
    # From the end to the start; of several source frames the middle one counts.
    pairs = path[::-1]
    starts = np.searchsorted(pairs[:, 1], np.arange(len(reference)))
    ends = np.searchsorted(pairs[:, 1], np.arange(len(reference)), side="right")
    return pairs[(starts + ends - 1) // 2, 0]


def _pitch_of_runs(f0: np.ndarray, owner: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Give each run the F0 of its frames; one without, that of where it falls."""
    after = np.searchsorted(owner, np.arange(len(counts)))
    own = [
        f0[start : start + count] if count else f0[[min(start, len(f0) - 1)]]
        for start, count in zip(after, counts)
    ]
    return np.concatenate(own).astype(np.float32)


class ReferenceProsody:
    """Gives requests the prosody of reference utterances, read from files."""

    def __init__(
        self,
        utt2ref: str | Path,
        units_scp: str | Path | None,
        f0_scp: str | Path | None,
        spec: UnitSpec,
        centroids: Sequence[np.ndarray],
    ) -> None:
        """Open the files.

        Args:
            utt2ref: lines of utterance and reference.
            units_scp: units of the references.
            f0_scp: F0 of the references; None leaves F0 out.
            spec: of the vocoder's units.
            centroids: (K, D) of each stream.

        Raises:
            DSUError: a file is missing, or holds units of another bundle.
        """
        if units_scp is None:
            raise DSUError("--utt2ref needs --ref_units_scp, the references' units")
        self._utt2ref, self._utt2ref_path = read_scp(utt2ref), utt2ref
        self._units, self._units_path = UnitReader(units_scp), units_scp
        spec.require_same(self._units.spec, str(units_scp))
        self._f0 = None if f0_scp is None else VectorReader(f0_scp)
        self._f0_path = f0_scp
        self._spec, self._centroids = spec, centroids

    def __call__(self, utterance: str, units: np.ndarray, request: Request) -> Request:
        """Give ``request`` the durations and F0 of the utterance's reference.

        Raises:
            DSUError: there is no reference, or something of it is missing.
        """
        name = read_entry(self._utt2ref, self._utt2ref_path, utterance)
        reference = read_entry(self._units, self._units_path, name)
        f0 = None
        if self._f0 is not None and self._f0_path is not None:
            f0 = read_entry(self._f0, self._f0_path, name)
        moved, f0 = transfer_prosody(
            self._sequence(units), self._sequence(reference), f0, self._centroids
        )
        return replace(request, units=moved, f0=f0)

    def _sequence(self, units: np.ndarray) -> UnitSequence:
        spec = self._spec
        return UnitSequence.from_frames(
            units, spec.frame_shift, spec.sample_rate, spec.fingerprint
        )
