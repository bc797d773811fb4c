"""The quantizer registry and what every fit refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer import (
    KMeans,
    build_quantizer,
    quantizer_class,
    register_quantizer,
)
from espnet_dsu.quantizer.base import collect_frames


def test_build_quantizer_known_name_passes_options():
    model = build_quantizer("kmeans", {"nclusters": 7, "dim": 3})
    assert isinstance(model, KMeans)
    assert (model.vocab_size, model.dim, model.num_streams) == (7, 3, 1)


def test_build_quantizer_unknown_option_names_it():
    with pytest.raises(DSUError, match="kmeans.*nunits"):
        build_quantizer("kmeans", {"nunits": 7, "dim": 3})


def test_quantizer_class_unknown_name_lists_the_known():
    with pytest.raises(DSUError, match="unknown quantizer 'kmean'.*kmeans"):
        quantizer_class("kmean")


def test_register_quantizer_same_class_twice_is_fine():
    assert register_quantizer(KMeans) is KMeans


def test_register_quantizer_taken_name_quotes_both():
    class Impostor(KMeans):
        pass

    with pytest.raises(DSUError, match=r"kmeans\.KMeans.*Impostor"):
        register_quantizer(Impostor)
    assert quantizer_class("kmeans") is KMeans


def test_collect_frames_mixed_items_joins_in_order():
    parts = [np.ones((2, 3)), torch.zeros(1, 3, dtype=torch.float16), np.ones((0, 3))]
    joined = collect_frames(iter(parts), 3)
    assert joined.dtype == torch.float32
    assert joined.sum(dim=1).tolist() == [3, 3, 0]


@pytest.mark.parametrize(
    "frames, message",
    [
        ([], "no training frames"),
        ([np.ones((0, 3))], "no training frames"),
        (np.ones((4, 3)), r"item 0 .* shape \(3,\), expected \(n, 3\)"),
        ([np.ones((4, 3)), np.ones((4, 2))], r"item 1 .* \(4, 2\), expected \(n, 3\)"),
        ([np.full((4, 3), np.nan)], "4 of 4 frames hold NaN"),
        ([np.array([[0, 0, 0], [0, np.inf, 0]])], "1 of 2 frames hold NaN"),
    ],
)
def test_collect_frames_bad_input_is_refused(frames, message):
    with pytest.raises(DSUError, match=message):
        collect_frames(frames, 3)
