"""The quantizer registry."""

from __future__ import annotations

import pytest

from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer import (
    KMeans,
    build_quantizer,
    quantizer_class,
    register_quantizer,
)


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
