"""Every measure of one generated utterance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import librosa
import numpy as np

from espnet_dsu.audio import AudioError, read_audio
from espnet_dsu.metrics.alignment import frame_by_frame, warp
from espnet_dsu.metrics.duration_error import duration_error
from espnet_dsu.metrics.f0_error import f0_error
from espnet_dsu.metrics.mcd import analyse, mel_cepstral_distortion
from espnet_dsu.metrics.mel_distance import mel_distance
from espnet_dsu.metrics.signal import signal_measures
from espnet_dsu.metrics.speaker_similarity import (
    SpeakerReferences,
    build_speaker_model,
)

# Metric -> value; None where it has no value, as the pitch of a whisper.
Scores = dict[str, float | None]


@dataclass(frozen=True)
class Utterance:
    """What is known of a generated utterance.

    Attributes:
        utt: its id.
        gen, ref: audio, generated and real.
        speaker: spoken with, if it is to be scored.
        source_speaker: of the real audio.
        gen_durations, ref_durations: of its unit runs (R,), in frames.
    """

    utt: str
    gen: str
    ref: str
    speaker: str | None = None
    source_speaker: str | None = None
    gen_durations: np.ndarray | None = None
    ref_durations: np.ndarray | None = None


@dataclass(frozen=True)
class UtteranceScorer:
    """Scores utterances; can be sent to another process.

    Attributes:
        method: of the analysis, see :func:`espnet_dsu.metrics.mcd.analyse`.
        speaker_model: see :func:`build_speaker_model`.
        references: of the speakers; None leaves similarity out.
    """

    method: str = "pyworld"
    speaker_model: str = "mfcc_statistics"
    references: SpeakerReferences | None = None

    def __call__(self, item: Utterance) -> Scores | str:
        """Return every measure, or what is wrong with the audio.

        Raises:
            DSUError: other unit runs than the reference's, or an unknown speaker.
        """
        try:
            gen, fs = read_audio(item.gen)
            ref, ref_fs = read_audio(item.ref)
        except AudioError as error:
            return str(error)
        scores = signal_scores(gen)
        scores.update(reference_scores(ref, ref_fs, gen, fs, self.method))
        if self.references is not None and item.speaker is not None:
            model = build_speaker_model(self.speaker_model)
            embedding = model.embed(gen, fs)
            scores.update(speaker_scores(embedding, item, self.references, model.name))
        if item.gen_durations is not None and item.ref_durations is not None:
            durations = duration_error(item.ref_durations, item.gen_durations)
            scores["duration_error"] = durations.frames
            scores["duration_error_relative"] = durations.relative
        return scores


def signal_scores(gen: np.ndarray) -> Scores:
    """Return what a waveform shows by itself; shares in percent."""
    measures = signal_measures(gen)
    return {
        "clipping": 100 * measures.clipping,
        "silence": 100 * measures.silence,
        "peak": measures.peak,
        "rms_db": measures.rms_db,
    }


def reference_scores(
    ref: np.ndarray, ref_fs: int, gen: np.ndarray, gen_fs: int, method: str
) -> Scores:
    """Compare two recordings at the lower of their rates.

    F0 is compared along the path that aligns the mel-cepstra. With ``librosa`` the
    mel-cepstral distortion is called ``mcd_librosa``: it is not comparable.
    """
    fs = min(ref_fs, gen_fs)
    length_ratio = (len(gen) / gen_fs) / (len(ref) / ref_fs)
    ref = librosa.resample(ref, orig_sr=ref_fs, target_sr=fs)
    gen = librosa.resample(gen, orig_sr=gen_fs, target_sr=fs)
    a, b = analyse(ref, fs, method), analyse(gen, fs, method)
    straight = frame_by_frame(a.cepstra, b.cepstra)
    warped = warp(a.cepstra[:, 1:], b.cepstra[:, 1:])
    error = f0_error(a.f0, b.f0, warped)
    mcd = "mcd" if method == "pyworld" else f"mcd_{method}"
    return {
        mcd: mel_cepstral_distortion(a.cepstra, b.cepstra, straight),
        f"{mcd}_dtw": mel_cepstral_distortion(a.cepstra, b.cepstra, warped),
        "log_f0_rmse": error.log_f0_rmse,
        "f0_rmse_cents": error.f0_rmse_cents,
        "voicing_error": error.voicing_error,
        "mel_distance": mel_distance(ref, gen, fs),
        "mel_distance_dtw": mel_distance(ref, gen, fs, align=True),
        "length_ratio": length_ratio,
    }


def speaker_scores(
    embedding: np.ndarray,
    item: Utterance,
    references: SpeakerReferences,
    model: str,
) -> Scores:
    """Return the similarity to the speaker spoken with and, if another, the source."""
    assert item.speaker is not None
    target = references.cosine(embedding, item.speaker)
    scores: Scores = {f"spk_sim_{model}": target}
    if item.source_speaker not in (None, item.speaker):
        source = references.cosine(embedding, str(item.source_speaker))
        scores[f"spk_sim_{model}_source"] = source
        scores["closer_to_target"] = 100.0 * (target > source)
    return scores


def mean_scores(rows: Mapping[str, Scores]) -> dict[str, float]:
    """Return the mean of each metric over the utterances that have a value."""
    names = dict.fromkeys(name for row in rows.values() for name in row)
    means = {}
    for name in names:
        values = [row[name] for row in rows.values() if row.get(name) is not None]
        if values:
            means[name] = float(np.mean(np.array(values, dtype=np.float64)))
    return means
