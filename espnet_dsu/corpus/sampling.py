"""Sample the frames of a corpus: each shard keeps those that may be in the sample.

Frames have random keys (:mod:`espnet_dsu.quantizer.frame_sample`), and the sample is
the n smallest. How many frames the corpus has is known from the headers of its audio,
so a shard needs to write only the keys up to a limit that leaves a little more than n.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from espnet_dsu.audio import AudioError, AudioFile
from espnet_dsu.corpus.decoding import Decoded, Decoder
from espnet_dsu.corpus.engine import Options, run_job
from espnet_dsu.corpus.job import Failure, Job, Placement, Progress, Worker
from espnet_dsu.corpus.plan import Shard, Utterance, cut_batches, split_long
from espnet_dsu.corpus.sample_files import SampleFiles, SampleWriter
from espnet_dsu.quantizer.frame_sample import frame_keys
from espnet_dsu.upstream import Upstream, build_upstream, resampled_length
from espnet_dsu.upstream.windows import DEFAULT_WINDOWING, recording_windows

_ALL = 2**64 - 1
# Kept beyond the sample: a share for audio that fails, and standard deviations of how
# many keys fall below a limit. Where that is not enough, there is another pass.
_SPARE_SHARE = 0.05
_SPARE_DEVIATIONS = 6


@dataclass(frozen=True)
class SampleJob(Job):
    """Keep the frames with keys up to ``limit``, of all ``layers`` in one pass.

    Attributes:
        upstream: ``family:checkpoint@layer``; the highest of the layers.
        upstream_conf: options of the family.
        identity: what determines the upstream's frames.
        layers: empty for a family without layers.
        seed: of the keys.
        limit: greatest key to keep.
        batch_sec: seconds of audio per batch on a GPU, padding included.
        dtype: that the upstream computes in.
    """

    upstream: str
    upstream_conf: Mapping[str, Any]
    identity: Mapping[str, Any]
    layers: tuple[int, ...]
    seed: int
    limit: int = _ALL
    batch_sec: float = 120.0
    dtype: str = "float32"
    name = "sample"

    @property
    def fingerprint(self) -> str:
        """Hash of what decides the frames; batches do so in half precision only."""
        facts = asdict(self)
        del facts["upstream"], facts["upstream_conf"]
        if self.dtype == "float32":
            del facts["batch_sec"]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def start(self, placement: Placement) -> SampleWorker:
        """Load the upstream."""
        model = build_upstream(self.upstream, self.upstream_conf).to(placement.device)
        model.dtype = getattr(torch, self.dtype)
        return SampleWorker(self, model, placement)


class SampleWorker(Worker):
    """Holds the upstream."""

    def __init__(self, job: SampleJob, upstream: Upstream, placement: Placement):
        self._job = job
        self._upstream = upstream
        self._device = torch.device(placement.device)
        # On a CPU a batch gains nothing, and its shape may touch the frames' last bits,
        # which would train another tokenizer.
        self._batch_sec = 0.0 if self._device.type == "cpu" else job.batch_sec
        self._decoder = Decoder.beside(upstream, placement)

    @torch.inference_mode()
    def run(self, shard: Shard, folder: Path, progress: Progress) -> list[Failure]:
        """Write the frames with small keys."""
        failures: list[Failure] = []
        long, short = split_long(shard, DEFAULT_WINDOWING.applies_to)
        with SampleWriter(folder, self._job.layers or [None], self._job.limit) as out:
            for utterance in long:
                progress([utterance], 0)
                failures += self._keep_long(utterance, out)
                progress((), 1)
            for batch in self._decoder.batches(cut_batches(short, self._batch_sec)):
                progress([utterance for utterance, _ in batch], 0)
                failures += self._keep_batch(batch, out)
                progress((), len(batch))
        order = {utterance.name: i for i, utterance in enumerate(shard.utterances)}
        return sorted(failures, key=lambda failure: order[failure.name])

    def _keep_long(self, utterance: Utterance, out: SampleWriter) -> list[Failure]:
        """Keep frames of a recording that is not held whole."""
        upstream, layers = self._upstream, self._job.layers
        try:
            recording = AudioFile(utterance.source)
            number = num_frames(upstream, recording.num_samples, recording.fs)
            keys = frame_keys(self._job.seed, utterance.name, number)
            windows = recording_windows(
                upstream, recording, DEFAULT_WINDOWING, self._device
            )
            with out.all_or_nothing():
                for window, statistics in windows:
                    found = (
                        window.layer_frames(upstream, layers, statistics)
                        if layers
                        else [window.frames(upstream, statistics)]
                    )
                    out.write(keys[window.first :][: window.count], found)
        except AudioError as error:
            return [Failure(utterance.name, utterance.source, str(error))]
        return []

    def _keep_batch(self, batch: list[Decoded], out: SampleWriter) -> list[Failure]:
        failures = [found for _, found in batch if isinstance(found, Failure)]
        good = [(u.name, wav) for u, wav in batch if not isinstance(wav, Failure)]
        if not good:
            return failures
        wavs = [wav.to(self._device, non_blocking=True) for _, wav in good]
        lengths = torch.tensor([len(wav) for wav in wavs], device=self._device)
        padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
        if self._job.layers:
            layers, counts = self._upstream.layer_frames(
                padded, lengths, self._job.layers
            )
        else:
            frames, counts = self._upstream.frames(padded, lengths)
            layers = [frames]
        for row, ((name, _), count) in enumerate(zip(good, counts.tolist())):
            keys = frame_keys(self._job.seed, name, count)
            out.write(keys, [frames[row, :count] for frames in layers])
        return failures


def num_frames(upstream: Upstream, num_samples: int, fs: int) -> int:
    """Return how many frames so much audio has; 0 where it could not be read."""
    if not fs:
        return 0
    return upstream.num_frames(resampled_length(num_samples, fs, upstream.sample_rate))


@contextmanager
def sample_corpus(
    job: SampleJob,
    corpus: Mapping[Utterance, int],
    number: int,
    work_root: Path,
    options: Options,
) -> Iterator[tuple[SampleFiles, list[Failure]]]:
    """Keep the ``number`` frames with the smallest keys on disk, and a few more.

    Args:
        job: its limit is found here.
        corpus: the frames that each utterance has.
        number: n, the size of the sample.
        work_root: where shards are kept until the block ends without an error.
        options: how to run.

    Yields:
        at least n frames, or all there are; the utterances that failed.
    """
    spare = _SPARE_SHARE + _SPARE_DEVIATIONS / math.sqrt(number)
    share = number * (1 + spare) / max(1, sum(corpus.values()))
    while True:
        job = replace(job, limit=min(_ALL, int(share * 2**64)))
        # Audio without a small key need not be read at all. What is broken, or too
        # short for a frame, is: so that it is told.
        wanted = [u for u, t in corpus.items() if not t or _has_small_key(job, u, t)]
        with run_job(job, wanted, work_root, options) as finished:
            sample = SampleFiles(tuple(map(finished.folder, finished.shards)))
            kept = sample.num_frames
            if kept >= number or job.limit == _ALL:
                yield sample, finished.failures
                return
        logging.info(
            f"{kept} frames were kept where {number} are wanted, because "
            f"{len(finished.failures)} utterances failed; reading the audio again"
        )
        share *= number * (1 + spare) / max(1, kept)


def _has_small_key(job: SampleJob, utterance: Utterance, count: int) -> bool:
    if job.limit == _ALL:
        return True
    return int(frame_keys(job.seed, utterance.name, count).min()) <= job.limit
