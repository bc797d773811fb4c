"""Embeddings of units, or of unit pieces, in one stream or several."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch

from espnet_dsu.errors import DSUError
from espnet_dsu.units.pieces import UnitPieces

FUSIONS = ("sum", "concat", "attention")


class UnitEmbedding(torch.nn.Embedding):
    """A table of embeddings for each stream, whose rows at one position become one.

    The tables lie below each other in ``weight`` (K_1 + ... + K_S, D).

    Args:
        vocab_sizes: K of each stream.
        embed_dim: E, size of what comes out.
        fusion: what joins the streams: ``sum``; ``concat`` and a linear layer;
            ``attention``, a mean whose weights a small network finds at each position,
            as for the layers of an upstream in Mousavi et al. (2024),
            https://arxiv.org/abs/2406.10735. No matter with one stream.
        initial: rows to begin with (K_1 + ... + K_S, D), see :func:`centroid_rows`;
            where D is not E, a linear layer for each stream follows its table. None
            draws from a normal distribution, with D = E.
        freeze: leave the tables as they begin; linear layers and fusion learn.
    """

    _initial: torch.Tensor | None = None

    def __init__(
        self,
        vocab_sizes: Sequence[int],
        embed_dim: int,
        fusion: str = "sum",
        initial: torch.Tensor | None = None,
        freeze: bool = False,
    ) -> None:
        if fusion not in FUSIONS:
            raise DSUError(
                f"fusion is {fusion!r}, expected one of {', '.join(FUSIONS)}"
            )
        dim = embed_dim if initial is None else initial.shape[1]
        super().__init__(sum(vocab_sizes), dim)
        self.vocab_sizes, self.output_dim = tuple(vocab_sizes), embed_dim
        self._initial = initial
        self.reset_parameters()
        self.weight.requires_grad_(not freeze)
        self.offsets: torch.Tensor
        offsets = torch.tensor([0, *accumulate(vocab_sizes)][:-1])
        self.register_buffer("offsets", offsets, persistent=False)
        streams = len(vocab_sizes)
        self.joint = streams > 1 and fusion == "concat"
        linear = torch.nn.Linear
        self.projections = torch.nn.ModuleList()
        if self.joint:
            self.projections.append(linear(streams * dim, embed_dim))
        elif dim != embed_dim:
            self.projections.extend(linear(dim, embed_dim) for _ in vocab_sizes)
        self.scores: torch.nn.Module | None = None
        if streams > 1 and fusion == "attention":
            self.scores = torch.nn.Sequential(
                linear(embed_dim, embed_dim),
                torch.nn.ReLU(),
                linear(embed_dim, 1, bias=False),
            )

    def reset_parameters(self) -> None:
        """Set the tables to what they begin with."""
        super().reset_parameters()
        if self._initial is not None:
            with torch.no_grad():
                self.weight.copy_(self._initial)

    def espnet_initialization_fn(self) -> None:
        """Keep ESPnet's option ``init`` from the tables."""
        self.reset_parameters()

    def tables(self) -> list[torch.Tensor]:
        """Give the table (K, D) of each stream."""
        return list(self.weight.split(self.vocab_sizes))

    def forward(
        self,
        indices: torch.Tensor,
        surrogate: torch.Tensor | None = None,
        streams: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Embed units (B, L) of one stream, or (B, L, S), as (B, L, E).

        A surrogate (B, L, S, D) gets the gradient of the rows that were looked up, as
        if it were them (straight-through; Bengio et al., 2013,
        https://arxiv.org/abs/1308.3432); the output is the same without it.

        Where ``streams`` names some of the S, the others are left out: attention
        weighs those that are left, and a sum is scaled up to that of all.

        Raises:
            DSUError: ``concat`` with some of the streams only.
        """
        units = indices.reshape(*indices.shape[:2], len(self.vocab_sizes))
        rows = super().forward(units + self.offsets)
        if surrogate is not None:
            rows = rows + (surrogate - surrogate.detach()).to(rows.dtype)
        return self._fuse(rows, streams)

    def _fuse(self, rows: torch.Tensor, streams: Sequence[int] | None) -> torch.Tensor:
        if self.joint:
            if streams is not None and len(streams) < rows.shape[2]:
                raise DSUError(
                    f"streams {list(streams)} of {rows.shape[2]} are given, but "
                    "fusion: concat needs all; train with fusion: sum or attention"
                )
            return self.projections[0](rows.flatten(2))
        if self.projections:
            pairs = zip(self.projections, rows.unbind(dim=2))
            rows = torch.stack([layer(row) for layer, row in pairs], dim=2)
        if streams is not None:
            rows = rows[:, :, list(streams)]
        if self.scores is not None:
            rows = rows * self.scores(rows).softmax(dim=2)
        elif streams is not None:
            rows = rows * (len(self.vocab_sizes) / len(streams))
        return rows.sum(dim=2)


def centroid_rows(
    centroids: Sequence[torch.Tensor], pieces: UnitPieces | None = None
) -> torch.Tensor:
    """Make initial embeddings of the centroids (K, D) of each stream.

    Each dimension gets zero mean and unit variance over the units of a stream, as
    random embeddings have. A piece gets the mean of its units.

    Raises:
        DSUError: if the streams' centroids differ in size.
    """
    sizes = [c.shape[1] for c in centroids]
    if len(set(sizes)) != 1:
        raise DSUError(
            f"embedding_init is centroids, but those of the streams have the sizes "
            f"{sizes}, expected the same; set embedding_init: random"
        )
    rows = []
    for table in centroids:
        table = table.detach().cpu().double()
        deviation, mean = torch.std_mean(table, dim=0, correction=0)
        rows.append((table - mean) / deviation.clamp_min(1e-8))
    units = torch.cat(rows)
    if pieces is not None:
        none = units.new_zeros(1, units.shape[1])
        means = [units[m].mean(dim=0) if len(m) else none[0] for m in pieces.members()]
        units = torch.stack(means)
    return units.float()
