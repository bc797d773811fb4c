"""How many frames a quantizer is trained on: a number, and a memory, bound them."""

from __future__ import annotations

import re

from espnet_dsu.errors import DSUError

DEFAULT_MAX_FRAMES = 1_000_000
DEFAULT_MAX_MEMORY = "2GiB"

_UNITS = {"k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY_UNITS = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
# k-means' own memory beside the frames: what it has at any size, float64 copies of the
# centroids, and the unit, distance and key of every frame.
_FIXED_BYTES = 64 << 20
_BYTES_PER_CENTROID_VALUE = 120
_BYTES_PER_FRAME = 40


def parse_memory(text: str) -> int:
    """Return the bytes of ``2GiB``, ``1.5 GB`` or ``800MiB``.

    Raises:
        DSUError: no positive number with a unit.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]i?)b\s*", text.lower())
    size = float(match[1]) * {**_UNITS, **_BINARY_UNITS}[match[2]] if match else 0.0
    if size < 1:
        raise DSUError(
            f"max_memory is {text!r}, expected a number with a unit: KB, MB, GB, TB or "
            f"KiB, MiB, GiB, TiB, e.g. {DEFAULT_MAX_MEMORY}"
        )
    return int(size)


def frames_that_fit(max_memory: str, dim: int, nclusters: int) -> int:
    """Return how many frames of size ``dim`` can be trained on in ``max_memory``.

    The memory is that of the frames (4 D bytes each in float32, and 40 for what
    k-means notes of each) and of k-means beside them: 64 MiB and 120 K D bytes. The
    upstream's weights and the libraries come on top.

    Raises:
        DSUError: no memory that can be read, or too little for a frame per unit.
    """
    beside = _FIXED_BYTES + _BYTES_PER_CENTROID_VALUE * nclusters * dim
    per_frame = 4 * dim + _BYTES_PER_FRAME
    number = (parse_memory(max_memory) - beside) // per_frame
    if number < nclusters:
        least = -(-(beside + nclusters * per_frame) // (1 << 20))
        raise DSUError(
            f"max_memory is {max_memory}, which leaves no room for {nclusters} frames "
            f"of size {dim}, one per unit, beside k-means itself; give {least}MiB or "
            "more, or train fewer units"
        )
    return number


def sample_size(
    max_frames: int, max_memory: str, dim: int, nclusters: int
) -> tuple[int, str]:
    """Return the frames to train on at most, and the option that bounds them.

    Raises:
        DSUError: as :func:`frames_that_fit`; no frames allowed.
    """
    if max_frames < 1:
        raise DSUError(f"max_frames is {max_frames}, expected at least 1")
    fitting = frames_that_fit(max_memory, dim, nclusters)
    if fitting < max_frames:
        return fitting, f"max_memory {max_memory}"
    return max_frames, f"max_frames {max_frames}"
