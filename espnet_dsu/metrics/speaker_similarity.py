"""How close a voice is to the real speech of speakers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.speaker_models import EmbedRecording, build_speaker_model
from espnet_dsu.parallel import in_processes
from espnet_dsu.progress import track

__all__ = ["SpeakerReferences", "build_speaker_model", "embed_speakers"]


@dataclass(frozen=True)
class SpeakerReferences:
    """The reference embedding of each speaker.

    Attributes:
        references: (D,) of unit length, by speaker: the mean of the embeddings of
            unit length of that speaker's utterances.
        mean, deviation: (D,), applied to embeddings before they are compared.
    """

    references: dict[str, np.ndarray]
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def from_embeddings(
        cls,
        embeddings: Mapping[str, np.ndarray],
        utt2spk: Mapping[str, str],
        standardise: bool,
    ) -> SpeakerReferences:
        """Make references of embeddings (D,) by utterance.

        Args:
            embeddings: of real speech.
            utt2spk: speaker of each.
            standardise: subtract the mean of the speakers from each dimension, and
                divide it by its deviation within speakers.

        Raises:
            DSUError: ``standardise`` with one speaker, or one utterance of each.
        """
        speakers: dict[str, list[np.ndarray]] = {}
        for utt, embedding in embeddings.items():
            speakers.setdefault(utt2spk[utt], []).append(embedding)
        stacked = {spk: np.stack(speakers[spk]) for spk in sorted(speakers)}
        size = len(next(iter(embeddings.values())))
        mean, deviation = np.zeros(size), np.ones(size)
        if standardise:
            mean, deviation = _speaker_statistics(stacked)
        references = {
            spk: _unit(_unit((rows - mean) / deviation).mean(axis=0))
            for spk, rows in stacked.items()
        }
        return cls(references, mean, deviation)

    def cosine(self, embedding: np.ndarray, speaker: str) -> float:
        """Return the cosine of an embedding (D,) and the reference of ``speaker``.

        Raises:
            DSUError: no real speech of that speaker.
        """
        if speaker not in self.references:
            known = ", ".join(list(self.references)[:10])
            raise DSUError(
                f"no real speech of speaker {speaker!r}, expected one of {known}"
                f"{', ...' if len(self.references) > 10 else ''}; add some to "
                "--spk_wav_scp"
            )
        unit = _unit((embedding - self.mean) / self.deviation)
        return float(unit @ self.references[speaker])

    def nearest(self, embedding: np.ndarray) -> str:
        """Return the speaker whose reference has the greatest cosine."""
        return max(self.references, key=lambda speaker: self.cosine(embedding, speaker))


def _speaker_statistics(
    speakers: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the speakers' means, and the deviation within speakers."""
    centred = np.concatenate([rows - rows.mean(0) for rows in speakers.values()])
    if len(speakers) < 2 or len(centred) == len(speakers):
        raise DSUError(
            f"real speech: {len(centred)} utterances of {len(speakers)} speakers, "
            "expected two speakers and more than one utterance of each: MFCC "
            "statistics mean nothing but beside those of others; add some to "
            "--spk_wav_scp, or name a trained --speaker_model"
        )
    mean = np.mean([rows.mean(axis=0) for rows in speakers.values()], axis=0)
    deviation = centred.std(axis=0)
    return mean, np.where(deviation > 0, deviation, 1.0)


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)


def embed_speakers(
    wavs: Mapping[str, str],
    utt2spk: Mapping[str, str],
    model: str,
    max_utts: int,
    nj: int = 1,
) -> SpeakerReferences:
    """Make references of real speech.

    Args:
        wavs: audio by utterance; that which is unusable is named in the log.
        utt2spk: speaker of each.
        model: see :func:`build_speaker_model`.
        max_utts: so many utterances of each speaker at most, evenly spaced in the
            order of their ids.
        nj: number of processes.

    Raises:
        DSUError: an utterance has no speaker, or none of the audio is usable.
    """
    chosen = _choose(wavs, utt2spk, max_utts)
    results = in_processes(EmbedRecording(model), [wav for _, wav in chosen], nj)
    embeddings: dict[str, np.ndarray] = {}
    for (utt, source), result in zip(chosen, track(results, len(chosen), "speakers")):
        if isinstance(result, str):
            logging.warning(f"{utt} is left out: {source}: {result}")
        else:
            embeddings[utt] = result
    if not embeddings:
        raise DSUError(f"none of {len(wavs)} recordings of real speech is usable")
    standardise = build_speaker_model(model).standardise
    return SpeakerReferences.from_embeddings(embeddings, utt2spk, standardise)


def _choose(
    wavs: Mapping[str, str], utt2spk: Mapping[str, str], max_utts: int
) -> list[tuple[str, str]]:
    """Return (utterance, audio) of at most ``max_utts`` utterances a speaker."""
    if max_utts < 1:
        raise DSUError(
            f"max_utts is {max_utts}, expected 1 utterance a speaker or more"
        )
    speakers: dict[str, list[str]] = {}
    for utt in sorted(wavs):
        if utt not in utt2spk:
            raise DSUError(f"{utt} of the real speech has no speaker in its utt2spk")
        speakers.setdefault(utt2spk[utt], []).append(utt)
    chosen = []
    for utts in speakers.values():
        number = min(max_utts, len(utts))
        chosen += [utts[i * len(utts) // number] for i in range(number)]
    return [(utt, wavs[utt]) for utt in chosen]
