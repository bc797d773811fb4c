import pytest
import torch
from torch import nn

from espnet_dsu.upstream import onednn
from espnet_dsu.upstream.onednn import PackedLinear, PackedWeight

pytestmark = pytest.mark.skipif(
    not onednn.is_available(), reason="this torch has no packed products"
)


@pytest.mark.parametrize("shape", [(1, 6), (1000, 6), (3, 5, 6)])
@pytest.mark.parametrize("bias", [False, True])
@torch.inference_mode()
def test_packed_product_equals_the_plain_one(shape, bias):
    linear = nn.Linear(6, 9, bias=bias)
    x = torch.randn(shape)
    packed = PackedWeight(linear.weight, linear.bias)
    assert torch.allclose(packed(x), linear(x), atol=1e-6)


@torch.inference_mode()
def test_packed_product_of_overlapping_rows_equals_a_convolution():
    conv, x = nn.Conv1d(6, 9, 3, 2), torch.randn(1, 11, 6)
    stretches = x.unfold(1, 3, 2).transpose(2, 3).flatten(2)
    packed = PackedWeight(conv.weight.permute(0, 2, 1).flatten(1), conv.bias)
    expected = conv(x.transpose(1, 2)).transpose(1, 2)
    assert torch.allclose(packed(stretches), expected, atol=1e-6)


@torch.inference_mode()
def test_row_does_not_depend_on_the_rows_beside_it():
    packed = PackedWeight(torch.randn(70, 60), None)
    x = torch.randn(400, 60)
    assert torch.allclose(packed(x)[:7], packed(x[:7]), atol=1e-5)


def test_while_gradients_are_recorded_the_layer_itself_runs():
    linear = nn.Linear(4, 4)
    PackedLinear.replace_in(linear)
    linear(torch.randn(2, 4)).sum().backward()
    assert linear.weight.grad is not None
    assert list(linear.state_dict()) == ["weight", "bias"]


@torch.inference_mode()
def test_other_precision_is_left_to_the_layer():
    linear = nn.Linear(4, 4).requires_grad_(False)
    PackedLinear.replace_in(linear)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(torch.randn(2, 4)).dtype == torch.bfloat16
    assert linear.double()(torch.randn(2, 4).double()).dtype == torch.float64


def test_subclasses_whose_weight_is_read_by_their_owner_are_left():
    attention = nn.MultiheadAttention(4, 2)
    PackedLinear.replace_in(attention)
    assert not isinstance(attention.out_proj.forward, PackedLinear)
