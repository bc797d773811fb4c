"""Who speaks, and in which style: what holds for a whole utterance."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch

from espnet_dsu.errors import DSUError


@dataclass(frozen=True)
class Conditions:
    """What a vocoder is given beside the units of a batch.

    Attributes:
        sids: (B,) speaker ids.
        styles: (B,) style ids.
        spembs: (B, D) speaker embeddings.
        f0: (B, T) in Hz at the units' frame rate, 0 where unvoiced; None is predicted.
    """

    sids: torch.Tensor | None = None
    styles: torch.Tensor | None = None
    spembs: torch.Tensor | None = None
    f0: torch.Tensor | None = None

    @classmethod
    def of(cls, batch: dict[str, Any]) -> Conditions:
        """Take them from a batch of ESPnet's loader, whose ids are (B, 1)."""
        found = {f.name: batch.get(f.name) for f in fields(cls)}
        for name in ("sids", "styles"):
            if (ids := found[name]) is not None:
                found[name] = ids.reshape(-1)
        return cls(**found)

    def to(self, device: str | torch.device) -> Conditions:
        """Move to a device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return Conditions(
            **{k: v if v is None else v.to(device) for k, v in moved.items()}
        )


class ConditionEncoder(torch.nn.Module):
    """Join speaker and style to one vector for each utterance.

    Args:
        dim: D, size of the vector.
        num_speakers: size of the speaker table; 0 without.
        num_styles: size of the style table; 0 without.
        spk_embed_dim: size of external speaker embeddings; None without.
    """

    def __init__(
        self,
        dim: int,
        num_speakers: int = 0,
        num_styles: int = 0,
        spk_embed_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.spk_embed_dim = spk_embed_dim
        self.speakers = torch.nn.Embedding(num_speakers, dim) if num_speakers else None
        self.styles = torch.nn.Embedding(num_styles, dim) if num_styles else None
        self.projection = torch.nn.Linear(spk_embed_dim, dim) if spk_embed_dim else None

    def forward(self, given: Conditions) -> torch.Tensor | float:
        """Give (B, D); 0.0 where the vocoder has no such condition.

        Raises:
            DSUError: something that the vocoder was trained with is missing, or an id
                is unknown.
        """
        total: torch.Tensor | float = 0.0
        for name, ids, table in (
            ("sids", given.sids, self.speakers),
            ("styles", given.styles, self.styles),
        ):
            if table is not None:
                total = total + table(_known(name, ids, table.num_embeddings))
        if self.projection is not None:
            spembs = given.spembs
            if spembs is None or spembs.shape[-1] != self.spk_embed_dim:
                shape = None if spembs is None else tuple(spembs.shape)
                raise DSUError(
                    f"speaker embeddings (spembs) are {shape}, expected (B, "
                    f"{self.spk_embed_dim}) as the vocoder was trained with"
                )
            unit = torch.nn.functional.normalize(spembs.float(), dim=-1)
            total = total + self.projection(unit)
        return total


def _known(name: str, ids: torch.Tensor | None, size: int) -> torch.Tensor:
    if ids is None:
        raise DSUError(f"the vocoder was trained with {name}; give them")
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < size:
        raise DSUError(
            f"{name} are {ids.tolist()}, expected 0..{size - 1}, those of the training"
        )
    return ids
