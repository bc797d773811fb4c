"""Unit pieces: sentencepiece over unit runs."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
import sentencepiece

from espnet_dsu.errors import DSUError
from espnet_dsu.units.text import text_to_units, units_to_text


class UnitPieces:
    """Split unit runs into pieces, as unigram or BPE subwords of their characters.

    Subword sampling follows Kudo (2018), https://arxiv.org/abs/1804.10959.
    """

    def __init__(self, model: bytes) -> None:
        """Load the bytes of a ``bpe.model`` that :meth:`train` made."""
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["model"])  # type: ignore[misc]

    @classmethod
    def train(
        cls,
        runs: Iterable[np.ndarray],
        vocab_size: int,
        nbpe: int,
        bpemode: str = "unigram",
    ) -> UnitPieces:
        """Train pieces on the unit runs of many utterances.

        Args:
            runs: unit runs (R,) of each utterance, repeats already collapsed.
            vocab_size: K; all K units become pieces, seen in ``runs`` or not.
            nbpe: number of pieces, all single units and ``<unk>`` included.
            bpemode: ``unigram`` or ``bpe``.

        Raises:
            DSUError: if ``nbpe`` leaves no room beside the K units.
        """
        if nbpe < vocab_size + 1:
            raise DSUError(
                f"nbpe {nbpe} is too small: each of the {vocab_size} units is a piece "
                f"and <unk> is one; give at least {vocab_size + 1}, or use the units "
                "themselves (--src_token_type unit)"
            )
        # Every unit once, alone: sentencepiece makes pieces of characters it has seen,
        # and a unit that the training set lacks must not become unknown later.
        alone = (np.asarray([unit]) for unit in range(vocab_size))
        sentences = (units_to_text(r) for r in chain(runs, alone) if len(r))
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=sentences,
                model_writer=model,
                model_type=bpemode,
                vocab_size=nbpe,
                character_coverage=1.0,
                normalization_rule_name="identity",
                add_dummy_prefix=False,
                remove_extra_whitespaces=False,
                split_by_unicode_script=False,
                hard_vocab_limit=False,
                # In bytes; utterances longer than this would be left out silently.
                max_sentence_length=2**30,
                unk_id=0,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise DSUError(
                f"sentencepiece could not train {nbpe} pieces: {error}"
            ) from error
        pieces = cls(model.getvalue())
        pieces.check_covers(vocab_size)
        return pieces

    @property
    def fingerprint(self) -> str:
        """Hash of the model; what a model trained on its pieces records."""
        return hashlib.sha256(self.model).hexdigest()[:16]

    def __len__(self) -> int:
        return self._processor.get_piece_size()

    def encode(
        self,
        runs: np.ndarray,
        enable_sampling: bool = False,
        alpha: float = 0.1,
        nbest_size: int = -1,
    ) -> np.ndarray:
        """Split unit runs (R,) into piece ids (P,) int32.

        With ``enable_sampling`` the split is drawn at random: ``alpha`` smooths the
        distribution (smaller is more random) over the ``nbest_size`` best splits (-1:
        over all).
        """
        text = units_to_text(runs)
        if enable_sampling:
            ids = self._processor.encode(
                text,
                out_type=int,
                enable_sampling=True,
                alpha=alpha,
                nbest_size=nbest_size,
            )
        else:
            ids = self._processor.encode(text, out_type=int)
        return np.asarray(ids, dtype=np.int32)

    def decode(self, pieces: np.ndarray) -> np.ndarray:
        """Give the unit runs (R,) of piece ids (P,) back."""
        return text_to_units(
            "".join(self._processor.id_to_piece(int(p)) for p in pieces)
        )

    def members(self) -> list[np.ndarray]:
        """List the units (n,) of each piece; ``<unk>`` has none."""
        ids = np.arange(len(self))
        unknown = self._processor.unk_id()
        return [self.decode(ids[i : i + 1]) if i != unknown else ids[:0] for i in ids]

    def check_covers(self, vocab_size: int) -> None:
        """Refuse a model in which some unit 0 .. K-1 is no piece."""
        unknown = self._processor.unk_id()
        missing = [
            unit
            for unit, character in enumerate(units_to_text(range(vocab_size)))
            if self._processor.piece_to_id(character) == unknown
        ]
        if missing:
            raise DSUError(
                f"{len(missing)} of {vocab_size} units have no piece (first: "
                f"{missing[:5]}); the pieces were trained for fewer units: train them "
                "again"
            )
