"""In which precision frames are computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def compute_in(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Compute in float32 proper, or under autocast in half precision.

    Whatever the surroundings have set: TF32 is off, and autocast is off for float32.
    """
    backends: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    before = [backend.allow_tf32 for backend in backends]
    half = dtype != torch.float32
    try:
        for backend in backends:
            backend.allow_tf32 = False
        with torch.autocast(device.type, dtype=dtype if half else None, enabled=half):
            yield
    finally:
        for backend, value in zip(backends, before):
            backend.allow_tf32 = value
