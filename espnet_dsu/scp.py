"""Kaldi-style tables, ``id value`` a line: ``wav.scp``, ``text``, ``utt2spk``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from espnet_dsu.errors import DSUError
from espnet_dsu.units.files import atomic_path

Table = dict[str, str]


def read_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, id, value or "") of a table; only a newline ends a line.

    Raises:
        DSUError: the file is missing or not UTF-8.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DSUError(f"{path}: not found; is the stage that makes it done?") from None
    lines = raw.removesuffix(b"\n").split(b"\n") if raw else []
    for number, line in enumerate(lines, start=1):
        try:
            fields = re.split(r"[ \t]+", line.decode().strip(" \t\r"), maxsplit=1)
        except UnicodeDecodeError:
            raise DSUError(f"{path}:{number}: not UTF-8; convert with iconv") from None
        yield number, fields[0], fields[1] if len(fields) > 1 else ""


def read_scp(path: str | Path, allow_empty: bool = False) -> Table:
    """Read a table as id -> rest of the line, in the order of the file.

    Args:
        path: ``wav.scp``, ``text``, ``utt2spk`` and the like.
        allow_empty: accept an id without a value (an utterance with no words).

    Raises:
        DSUError: the file is missing, a line has no id, no value or an id seen before,
            or is not UTF-8; the message names file and line.
    """
    path = Path(path)
    table: Table = {}
    for number, key, value in read_lines(path):
        if not key:
            raise DSUError(f"{path}:{number}: empty line; expected `id value`")
        if not value and not allow_empty:
            raise DSUError(f"{path}:{number}: {key!r} has no value")
        if key in table:
            raise DSUError(f"{path}:{number}: duplicate id {key!r}; keep one of them")
        table[key] = value
    return table


def write_scp(path: str | Path, table: Mapping[str, str]) -> None:
    """Write a table atomically, in the order of ``table``."""
    lines = (f"{key} {value}".rstrip(" ") + "\n" for key, value in table.items())
    with atomic_path(path) as temporary:
        temporary.write_text("".join(lines), "utf-8")


def write_tsv(path: str | Path, rows: Iterable[tuple[str, ...]]) -> None:
    """Write rows of tab-separated fields atomically; without rows, remove the file."""
    rows = list(rows)
    if not rows:
        Path(path).unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary:
        temporary.write_text("".join("\t".join(row) + "\n" for row in rows), "utf-8")
