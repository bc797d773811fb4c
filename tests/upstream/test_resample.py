"""Resampling: lengths and content."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream import resample, resampled_length

RATES = st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000])


@settings(deadline=None, max_examples=40)
@given(n=st.integers(0, 3000), orig=RATES, target=RATES)
def test_resample_gives_exactly_the_length_it_promises(n, orig, target):
    out = resample(torch.zeros(2, n), orig, target)
    assert out.shape == (2, resampled_length(n, orig, target))
    assert out.shape[-1] == math.ceil(Fraction(n * target, orig))


def test_resample_of_a_recording_beyond_float32_integers_keeps_its_length():
    n = 5592407  # 3 n is odd and beyond 2**24
    assert len(resample(torch.zeros(n), 16000, 48000)) == 3 * n


def test_resample_to_the_same_rate_returns_the_same_tensor():
    wav = torch.randn(3, 100)
    assert resample(wav, 16000, 16000) is wav


def test_resample_of_a_tone_keeps_its_frequency():
    tone = torch.sin(2 * math.pi * 440 * torch.arange(48000) / 48000)
    expected = torch.sin(2 * math.pi * 440 * torch.arange(16000) / 16000)
    inner = slice(100, -100)
    assert (resample(tone, 48000, 16000) - expected)[inner].abs().max() < 1e-3


@pytest.mark.parametrize("fs", [0, -8000, 16000.5])
def test_resample_from_an_impossible_rate_is_refused(fs):
    with pytest.raises(DSUError, match="positive whole number of Hz"):
        resample(torch.zeros(10), fs, 16000)
