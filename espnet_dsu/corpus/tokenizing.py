"""Tokenize a corpus: ``wav.scp`` in, a unit directory out."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
import torch

from espnet_dsu import bundle as bundles
from espnet_dsu.audio import AudioError
from espnet_dsu.corpus.agreement import Agreement, merge_agreements
from espnet_dsu.corpus.decoding import Decoded, Decoder
from espnet_dsu.corpus.engine import Corpus, Finished, Options, run_job
from espnet_dsu.corpus.job import Failure, Job, Placement, Progress, Worker
from espnet_dsu.corpus.plan import Shard, Utterance, cut_batches, split_long
from espnet_dsu.corpus.unit_shards import read_shards_units, write_shard_units
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import write_tsv
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.files import write_units

FAILED = "failed.tsv"
DTYPES = ("float32", "float16", "bfloat16")
DEFAULT_BATCH_SEC = 120.0
# On a CPU larger batches are slower: they leave the cache (measured, HuBERT-base).
_CPU_BATCH_SEC = 20.0


def limit_batch(batch_sec: float, device: torch.device) -> float:
    """Return the seconds of audio that a batch on this device holds at most."""
    return min(batch_sec, _CPU_BATCH_SEC) if device.type == "cpu" else batch_sec


@dataclass(frozen=True)
class TokenizeJob(Job):
    """Turn every utterance into frame units.

    Attributes:
        bundle: folder of the tokenizer.
        tokenizer: its fingerprint.
        batch_sec: seconds of audio per batch, padding included; a CPU takes 20 at most.
        dtype: that the upstream computes in.
        compile: whether ``torch.compile`` works on the upstream.
    """

    bundle: str
    tokenizer: str
    batch_sec: float
    dtype: str
    compile: bool
    name = "tokenize"

    @property
    def fingerprint(self) -> str:
        """Hash of what decides the units; batches do so in half precision only."""
        facts = asdict(self)
        del facts["bundle"]
        if self.dtype == "float32" and not self.compile:
            del facts["batch_sec"]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def start(self, placement: Placement) -> TokenizeWorker:
        """Load the tokenizer and its upstream."""
        tokenizer = UnitTokenizer.from_pretrained(self.bundle)
        if tokenizer.fingerprint != self.tokenizer:
            raise DSUError(
                f"{self.bundle} is another tokenizer ({tokenizer.fingerprint}) than "
                f"when the run began ({self.tokenizer}); run again"
            )
        tokenizer.to(placement.device, dtype=getattr(torch, self.dtype))
        if self.compile:
            tokenizer.upstream.compile()
        return TokenizeWorker(self, tokenizer, placement)


class TokenizeWorker(Worker):
    """Holds the tokenizer."""

    def __init__(
        self, job: TokenizeJob, tokenizer: UnitTokenizer, placement: Placement
    ) -> None:
        self._job = job
        self._tokenizer = tokenizer
        self._device = torch.device(placement.device)
        self._batch_sec = limit_batch(job.batch_sec, self._device)
        self._decoder = Decoder.beside(tokenizer.upstream, placement)

    def run(self, shard: Shard, folder: Path, progress: Progress) -> list[Failure]:
        """Write the units of one shard; with half precision, its agreement as well."""
        results: dict[str, np.ndarray | Failure] = {}
        agreement = Agreement()
        long, short = split_long(shard, self._tokenizer.windowing.applies_to)
        for utterance in long:
            progress([utterance], 0)
            results[utterance.name] = self._encode_long(utterance)
            progress((), 1)
        for batch in self._decoder.batches(cut_batches(short, self._batch_sec)):
            progress([utterance for utterance, _ in batch], 0)
            results.update(self._encode(batch, agreement))
            progress((), len(batch))
        in_order = [(u.name, results[u.name]) for u in shard.utterances]
        units = {n: r for n, r in in_order if not isinstance(r, Failure)}
        write_shard_units(folder, units)
        if agreement.frames:
            agreement.write(folder)
        return [result for _, result in in_order if isinstance(result, Failure)]

    def _encode_long(self, utterance: Utterance) -> np.ndarray | Failure:
        """Encode by windows, read block by block: memory does not grow with it."""
        try:
            return self._tokenizer.encode_source(utterance.source).units
        except AudioError as error:
            return Failure(utterance.name, utterance.source, str(error))

    def _encode(
        self, batch: list[Decoded], agreement: Agreement
    ) -> Iterator[tuple[str, np.ndarray | Failure]]:
        """Yield units, or what is wrong, for each utterance of a batch."""
        wavs = []
        for utterance, decoded in batch:
            if isinstance(decoded, Failure):
                yield utterance.name, decoded
            else:
                wavs.append(decoded.to(self._device, non_blocking=True))
        if not wavs:
            return
        fs = self._tokenizer.spec.sample_rate
        found = self._tokenizer.encode_tensors(wavs, fs)
        if self._job.dtype != "float32" and not agreement.frames:
            agreement.count(self._tokenizer, wavs, found)
        good = (u.name for u, decoded in batch if not isinstance(decoded, Failure))
        yield from zip(good, (units.cpu().numpy() for units in found))


def tokenize_corpus(
    wav_scp: Corpus,
    bundle: str | Path,
    output_dir: str | Path,
    options: Options = Options(),
    *,
    batch_sec: float = DEFAULT_BATCH_SEC,
    dtype: str = "float32",
    compile: bool = False,
) -> list[Failure]:
    """Tokenize every utterance of ``wav_scp`` into a unit directory.

    Args:
        wav_scp: utterance ids and their audio files.
        bundle: the tokenizer: folder or hub id.
        output_dir: unit directory to write.
        options: how to run; they do not change the units.
        batch_sec: seconds of audio per batch, padding included; bounds the memory of
            a GPU. A CPU, where larger ones are slower, takes 20 at most.
        dtype: ``float32``, or on GPUs ``float16`` or ``bfloat16``, which are faster
            and change some units: ``<output_dir>/agreement.json`` says how many.
        compile: let ``torch.compile`` work on the upstream.

    Returns:
        the failures, which ``<output_dir>/failed.tsv`` lists (id, file, reason).

    Raises:
        DSUError: if all fail, or more than the options allow; nothing is merged then.
    """
    if dtype not in DTYPES:
        raise DSUError(f"dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
    if batch_sec <= 0:
        raise DSUError(f"batch_sec {batch_sec}: expected seconds of audio, above 0")
    if dtype != "float32" and not options.ngpu:
        logging.warning(f"{dtype} on a CPU is often far slower than float32")
    folder = bundles.locate(bundle).absolute()
    tokenizer = UnitTokenizer.from_pretrained(folder)
    job = TokenizeJob(str(folder), tokenizer.fingerprint, batch_sec, dtype, compile)
    with run_job(job, wav_scp, output_dir, options) as finished:
        _merge(finished, Path(output_dir), tokenizer, dtype)
    return finished.failures


def _merge(
    finished: Finished, output_dir: Path, tokenizer: UnitTokenizer, dtype: str
) -> None:
    write_tsv(output_dir / FAILED, (astuple(f) for f in finished.failures))
    folders = [finished.folder(shard) for shard in finished.shards]
    merge_agreements(folders, output_dir, dtype)
    items = read_shards_units(folders, finished.entries)
    number = write_units(output_dir, items, tokenizer.spec)
    where = f" (see {output_dir / FAILED})" if finished.failures else ""
    logging.info(
        f"tokenized {number} utterances, {len(finished.failures)} failed{where}"
    )
