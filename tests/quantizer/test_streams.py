"""Streams: several quantizers side by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer import KMeans, StreamQuantizer, quantizer_class


def blobs(count: int = 600, dim: int = 8, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middles = 5 * rng.standard_normal((10, dim))
    noise = rng.standard_normal((count, dim))
    return (middles[np.arange(count) % 10] + noise).astype(np.float32)


def conf_of(*parts: tuple[int, int, int]) -> list[dict]:
    """Describe k-means streams of (nclusters, first, dim)."""
    return [
        {"name": "kmeans", "conf": {"nclusters": k, "dim": dim}, "first": first}
        for k, first, dim in parts
    ]


@pytest.fixture(scope="module")
def trained() -> StreamQuantizer:
    model = StreamQuantizer(conf_of((5, 0, 3), (7, 3, 5), (4, 0, 8)), dim=8)
    reports = model.fit(blobs())
    assert [r.vocab_size for r in reports] == [5, 7, 4]
    return model


def test_streams_facts_are_those_of_their_parts(trained):
    assert trained.vocab_sizes == (5, 7, 4)
    assert (trained.num_streams, trained.vocab_size, trained.dim) == (3, 7, 8)
    shapes = [tuple(c.shape) for c in trained.stream_centroids()]
    assert shapes == [(5, 3), (7, 5), (4, 8)]


def test_fit_trains_each_part_as_if_it_saw_its_slice_alone(trained):
    frames = blobs()
    for (k, first, dim), found in zip(
        [(5, 0, 3), (7, 3, 5), (4, 0, 8)], trained.stream_centroids()
    ):
        alone = KMeans(k, dim)
        alone.fit(np.ascontiguousarray(frames[:, first : first + dim]))
        torch.testing.assert_close(found, alone.centroids, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(shape=st.lists(st.integers(1, 4), max_size=3))
def test_assign_is_what_each_part_assigns_to_its_slice(trained, shape):
    frames = torch.randn(*shape, 8, generator=torch.Generator().manual_seed(0))
    units = trained.assign(frames)
    assert units.shape == (*shape, 3) and units.dtype == torch.int64
    for stream, (part, at) in enumerate(
        zip(trained.parts, [slice(0, 3), slice(3, 8), slice(0, 8)])
    ):
        assert torch.equal(
            units[..., stream : stream + 1], part.assign(frames[..., at])
        )


def test_streams_read_back_from_safetensors_are_the_same(trained, tmp_path):
    save_file(trained.tensors(), tmp_path / "q.safetensors")
    config = trained.config()
    cls = quantizer_class(config["name"])
    again = cls.from_tensors(config["conf"], load_file(tmp_path / "q.safetensors"))
    assert isinstance(again, StreamQuantizer)
    assert again.config() == config and again.tensors().keys() == (
        {"0.centroids", "1.centroids", "2.centroids"}
    )
    frames = torch.from_numpy(blobs(50, seed=1))
    assert torch.equal(again.assign(frames), trained.assign(frames))


def test_streams_of_trained_parts_equal_the_parts(trained):
    parts = [trained.parts[0], trained.parts[1]]
    joined = StreamQuantizer.of(parts, [0, 3], 8)
    frames = torch.from_numpy(blobs(50, seed=2))
    assert torch.equal(joined.assign(frames), trained.assign(frames)[:, :2])


def test_assign_wrong_size_or_untrained_says_what_to_do(trained):
    with pytest.raises(DSUError, match=r"\(4, 7\), expected \(..., 8\)"):
        trained.assign(torch.zeros(4, 7))
    with pytest.raises(DSUError, match="not trained"):
        StreamQuantizer(conf_of((5, 0, 8)), dim=8).assign(torch.zeros(4, 8))


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ([], "expected one quantizer for each"),
        (conf_of((5, 0, 3), (5, 4, 5)), "stream 1 reads 4 to 9 of frames of size 8"),
        (conf_of((5, -1, 3)), "stream 0 reads -1 to 2"),
        ([{"name": "kmeans", "conf": {}}], "stream 0 is .*expected the keys"),
        ([{"name": "kmean", "conf": {}, "first": 0}], "unknown quantizer 'kmean'"),
    ],
)
def test_streams_impossible_are_refused(streams, message):
    with pytest.raises(DSUError, match=message):
        StreamQuantizer(streams, dim=8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("1.centroids"), r"tensors are \[\], expected \['centroids'\]"),
        (
            lambda t: t.update({"3.centroids": t["0.centroids"]}),
            "none of the 3 streams",
        ),
        (lambda t: t.update({"centroids": t["0.centroids"]}), "none of the 3 streams"),
        (lambda t: t.update({"0.centroids": t["1.centroids"]}), "different bundles"),
    ],
)
def test_from_tensors_of_another_file_is_refused(trained, change, message):
    tensors = trained.tensors()
    change(tensors)
    with pytest.raises(DSUError, match=message):
        StreamQuantizer.from_tensors(trained.config()["conf"], tensors)
