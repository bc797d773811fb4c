"""Floating-point operations of the forward pass, counted from the architecture.

A multiplication and an addition are two operations. Matrix products and convolutions
are counted; norms, activations and softmax, under 1 %, are not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PARTS = ("convolutions", "positions", "attention", "feed-forward", "rest")
Flops = dict[str, float]


def forward_flops(config: Any, num_layers: int, lengths: Iterable[int]) -> Flops:
    """Count the operations of one forward pass for each utterance alone.

    Args:
        config: of transformers, for HuBERT, wav2vec 2.0 or WavLM.
        num_layers: transformer layers that are computed.
        lengths: of the utterances, in samples; no padding is counted.

    Returns:
        operations by part of the model; ``rest`` is the projection of the features.
    """
    total = dict.fromkeys(PARTS, 0.0)
    for length in lengths:
        for part, flops in _of_one(config, num_layers, length).items():
            total[part] += flops
    return total


def _of_one(config: Any, num_layers: int, length: int) -> Flops:
    convolutions, channels = 0.0, 1
    for dim, kernel, stride in zip(
        config.conv_dim, config.conv_kernel, config.conv_stride
    ):
        length = max(0, (length - kernel) // stride + 1)
        convolutions += 2 * channels * dim * kernel * length
        channels = dim
    dim, inner = config.hidden_size, config.intermediate_size
    kernel, groups = (
        config.num_conv_pos_embeddings,
        config.num_conv_pos_embedding_groups,
    )
    # An even kernel computes one frame more, which is dropped.
    positions = 2 * dim * (dim // groups) * kernel * (length + 1 - kernel % 2)
    return {
        "convolutions": convolutions,
        "positions": positions,
        # Four projections; the scores; the weighted sum.
        "attention": num_layers * (8 * length * dim**2 + 4 * length**2 * dim),
        "feed-forward": num_layers * 4 * length * dim * inner,
        "rest": 2 * length * channels * dim,
    }
