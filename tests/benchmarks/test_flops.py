"""Counts of operations against those of torch on the real modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.flops import forward_flops
from benchmarks.kmeans import inertia
from benchmarks.models import CASES

transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("samples", [4000, 16000])
def test_forward_flops_whole_model_equals_torchs_count(samples: int) -> None:
    config = transformers.HubertConfig(**CASES["tiny"].conf)
    config._attn_implementation = "eager"
    model = transformers.HubertModel(config).eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(torch.randn(1, samples))
    counted = forward_flops(config, config.num_hidden_layers, [samples])
    assert sum(counted.values()) == counter.get_total_flops()


def test_forward_flops_some_layers_scale_with_layers() -> None:
    config = transformers.HubertConfig()
    three, six = (forward_flops(config, n, [16000, 32000]) for n in (3, 6))
    for part in ("attention", "feed-forward"):
        assert six[part] == 2 * three[part] > 0
    assert six["convolutions"] == three["convolutions"]


def test_inertia_equals_nearest_of_all_distances() -> None:
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((10000, 5)).astype(np.float32)
    centroids = rng.standard_normal((7, 5)).astype(np.float32)
    every = ((frames[:, None].astype(float) - centroids) ** 2).sum(axis=2)
    assert inertia(frames, centroids) == pytest.approx(every.min(axis=1).sum())
