"""Files of units: kaldiio ark/scp with a sidecar spec, written atomically.

A unit directory holds ``units.ark`` and ``units.scp`` (int32 frame units; several
streams lie interleaved, frame by frame), ``utt2num_frames`` and ``units.yaml``
(the :class:`UnitSpec`). ``units.scp`` is written last: where it is, all is there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import kaldiio
import numpy as np
import yaml

from espnet_dsu.errors import DSUError
from espnet_dsu.units.spec import UnitSpec


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` only when the block succeeds.

    The temporary file lies beside ``path``, so the rename stays in one file system.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as f:
            os.fsync(f.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def count_lines(path: str | Path) -> int:
    """Count the lines of a file, such as the utterances of an scp."""
    with open(path, "rb") as f:
        return sum(1 for _ in f)


def file_sha256(path: str | Path) -> str:
    """Hash the content of a file; hexadecimal SHA-256."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_units(
    directory: str | Path, items: Iterable[tuple[str, np.ndarray]], spec: UnitSpec
) -> int:
    """Write frame units of many utterances into a unit directory.

    Args:
        directory: made if missing; its unit files are replaced.
        items: pairs of utterance id and frame units, (T,) or (T, S).
        spec: the unit space; every utterance is checked against it.

    Returns:
        the number of utterances.
    """
    directory = Path(directory)
    ark = directory / "units.ark"
    # The old index goes first: it must never point into a new ark.
    (directory / "units.scp").unlink(missing_ok=True)
    scp_lines, frame_lines = [], []
    seen: set[str] = set()
    with atomic_path(ark) as temporary:
        with open(temporary, "wb") as f:
            for name, units in items:
                if name in seen:
                    raise DSUError(f"{directory}: utterance {name} comes twice")
                seen.add(name)
                spec.check_units(units, name)
                flat = np.ascontiguousarray(units, dtype=np.int32).reshape(-1)
                place = write_entry(f, ark, name, flat)
                scp_lines.append(f"{name} {place}\n")
                frame_lines.append(f"{name} {len(units)}\n")
    _write_text(directory / "units.yaml", yaml.safe_dump(spec.to_dict()))
    _write_text(directory / "utt2num_frames", "".join(frame_lines))
    _write_text(directory / "units.scp", "".join(scp_lines))
    return len(scp_lines)


def write_entry(f: IO[bytes], ark: Path, name: str, array: np.ndarray) -> str:
    """Append an array to an open ark, which will be ``ark``; return its place there.

    The place is what an scp says of it, ``<ark>:<offset>``.
    """
    offset = f.tell() + len(f"{name} ".encode())
    kaldiio.save_ark(f, {name: array})
    return f"{ark}:{offset}"


def read_entry(entry: str) -> np.ndarray:
    """Read an array that an scp names; entries that are commands are never run.

    Raises:
        DSUError: it is a command.
    """
    if entry.endswith("|") or entry.startswith("|"):
        raise DSUError(f"{entry!r} is a command, which is not run; write an ark")
    return kaldiio.load_mat(entry)


def read_spec(directory: str | Path) -> UnitSpec:
    """Read the spec of a unit directory.

    Raises:
        DSUError: if the directory holds no (readable) ``units.yaml``.
    """
    path = Path(directory) / "units.yaml"
    if not path.is_file():
        raise DSUError(
            f"{path} is missing, so nothing says which tokenizer made the units "
            f"beside it; expected a directory made by the tokenize command"
        )
    with open(path, encoding="utf-8") as f:
        return UnitSpec.from_dict(yaml.safe_load(f), source=str(path))


class UnitReader(Mapping[str, np.ndarray]):
    """Frame units by utterance id, read from ``units.scp`` when asked for.

    Each value is int32 (T,) or, with several streams, (T, S). Also the loader
    behind ESPnet's data type ``dsu_unit``: the integer type is kept.
    """

    def __init__(self, scp: str | Path) -> None:
        self.path = Path(scp)
        if not self.path.is_file():
            raise DSUError(
                f"{scp} is missing; expected the units.scp of a unit directory "
                "(run the tokenize command first)"
            )
        self.spec = read_spec(self.path.parent)
        self._entries = dict(self._parse())

    def _parse(self) -> Iterator[tuple[str, str]]:
        seen: set[str] = set()
        with open(self.path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                fields = line.split()
                # An entry that ends in a pipe would be run as a command by kaldiio.
                if len(fields) != 2 or not fields[1].rpartition(":")[2].isdigit():
                    raise DSUError(
                        f"{self.path}:{number}: {line.rstrip()!r} is not "
                        "'<utterance id> <ark>:<offset>'"
                    )
                if fields[0] in seen:
                    raise DSUError(f"{self.path}:{number}: {fields[0]} comes twice")
                seen.add(fields[0])
                yield fields[0], fields[1]

    def __getitem__(self, name: str) -> np.ndarray:
        units = kaldiio.load_mat(self._entries[name])
        if units.dtype != np.int32:
            raise DSUError(
                f"{name} in {self.path} is {units.dtype}, expected int32 units"
            )
        if self.spec.num_streams > 1:
            units = units.reshape(-1, self.spec.num_streams)
        self.spec.check_units(units, name)
        return units

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
