"""Units of one shard on disk, and of all shards in the order of the corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

UNITS, LENGTHS = "units.npy", "utt2num_frames"


def write_shard_units(folder: Path, units: Mapping[str, np.ndarray]) -> None:
    """Write frame units (T,) or (T, S) of utterances, one after the other."""
    joined = np.concatenate(list(units.values())) if units else np.zeros(0)
    np.save(folder / UNITS, joined.astype(np.int32))
    lines = (f"{name} {len(array)}\n" for name, array in units.items())
    (folder / LENGTHS).write_text("".join(lines), "utf-8")


def read_shards_units(
    folders: Iterable[Path], names: Iterable[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the frame units of ``names``, in their order, where a shard has them.

    The shards' files are mapped, not read: memory does not grow with them.
    """
    places: dict[str, tuple[np.ndarray, int, int]] = {}
    for folder in folders:
        # Without a name is nothing to map, and an empty file cannot be.
        lines = (folder / LENGTHS).read_text("utf-8").splitlines()
        joined = np.asarray(np.load(folder / UNITS, mmap_mode="r")) if lines else None
        start = 0
        for line in lines:
            name, length = line.split(" ")
            assert joined is not None
            places[name] = (joined, start, start + int(length))
            start += int(length)
    for name in names:
        if name in places:
            joined, start, stop = places[name]
            yield name, joined[start:stop]
