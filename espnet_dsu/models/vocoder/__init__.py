"""The unit vocoder: units, and who speaks them how, to a waveform."""

from espnet_dsu.models.vocoder.conditions import Conditions
from espnet_dsu.models.vocoder.unit_vocoder import UnitVocoder

__all__ = ["Conditions", "UnitVocoder"]
