"""Frames to units: the quantizer contract, its registry, k-means, and streams."""

from espnet_dsu.quantizer.base import (
    Quantizer,
    build_quantizer,
    quantizer_class,
    register_quantizer,
)
from espnet_dsu.quantizer.fit_report import FitReport, check_collapse
from espnet_dsu.quantizer.kmeans import KMeans
from espnet_dsu.quantizer.streams import StreamQuantizer

__all__ = [
    "FitReport",
    "KMeans",
    "Quantizer",
    "StreamQuantizer",
    "build_quantizer",
    "check_collapse",
    "quantizer_class",
    "register_quantizer",
]
