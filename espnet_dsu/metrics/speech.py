"""Score generated speech of a set: per utterance, and its means in metrics.json."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.duration_error import UnitDurations, read_durations
from espnet_dsu.metrics.report import write_results_md
from espnet_dsu.metrics.speaker_similarity import SpeakerReferences, embed_speakers
from espnet_dsu.metrics.store import merge_entry
from espnet_dsu.metrics.utterance import (
    Scores,
    Utterance,
    UtteranceScorer,
    mean_scores,
)
from espnet_dsu.parallel import in_processes
from espnet_dsu.progress import track
from espnet_dsu.scp import Table, read_scp, write_tsv

_DIGITS = 4


@dataclass(frozen=True)
class SpeechOptions:
    """What to score and how.

    Attributes:
        gen_wav_scp: generated audio.
        ref_wav_scp: real audio of the same utterances.
        output_dir: gets ``speech_scores.tsv``, and ``failed.tsv`` where audio failed.
        set_name: name of the set in ``metrics.json``.
        decode_name: name of the decoding.
        metrics_json: ``exp/<name>/metrics.json``; the set is merged into it.
        utt2spk: speaker that each utterance is spoken with.
        ref_utt2spk: speaker of the real audio, where it may be another.
        spk_wav_scp, spk_utt2spk: real speech that shows how each speaker sounds;
            similarity is measured where it is given.
        speaker_model: as ``build_speaker_model`` takes it.
        max_spk_utts: so many utterances of real speech of each speaker are used.
        gen_durations: ``utt d1 d2 ...``, of the unit runs as spoken.
        ref_units_scp: frame units of the real audio.
        speed: ``utt audio_sec compute_sec`` of the synthesis.
        f0_method: ``pyworld`` or ``librosa``, for F0 and the spectral envelope.
        nj: number of processes; scores do not depend on it.
    """

    gen_wav_scp: str
    ref_wav_scp: str
    output_dir: str
    set_name: str
    decode_name: str
    metrics_json: str
    utt2spk: str | None = None
    ref_utt2spk: str | None = None
    spk_wav_scp: str | None = None
    spk_utt2spk: str | None = None
    speaker_model: str = "mfcc_statistics"
    max_spk_utts: int = 50
    gen_durations: str | None = None
    ref_units_scp: str | None = None
    speed: str | None = None
    f0_method: str = "pyworld"
    nj: int = 1

    def __post_init__(self) -> None:
        _together(spk_wav_scp=self.spk_wav_scp, spk_utt2spk=self.spk_utt2spk)
        _together(gen_durations=self.gen_durations, ref_units_scp=self.ref_units_scp)
        if self.spk_wav_scp and not self.utt2spk:
            raise DSUError(
                "--spk_wav_scp is given without --utt2spk, which says whom the "
                "utterances are spoken with; give both"
            )


def score_speech(options: SpeechOptions) -> str:
    """Score a set; return a summary.

    Writes ``speech_scores.tsv`` (a row an utterance) and merges into ``metrics.json``
    the means over utterances; ``rtf`` is the sum of compute over the sum of audio.
    Audio that is unusable is named in ``failed.tsv`` and counted.

    Raises:
        DSUError: files that cannot be read or do not belong together, or no utterance
            is usable.
    """
    utterances, missing = _utterances(options)
    references = _references(options)
    scorer = UtteranceScorer(options.f0_method, options.speaker_model, references)
    results = in_processes(scorer, utterances, options.nj)
    rows: dict[str, Scores] = {}
    failed = []
    for item, result in zip(utterances, track(results, len(utterances), "scoring")):
        if isinstance(result, str):
            failed.append((item.utt, item.gen, item.ref, result))
            logging.warning(f"{item.utt} is not scored: {result}")
        else:
            rows[item.utt] = result
    output_dir = Path(options.output_dir)
    write_tsv(output_dir / "failed.tsv", failed)
    if not rows:
        raise DSUError(
            f"{options.gen_wav_scp}: no utterance is usable; see "
            f"{output_dir}/failed.tsv"
        )
    speed = _read_speed(options.speed, rows)
    for utt, (audio_sec, compute_sec) in speed.items():
        rows[utt]["rtf"] = compute_sec / audio_sec
    _write_scores(output_dir / "speech_scores.tsv", rows)
    return _merge(options, rows, speed, missing + len(failed))


def _merge(
    options: SpeechOptions,
    rows: Mapping[str, Scores],
    speed: Mapping[str, tuple[float, float]],
    missing: int,
) -> str:
    means = mean_scores(rows)
    if speed:
        audio_sec, compute_sec = map(sum, zip(*speed.values()))
        means["rtf"] = compute_sec / audio_sec
    entry = {name: round(value, _DIGITS) for name, value in means.items()}
    metrics_json = Path(options.metrics_json)
    # Not num_missing, which counts the transcripts that an ASR owes.
    counts = {"num_utts": len(rows) + missing, "speech_missing": missing}
    named = {"decode": options.decode_name, **counts, **entry}
    key = merge_entry(metrics_json, options.set_name, named)
    write_results_md(metrics_json.parent)
    scores = ", ".join(f"{name} {value:g}" for name, value in entry.items())
    return f"{key}: {len(rows)} utterances, {missing} missing; {scores}"


def _utterances(options: SpeechOptions) -> tuple[list[Utterance], int]:
    """Join the tables; return the utterances, and how many were not generated."""
    gen, ref = read_scp(options.gen_wav_scp), read_scp(options.ref_wav_scp)
    _check_ids(gen, ref, options.ref_wav_scp)
    speakers = _read_for(gen, options.utt2spk)
    sources = _read_for(gen, options.ref_utt2spk)
    gen_durations: Mapping = {}
    ref_durations: Mapping = {}
    if options.gen_durations and options.ref_units_scp:
        gen_durations = read_durations(options.gen_durations)
        ref_durations = UnitDurations(options.ref_units_scp)
        _check_ids(gen, gen_durations, options.gen_durations)
        _check_ids(gen, ref_durations, options.ref_units_scp)
    utterances = [
        Utterance(
            utt,
            gen[utt],
            ref[utt],
            speakers.get(utt),
            sources.get(utt),
            gen_durations.get(utt),
            ref_durations.get(utt),
        )
        for utt in gen
    ]
    return utterances, len(ref.keys() - gen.keys())


def _read_for(gen: Table, path: str | None) -> Table:
    if path is None:
        return {}
    table = read_scp(path)
    _check_ids(gen, table, path)
    return table


def _check_ids(gen: Mapping, table: Mapping, path: str) -> None:
    if unknown := sorted(gen.keys() - table.keys()):
        raise DSUError(
            f"{path} lacks {len(unknown)} of {len(gen)} generated utterances, such as "
            f"{unknown[0]}; expected them all"
        )


def _references(options: SpeechOptions) -> SpeakerReferences | None:
    if not options.spk_wav_scp or not options.spk_utt2spk:
        return None
    return embed_speakers(
        read_scp(options.spk_wav_scp),
        read_scp(options.spk_utt2spk),
        options.speaker_model,
        options.max_spk_utts,
        options.nj,
    )


def _read_speed(
    path: str | None, rows: Mapping[str, Scores]
) -> dict[str, tuple[float, float]]:
    """Read seconds of audio and of compute of the utterances in ``rows``."""
    if path is None:
        return {}
    table = read_scp(path)
    _check_ids(rows, table, path)
    speed = {}
    for utt in rows:
        try:
            audio_sec, compute_sec = map(float, table[utt].split())
        except ValueError:
            audio_sec = 0.0
        if not audio_sec > 0:
            raise DSUError(
                f"{path}: {utt} {table[utt]!r}: expected the seconds of audio, above 0,"
                " and of compute"
            )
        speed[utt] = (audio_sec, compute_sec)
    return speed


def _write_scores(path: Path, rows: Mapping[str, Scores]) -> None:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [("utt", *names)]
    for utt, row in rows.items():
        values = (row.get(name) for name in names)
        cells = ("" if v is None else f"{v:.6g}" for v in values)
        lines.append((utt, *cells))
    write_tsv(path, lines)


def _together(**options: str | None) -> None:
    """Refuse one of two options that need each other."""
    if len(set(map(bool, options.values()))) > 1:
        given = next(name for name, value in options.items() if value)
        other = next(name for name, value in options.items() if not value)
        raise DSUError(f"--{given} is given without --{other}; give both")
