"""Audio decoded in the background, while the batches before it are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from espnet_dsu.audio import AudioError, read_audio
from espnet_dsu.corpus.job import Failure, Placement
from espnet_dsu.corpus.launcher import num_cores
from espnet_dsu.corpus.plan import Utterance
from espnet_dsu.upstream import Upstream, resample

# Batches that are decoded, or being decoded, beside the one that is computed.
_BATCHES_AHEAD = 2
# Beyond that the disk, or Python, does not deliver more.
_MAX_THREADS = 8

# An utterance with its samples (N,) at the upstream's rate, or what is wrong with it.
Decoded = tuple[Utterance, Tensor | Failure]


class Decoder:
    """Reads, checks and resamples audio for an upstream in background threads.

    Args:
        upstream: whose rate is wanted, and which says what is too short.
        num_threads: that decode.
        pin: put samples into pinned memory, from which a GPU fetches them by itself.
    """

    def __init__(self, upstream: Upstream, num_threads: int, pin: bool) -> None:
        self._upstream = upstream
        self._num_threads = num_threads
        self._pin = pin

    @classmethod
    def beside(cls, upstream: Upstream, placement: Placement) -> Decoder:
        """Make one for an upstream at work on its share of a machine."""
        if placement.device == "cpu":
            # The computation needs the cores, and takes longer than decoding.
            return cls(upstream, 1, pin=False)
        cores = placement.num_threads or num_cores()
        return cls(upstream, min(cores, _MAX_THREADS), pin=True)

    def batches(self, batches: Iterable[list[Utterance]]) -> Iterator[list[Decoded]]:
        """Decode batches, in their order; at most three are in memory at a time."""
        ahead: deque[list[tuple[Utterance, Future[Tensor | Failure]]]] = deque()
        with ThreadPoolExecutor(self._num_threads) as pool:
            for batch in batches:
                ahead.append([(u, pool.submit(self._decode, u)) for u in batch])
                if len(ahead) > _BATCHES_AHEAD:
                    yield [(u, future.result()) for u, future in ahead.popleft()]
            while ahead:
                yield [(u, future.result()) for u, future in ahead.popleft()]

    @torch.inference_mode()
    def _decode(self, utterance: Utterance) -> Tensor | Failure:
        upstream = self._upstream
        try:
            samples, fs = read_audio(utterance.source)
            wav = resample(torch.from_numpy(samples), fs, upstream.sample_rate)
            if not upstream.num_frames(len(wav)):
                raise AudioError(
                    f"{len(samples)} samples at {fs} Hz are shorter than one frame of "
                    f"{upstream.tag}"
                )
        except AudioError as error:
            return Failure(utterance.name, utterance.source, str(error))
        return wav.pin_memory() if self._pin else wav
