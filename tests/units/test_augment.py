import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.units.augment import (
    UnitAugment,
    jitter_durations,
    nearest_units,
    substitute_units,
    warp_durations,
)
from espnet_dsu.units.sequence import collapse_units, expand_runs

K = 12
CENTROIDS = np.random.default_rng(0).standard_normal((K, 3))
NEAR = nearest_units(CENTROIDS, 3)


def rng(seed=0):
    return np.random.default_rng(seed)


durations = st.lists(st.integers(1, 9), min_size=1, max_size=40).map(
    lambda d: np.array(d, np.int32)
)
units = st.lists(st.integers(0, K - 1), min_size=1, max_size=60).map(
    lambda u: np.array(u, np.int32)
)


@settings(deadline=None)
@given(durations, st.floats(0.01, 5), st.integers(0, 99))
def test_jittered_durations_keep_their_number_and_some_time(runs, spread, seed):
    jittered = jitter_durations(runs, spread, rng(seed))
    assert len(jittered) == len(runs)
    assert jittered.dtype == runs.dtype
    assert jittered.min() >= 0 < jittered.sum()


def test_jittered_single_frame_is_never_dropped_alone():
    one = np.ones(1, np.int32)
    assert all(jitter_durations(one, 3.0, rng(s)).sum() >= 1 for s in range(200))


@pytest.mark.parametrize("spread", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("duration", [1, 2])
def test_jitter_drops_short_runs_as_often_as_documented(spread, duration):
    jittered = jitter_durations(np.full(100_000, duration, np.int32), spread, rng())
    # Dropped where duration * exp(spread * normal) < 1/2.
    expected = 0.5 * math.erfc(math.log(2 * duration) / spread / math.sqrt(2))
    assert (jittered == 0).mean() == pytest.approx(expected, abs=0.005)


def test_jitter_of_long_runs_is_log_normal():
    factors = jitter_durations(np.full(50_000, 10_000, np.int32), 0.4, rng()) / 10_000
    assert np.log(factors).mean() == pytest.approx(0.0, abs=0.01)
    assert np.log(factors).std() == pytest.approx(0.4, abs=0.01)


@settings(deadline=None)
@given(durations, st.floats(0.01, 0.99), st.integers(0, 99))
def test_warped_durations_keep_their_sum(runs, strength, seed):
    warped = warp_durations(runs, strength, rng(seed))
    assert len(warped) == len(runs)
    assert warped.min() >= 0
    assert warped.sum() == runs.sum()


def test_warp_changes_speed_by_no_more_than_its_strength():
    runs = np.full(50, 1000, np.int32)
    slowest = fastest = 1000
    for seed in range(300):
        warped = warp_durations(runs, 0.2, rng(seed))
        slowest, fastest = max(slowest, warped.max()), min(fastest, warped.min())
    assert 1190 < slowest <= 1201
    assert 799 <= fastest < 810


@settings(deadline=None)
@given(units, st.integers(0, 99))
def test_substituted_units_are_neighbours_of_whole_runs(sequence, seed):
    changed = substitute_units(sequence, NEAR, 1.0, rng(seed))
    assert changed.dtype == sequence.dtype
    runs, lengths = collapse_units(sequence)
    for unit, part in zip(runs, np.split(changed, np.cumsum(lengths)[:-1])):
        assert len(set(part)) == 1
        assert part[0] in NEAR[unit]


def test_substitution_happens_at_its_rate_and_takes_each_neighbour():
    sequence = np.tile(np.arange(K), 5000)
    changed = substitute_units(sequence, NEAR, 0.2, rng())
    assert (changed != sequence).mean() == pytest.approx(0.2, abs=0.01)
    drawn = changed[(sequence == 0) & (changed != 0)]
    shares = [(drawn == near).mean() for near in NEAR[0]]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.05)


def test_nearest_units_are_those_of_all_distances_in_order(monkeypatch):
    monkeypatch.setattr("espnet_dsu.units.augment._BLOCK_ROWS", 5)
    distances = np.linalg.norm(CENTROIDS[:, None] - CENTROIDS[None], axis=2)
    expected = np.argsort(distances, axis=1)[:, 1:5]
    assert np.array_equal(nearest_units(CENTROIDS, 4), expected)


def test_nearest_units_of_equal_centroids_leave_the_unit_itself_out():
    near = nearest_units(np.ones((4, 2)), 9)
    assert near.shape == (4, 3)
    assert all(unit not in row for unit, row in enumerate(near))


OPTIONS = st.fixed_dictionaries(
    {
        "duration_jitter": st.sampled_from([0.0, 0.5, 2.0]),
        "time_warp": st.sampled_from([0.0, 0.4]),
        "substitution": st.sampled_from([0.0, 0.3, 1.0]),
    }
)


@settings(deadline=None, max_examples=60)
@given(OPTIONS, units, st.integers(1, 3), st.integers(0, 99))
def test_augmented_units_are_never_empty_and_stay_in_the_vocabulary(
    options, sequence, streams, seed
):
    sizes = [K, K - 4, K - 7][:streams]
    stack = np.stack([sequence % size for size in sizes], axis=1)
    augment = UnitAugment(**options, centroids=[CENTROIDS[:n] for n in sizes])
    for values in (stack, sequence) if streams == 1 else (stack,):
        out = augment(values, rng(seed))
        assert out.dtype == values.dtype
        assert out.shape[1:] == values.shape[1:]
        assert len(out) > 0
        assert (out >= 0).all() and (out < (sizes if out.ndim == 2 else K)).all()
        assert np.array_equal(out, augment(values, rng(seed)))
        if not augment.is_on:
            assert np.array_equal(out, values)


@settings(deadline=None, max_examples=40)
@given(units, st.integers(0, 99))
def test_time_is_one_map_for_all_streams(sequence, seed):
    # The second stream tells which frame each one comes from.
    stack = np.stack([sequence, np.arange(len(sequence))], axis=1)
    augment = UnitAugment(duration_jitter=0.7, time_warp=0.3)
    out = augment(stack, rng(seed))
    assert np.array_equal(out[:, 0], sequence[out[:, 1]])
    assert (np.diff(out[:, 1]) >= 0).all()


def test_substitution_is_of_each_stream_for_itself():
    stack = np.stack([np.arange(600) % K, np.repeat(np.arange(200) % K, 3)], axis=1)
    out = UnitAugment(substitution=0.5, centroids=[CENTROIDS] * 2)(stack, rng())
    changed = out != stack
    assert 0.4 < changed[:, 0].mean() < 0.6
    # A run of the second stream changes as a whole, though the first cuts it.
    whole = changed[:, 1].reshape(-1, 3)
    assert (whole.all(axis=1) | ~whole.any(axis=1)).all()
    assert 0.1 < (changed[:, 0] & changed[:, 1]).mean() < 0.4


def test_what_a_model_on_runs_sees_of_jitter_is_that_runs_are_dropped():
    runs = np.arange(K)
    out = UnitAugment(duration_jitter=1.0)(expand_runs(runs, [1, 9] * 6), rng(3))
    seen = collapse_units(out)[0]
    assert set(seen) < set(runs)
    assert (np.diff(seen) > 0).all()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("duration_jitter", -0.1),
        ("time_warp", 1.0),
        ("substitution", 1.1),
        ("num_neighbours", 0),
    ],
)
def test_option_out_of_range_is_an_error_naming_it(option, value):
    with pytest.raises(DSUError, match=f"{option} is {value}"):
        UnitAugment(**{option: value}, centroids=[CENTROIDS])


def test_option_that_there_is_not_is_an_error_listing_those_there_are():
    with pytest.raises(DSUError, match="no option noise; it has duration_jitter"):
        UnitAugment.of({"noise": 1}, [CENTROIDS])


def test_substitution_without_centroids_is_an_error():
    with pytest.raises(DSUError, match="no centroids"):
        UnitAugment(substitution=0.1)
