"""Data directories with one mono 16-bit file per utterance, in parallel, resumable."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from espnet_dsu.corpus.datadir import (
    begin_output,
    mismatches,
    read_tables,
    restrict,
    write_tables,
)
from espnet_dsu.corpus.excerpts import AudioFormat, Excerpt, Outcome, make_excerpts
from espnet_dsu.errors import DSUError
from espnet_dsu.progress import track
from espnet_dsu.scp import Table, write_tsv
from espnet_dsu.units.files import atomic_path


def _segment(utt: str, value: str, recordings: Table) -> Excerpt:
    """Read the line of ``utt`` in ``segments``; an end of -1 is the recording's."""
    try:
        recording, start, end = value.split()[:3]
        start_sec, end_sec = float(start), float(end)
    except ValueError:
        raise DSUError(
            f"segments: {utt} {value}: expected `recording start_sec end_sec`"
        ) from None
    source = recordings[recording]
    return Excerpt(utt, source, start_sec, None if end_sec == -1 else end_sec)


def load_excerpts(
    data_dir: str | Path,
) -> tuple[list[Excerpt], dict[str, Table], list[Outcome]]:
    """Return the utterances of a data directory, its tables, and whom they leave out.

    Left out, with the reason, are utterances that one table has and another lacks.

    Raises:
        DSUError: a table cannot be read.
    """
    tables = read_tables(data_dir)
    recordings = tables["wav.scp"]
    reasons: dict[str, str] = {}
    for kind, utterances in mismatches(tables).items():
        for utt in utterances:
            reasons.setdefault(utt, kind)
    refused = [Outcome(u, recordings.get(u, ""), reason=r) for u, r in reasons.items()]
    if "segments" in tables:
        rows = ((u, v) for u, v in tables["segments"].items() if u not in reasons)
        excerpts = [_segment(utt, value, recordings) for utt, value in rows]
    else:
        excerpts = [Excerpt(u, s) for u, s in recordings.items() if u not in reasons]
    return excerpts, tables, refused


def _outcomes(
    work: Callable[[list[Excerpt]], list[Outcome]], excerpts: list[Excerpt], nj: int
) -> Iterator[Outcome]:
    """Convert recordings in ``nj`` processes; yield outcomes in order of recording."""
    by_source: dict[str, list[Excerpt]] = {}
    for excerpt in excerpts:
        by_source.setdefault(excerpt.source, []).append(excerpt)
    with ExitStack() as stack:
        done: Iterator[list[Outcome]] = map(work, by_source.values())
        if nj > 1:
            pool = ProcessPoolExecutor(nj, get_context("spawn"))
            stack.callback(pool.shutdown, cancel_futures=True)
            done = pool.map(work, by_source.values(), chunksize=8)
        try:
            for outcomes in done:
                yield from outcomes
        except BrokenProcessPool:
            raise DSUError(
                "a worker process died, perhaps for want of memory; run again to go "
                "on, with a smaller --nj"
            ) from None


def _run(
    work: Callable[[list[Excerpt]], list[Outcome]],
    excerpts: list[Excerpt],
    nj: int,
    max_failures: float,
    name: str,
) -> tuple[dict[str, Outcome], list[Outcome]]:
    """Convert all excerpts, or stop where failures exceed ``max_failures``."""
    made: dict[str, Outcome] = {}
    failed: list[Outcome] = []
    outcomes = _outcomes(work, excerpts, nj) if max_failures >= 0 else iter(())
    for outcome in track(outcomes, len(excerpts), f"format {name}"):
        if not outcome.reason:
            made[outcome.utt] = outcome
            continue
        failed.append(outcome)
        if len(failed) > max_failures:
            break
    return made, failed


def _remember(directory: Path, target: AudioFormat) -> Path:
    """Leave the options beside the audio, in a file as new as their last change."""
    path = directory / "options.json"
    options = json.dumps(asdict(target), sort_keys=True) + "\n"
    if not path.exists() or path.read_text() != options:
        with atomic_path(path) as temporary:
            temporary.write_text(options)
    return path


def _judge(
    made: Mapping[str, Outcome],
    failed: list[Outcome],
    max_failures: float,
    output_dir: Path,
) -> None:
    """Name the failures in ``failed.tsv``; raise DSUError if they are too many."""
    path = output_dir / "failed.tsv"
    write_tsv(path, [(f.utt, f.source, " ".join(f.reason.split())) for f in failed])
    if made and len(failed) <= max_failures:
        return
    if not failed:
        raise DSUError(f"{output_dir}: no utterance to format; is wav.scp empty?")
    first = f"{failed[0].utt} ({failed[0].source or 'no file'}): {failed[0].reason}"
    over = len(failed) > max_failures
    accepted = f"{max_failures} accepted" if over else "and none succeeded"
    raise DSUError(
        f"{output_dir}: {len(failed)} utterances failed, {accepted}; first "
        f"{first}. See {path}; mend or remove them, or accept more with --max_failures"
    )


def write_formatted(
    output_dir: str | Path,
    excerpts: list[Excerpt],
    tables: Mapping[str, Table],
    target: AudioFormat,
    *,
    inputs: list[Path],
    refused: list[Outcome],
    nj: int = 1,
    max_failures: int | None = None,
) -> int:
    """Make every excerpt, and a data directory of the successes; return how many.

    Audio goes to ``<output_dir>/data/``. ``wav.scp`` appears last, when all is there.

    Args:
        output_dir: the data directory to write.
        excerpts: the utterances to make.
        tables: ``text`` and ``utt2spk``; of these, the lines of successes are written.
        target: the wanted audio.
        inputs: files that say what to make; audio older than them is made again,
            newer audio (of an interrupted run) is kept.
        refused: failures known beforehand, counted and named with the others.
        nj: number of processes.
        max_failures: how many failures to accept; None is any number.

    Raises:
        DSUError: too many failures, or no utterance succeeded.
    """
    output_dir = Path(output_dir)
    options = _remember(output_dir / "data", target)
    newest = max(path.stat().st_mtime for path in (*inputs, options) if path.exists())
    work = partial(
        make_excerpts, target=target, directory=output_dir / "data", inputs_mtime=newest
    )
    limit = math.inf if max_failures is None else max_failures
    made, failed = _run(work, excerpts, nj, limit - len(refused), str(output_dir))
    failed = refused + failed
    _judge(made, failed, limit, output_dir)
    kept = restrict({n: tables[n] for n in ("text", "utt2spk") if n in tables}, made)
    kept["utt2num_samples"] = {utt: str(o.num_samples) for utt, o in made.items()}
    kept["wav.scp"] = {utt: outcome.path for utt, outcome in made.items()}
    write_tables(output_dir, kept)
    see = f" (see {output_dir}/failed.tsv)" if failed else ""
    logging.info(f"formatted {len(made)} utterances, {len(failed)} failed{see}")
    return len(made)


def format_data(
    data_dir: str | Path,
    output_dir: str | Path,
    target: AudioFormat,
    nj: int = 1,
    max_failures: int | None = None,
) -> int:
    """Format the audio of a data directory; return the number of utterances written.

    Recordings that are missing, broken or unmatched are named in
    ``<output_dir>/failed.tsv`` and do not stop the others.

    Raises:
        DSUError: a table cannot be read, or see :func:`write_formatted`.
    """
    begin_output(output_dir, data_dir)
    excerpts, tables, refused = load_excerpts(data_dir)
    return write_formatted(
        output_dir,
        excerpts,
        tables,
        target,
        inputs=[Path(data_dir) / "wav.scp", Path(data_dir) / "segments"],
        refused=refused,
        nj=nj,
        max_failures=max_failures,
    )
