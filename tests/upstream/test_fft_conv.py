import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from espnet_dsu.upstream.fft_conv import FFTConv


@settings(max_examples=25, deadline=None)
@given(
    frames=st.integers(1, 400),
    kernel=st.integers(64, 129),
    groups=st.sampled_from([1, 2, 6]),
    batch=st.integers(1, 2),
    bias=st.booleans(),
)
def test_fft_equals_direct_convolution(frames, kernel, groups, batch, bias):
    torch.manual_seed(0)
    conv = nn.Conv1d(12, 6, kernel, padding=kernel // 2, groups=groups, bias=bias)
    conv.requires_grad_(False)
    x = torch.randn(batch, 12, frames)
    with torch.no_grad():
        direct = conv(x)
        FFTConv.replace_in(nn.Sequential(conv))
        assert isinstance(conv.forward, FFTConv)
        assert torch.allclose(conv(x), direct, atol=1e-5)
        assert conv.forward.spectrum is not None


def test_while_gradients_are_recorded_the_convolution_itself_runs():
    conv = nn.Conv1d(2, 2, 64, padding=32)
    FFTConv.replace_in(conv)
    conv(torch.randn(1, 2, 100)).sum().backward()
    assert conv.weight.grad is not None


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv1d(2, 2, 5),
        nn.Conv1d(2, 2, 64, stride=2),
        nn.Conv1d(2, 2, 64, dilation=2),
        nn.Conv1d(2, 2, 64, padding=32, padding_mode="reflect"),
    ],
)
def test_convolutions_that_would_not_gain_or_not_agree_are_left(conv):
    FFTConv.replace_in(conv)
    assert not isinstance(conv.forward, FFTConv)


def test_parameters_keep_their_names():
    conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 4, 64), dim=2)
    names = list(conv.state_dict())
    FFTConv.replace_in(conv)
    assert list(conv.state_dict()) == names
