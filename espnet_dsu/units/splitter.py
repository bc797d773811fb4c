"""From the frame units of an utterance to what a model embeds."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import sentencepiece

from espnet_dsu.errors import DSUError
from espnet_dsu.units.augment import UnitAugment
from espnet_dsu.units.pieces import UnitPieces
from espnet_dsu.units.sequence import collapse_units
from espnet_dsu.units.spec import UnitSpec


class UnitSplitter:
    """Augment, collapse, split in pieces: the one way from frame units to a model.

    The preprocessor walks it for cached units, in the workers of the data loader, and
    the frontend for waveforms, so both give a model the same. Without pieces, a unit is
    its own index; piece p is written K + p, to be told from a unit. Chance comes from
    numpy's global generator, which ESPnet seeds in each worker and epoch.

    Args:
        spec: of the units.
        pieces: unit pieces, or None.
        collapse: collapse repeats, so that a unit run is one index.
        augment: varies the units in training.
        enable_sampling: draw the split in pieces at random in training (subword
            regularization, Kudo 2018, https://arxiv.org/abs/1804.10959).
        alpha: smoothing of that; smaller is more random.
        nbest_size: draw among so many best splits, -1 among all.

    Raises:
        DSUError: for pieces of what is no single stream of unit runs.
    """

    def __init__(
        self,
        spec: UnitSpec,
        pieces: UnitPieces | None = None,
        collapse: bool = True,
        augment: UnitAugment | None = None,
        enable_sampling: bool = False,
        alpha: float = 0.4,
        nbest_size: int = -1,
    ) -> None:
        if pieces is not None:
            spec.require_one_stream("unit pieces")
        if pieces is not None and not collapse:
            raise DSUError(
                f"the bundle of {spec.tag} has unit pieces, which are pieces of unit "
                "runs; set collapse: true, or name the bundle without bpe.model"
            )
        self.spec, self.pieces, self.collapse = spec, pieces, collapse
        self.augment = augment if augment is not None and augment.is_on else None
        self.sampling: dict[str, Any] = {}
        if enable_sampling and pieces is not None:
            self.sampling = {"enable_sampling": True, "alpha": alpha}
            self.sampling["nbest_size"] = nbest_size
        self._rng = np.random.default_rng()
        self._seeded_process = 0

    def only_collapses(self, train: bool) -> bool:
        """Whether there are no pieces and nothing is left to chance."""
        return self.pieces is None and not (train and self.augment)

    def __call__(self, units: np.ndarray, train: bool = False) -> np.ndarray:
        """Give the indices (L,) or (L, S) of frame units (T,) or (T, S).

        What was split in pieces already is given back as it is.
        """
        if self.pieces is not None and units.min() >= self.spec.vocab_size:
            return units
        if train and (self.augment or self.sampling):
            self._seed_once()
        if train and self.augment:
            units = self.augment(units, self._rng)
        if not self.collapse:
            return units
        runs, _ = collapse_units(units)
        if self.pieces is None:
            return runs
        pieces = self.pieces.encode(runs, **(self.sampling if train else {}))
        return pieces + self.spec.vocab_size

    def _seed_once(self) -> None:
        """Draw the seeds of this process from numpy's global generator."""
        if self._seeded_process != os.getpid():
            self._seeded_process = os.getpid()
            first, second = np.random.randint(2**31 - 1, size=2)
            sentencepiece.set_random_generator_seed(int(first))
            self._rng = np.random.default_rng(int(second))
