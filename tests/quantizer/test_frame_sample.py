import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu import DSUError
from espnet_dsu.quantizer.frame_sample import FrameSample, frame_keys, is_drawn

CORPORA = st.dictionaries(
    st.text(min_size=1, max_size=4), st.integers(0, 60), min_size=1, max_size=12
).filter(lambda lengths: sum(lengths.values()) > 0)


def corpus(lengths):
    """Give frames that tell where they are from: (utterance's index, frame's index)."""
    return {
        name: np.stack([np.full(t, float(i)), np.arange(t)], axis=1).astype(np.float32)
        for i, (name, t) in enumerate(lengths.items())
    }


def sample(items, capacity, seed=0):
    kept = FrameSample(capacity, seed)
    for name, frames in items:
        kept.add(name, frames)
    return kept.take()


def brute_force(frames, capacity, seed=0):
    """Sort all frames by their keys."""
    keys = np.concatenate([frame_keys(seed, n, len(f)) for n, f in frames.items()])
    return np.concatenate(list(frames.values()))[keys.argsort()[:capacity]]


@settings(max_examples=60, deadline=None)
@given(CORPORA, st.integers(1, 200), st.integers(0, 3), st.randoms())
def test_sample_any_order_equals_sorting_all_keys(lengths, capacity, seed, random):
    frames = corpus(lengths)
    items = list(frames.items())
    random.shuffle(items)
    expected = brute_force(frames, capacity, seed)
    assert np.array_equal(sample(items, capacity, seed), expected)


@settings(max_examples=30, deadline=None)
@given(CORPORA, st.integers(1, 100), st.randoms())
def test_sample_of_parts_joined_equals_sample_of_the_whole(lengths, capacity, random):
    """What is not in the sample of a part is not in that of the whole."""
    frames = corpus(lengths)
    parts = [{}, {}]
    for name, array in frames.items():
        random.choice(parts)[name] = array
    kept = {
        tuple(row)
        for part in parts
        if any(map(len, part.values()))
        for row in sample(part.items(), capacity).tolist()
    }
    assert {tuple(row) for row in sample(frames.items(), capacity).tolist()} <= kept


@settings(max_examples=30, deadline=None)
@given(CORPORA, st.integers(1, 100), st.integers(1, 100))
def test_smaller_sample_is_the_beginning_of_a_larger(lengths, one, other):
    frames = corpus(lengths)
    small, large = sorted([one, other])
    expected = sample(frames.items(), large)[:small]
    assert np.array_equal(sample(frames.items(), small), expected)


def test_sample_is_uniform_over_frames_and_utterances():
    frames = corpus({"long": 3000, **{f"short{i}": 30 for i in range(100)}})
    hits = np.zeros((2, 10))
    for seed in range(40):
        rows = sample(frames.items(), 300, seed)
        in_long = rows[rows[:, 0] == 0]
        hits[0] += np.histogram(in_long[:, 1], 10, (0, 3000))[0]
        hits[1] += np.histogram(rows[rows[:, 0] > 0][:, 0], 10, (1, 101))[0]
    expected = 40 * 300 / hits.size
    chi_square = ((hits - expected) ** 2 / expected).sum()
    # 19 degrees of freedom: exceeded once in 10,000 times; the seeds are fixed.
    assert chi_square < 50.8


def test_sample_another_seed_gives_other_frames():
    frames = corpus({"a": 500})
    one, two = (sample(frames.items(), 50, seed) for seed in (0, 1))
    assert not np.array_equal(one, two)


def test_keys_do_not_depend_on_the_number_of_frames():
    assert np.array_equal(frame_keys(0, "a", 100)[:10], frame_keys(0, "a", 10))
    assert not np.array_equal(frame_keys(0, "a", 10), frame_keys(0, "b", 10))


def test_keys_stay_as_they_are_between_versions():
    """A bundle's fingerprint depends on them."""
    keys = [0x717E6ED339402AFF, 0x8A1247626F77D5F6]
    assert frame_keys(0, "utt0", 2).tolist() == keys


def test_sample_holds_little_more_than_its_capacity():
    kept = FrameSample(100, 0)
    for index in range(50):
        kept.add(f"utt{index}", np.zeros((70, 3), np.float32))
        assert kept._frames.nbytes <= 1.25 * 100 * 3 * 4
    assert kept.num_seen == 3500
    assert kept.take().base is None


def test_sample_of_nothing_is_one_clear_error():
    with pytest.raises(DSUError, match="no audio was usable"):
        FrameSample(10, 0).take()
    with pytest.raises(DSUError, match="max_frames is 0"):
        FrameSample(0, 0)


def test_drawn_utterances_are_about_the_portion_and_nested():
    names = [f"utt{i}" for i in range(4000)]
    few, many = (
        {name for name in names if is_drawn(0, name, portion)} for portion in (0.1, 0.5)
    )
    assert few < many
    assert 330 < len(few) < 470
    assert all(is_drawn(0, name, 1.0) for name in names)


@pytest.mark.parametrize("portion", [0.0, -1.0, 1.5, float("nan")])
def test_portion_that_is_no_share_is_one_clear_error(portion):
    with pytest.raises(DSUError, match="expected a share"):
        is_drawn(0, "a", portion)
