"""The ``discrete_unit`` frontend: units, cached or made on the fly, to embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import humanfriendly
import numpy as np
import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from torch.nn.utils.rnn import pad_sequence

from espnet_dsu.errors import DSUError
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.sequence import collapse_units

PAD = -1


class DiscreteUnitFrontend(AbsFrontend):
    """Embed discrete units; the input's type says what the input is.

    A float tensor holds waveforms (B, N); they are tokenized by the bundle. An integer
    tensor holds cached frame units (B, T), padded with -1. Integers from K up are unit
    pieces, piece p written as K + p, which a preprocessor split already (see
    :class:`espnet_dsu.preprocessor.UnitPreprocessor`).

    Both ways give the same output for the same utterance. The frozen upstream is no
    part of the checkpoint; what is, is the fingerprint of the bundle, so a checkpoint
    is refused beside any other bundle.
    """

    def __init__(
        self,
        tokenizer: str,
        embed_dim: int = 256,
        collapse: bool = True,
        dropout_rate: float = 0.0,
        fs: int | str | None = None,
    ) -> None:
        """Make the frontend.

        Args:
            tokenizer: the bundle's ``config.yaml``. Its unit pieces are used if it has
                any.
            embed_dim: size of an embedding.
            collapse: collapse repeats, so that one unit run gives one embedding.
            dropout_rate: of the embeddings.
            fs: sampling rate of waveform input, in Hz or like ``16k``; None is that of
                the bundle's upstream.
        """
        super().__init__()
        bundle = UnitTokenizer.from_pretrained(tokenizer)
        if bundle.spec.num_streams != 1:
            raise DSUError(
                f"{tokenizer} has {bundle.spec.num_streams} unit streams; the frontend "
                "embeds one"
            )
        if bundle.pieces is not None and not collapse:
            raise DSUError(
                f"{tokenizer} has unit pieces, which are pieces of unit runs; set "
                "collapse: true, or name the bundle without bpe.model"
            )
        # UnitTokenizer is no torch module: its frozen weights stay out of checkpoints.
        self.tokenizer = bundle
        self.spec = bundle.spec
        self.collapse = collapse
        fs = self.spec.sample_rate if fs is None else fs
        self.fs = humanfriendly.parse_size(fs) if isinstance(fs, str) else fs
        vocab_size = self.spec.vocab_size
        if bundle.pieces is not None:
            vocab_size = len(bundle.pieces)
        self.embedding = torch.nn.Embedding(vocab_size, embed_dim)
        self.dropout = torch.nn.Dropout(dropout_rate)
        # As bytes in floats: ESPnet's checkpoint averaging adds and divides every
        # tensor, which leaves small floats as they are, and would not leave integers.
        self.register_buffer("fingerprint", _as_bytes(self._identity()))

    def _identity(self) -> str:
        """Name the unit space and the pieces that the embeddings belong to."""
        pieces = self.tokenizer.pieces
        return self.spec.fingerprint + (pieces.fingerprint if pieces else "-" * 16)

    def output_size(self) -> int:
        """Size of an embedding."""
        return self.embedding.embedding_dim

    def forward(
        self, input: torch.Tensor, input_lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed a batch.

        Args:
            input: waveforms (B, N) float, or units (B, T) integer padded with -1.
            input_lengths: (B,) in samples or frames.

        Returns:
            embeddings (B, L, D), zero after each length, and lengths (B,).
        """
        indices = self._indices(input, input_lengths)
        lengths = torch.tensor([len(i) for i in indices], device=input.device)
        padded = pad_sequence(indices, batch_first=True, padding_value=PAD)
        embedded = self.dropout(self.embedding(padded.clamp(min=0)))
        return embedded.masked_fill((padded == PAD).unsqueeze(-1), 0.0), lengths

    def _indices(
        self, input: torch.Tensor, lengths: torch.Tensor
    ) -> list[torch.Tensor]:
        """Give the rows of the embedding table for each utterance, (L,)."""
        rows = [row[:n] for row, n in zip(input, lengths.tolist())]
        if input.is_floating_point():
            units = self.tokenizer.to(input.device).encode_tensors(rows, self.fs)
            # Made without autograd, which refuses such tensors; a clone is a plain one.
            return self._collapse([u.clone() for u in units])
        if input.dim() != 2:
            raise DSUError(f"units have shape {tuple(input.shape)}, expected (B, T)")
        return self._from_integers(rows)

    def _from_integers(self, rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        vocab_size = self.spec.vocab_size
        if any(len(row) == 0 for row in rows):
            raise DSUError("an utterance of the batch has no units; drop it")
        low, high = torch.stack(torch.aminmax(torch.cat(list(rows)))).tolist()
        if low >= vocab_size and high < vocab_size + self.embedding.num_embeddings:
            if self.tokenizer.pieces is not None:
                return [row - vocab_size for row in rows]
        if low < 0 or high >= vocab_size:
            raise DSUError(
                f"the batch holds units from {low} to {high}, expected 0.."
                f"{vocab_size - 1} of {self.spec.tag}; tokenize again with the bundle "
                "of this model"
            )
        return self._collapse(rows)

    def _collapse(self, rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        if not self.collapse:
            return list(rows)
        if self.tokenizer.pieces is None:
            # All rows at once: on a GPU each row of its own would be waited for.
            padded = pad_sequence(list(rows), batch_first=True, padding_value=PAD)
            keep = padded != PAD
            keep[:, 1:] &= padded[:, 1:] != padded[:, :-1]
            return list(padded[keep].split(keep.sum(dim=1).tolist()))
        return [
            torch.from_numpy(self.encode_pieces(row.cpu().numpy())).to(row.device)
            for row in rows
        ]

    def encode_pieces(self, units: np.ndarray) -> np.ndarray:
        """Split frame units (T,) into the best unit pieces (P,) int64."""
        assert self.tokenizer.pieces is not None
        return self.tokenizer.pieces.encode(collapse_units(units)[0]).astype(np.int64)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        """Refuse weights of another bundle, and missing ones.

        ESPnet loads with ``strict=False``, which would pass both in silence.
        """
        for name in ("fingerprint", "embedding.weight"):
            if prefix + name not in state_dict:
                raise DSUError(
                    f"the checkpoint lacks {prefix + name}: it is no checkpoint of a "
                    "discrete_unit frontend, or it is incomplete"
                )
        found = _as_text(state_dict[prefix + "fingerprint"])
        if found != self._identity():
            raise DSUError(
                f"the checkpoint was trained with the bundle {_spell(found)}, but the "
                f"config names {self.spec.tag}, {_spell(self._identity())}; use the "
                "tokenizer bundle that the model was trained with"
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def _as_bytes(text: str) -> torch.Tensor:
    return torch.tensor(list(text.encode()), dtype=torch.float32)


def _as_text(values: torch.Tensor) -> str:
    return bytes(round(v) for v in values.tolist()).decode(errors="replace")


def _spell(identity: str) -> str:
    text = f"fingerprint {identity[:16]}"
    pieces = identity[16:].strip("-")
    return f"{text} (unit pieces {pieces})" if pieces else text
