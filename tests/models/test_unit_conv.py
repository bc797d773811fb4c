from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.models.unit_conv import FACTORS, UnitConv1d

LENGTHS = st.lists(st.integers(1, 20), min_size=1, max_size=5)


@given(LENGTHS, st.sampled_from(FACTORS), st.integers(0, 9))
def test_unit_conv_output_is_that_of_each_utterance_alone(lengths, factor, more):
    layer = UnitConv1d(4, 6, factor)
    batch = torch.randn(len(lengths), max(lengths) + more, 4)
    out, out_lengths = layer(batch, torch.tensor(lengths))
    assert out.shape[1:] == (-(-batch.size(1) // factor), layer.output_size())
    for row, n, result, m in zip(batch, lengths, out, out_lengths.tolist()):
        assert m == -(-n // factor)
        alone, _ = layer(row[None, :n], torch.tensor([n]))
        torch.testing.assert_close(alone[0], result[:m])
        assert not result[m:].any()


def test_unit_conv_every_embedding_reaches_the_output():
    for factor in FACTORS:
        layer = UnitConv1d(4, 6, factor)
        torch.nn.init.ones_(layer.first.weight)
        torch.nn.init.ones_(layer.second.weight)
        embeddings = torch.rand(1, 11, 4, requires_grad=True)
        layer(embeddings, torch.tensor([11]))[0].sum().backward()
        assert (embeddings.grad.abs().sum(dim=2) > 0).all()


def test_unit_conv_another_factor_or_size_is_refused():
    with pytest.raises(DSUError, match="subsampling_factor is 4"):
        UnitConv1d(4, 6, 4)
    with pytest.raises(DSUError, match="embeddings of 5, .* set it to 5"):
        UnitConv1d(4, 6)(torch.zeros(1, 3, 5), torch.tensor([3]))
