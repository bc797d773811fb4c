"""The ``discrete_unit`` frontend: units, cached or made on the fly, to embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import humanfriendly
import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from torch.nn.utils.rnn import pad_sequence

from espnet_dsu.errors import DSUError
from espnet_dsu.models.finetuned_upstream import FinetunedUpstream, collapse_runs
from espnet_dsu.models.identity import as_tensor, check_identity, identity_of
from espnet_dsu.models.unit_embedding import UnitEmbedding, centroid_rows
from espnet_dsu.tokenizer import UnitTokenizer

PAD = -1
_INITS = ("random", "centroids")


class DiscreteUnitFrontend(AbsFrontend):
    """Embed discrete units; the input's type says what the input is.

    A float tensor holds waveforms (B, N); they are tokenized by the bundle. An integer
    tensor holds cached units (B, T) or (B, T, S), padded with -1. Integers from K up
    are unit pieces, piece p written as K + p, which a preprocessor split already (see
    :class:`espnet_dsu.preprocessor.UnitPreprocessor`).

    Both ways give the same output for the same utterance. What is random in training,
    augmentation and the sampling of pieces, is done here with the units of waveforms;
    with cached ones the preprocessor has done it.

    A frozen upstream is no part of the checkpoint; what is, is the fingerprint of the
    bundle, so a checkpoint is refused beside any other bundle.
    """

    def __init__(
        self,
        tokenizer: str,
        embed_dim: int = 256,
        collapse: bool = True,
        dropout_rate: float = 0.0,
        fs: int | str | None = None,
        embedding_init: str = "random",
        freeze_embedding: bool = False,
        fusion: str = "sum",
        augment: dict[str, Any] | None = None,
        enable_sampling: bool = False,
        alpha: float = 0.4,
        nbest_size: int = -1,
        finetune_upstream: bool = False,
        temperature: float = 1.0,
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
            embedding_init: ``random``, or ``centroids``: the bundle's, standardised.
            freeze_embedding: leave the embeddings as they begin.
            fusion: of streams: ``sum``, ``concat`` or ``attention``; see
                :class:`espnet_dsu.models.unit_embedding.UnitEmbedding`.
            augment: in training; options of
                :class:`espnet_dsu.units.augment.UnitAugment`.
            enable_sampling, alpha, nbest_size: in training, of unit pieces; see
                :class:`espnet_dsu.units.splitter.UnitSplitter`.
            finetune_upstream: train the upstream as well; takes waveforms only.
            temperature: of the gradient to it; see
                :class:`espnet_dsu.models.finetuned_upstream.FinetunedUpstream`.
        """
        super().__init__()
        if embedding_init not in _INITS:
            raise DSUError(
                f"embedding_init is {embedding_init!r}, expected {' or '.join(_INITS)}"
            )
        # UnitTokenizer is no torch module: its frozen weights stay out of checkpoints.
        self.tokenizer = UnitTokenizer.from_pretrained(tokenizer)
        self.spec = self.tokenizer.spec
        self.splitter = self.tokenizer.splitter(
            collapse,
            augment,
            enable_sampling=enable_sampling,
            alpha=alpha,
            nbest_size=nbest_size,
        )
        fs = self.spec.sample_rate if fs is None else fs
        self.fs = humanfriendly.parse_size(fs) if isinstance(fs, str) else fs
        pieces, initial = self.tokenizer.pieces, None
        if embedding_init == "centroids":
            streams = self.tokenizer.quantizer.stream_centroids()
            initial = centroid_rows(streams, pieces)
        sizes = self.spec.vocab_sizes if pieces is None else (len(pieces),)
        self.embedding = UnitEmbedding(
            sizes, embed_dim, fusion, initial, freeze_embedding
        )
        self.dropout = torch.nn.Dropout(dropout_rate)
        self.finetuned: FinetunedUpstream | None = None
        if finetune_upstream:
            self._check_finetuning()
            self.finetuned = FinetunedUpstream(self.tokenizer, temperature)
        self._identity = identity_of(self.tokenizer, finetune_upstream)
        self.register_buffer("fingerprint", as_tensor(self._identity))

    def _check_finetuning(self) -> None:
        """Refuse what leaves no way from embeddings back to frames."""
        what = "finetune_upstream takes units as the upstream gives them, not"
        if self.splitter.pieces is not None:
            raise DSUError(f"{what} unit pieces; name the bundle without bpe.model")
        if self.splitter.augment is not None:
            raise DSUError(f"{what} augmented ones; leave augment out")

    def output_size(self) -> int:
        """Size of an embedding."""
        return self.embedding.output_dim

    def reload_pretrained_parameters(self) -> None:
        """Give a fine-tuned upstream its first weights back; ESPnet's ``init`` asks."""
        if self.finetuned is not None:
            self.finetuned.reload()

    def forward(
        self, input: torch.Tensor, input_lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed a batch.

        Args:
            input: waveforms (B, N) float, or units (B, T) or (B, T, S) integer, padded
                with -1.
            input_lengths: (B,) in samples or frames.

        Returns:
            embeddings (B, L, D), zero after each length, and lengths (B,).
        """
        rows = [row[:n] for row, n in zip(input, input_lengths.tolist())]
        surrogates = None
        if not input.is_floating_point():
            self._check_integers(input)
            indices = self._from_integers(rows)
        elif self.finetuned is not None and torch.is_grad_enabled():
            indices, found = self._learn(self.finetuned, rows)
            surrogates = pad_sequence(found, batch_first=True)
        else:
            made = self.tokenizer.to(input.device).encode_tensors(rows, self.fs)
            # Made without autograd, which refuses such tensors; a clone is a plain one.
            indices = self._split([u.clone() for u in made], self.training)
        lengths = torch.tensor([len(i) for i in indices], device=input.device)
        padded = pad_sequence(indices, batch_first=True)
        embedded = self.dropout(self.embedding(padded, surrogates))
        positions = torch.arange(padded.shape[1], device=input.device)
        padding = positions >= lengths.unsqueeze(1)
        return embedded.masked_fill(padding.unsqueeze(-1), 0.0), lengths

    def _check_integers(self, input: torch.Tensor) -> None:
        if self.finetuned is not None:
            raise DSUError(
                "the input holds units, but this model has an upstream of its own, "
                f"fine-tuned from the one of {self.spec.tag}, which makes other units; "
                "give waveforms (wav.scp,speech,sound)"
            )
        streams = self.spec.num_streams
        if input.shape[2:] != ((streams,) if streams > 1 else ()):
            expected = "(B, T)" if streams == 1 else f"(B, T, {streams})"
            raise DSUError(
                f"units have shape {tuple(input.shape)}, expected {expected} for "
                f"{self.spec.tag}"
            )

    def _from_integers(self, rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Give the rows of the embedding table for each utterance, (L,) or (L, S)."""
        if any(len(row) == 0 for row in rows):
            raise DSUError("an utterance of the batch has no units; drop it")
        sizes, pieces = self.spec.vocab_sizes, self.splitter.pieces
        units = torch.cat(list(rows)).reshape(-1, len(sizes))
        lows, highs = torch.stack(torch.aminmax(units, dim=0)).tolist()
        if pieces is not None and lows[0] >= sizes[0]:
            if highs[0] < sizes[0] + len(pieces):
                return [row - sizes[0] for row in rows]
        for low, high, size in zip(lows, highs, sizes):
            if low < 0 or high >= size:
                raise DSUError(
                    f"the batch holds units from {low} to {high}, expected 0.."
                    f"{size - 1} of {self.spec.tag}; tokenize again with the bundle "
                    "of this model"
                )
        return self._split(rows, train=False)

    def _split(self, rows: Sequence[torch.Tensor], train: bool) -> list[torch.Tensor]:
        if not self.splitter.only_collapses(train):
            first = 0 if self.splitter.pieces is None else self.spec.vocab_size
            made = (self.splitter(row.cpu().numpy(), train) for row in rows)
            return [torch.from_numpy(m).to(rows[0].device) - first for m in made]
        return _collapse(rows) if self.splitter.collapse else list(rows)

    def _learn(
        self, finetuned: FinetunedUpstream, rows: Sequence[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Give indices (L, S) and what passes their gradient on to the upstream."""
        pairs = finetuned(rows, self.fs, self.embedding.tables())
        if self.splitter.collapse:
            pairs = [collapse_runs(*pair) for pair in pairs]
        indices, surrogates = zip(*pairs)
        return list(indices), list(surrogates)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        """Refuse weights of another bundle, and missing ones.

        ESPnet loads with ``strict=False``, which would pass both in silence.
        """
        for name in ("fingerprint", *self.state_dict()):
            if prefix + name not in state_dict:
                raise DSUError(
                    f"the checkpoint lacks {prefix + name}: it is no checkpoint of a "
                    "discrete_unit frontend, or it is incomplete"
                )
            if name == "fingerprint":
                check_identity(state_dict[prefix + name], self._identity, self.spec)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _collapse(rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Collapse repeats of units (T,) or (T, S) of a batch.

    All rows at once: on a GPU each row of its own would be waited for.
    """
    padded = pad_sequence(list(rows), batch_first=True, padding_value=PAD)
    streams = padded.reshape(*padded.shape[:2], -1)
    keep = streams[..., 0] != PAD
    keep[:, 1:] &= (streams[:, 1:] != streams[:, :-1]).any(dim=2)
    return list(padded[keep].split(keep.sum(dim=1).tolist()))
