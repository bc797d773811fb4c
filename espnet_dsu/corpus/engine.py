"""Tokenize a corpus: plan -> shards -> run -> merge.

Each shard is written into a folder of its own, whole or not at all; a rerun keeps the
finished ones. The result does not depend on the number of workers, on batches, or on
how often the work was interrupted.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch

from espnet_dsu.audio import AudioError, read_audio
from espnet_dsu.corpus.plan import Shard, cut_batches, cut_shards, inspect, plan_hash
from espnet_dsu.errors import DSUError
from espnet_dsu.progress import track
from espnet_dsu.scp import read_scp, write_tsv
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.files import UnitReader, write_units
from espnet_dsu.upstream import resampled_length

FAILED = "failed.tsv"


@dataclass(frozen=True)
class Options:
    """How to run; nothing here changes the units.

    Attributes:
        nj: number of worker processes.
        ngpu: number of GPUs the workers share; 0 is CPU.
        batch_sec: seconds of audio per batch, padding included; bounds the memory.
        shard_sec: seconds of audio per shard, the unit of resuming.
        strict: stop at the first utterance that fails.
        max_failures: stop when more utterances than this fail.
    """

    nj: int = 1
    ngpu: int = 0
    batch_sec: float = 120.0
    shard_sec: float = 600.0
    strict: bool = False
    max_failures: int | None = None


@dataclass(frozen=True)
class Failure:
    """An utterance that gave no units."""

    name: str
    source: str
    reason: str


def tokenize_corpus(
    wav_scp: str | Path, bundle: str | Path, output_dir: str | Path, options: Options
) -> list[Failure]:
    """Tokenize every utterance of ``wav_scp`` into a unit directory.

    Failed utterances are listed in ``<output_dir>/failed.tsv`` (id, file, reason).

    Returns:
        the failures.

    Raises:
        DSUError: if all fail, or more than the options allow; nothing is merged then.
    """
    output_dir = Path(output_dir)
    tokenizer = UnitTokenizer.from_pretrained(bundle)
    entries = read_scp(wav_scp)
    utterances = track(inspect(entries), len(entries), "planning")
    shards = cut_shards(utterances, options.shard_sec)
    work = output_dir / f".shards-{plan_hash(tokenizer.fingerprint, shards)}"
    _remove_other_work(output_dir, work)
    todo = [s for s in shards if not (_folder(work, s) / "units.scp").exists()]
    if len(todo) < len(shards):
        logging.info(
            f"resuming: {len(shards) - len(todo)} of {len(shards)} shards done"
        )
    failures = [f for s in shards if s not in todo for f in _read_failures(work, s)]
    _check_allowed(failures, options)
    for found in _run(todo, bundle, work, options):
        failures += found
        _check_allowed(failures, options)
    return _merge(shards, work, output_dir, tokenizer, len(entries))


def _run(
    shards: list[Shard], bundle: str | Path, work: Path, options: Options
) -> Iterator[list[Failure]]:
    """Tokenize the shards, yielding the failures of each as it is done."""
    if options.nj <= 1 or len(shards) <= 1:
        _start_worker(str(bundle), options.ngpu, None, 1)
        done = (_tokenize_shard(s, work, options.batch_sec) for s in shards)
        yield from track(done, len(shards), "tokenizing", "shard")
        return
    context = multiprocessing.get_context("spawn")
    ranks = context.Queue()
    for rank in range(options.nj):
        ranks.put(rank)
    arguments = (str(bundle), options.ngpu, ranks, options.nj)
    with ProcessPoolExecutor(options.nj, context, _start_worker, arguments) as pool:
        futures = [
            pool.submit(_tokenize_shard, s, work, options.batch_sec) for s in shards
        ]
        try:
            for future in track(
                as_completed(futures), len(futures), "tokenizing", "shard"
            ):
                yield future.result()
        except BrokenProcessPool as error:
            raise DSUError(
                "a worker process died (out of memory, or killed); finished shards are "
                "kept: run the command again, with a smaller --nj or --batch_sec"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_worker: UnitTokenizer | None = None


def _start_worker(bundle: str, ngpu: int, ranks: object, nj: int) -> None:
    """Load the tokenizer once per process, on the process's share of the machine."""
    global _worker
    rank = 0 if ranks is None else ranks.get()  # type: ignore[attr-defined]
    if nj > 1:
        # Two processes with all threads each get in each other's way badly.
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // nj))
    device = f"cuda:{rank % ngpu}" if ngpu else "cpu"
    _worker = UnitTokenizer.from_pretrained(bundle).to(device)


def _tokenize_shard(shard: Shard, work: Path, batch_sec: float) -> list[Failure]:
    assert _worker is not None
    found: dict[str, np.ndarray] = {}
    failures: list[Failure] = []
    order = {u.name: i for i, u in enumerate(shard.utterances)}
    for batch in cut_batches(shard, batch_sec):
        good, wavs, fs = [], [], 0
        for utterance in batch:
            try:
                wav, fs = _read_long_enough(utterance.source, _worker)
            except AudioError as error:
                failures.append(Failure(utterance.name, utterance.source, str(error)))
                continue
            good.append(utterance.name)
            wavs.append(torch.from_numpy(wav))
        if wavs:
            units = _worker.encode_tensors(wavs, fs)
            found.update(zip(good, (u.cpu().numpy() for u in units)))
    folder = _folder(work, shard)
    failures.sort(key=lambda failure: order[failure.name])
    write_tsv(folder / FAILED, (astuple(f) for f in failures))
    in_order = sorted(found, key=order.__getitem__)
    write_units(folder, ((name, found[name]) for name in in_order), _worker.spec)
    return failures


def _read_long_enough(source: str, tokenizer: UnitTokenizer) -> tuple[np.ndarray, int]:
    wav, fs = read_audio(source)
    upstream = tokenizer.upstream
    if not upstream.num_frames(resampled_length(len(wav), fs, upstream.sample_rate)):
        raise AudioError(
            f"{len(wav)} samples at {fs} Hz are shorter than one frame of "
            f"{tokenizer.spec.tag}"
        )
    return wav, fs


def _merge(
    shards: list[Shard],
    work: Path,
    output_dir: Path,
    tokenizer: UnitTokenizer,
    num_entries: int,
) -> list[Failure]:
    failures = [f for shard in shards for f in _read_failures(work, shard)]
    readers = (UnitReader(_folder(work, shard) / "units.scp") for shard in shards)
    if len(failures) == num_entries:
        raise DSUError(
            f"none of {num_entries} utterances could be tokenized; the first, "
            f"{failures[0].name}: {failures[0].source}: {failures[0].reason}"
        )
    write_tsv(output_dir / FAILED, (astuple(f) for f in failures))
    items = (item for reader in readers for item in reader.items())
    number = write_units(output_dir, items, tokenizer.spec)
    shutil.rmtree(work)
    where = f" (see {output_dir / FAILED})" if failures else ""
    logging.info(f"tokenized {number} utterances, {len(failures)} failed{where}")
    return failures


def _check_allowed(failures: list[Failure], options: Options) -> None:
    allowed = 0 if options.strict else options.max_failures
    if failures and allowed is not None and len(failures) > allowed:
        worst = failures[-1]
        raise DSUError(
            f"{worst.name}: {worst.source}: {worst.reason} "
            f"({len(failures)} failed, {allowed} allowed)"
        )


def _folder(work: Path, shard: Shard) -> Path:
    return work / f"{shard.index:06d}"


def _remove_other_work(output_dir: Path, work: Path) -> None:
    """Remove shards of another bundle or of audio that has changed since."""
    for other in output_dir.glob(".shards-*"):
        if other != work:
            shutil.rmtree(other)


def _read_failures(work: Path, shard: Shard) -> list[Failure]:
    path = _folder(work, shard) / FAILED
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [Failure(*line.split("\t", 2)) for line in lines]
