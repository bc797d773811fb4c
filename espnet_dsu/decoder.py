"""UnitDecoder: the vocoder of a bundle at work, units in, waveform out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from espnet_dsu.units.sequence import UnitSequence

if TYPE_CHECKING:
    from espnet_dsu.inference.units2speech import Units2Speech


class UnitDecoder:
    """Speaks units, if there is a vocoder in or beside the bundle.

    Attributes:
        directory: of the bundle that this was loaded from, or None.
    """

    directory: Path | None = None
    _device: torch.device
    _vocoder: Units2Speech | None = None

    @property
    def vocoder(self) -> Units2Speech:
        """The vocoder in the bundle (``vocoder/``) or beside it, loaded on first use.

        Raises:
            DSUError: there is none, or it is of another bundle.
        """
        if self._vocoder is None:
            # The one import that points up: of what may lie in the bundle.
            from espnet_dsu.inference.units2speech import Units2Speech

            self._vocoder = Units2Speech.of_bundle(self.directory, str(self._device))
        return self._vocoder

    def decode(
        self, units: UnitSequence | np.ndarray | Sequence[int], **options: Any
    ) -> tuple[np.ndarray, int]:
        """Speak units with the vocoder of the bundle.

        Args:
            units: of this tokenizer; a sequence, or integers (T,) or (T, S).
            options: who speaks and how; see
                :meth:`espnet_dsu.inference.units2speech.Units2Speech.__call__`.

        Returns:
            waveform (N,) float32, and its sampling rate in Hz.

        Raises:
            DSUError: there is no vocoder, or it cannot speak this.
        """
        return self.vocoder(units, **options), self.vocoder.fs
