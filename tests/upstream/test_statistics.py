"""Statistics of an utterance: gathered in any blocks, whole or so far."""

from __future__ import annotations

from dataclasses import astuple, is_dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoints import name_of

from espnet_dsu.upstream import build_upstream

WAV = torch.randn(6000, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.05
CASES = ["mfcc", "hubert_group", "ta_wavlm_layer", "wav2vec2_bert"]


@pytest.fixture(scope="module")
def upstreams(checkpoint):
    return {
        case: build_upstream(
            "mfcc" if case == "mfcc" else name_of(checkpoint(case), case, 0)
        )
        for case in CASES
    }


def values(statistics):
    """Give all numbers in some statistics, (n,)."""
    parts = astuple(statistics) if is_dataclass(statistics) else statistics
    return torch.cat([torch.as_tensor(part).reshape(-1) for part in parts])


@pytest.mark.parametrize("case", CASES)
@settings(
    deadline=None,
    max_examples=15,
)
@given(sizes=st.lists(st.integers(0, 1000), min_size=1, max_size=6))
def test_statistics_so_far_are_those_of_the_prefix_however_it_is_cut(
    upstreams, case, sizes
):
    upstream, wav = upstreams[case], WAV[: sum(sizes)]
    heard, blocks = 0, list(wav.split(sizes))
    running = list(upstream.running_statistics(iter(blocks)))
    assert len(running) == len(blocks)
    for block, statistics in zip(blocks, running):
        heard += len(block)
        if upstream.num_frames(heard) > 0:
            expected = upstream.statistics([wav[:heard]])
            torch.testing.assert_close(
                values(statistics), values(expected), rtol=1e-6, atol=1e-9
            )
    if upstream.num_frames(len(wav)) > 0:
        found = values(upstream.statistics(iter(blocks)))
        torch.testing.assert_close(found, values(running[-1]), rtol=0, atol=0)


@pytest.mark.parametrize("case", CASES)
def test_frames_with_statistics_gathered_before_are_those_without(upstreams, case):
    upstream, lengths = upstreams[case], torch.tensor([len(WAV)])
    with torch.inference_mode():
        known = upstream.statistics(WAV.split(777))
        expected, _ = upstream.frames(WAV[None], lengths)
        found, _ = upstream.frames(WAV[None], lengths, [known])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("first, last", [(0, 1), (1, 3), (4, 9), (20, 28)])
def test_frame_window_holds_all_that_its_frames_are_made_from(upstreams, first, last):
    upstream = upstreams["mfcc"]
    start, stop = upstream.frame_window(first, last)
    known = upstream.statistics([WAV])
    whole, _ = upstream.frames(WAV[None], torch.tensor([len(WAV)]), [known])
    part, _ = upstream.frames(
        WAV[None, start:stop], torch.tensor([stop - start]), [known]
    )
    skip = first - start // upstream.frame_shift
    torch.testing.assert_close(part[0, skip:][: last - first], whole[0, first:last])


def test_mfcc_without_cmvn_has_no_statistics_and_reads_nothing():
    upstream = build_upstream("mfcc", {"cmvn": "none"})

    def never():
        yield pytest.fail("read")

    assert upstream.statistics(never()) is None
    assert list(upstream.running_statistics(WAV.split(1000))) == [None] * 6
