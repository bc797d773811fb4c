"""Frames to units: the quantizer contract, its registry, and k-means."""

from espnet_dsu.quantizer.base import (
    Quantizer,
    build_quantizer,
    quantizer_class,
    register_quantizer,
)
from espnet_dsu.quantizer.fit_report import FitReport, check_collapse
from espnet_dsu.quantizer.kmeans import KMeans

__all__ = [
    "FitReport",
    "KMeans",
    "Quantizer",
    "build_quantizer",
    "check_collapse",
    "quantizer_class",
    "register_quantizer",
]
