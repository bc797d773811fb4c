import multiprocessing

import numpy as np
import pytest

from espnet_dsu.errors import DSUError
from espnet_dsu.units.augment import UnitAugment
from espnet_dsu.units.pieces import UnitPieces
from espnet_dsu.units.sequence import collapse_units
from espnet_dsu.units.spec import UnitSpec
from espnet_dsu.units.splitter import UnitSplitter

K = 8
SPEC = UnitSpec("mfcc_km8", (K,), 160, 16000, "0" * 16)
TWO = UnitSpec("mfcc_km8+5", (K, 5), 160, 16000, "1" * 16)
RNG = np.random.default_rng(0)
FRAMES = np.repeat(RNG.integers(0, K, 60), 3).astype(np.int32)
CENTROIDS = RNG.standard_normal((K, 2))
STRONG = {"duration_jitter": 1.0, "time_warp": 0.5, "substitution": 0.5}


@pytest.fixture(scope="module")
def pieces():
    runs = [collapse_units(np.roll(FRAMES, 3 * i))[0] for i in range(20)]
    return UnitPieces.train(runs, K, 20)


def augment():
    return UnitAugment(**STRONG, centroids=[CENTROIDS])


def test_units_become_runs():
    assert np.array_equal(UnitSplitter(SPEC)(FRAMES), collapse_units(FRAMES)[0])
    assert np.array_equal(UnitSplitter(SPEC, collapse=False)(FRAMES), FRAMES)


def test_runs_of_several_streams_end_where_any_changes():
    units = np.array([[0, 1], [0, 1], [0, 2], [3, 2]])
    assert UnitSplitter(TWO)(units).tolist() == [[0, 1], [0, 2], [3, 2]]


def test_pieces_lie_above_the_units_and_decode_to_the_runs(pieces):
    out = UnitSplitter(SPEC, pieces)(FRAMES)
    assert out.min() >= K
    assert np.array_equal(pieces.decode(out - K), collapse_units(FRAMES)[0])


@pytest.mark.parametrize(
    ("with_pieces", "collapse"), [(False, False), (False, True), (True, True)]
)
def test_splitting_twice_changes_nothing_more(pieces, with_pieces, collapse):
    splitter = UnitSplitter(SPEC, pieces if with_pieces else None, collapse)
    once = splitter(FRAMES)
    assert np.array_equal(splitter(once), once)


@pytest.mark.parametrize("with_pieces", [False, True])
def test_nothing_is_random_out_of_training(pieces, with_pieces):
    given = pieces if with_pieces else None
    splitter = UnitSplitter(SPEC, given, augment=augment(), enable_sampling=True)
    plain = UnitSplitter(SPEC, given)(FRAMES)
    assert all(np.array_equal(splitter(FRAMES), plain) for _ in range(10))
    assert len({tuple(splitter(FRAMES, train=True)) for _ in range(10)}) > 5


def test_augmented_runs_have_no_equal_neighbours():
    splitter = UnitSplitter(SPEC, augment=augment())
    for _ in range(20):
        assert (np.diff(splitter(FRAMES, train=True)) != 0).all()


def test_augmented_frames_keep_durations_where_repeats_stay():
    splitter = UnitSplitter(SPEC, collapse=False, augment=augment())
    out = splitter(FRAMES, train=True)
    assert len(collapse_units(out)[0]) < len(out)


def test_sampled_pieces_are_of_the_augmented_units(pieces):
    splitter = UnitSplitter(SPEC, pieces, augment=augment(), enable_sampling=True)
    np.random.seed(7)
    out = splitter(FRAMES, train=True)
    assert out.min() >= K
    assert not np.array_equal(pieces.decode(out - K), collapse_units(FRAMES)[0])


def draw(model, seed):
    np.random.seed(seed)
    given = None if model is None else UnitPieces(model)
    splitter = UnitSplitter(SPEC, given, True, augment(), True)
    return [splitter(FRAMES, train=True).tolist() for _ in range(3)]


def test_numpys_seed_decides():
    assert draw(None, 1) == draw(None, 1)
    assert draw(None, 1) != draw(None, 2)


def test_numpys_seed_decides_for_pieces_in_a_process_that_begins(pieces):
    # As a worker does; sentencepiece takes no second seed.
    context = multiprocessing.get_context("spawn")
    drawn = []
    for seed in (1, 1, 2):
        with context.Pool(1) as pool:
            drawn.append(pool.apply(draw, (pieces.model, seed)))
    assert drawn[0] == drawn[1] != drawn[2]


def test_another_process_draws_anew(monkeypatch):
    splitter = UnitSplitter(SPEC, augment=augment())
    np.random.seed(1)
    first = splitter(FRAMES, train=True).tolist()
    monkeypatch.setattr("os.getpid", lambda: -1)
    np.random.seed(1)
    assert splitter(FRAMES, train=True).tolist() == first


def test_only_collapses_says_whether_a_batch_can_be_collapsed_at_once(pieces):
    varied = UnitSplitter(SPEC, augment=augment())
    assert varied.only_collapses(train=False) and not varied.only_collapses(train=True)
    off = UnitAugment(centroids=[CENTROIDS])
    assert UnitSplitter(SPEC, augment=off).only_collapses(train=True)
    assert not UnitSplitter(SPEC, pieces).only_collapses(train=False)


def test_pieces_of_several_streams_or_of_frames_are_refused(pieces):
    with pytest.raises(DSUError, match="2 unit streams, and unit pieces"):
        UnitSplitter(TWO, pieces)
    with pytest.raises(DSUError, match="collapse: true"):
        UnitSplitter(SPEC, pieces, collapse=False)
