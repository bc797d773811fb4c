"""Drop utterances that are too short, too long, or without words."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from espnet_dsu.audio import AudioError, audio_info
from espnet_dsu.corpus.datadir import (
    begin_output,
    read_tables,
    restrict,
    validate,
    write_tables,
)
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import write_tsv


def _reason(
    length_sec: float, words: str | None, min_sec: float, max_sec: float
) -> str | None:
    """Say why an utterance goes; None keeps it, and a missing text is not empty."""
    if length_sec < min_sec:
        return f"shorter than {min_sec} s"
    if length_sec > max_sec:
        return f"longer than {max_sec} s"
    return "empty text" if words == "" else None


def _check_rate(source: str, fs: int) -> None:
    """Raise DSUError unless the audio has ``fs`` Hz; lengths in seconds need it."""
    try:
        actual = audio_info(source)[1]
    except AudioError as error:
        raise DSUError(f"{source}: {error}; format the data again") from None
    if actual != fs:
        raise DSUError(f"{source} has {actual} Hz where --fs says {fs} Hz")


def filter_data(
    data_dir: str | Path,
    output_dir: str | Path,
    fs: int,
    min_sec: float,
    max_sec: float,
) -> int:
    """Copy a formatted data directory without unfit utterances; return how many stay.

    Kept are lengths from ``min_sec`` to ``max_sec``, both included, with words. Dropped
    ones are counted in the log and named in ``<output_dir>/dropped.tsv`` (id, reason).

    Raises:
        DSUError: no lengths, a rate other than ``fs``, or nothing is left.
    """
    data_dir, output_dir = Path(data_dir), Path(output_dir)
    begin_output(output_dir, data_dir)
    validate(data_dir, require=("wav.scp", "utt2num_samples"))
    tables = read_tables(data_dir)
    _check_rate(next(iter(tables["wav.scp"].values())), fs)
    text = tables.get("text", {})
    reasons = {}
    for utt in tables["wav.scp"]:
        length_sec = int(tables["utt2num_samples"][utt]) / fs
        reason = _reason(length_sec, text.get(utt), min_sec, max_sec)
        if reason:
            reasons[utt] = reason
    keep = tables["wav.scp"].keys() - reasons.keys()
    counts = ", ".join(
        f"{n} {reason}" for reason, n in Counter(reasons.values()).items()
    )
    summary = f"kept {len(keep)} of {len(tables['wav.scp'])} utterances"
    if not keep:
        raise DSUError(f"{data_dir}: {summary}: {counts}; widen the limits")
    write_tsv(output_dir / "dropped.tsv", sorted(reasons.items()))
    write_tables(output_dir, restrict(tables, keep))
    see = f" (dropped: {counts}; see {output_dir}/dropped.tsv)" if reasons else ""
    logging.info(summary + see)
    return len(keep)
