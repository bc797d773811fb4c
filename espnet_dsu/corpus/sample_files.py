"""What shards keep of a corpus's frames, and the sample that is cut from it.

A shard's folder holds the keys of its frames, raw little-endian uint64, and for each
layer the frames themselves, raw little-endian float32, row by row in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import torch

_KEYS = "keys.u64"
# Frames that are read at a time.
_BLOCK = 4096

# A layer of the upstream; None for a family without layers.
Layer = int | None


def _layer_file(layer: Layer) -> str:
    return "frames.f32" if layer is None else f"layer{layer}.f32"


class SampleWriter:
    """Context manager that appends frames with small keys to the files of a folder.

    Args:
        folder: of the shard.
        layers: whose frames will come.
        limit: greatest key to keep.
    """

    def __init__(self, folder: Path, layers: Sequence[Layer], limit: int) -> None:
        self._limit = np.uint64(limit)
        names = [_KEYS, *map(_layer_file, layers)]
        with ExitStack() as opened:
            self._files = [
                opened.enter_context(open(folder / name, "wb")) for name in names
            ]
            self._opened = opened.pop_all()

    def write(self, keys: np.ndarray, layers: Sequence[torch.Tensor]) -> None:
        """Keep what is small of keys (T,), and of each layer's frames (T, D)."""
        rows = np.flatnonzero(keys <= self._limit)
        self._files[0].write(keys[rows].astype("<u8").tobytes())
        for file, frames in zip(self._files[1:], layers):
            kept = frames[torch.from_numpy(rows).to(frames.device)]
            file.write(kept.cpu().numpy().astype("<f4").tobytes())

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Take back what the block wrote if it raises."""
        before = [file.tell() for file in self._files]
        try:
            yield
        except BaseException:
            for file, size in zip(self._files, before):
                file.seek(size)
                file.truncate()
            raise

    def __enter__(self) -> SampleWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()


@dataclass(frozen=True)
class SampleFiles:
    """The frames that all shards kept; small and picklable.

    Attributes:
        folders: of the shards.
    """

    folders: tuple[Path, ...]

    @property
    def num_frames(self) -> int:
        """Count the frames in all folders."""
        return sum((folder / _KEYS).stat().st_size // 8 for folder in self.folders)

    def read(self, layer: Layer, dim: int, first: int, last: int) -> np.ndarray:
        """Read frames ``first`` to ``last`` - 1 of all, in the order of their keys.

        Args:
            layer: whose frames.
            dim: D, their size.
            first: the frame with the smallest key is 0.
            last: at most ``num_frames``.

        Returns:
            (last - first, D) float32; beside it, little memory is needed.
        """
        out = np.empty((last - first, dim), np.float32)
        places = self._ranks() - first
        done = 0
        for block in self._blocks(layer, dim):
            rows = places[done : done + len(block)]
            kept = (rows >= 0) & (rows < len(out))
            out[rows[kept]] = block[kept]
            done += len(block)
        return out

    def _blocks(self, layer: Layer, dim: int) -> Iterator[np.ndarray]:
        for folder in self.folders:
            with open(folder / _layer_file(layer), "rb") as file:
                while len(values := np.fromfile(file, "<f4", _BLOCK * dim)):
                    yield values.reshape(-1, dim)

    def _ranks(self) -> np.ndarray:
        """Return the place of each frame in the order of the keys."""
        keys = [np.fromfile(folder / _KEYS, "<u8") for folder in self.folders]
        order = np.concatenate(keys).argsort()
        ranks = np.empty_like(order)
        ranks[order] = np.arange(len(order))
        return ranks
