"""The ``discrete_unit`` preprocessor: cached units to what the frontend embeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from espnet2.train.preprocessor import CommonPreprocessor

from espnet_dsu.errors import DSUError
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.splitter import UnitSplitter


class UnitPreprocessor(CommonPreprocessor):
    """ESPnet's preprocessor that also augments, collapses and splits cached units.

    Waveforms and text pass as in ESPnet's own; the frontend does with the units of
    waveforms what is done here with cached ones. Augmentation and sampling of pieces
    are drawn anew in every epoch of training; validation and inference leave them out.
    """

    def __init__(
        self,
        train: bool,
        tokenizer: str | None = None,
        collapse: bool = True,
        augment: dict[str, Any] | None = None,
        enable_sampling: bool = False,
        alpha: float = 0.4,
        nbest_size: int = -1,
        **kwargs: Any,
    ) -> None:
        """Make the preprocessor; the options of units are those of the frontend.

        :class:`espnet_dsu.tasks.asr.UnitASRTask` fills them in from there.

        Args:
            train: whether for training; only then anything is random.
            tokenizer: the bundle's ``config.yaml``; None leaves units as they are.
            collapse: collapse repeats, as the frontend does.
            augment: options of :class:`espnet_dsu.units.augment.UnitAugment`.
            enable_sampling: sample the split into unit pieces.
            alpha: smoothing of the sampling; smaller is more random.
            nbest_size: sample among so many best splits, -1 among all.
            kwargs: of ESPnet's ``CommonPreprocessor``.
        """
        super().__init__(train, **kwargs)
        self.splitter: UnitSplitter | None = None
        if tokenizer is not None:
            bundle = UnitTokenizer.from_pretrained(tokenizer)
            self.splitter = bundle.splitter(
                collapse,
                augment,
                enable_sampling=enable_sampling,
                alpha=alpha,
                nbest_size=nbest_size,
            )
        elif augment or enable_sampling:
            raise DSUError(
                "the preprocessor discrete_unit is to vary units, but has no bundle: "
                "give --preprocessor_conf tokenizer=<bundle>/config.yaml"
            )

    def __call__(
        self, uid: str, data: dict[str, str | np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Process one utterance; units (T,) become unit runs or K + piece (L,).

        ESPnet's dataset for inference does this twice, which changes nothing more.
        """
        speech = data.get(self.speech_name)
        if isinstance(speech, np.ndarray) and np.issubdtype(speech.dtype, np.integer):
            # Taken out while ESPnet's own part, meant for samples, works on the rest.
            del data[self.speech_name]
            rest = super().__call__(uid, data)
            units = self.splitter(speech, self.train) if self.splitter else speech
            return {**rest, self.speech_name: units}
        return super().__call__(uid, data)
