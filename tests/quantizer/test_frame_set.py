"""Frames are read where they lie: every one once, and none copied."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer.frame_set import FrameSet, as_frames

CPU = torch.device("cpu")


def frame_set(n: int, dim: int = 3, seed: int = 0) -> FrameSet:
    generator = torch.Generator().manual_seed(seed)
    return FrameSet(torch.randn(n, dim, generator=generator), CPU)


def test_as_frames_one_array_is_not_copied():
    frames = np.zeros((4, 3), np.float32)
    for given_frames in (frames, [frames], torch.from_numpy(frames)):
        assert as_frames(given_frames, 3).data_ptr() == frames.ctypes.data


def test_as_frames_read_only_map_gives_no_warning(tmp_path, recwarn):
    np.save(tmp_path / "frames.npy", np.zeros((4, 3), np.float32))
    as_frames(np.load(tmp_path / "frames.npy", mmap_mode="r"), 3)
    assert len(recwarn) == 0


def test_as_frames_mixed_items_joins_in_order():
    parts = [np.ones((2, 3)), torch.zeros(1, 3, dtype=torch.float16), np.ones((0, 3))]
    joined = as_frames(iter(parts), 3)
    assert joined.dtype == torch.float32
    assert joined.sum(dim=1).tolist() == [3, 3, 0]


def test_as_frames_nothing_is_no_frames():
    assert as_frames([], 3).shape == (0, 3)


@pytest.mark.parametrize(
    "frames, message",
    [
        (np.ones(4), r"item 0 .* shape \(4,\), expected \(n, 3\)"),
        ([np.ones((4, 3)), np.ones((4, 2))], r"item 1 .* \(4, 2\), expected \(n, 3\)"),
    ],
)
def test_as_frames_wrong_shape_is_refused(frames, message):
    with pytest.raises(DSUError, match=message):
        as_frames(frames, 3)


@given(n=st.integers(0, 40), size=st.integers(1, 50), data=st.data())
def test_chunks_any_size_yield_each_frame_once_in_order(n, size, data):
    frames = frame_set(n)
    assert torch.equal(
        torch.cat([torch.empty(0, 3), *frames.chunks(size)]),
        frames.take(torch.arange(n)),
    )
    numbers = torch.tensor(
        sorted(data.draw(st.sets(st.integers(0, n)))), dtype=torch.long
    )
    numbers = numbers[numbers < n]
    parts = [torch.empty(0, 3), *frames.chunks(size, numbers)]
    assert all(len(part) <= size for part in parts)
    assert torch.equal(torch.cat(parts), frames.take(numbers))


@given(n=st.integers(1, 60), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_sample_is_different_frames_in_rising_order(n, share, seed):
    generator = torch.Generator().manual_seed(seed)
    numbers = frame_set(n).sample(round(share * n), generator)
    assert len(numbers) == round(share * n)
    assert (numbers.diff() > 0).all()
    assert ((numbers >= 0) & (numbers < n)).all()


@given(
    distances=st.lists(st.sampled_from([0.0, 1.0, 2.5, 9.0]), min_size=1, max_size=20),
    count=st.integers(1, 25),
)
def test_farthest_returns_the_greatest_distances_but_no_zeros(distances, count):
    values = torch.tensor(distances)
    numbers = frame_set(len(values)).farthest(values, count, None)
    wanted = [d for d in sorted(distances, reverse=True) if d > 0][:count]
    assert values[numbers].tolist() == wanted
    assert len(set(numbers.tolist())) == len(numbers)


def test_farthest_of_a_selection_returns_its_numbers():
    numbers = torch.tensor([2, 5, 7])
    found = frame_set(9).farthest(torch.tensor([1.0, 0.5, 3.0]), 2, numbers)
    assert found.tolist() == [7, 2]


def test_moments_of_far_off_frames_keep_their_digits():
    frames = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)) + 1000
    mean, variance = FrameSet(frames, CPU).moments()
    exact = frames.double()
    torch.testing.assert_close(mean.double(), exact.mean(dim=0), rtol=1e-6, atol=0)
    assert variance == pytest.approx(
        float(exact.var(dim=0, correction=0).mean()), rel=1e-6
    )
