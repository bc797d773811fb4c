"""Speaker embeddings of a set, ESPnet's ``spembs`` data: by utterance, by speaker."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.speaker_models import EmbedRecording
from espnet_dsu.parallel import in_processes
from espnet_dsu.progress import track
from espnet_dsu.scp import read_scp, write_scp, write_tsv
from espnet_dsu.units.files import atomic_path, write_entry

Vectors = dict[str, np.ndarray]


def extract_speaker_embeddings(
    wav_scp: str | Path,
    utt2spk: str | Path,
    output_dir: str | Path,
    model: str = "mfcc_statistics",
    nj: int = 1,
) -> int:
    """Write ``spembs.{ark,scp}`` and ``spk_spembs.{ark,scp}``; return how many.

    The first hold a float32 vector (D,) of unit length for each utterance, the second
    for each speaker: the mean of the speaker's, of unit length again. Utterances whose
    audio is unusable are named in ``failed.tsv`` (id, file, reason).

    Args:
        wav_scp: audio of the utterances.
        utt2spk: speaker of each.
        output_dir: of the files.
        model: see :func:`espnet_dsu.metrics.speaker_models.build_speaker_model`.
        nj: number of processes.

    Raises:
        DSUError: an utterance has no speaker, or none of the audio is usable.
    """
    output_dir = Path(output_dir)
    audio, speakers = read_scp(wav_scp), read_scp(utt2spk)
    if missing := sorted(audio.keys() - speakers.keys()):
        raise DSUError(
            f"{utt2spk} lacks {len(missing)} of the utterances of {wav_scp}, such as "
            f"{missing[0]}; expected the speaker of them all"
        )
    results = in_processes(EmbedRecording(model), list(audio.values()), nj)
    found: Vectors = {}
    failed: list[tuple[str, str, str]] = []
    for utt, result in zip(audio, track(results, len(audio), "speaker embeddings")):
        if isinstance(result, str):
            failed.append((utt, audio[utt], result))
            logging.warning(f"{utt} has no speaker embedding: {audio[utt]}: {result}")
        else:
            found[utt] = _unit(result)
    write_tsv(output_dir / "failed.tsv", failed)
    if not found:
        raise DSUError(
            f"{wav_scp}: no utterance is usable; see {output_dir}/failed.tsv"
        )
    _write(output_dir / "spk_spembs.ark", _means(found, speakers))
    _write(output_dir / "spembs.ark", found)
    logging.info(f"embeddings of {len(found)} utterances, {len(failed)} failed")
    return len(found)


def _unit(vector: np.ndarray) -> np.ndarray:
    return (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)


def _means(embeddings: Vectors, utt2spk: Mapping[str, str]) -> Vectors:
    speakers: dict[str, list[np.ndarray]] = {}
    for utt, embedding in embeddings.items():
        speakers.setdefault(utt2spk[utt], []).append(embedding)
    return {spk: _unit(np.mean(speakers[spk], axis=0)) for spk in sorted(speakers)}


def _write(ark: Path, vectors: Vectors) -> None:
    """Write vectors into ``ark``, then the scp beside it."""
    places = {}
    with atomic_path(ark) as temporary, open(temporary, "wb") as f:
        for key, vector in vectors.items():
            places[key] = write_entry(f, ark, key, vector)
    write_scp(ark.with_suffix(".scp"), places)
