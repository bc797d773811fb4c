"""The ``discrete_unit`` preprocessor: unit pieces, sampled in the data loader."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import sentencepiece
from espnet2.train.preprocessor import CommonPreprocessor

from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.sequence import collapse_units


class UnitPreprocessor(CommonPreprocessor):
    """ESPnet's preprocessor that also collapses cached units and splits them in pieces.

    Waveforms and text pass as in ESPnet's own. With ``enable_sampling`` the split into
    pieces is drawn anew in every epoch of training (subword regularization, Kudo 2018,
    https://arxiv.org/abs/1804.10959); validation and inference take the best split.
    """

    def __init__(
        self,
        train: bool,
        tokenizer: str | None = None,
        collapse: bool = True,
        enable_sampling: bool = False,
        alpha: float = 0.4,
        nbest_size: int = -1,
        **kwargs: Any,
    ) -> None:
        """Make the preprocessor.

        Args:
            train: whether for training; only then pieces are sampled.
            tokenizer: the bundle's ``config.yaml``; None is what the frontend has
                (filled in by :class:`espnet_dsu.tasks.asr.UnitASRTask`).
            collapse: collapse repeats, as the frontend does.
            enable_sampling: sample the split into unit pieces.
            alpha: smoothing of the sampling; smaller is more random.
            nbest_size: sample among so many best splits, -1 among all.
            kwargs: of ESPnet's ``CommonPreprocessor``.
        """
        super().__init__(train, **kwargs)
        self.pieces = None
        self.vocab_size = 0
        if tokenizer is not None:
            bundle = UnitTokenizer.from_pretrained(tokenizer)
            self.pieces, self.vocab_size = bundle.pieces, bundle.spec.vocab_size
        self.collapse = collapse
        self.sampling: dict[str, Any] = {}
        if train and enable_sampling:
            self.sampling = {"enable_sampling": True, "alpha": alpha}
            self.sampling["nbest_size"] = nbest_size
        self._seeded_process = 0

    def __call__(
        self, uid: str, data: dict[str, str | np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Process one utterance; units (T,) become unit runs or K + piece (L,)."""
        speech = data.get(self.speech_name)
        if isinstance(speech, np.ndarray) and np.issubdtype(speech.dtype, np.integer):
            # Taken out while ESPnet's own part, meant for samples, works on the rest.
            del data[self.speech_name]
            rest = super().__call__(uid, data)
            return {**rest, self.speech_name: self._split(speech)}
        return super().__call__(uid, data)

    def _split(self, units: np.ndarray) -> np.ndarray:
        # ESPnet's dataset for inference runs the preprocessor twice over such data.
        are_pieces = self.pieces is not None and units.min() >= self.vocab_size
        if not self.collapse or are_pieces:
            return units
        runs, _ = collapse_units(units)
        if self.pieces is None:
            return runs
        if self.sampling:
            self._seed_once()
        return self.pieces.encode(runs, **self.sampling) + self.vocab_size

    def _seed_once(self) -> None:
        """Draw sentencepiece's seed from numpy's, which ESPnet seeds per worker."""
        if self._seeded_process != os.getpid():
            self._seeded_process = os.getpid()
            seed = int(np.random.randint(2**31 - 1))
            sentencepiece.set_random_generator_seed(seed)
