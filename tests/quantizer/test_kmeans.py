"""k-means against brute force and scikit-learn; repeatability; what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from sklearn.cluster import KMeans as SklearnKMeans

from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer import KMeans
from espnet_dsu.quantizer.nearest import chunk_rows, nearest


def blobs(n: int = 3000, dim: int = 8, centres: int = 40, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middle = 3 * rng.standard_normal((centres, dim))
    noise = rng.standard_normal((n, dim))
    return (middle[rng.integers(centres, size=n)] + noise).astype(np.float32)


def trained(nclusters: int = 20, **conf) -> KMeans:
    model = KMeans(nclusters, 8, **conf)
    model.fit([blobs()])
    return model


def squared_distances(frames: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    return torch.cdist(frames.double(), centroids.double()).square()


def test_lloyd_same_start_as_sklearn_has_same_inertia():
    data, start = blobs(), blobs(50, seed=1)
    model = KMeans(50, 8, algorithm="lloyd", tol=0)
    (report,) = model.fit([data[:1000], data[1000:]], start=torch.tensor(start))
    other = SklearnKMeans(50, init=start, n_init=1, tol=0).fit(data)
    assert report.inertia == pytest.approx(other.inertia_, rel=1e-5)


def test_lloyd_own_start_is_as_good_as_sklearns():
    data = blobs()
    mine = [
        KMeans(50, 8, algorithm="lloyd", seed=s).fit([data])[0].inertia
        for s in range(3)
    ]
    other = [
        SklearnKMeans(50, n_init=1, random_state=s).fit(data).inertia_ for s in range(3)
    ]
    assert np.mean(mine) <= 1.02 * np.mean(other)


def test_minibatch_is_as_good_as_lloyd():
    data, conf = blobs(9000), {"nclusters": 30, "dim": 8, "batch_size": 500}
    mean = {
        name: np.mean(
            [
                KMeans(algorithm=name, seed=s, **conf).fit(data)[0].inertia
                for s in range(3)
            ]
        )
        for name in ("lloyd", "minibatch")
    }
    assert mean["minibatch"] <= 1.01 * mean["lloyd"]


def test_minibatch_passes_say_what_they_saw():
    (report,) = KMeans(20, 8, batch_size=500).fit(blobs(5000))
    phases = [p.phase for p in report.passes]
    assert sorted(phases, key=["sample", "mini-batch", "lloyd"].index) == phases
    assert set(phases) == {"sample", "mini-batch", "lloyd"}
    frames = {p.phase: p.frames for p in report.passes}
    assert (frames["sample"], frames["lloyd"]) == (64 * 20, 5000)
    drawn = sum(p.frames for p in report.passes if p.phase == "mini-batch")
    assert drawn == 768 * 20


def test_minibatch_few_frames_is_lloyd():
    data = blobs(64 * 20)
    first, second = KMeans(20, 8), KMeans(20, 8, algorithm="lloyd")
    assert first.fit(data) == second.fit(data)
    assert torch.equal(first.centroids, second.centroids)


def test_plus_plus_start_beats_random_start_on_separate_blobs():
    rng = np.random.default_rng(0)
    data = 100.0 * rng.standard_normal((25, 1, 4)) + rng.standard_normal((25, 40, 4))
    frames = [data.reshape(-1, 4)]
    smart = KMeans(25, 4, max_iter=1).fit(frames)[0].inertia
    blind = KMeans(25, 4, max_iter=1, init="random").fit(frames)[0].inertia
    assert smart < 0.1 * blind


def test_plus_plus_start_in_many_dimensions_finds_separate_blobs():
    rng = np.random.default_rng(0)
    middle = 5.0 * rng.standard_normal((25, 1, 300))
    data = (middle + rng.standard_normal((25, 40, 300))).reshape(-1, 300)
    (report,) = KMeans(25, 300, max_iter=1).fit(data)
    assert report.inertia / report.num_frames < 1.05 * 300


def test_fit_report_inertia_is_that_of_the_stored_centroids():
    data = torch.tensor(blobs())
    model = KMeans(20, 8)
    (report,) = model.fit([data])
    best = squared_distances(data, model.centroids).min(dim=1).values
    assert report.inertia == pytest.approx(float(best.sum()), rel=1e-5)
    assert report.num_frames == len(data)


def test_lloyd_inertia_never_rises():
    (report,) = KMeans(20, 8, algorithm="lloyd", tol=0).fit([blobs()])
    curve = [p.inertia for p in report.passes]
    assert len(curve) > 3
    assert all(after <= before * (1 + 1e-6) for before, after in zip(curve, curve[1:]))


def test_lloyd_max_iter_is_the_number_of_updates():
    (report,) = KMeans(20, 8, algorithm="lloyd", max_iter=2, tol=0).fit([blobs()])
    assert len(report.passes) == 3


@pytest.mark.parametrize("algorithm", ["lloyd", "minibatch"])
@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_fit_seed_decides_every_bit(algorithm, init):
    conf = {"algorithm": algorithm, "init": init, "batch_size": 700, "max_iter": 3}
    first, again = trained(seed=3, **conf), trained(seed=3, **conf)
    assert torch.equal(first.centroids, again.centroids)
    assert not torch.equal(first.centroids, trained(seed=4, **conf).centroids)


def test_fit_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    trained()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("algorithm", ["lloyd", "minibatch"])
def test_fit_start_far_away_reseeds_empty_units(algorithm):
    start = torch.full((10, 8), 1e4)
    start[0] = 0
    model = KMeans(10, 8, algorithm=algorithm)
    (report,) = model.fit([blobs()], start=start)
    assert report.active_units == 10
    assert model.centroids.abs().max() < 100


def test_fit_reseed_off_keeps_the_empty_unit_and_stays_finite():
    start = torch.tensor(blobs(10, seed=1))
    start[3] = 1e4
    model = KMeans(10, 8, reseed_empty=False)
    assert model.fit([blobs()], start=start)[0].active_units == 9
    assert torch.equal(model.centroids[3], start[3])


@pytest.mark.parametrize("algorithm", ["lloyd", "minibatch"])
@pytest.mark.parametrize("distinct", [1, 3])
def test_fit_duplicated_frames_are_refused_as_collapsed(algorithm, distinct):
    data = np.repeat(blobs(distinct), 200, axis=0)
    model = KMeans(10, 8, algorithm=algorithm)
    with pytest.raises(DSUError, match="collapsed.*duplicated frames"):
        model.fit([data])


def test_fit_as_many_distinct_frames_as_units_finds_them_all():
    points = blobs(6)
    model = KMeans(6, 8)
    (report,) = model.fit([np.repeat(points, 50, axis=0)])
    assert report.inertia == pytest.approx(0, abs=1e-6)
    assert report.perplexity == pytest.approx(6)


@pytest.mark.parametrize("algorithm", ["lloyd", "minibatch"])
def test_fit_leaves_the_frames_as_they_are(algorithm):
    data = blobs()
    before = data.copy()
    KMeans(20, 8, algorithm=algorithm).fit(data)
    assert np.array_equal(data, before)


def test_fit_parts_arrays_and_memory_maps_give_the_same(tmp_path):
    data = blobs()
    np.save(tmp_path / "frames.npy", data)
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    models = [KMeans(20, 8) for _ in range(4)]
    for model, frames in zip(
        models, (data, torch.tensor(data), iter([data[:7], data[7:]]), mapped)
    ):
        model.fit(frames)
        assert torch.equal(model.centroids, models[0].centroids)


def test_fit_reseeding_in_the_sample_gives_every_unit_a_frame():
    start = torch.full((10, 8), 1e4)
    start[0] = 0
    (report,) = KMeans(10, 8).fit(blobs(), start=start)
    sample = [p for p in report.passes if p.phase == "sample"]
    assert (sample[0].empty_units, sample[-1].empty_units) == (9, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_fit_frames_that_are_not_finite_are_counted(bad):
    data = blobs()
    data[[5, 700, 2999], 3] = bad
    with pytest.raises(DSUError, match="3 of 3000 frames hold NaN"):
        KMeans(20, 8).fit(data)


def test_fit_more_units_than_frames_tells_both_numbers():
    with pytest.raises(DSUError, match="9 training frames for 10 units"):
        KMeans(10, 8).fit([blobs(9)])


def test_fit_refused_data_leaves_the_model_untrained():
    model = KMeans(10, 8)
    with pytest.raises(DSUError, match="collapsed"):
        model.fit([np.zeros((100, 8))])
    with pytest.raises(DSUError, match="not trained"):
        model.assign(torch.zeros(1, 8))


def test_fit_start_of_wrong_shape_is_refused():
    with pytest.raises(DSUError, match=r"start has shape \(9, 8\), expected \(10, 8\)"):
        KMeans(10, 8).fit([blobs()], start=torch.zeros(9, 8))


@pytest.mark.parametrize(
    "conf, message",
    [
        ({"nclusters": 1, "dim": 8}, "nclusters is 1, expected at least 2"),
        ({"nclusters": 8, "dim": 0}, "dim is 0"),
        ({"nclusters": 8, "dim": 8, "max_iter": 0}, "max_iter is 0"),
        ({"nclusters": 8, "dim": 8, "batch_size": 0}, "batch_size is 0"),
        ({"nclusters": 8, "dim": 8, "algorithm": "elkan"}, "'elkan', .*minibatch"),
        ({"nclusters": 8, "dim": 8, "init": "zeros"}, r"'zeros', .*k-means\+\+"),
    ],
)
def test_constructor_bad_option_is_refused(conf, message):
    with pytest.raises(DSUError, match=message):
        KMeans(**conf)


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 300),
    k=st.integers(2, 60),
    dim=st.integers(1, 30),
    offset=st.sampled_from([0.0, 50.0]),
    seed=st.integers(0, 10**6),
)
def test_nearest_any_shape_equals_brute_force(n, k, dim, offset, seed):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(n, dim, generator=generator) + offset
    centroids = torch.randn(k, dim, generator=generator) + offset
    exact = squared_distances(frames, centroids)
    got = exact[torch.arange(n), nearest(frames, centroids)]
    torch.testing.assert_close(got, exact.min(dim=1).values, rtol=1e-4, atol=1e-5)


def test_nearest_tie_goes_to_the_lowest_index():
    centroids = torch.tensor([[5.0], [1.0], [-1.0], [1.0]])
    assert nearest(torch.tensor([[0.0], [1.0]]), centroids).tolist() == [1, 1]


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("dim", [39, 128])
def test_nearest_few_rows_at_a_time_gives_the_same_units(size, dim):
    generator = torch.Generator().manual_seed(dim)
    frames = torch.randn(600, dim, generator=generator)
    centroids = torch.randn(100, dim, generator=generator).repeat(10, 1)
    # Ten in one place, closer than rounding: unpadded chunks choose otherwise.
    centroids[100:] += 1e-7 * torch.randn(900, dim, generator=generator)
    parts = [nearest(part, centroids) for part in frames.split(size)]
    assert torch.equal(torch.cat(parts), nearest(frames, centroids))


def test_chunk_rows_scores_stay_within_the_constant():
    for k in (2, 500, 2000, 16384):
        assert chunk_rows(k, torch.device("cpu")) * k * 4 <= 2**20
    assert chunk_rows(10**6, torch.device("cpu")) == 16


def test_assign_batched_frames_keeps_the_leading_shape():
    model, frames = trained(), torch.tensor(blobs(60)).reshape(3, 20, 8)
    units = model.assign(frames)
    assert (units.shape, units.dtype) == ((3, 20, 1), torch.int64)
    assert torch.equal(units[1], model.assign(frames[1]))
    assert model.assign(frames[:, :0]).shape == (3, 0, 1)
    assert model.assign(frames[0, 0]).shape == (1,)


def test_assign_under_autocast_gives_the_same_units():
    model, frames = trained(), torch.tensor(blobs(500, seed=2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = model.assign(frames)
    assert torch.equal(inside, model.assign(frames))


def test_assign_low_matmul_precision_is_overruled_and_restored(monkeypatch):
    model, seen, addmm = trained(), [], torch.addmm

    def spy(*args, **kwargs):
        seen.append(torch.get_float32_matmul_precision())
        return addmm(*args, **kwargs)

    monkeypatch.setattr(torch, "addmm", spy)
    torch.set_float32_matmul_precision("medium")
    try:
        model.assign(torch.tensor(blobs(5)))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["highest"]


@pytest.mark.parametrize(
    "frames, message",
    [
        (torch.zeros(4, 7), r"\(4, 7\), expected \(\.\.\., 8\)"),
        (torch.tensor(0.0), "expected"),
        (torch.full((4, 8), float("nan")), "4 of 4 frames hold NaN"),
    ],
)
def test_assign_bad_frames_are_refused(frames, message):
    with pytest.raises(DSUError, match=message):
        trained().assign(frames)


def test_tensors_through_safetensors_give_the_same_quantizer(tmp_path):
    model, frames = trained(seed=5), torch.tensor(blobs(100, seed=2))
    save_file(model.tensors(), tmp_path / "quantizer.safetensors")
    config = model.config()
    again = KMeans.from_tensors(
        config["conf"], load_file(tmp_path / "quantizer.safetensors")
    )
    assert again.config() == config == {"name": "kmeans", "conf": config["conf"]}
    assert torch.equal(again.assign(frames), model.assign(frames))


@pytest.mark.parametrize(
    "tensors, message",
    [
        ({}, r"tensors are \[\], expected \['centroids'\]"),
        ({"centroids": torch.zeros(4, 2), "x": torch.zeros(1)}, "another quantizer"),
        ({"centroids": torch.zeros(5, 2)}, r"\(5, 2\).*expected \(4, 2\)"),
        ({"centroids": torch.zeros(4, 2).half()}, "float16, expected"),
        ({"centroids": torch.full((4, 2), float("inf"))}, "4 of 4 frames hold NaN"),
    ],
)
def test_from_tensors_wrong_tensors_are_refused(tensors, message):
    with pytest.raises(DSUError, match=message):
        KMeans.from_tensors({"nclusters": 4, "dim": 2}, tensors)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("algorithm", ["lloyd", "minibatch"])
def test_fit_on_cuda_agrees_with_cpu(algorithm):
    data, start = blobs(), torch.tensor(blobs(20, seed=1))
    cpu = KMeans(20, 8, algorithm=algorithm)
    gpu = KMeans(20, 8, algorithm=algorithm).cuda()
    inertia = cpu.fit([data], start=start)[0].inertia
    assert gpu.fit([data], start=start)[0].inertia == pytest.approx(inertia, rel=0.01)
    units = gpu.assign(torch.tensor(data).cuda()).cpu()
    gpu.cpu()
    assert (units == gpu.assign(torch.tensor(data))).float().mean() > 0.999
