import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from espnet_dsu.upstream import onednn
from espnet_dsu.upstream.packed_conv import PackedConv

pytestmark = pytest.mark.skipif(
    not onednn.is_available(), reason="this torch has no packed products"
)


@settings(max_examples=40, deadline=None)
@given(
    taps=st.sampled_from([(3, 2), (2, 2), (10, 5), (3, 1)]),
    length=st.integers(10, 40),
    rows=st.integers(1, 2),
    bias=st.booleans(),
    gelu=st.booleans(),
)
def test_packed_convolution_equals_the_plain_one(taps, length, rows, bias, gelu):
    torch.manual_seed(length)
    conv = nn.Conv1d(6, 9, *taps, bias=bias)
    x = torch.randn(rows, length, 6)
    with torch.inference_mode():
        expected = conv(x.transpose(1, 2)).transpose(1, 2)
        expected = nn.functional.gelu(expected) if gelu else expected
        assert torch.allclose(PackedConv(conv, gelu)(x), expected, atol=1e-5)
