"""What streams a tokenizer is trained with: which frames, which number of units."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer import Quantizer, StreamQuantizer
from espnet_dsu.quantizer.frame_sample import FrameSample
from espnet_dsu.quantizer.memory import sample_size
from espnet_dsu.upstream import Upstream
from espnet_dsu.upstream.blocks import Recording
from espnet_dsu.upstream.windows import DEFAULT_WINDOWING, recording_frames

# One K for each layer; or, with several numbers, streams of their own.
NumClusters = int | tuple[int, ...]


@dataclass(frozen=True)
class Stream:
    """One stream of a tokenizer to train; the same as if it were trained alone.

    Attributes:
        layer: of the upstream, whose frames it quantizes; None: a family without.
        first: where they begin in the upstream's frames.
        dim: D, their size.
        nclusters: K.
        num_frames: to train on at most.
        bound: the option that says so.
    """

    layer: int | None
    first: int
    dim: int
    nclusters: int
    num_frames: int
    bound: str

    def quantizer_conf(self, conf: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return the options of its quantizer; ``conf`` holds the user's."""
        return {"nclusters": self.nclusters, "seed": seed, **conf, "dim": self.dim}


def vocab_sizes(nclusters: NumClusters, num_layers: int) -> tuple[int, ...]:
    """Return the number of units of each stream.

    Args:
        nclusters: K of each stream; one number is that of all layers.
        num_layers: that the upstream's name has; 0 in a family without layers.

    Raises:
        DSUError: another number of streams than layers, or two streams alike.
    """
    sizes = (nclusters,) if isinstance(nclusters, int) else tuple(nclusters)
    written = "+".join(map(str, sizes))
    if num_layers > 1 and len(sizes) == 1:
        return sizes * num_layers
    if num_layers > 1 and len(sizes) != num_layers:
        raise DSUError(
            f"nclusters {written} are {len(sizes)} numbers for {num_layers} layers, "
            "expected one for each, or one for all"
        )
    if num_layers <= 1 and len(set(sizes)) != len(sizes):
        raise DSUError(
            f"nclusters {written}: streams of the same frames and number of units are "
            "the same units twice; give different numbers, or several layers"
        )
    return sizes


def plan_streams(
    upstream: Upstream, nclusters: NumClusters, max_frames: int, max_memory: str
) -> list[Stream]:
    """Say what streams to train on the frames of an upstream.

    Raises:
        DSUError: as :func:`vocab_sizes` and
            :func:`espnet_dsu.quantizer.memory.sample_size`.
    """
    sizes = vocab_sizes(nclusters, len(upstream.layers))
    dim, streams = upstream.layer_dim, []
    for number, size in enumerate(sizes):
        place = number if len(upstream.layers) > 1 else 0
        layer = upstream.layers[place] if upstream.layers else None
        bounds = sample_size(max_frames, max_memory, dim, size)
        streams.append(Stream(layer, place * dim, dim, size, *bounds))
    return streams


def sample_streams(
    upstream: Upstream,
    streams: Sequence[Stream],
    recordings: Iterable[tuple[str, Recording]],
    seed: int,
    device: str | torch.device,
) -> dict[int, np.ndarray]:
    """Sample frames (n, D) for all streams in one pass; ``Stream.first`` is the key.

    Raises:
        DSUError: no audio was usable.
    """
    sizes: dict[int, int] = {}
    for stream in streams:
        sizes[stream.first] = max(stream.num_frames, sizes.get(stream.first, 1))
    samples = {first: FrameSample(size, seed) for first, size in sizes.items()}
    for name, audio in recordings:
        done = 0
        for part in recording_frames(upstream, audio, DEFAULT_WINDOWING, device):
            frames = part.cpu().numpy()
            for first, sample in samples.items():
                sample.add(name, frames[:, first : first + upstream.layer_dim], done)
            done += len(part)
        if not done:
            logging.warning(f"{name} is left out: shorter than one frame")
    return {first: sample.take() for first, sample in samples.items()}


def join_streams(
    upstream: Upstream, streams: Sequence[Stream], parts: Sequence[Quantizer]
) -> Quantizer:
    """Make one quantizer of those of all streams; of a single stream it is its own."""
    if len(parts) == 1:
        return parts[0]
    return StreamQuantizer.of(parts, [s.first for s in streams], upstream.dim)
