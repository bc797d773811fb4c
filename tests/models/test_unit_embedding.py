import numpy as np
import pytest
import torch

from espnet_dsu.errors import DSUError
from espnet_dsu.models.unit_embedding import (
    FUSIONS,
    UnitEmbedding,
    centroid_rows,
)
from espnet_dsu.units.pieces import UnitPieces

SIZES = (7, 4)
INDICES = torch.tensor([[[0, 3], [6, 0], [2, 2]], [[5, 1], [0, 0], [6, 3]]])


def centroids(*sizes, dim=5):
    generator = torch.Generator().manual_seed(0)
    return [3 + 2 * torch.randn(k, dim, generator=generator) for k in sizes]


def test_one_stream_is_a_plain_table():
    embedding = UnitEmbedding((7,), 6)
    units = torch.tensor([[0, 6, 3]])
    assert torch.equal(embedding(units), embedding.weight[units])
    assert list(embedding.state_dict()) == ["weight"]


def test_sum_adds_the_rows_of_the_streams_own_tables():
    embedding = UnitEmbedding(SIZES, 6)
    first, second = embedding.tables()
    assert (len(first), len(second)) == SIZES
    expected = first[INDICES[..., 0]] + second[INDICES[..., 1]]
    assert torch.equal(embedding(INDICES), expected)


def test_concat_is_a_linear_layer_of_both_rows():
    embedding = UnitEmbedding(SIZES, 6, "concat")
    first, second = embedding.tables()
    rows = torch.cat([first[INDICES[..., 0]], second[INDICES[..., 1]]], dim=2)
    assert torch.allclose(embedding(INDICES), embedding.projections[0](rows))


def test_attention_is_a_mean_weighted_at_each_position():
    embedding = UnitEmbedding(SIZES, 6, "attention")
    tables = embedding.tables()
    for index in np.ndindex(2, 3):
        rows = torch.stack([t[u] for t, u in zip(tables, INDICES[index])])
        weights = embedding.scores(rows).softmax(dim=0)
        assert torch.allclose(embedding(INDICES)[index], (weights * rows).sum(dim=0))


def test_fusion_makes_no_difference_for_one_stream():
    shapes = [
        {name: w.shape for name, w in UnitEmbedding((7,), 6, f).state_dict().items()}
        for f in FUSIONS
    ]
    assert shapes[0] == shapes[1] == shapes[2]


@pytest.mark.parametrize("embed_dim", [5, 6])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_centroids_frozen_leave_the_rest_to_learn(fusion, embed_dim):
    rows = centroid_rows(centroids(*SIZES))
    embedding = UnitEmbedding(SIZES, embed_dim, fusion, rows, freeze=True)
    assert torch.equal(embedding.weight, rows)
    out = embedding(INDICES)
    assert out.shape == (2, 3, embed_dim)
    others = [p for n, p in embedding.named_parameters() if n != "weight"]
    # Where the sizes are equal and streams are summed there is nothing but the tables.
    assert bool(others) == (embed_dim != 5 or fusion != "sum")
    if others:
        out.square().sum().backward()
        assert all(p.grad is not None for p in others)
    assert embedding.weight.grad is None


def test_centroids_are_standardised_in_each_stream():
    first, second = centroid_rows(centroids(*SIZES)).split(SIZES)
    for rows in (first, second):
        assert torch.allclose(rows.mean(dim=0), torch.zeros(5), atol=1e-6)
        assert torch.allclose(rows.std(dim=0, correction=0), torch.ones(5))
    (table,) = centroids(9)
    rows = centroid_rows([table])
    # Affine in each dimension: the order of the units is kept.
    assert torch.equal(rows.argsort(dim=0), table.argsort(dim=0))


def test_constant_dimension_of_centroids_becomes_zero():
    (table,) = centroids(9)
    table[:, 2] = 4.0
    assert (centroid_rows([table])[:, 2] == 0).all()


def test_piece_is_the_mean_of_its_units():
    rng = np.random.default_rng(0)
    runs = [rng.integers(0, 6, 40).astype(np.int32) for _ in range(30)]
    pieces = UnitPieces.train(runs, 6, 20)
    (table,) = centroids(6)
    units = centroid_rows([table])
    rows = centroid_rows([table], pieces)
    assert len(rows) == len(pieces)
    assert not rows[0].any()  # <unk>
    sizes = set()
    for piece in range(1, len(pieces)):
        members = pieces.decode(np.array([piece]))
        sizes.add(len(members))
        assert torch.allclose(rows[piece], units[members].mean(dim=0), atol=1e-6)
    assert len(sizes) > 1


def test_streams_whose_centroids_differ_in_size_are_an_error():
    with pytest.raises(DSUError, match=r"\[5, 3\], expected the same"):
        centroid_rows([*centroids(4, dim=5), *centroids(4, dim=3)])


def test_unknown_fusion_is_an_error():
    with pytest.raises(DSUError, match="'mean', expected one of sum"):
        UnitEmbedding(SIZES, 6, "mean")


@pytest.mark.parametrize("fusion", FUSIONS)
def test_surrogate_gets_the_gradient_of_the_rows_and_changes_nothing(fusion):
    embedding = UnitEmbedding(SIZES, 6, fusion)
    surrogate = torch.randn(2, 3, 2, 6, requires_grad=True)
    out = embedding(INDICES, surrogate)
    assert torch.equal(out, embedding(INDICES))
    (out * torch.randn_like(out)).sum().backward()
    expected = torch.zeros_like(embedding.weight)
    at = (INDICES + embedding.offsets).flatten()
    expected.index_add_(0, at, surrogate.grad.flatten(0, 2))
    assert torch.allclose(embedding.weight.grad, expected, atol=1e-6)
    assert surrogate.grad.abs().sum() > 0


@pytest.mark.parametrize("init", ["xavier_uniform", "kaiming_normal", "chainer"])
def test_espnets_init_leaves_centroids(init):
    from espnet2.torch_utils.initialize import initialize

    rows = centroid_rows(centroids(*SIZES))
    embedding = UnitEmbedding(SIZES, 6, "concat", rows)
    initialize(embedding, init)
    assert torch.equal(embedding.weight, rows)
