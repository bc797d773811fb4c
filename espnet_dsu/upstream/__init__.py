"""Waveform to frames: one contract, one module per family of upstreams.

Importing this package loads neither transformers nor torchaudio; a family's library
is loaded when an upstream of that family is built.
"""

from espnet_dsu.upstream.base import Upstream
from espnet_dsu.upstream.registry import (
    UpstreamName,
    build_upstream,
    parse_upstream_name,
    register_upstream,
    upstream_tag,
)
from espnet_dsu.upstream.resampling import resample, resampled_length

__all__ = [
    "Upstream",
    "UpstreamName",
    "build_upstream",
    "parse_upstream_name",
    "register_upstream",
    "resample",
    "resampled_length",
    "upstream_tag",
]
