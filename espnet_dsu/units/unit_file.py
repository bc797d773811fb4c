"""A file of units in a format of another toolkit, with the files that belong to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import TextIO

from espnet_dsu.errors import DSUError
from espnet_dsu.units.files import atomic_path
from espnet_dsu.units.formats import FORMATS, Record, UnitFormat

# A record, and the file and line where it stands.
Placed = tuple[str, Record]


@contextmanager
def at(place: str) -> Iterator[None]:
    """Put ``place`` before the message of a DSUError."""
    try:
        yield
    except DSUError as error:
        raise DSUError(f"{place}: {error}") from None


@dataclass(frozen=True)
class UnitFile:
    """A file of units and what it takes to read or write it.

    Attributes:
        path: of the units.
        format: a key of ``FORMATS``.
        durations: file of durations: the lines of the units, with durations in their
            place. None: that of the format, if it has one.
        manifest: fairseq's ``.tsv``, which names the lines of a file without names.
    """

    path: str | Path
    format: str
    durations: str | Path | None = None
    manifest: str | Path | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise DSUError(f"format {self.format!r}: expected {', '.join(FORMATS)}")
        if self.durations is not None and self.form.durations_file is None:
            raise DSUError(
                f"lines of {self.format} hold durations; drop the file {self.durations}"
            )
        if self.durations_path is not None and self.durations_path == Path(self.path):
            raise DSUError(f"{self.path} cannot hold both units and durations")

    @property
    def form(self) -> UnitFormat:
        """What a line looks like."""
        return FORMATS[self.format]

    @property
    def durations_path(self) -> Path | None:
        """Where durations are or go, or None where the format has no place for them."""
        if self.durations is None and self.form.durations_suffix is not None:
            return Path(self.path).with_suffix(self.form.durations_suffix)
        return None if self.durations is None else Path(self.durations)

    def names(self) -> list[str]:
        """Return the utterances of the manifest, in its order.

        Raises:
            DSUError: there is no manifest.
        """
        if self.manifest is None:
            raise DSUError(
                f"{self.path} does not name its utterances; give the .tsv that does "
                "(--manifest)"
            )
        rows = [row for _, row in _lines(self.manifest)][1:]
        return [PurePosixPath(row.partition("\t")[0]).stem for row in rows]

    def read(self) -> Iterator[Placed]:
        """Yield place and record of every utterance; each has a name of its own.

        Raises:
            DSUError: naming file and line of what is not of the format.
        """
        records = _parse(self.path, self.form)
        if self.manifest is not None or not self.form.names:
            records = self._named(records)
        path, form = self.durations_path, self.form.durations_file
        if form and path and (self.durations or path.exists()):
            records = _with_durations(records, path, form)
        seen: set[str] = set()
        for place, record in records:
            with at(place):
                _check_name(record.name, seen)
            yield place, record

    def write(self, records: Iterable[Record]) -> None:
        """Write records, and their durations where there is a place for them.

        Raises:
            DSUError: naming the utterance that the format cannot hold.
        """
        path, form = self.durations_path, self.form.durations_file
        with ExitStack() as stack:
            units_file = stack.enter_context(_open(self.path))
            more = stack.enter_context(_open(path)) if path and form else None
            for record in records:
                with at(f"utterance {record.name}"):
                    units_file.write(self.form.render(record) + "\n")
                    if more and form and record.durations is not None:
                        durations = replace(record, units=record.durations)
                        more.write(form.render(durations) + "\n")

    def _named(self, records: Iterator[Placed]) -> Iterator[Placed]:
        for name, placed in zip_longest(self.names(), records):
            if name is None or placed is None:
                shorter = self.path if placed is None else self.manifest
                raise DSUError(
                    f"{shorter} ends first, expected as many utterances in {self.path} "
                    f"as in {self.manifest}"
                )
            place, record = placed
            if record.name is not None:
                raise DSUError(f"{place}: names its utterance; drop --manifest")
            yield place, replace(record, name=name)


def _with_durations(
    records: Iterator[Placed], path: Path, form: UnitFormat
) -> Iterator[Placed]:
    """Join records with the durations of another file, line by line."""
    for units, durations in zip_longest(records, _parse(path, form)):
        if units is None or durations is None:
            shorter = "the units have" if units is None else f"{path} has"
            raise DSUError(f"{shorter} fewer lines, expected durations of all units")
        (place, record), (durations_place, other) = units, durations
        if other.name not in (None, record.name):
            raise DSUError(
                f"{durations_place}: durations of {other.name!r}, expected those of "
                f"{record.name!r} as in {place}"
            )
        yield place, replace(record, durations=other.units)


def _parse(path: str | Path, form: UnitFormat) -> Iterator[Placed]:
    for place, line in _lines(path):
        with at(place):
            record = form.parse(line)
        yield place, record


def _lines(path: str | Path) -> Iterator[tuple[str, str]]:
    """Yield place and text of each line; only a newline ends a line."""
    try:
        with open(path, "rb") as f:
            for number, line in enumerate(f, start=1):
                place = f"{path}:{number}"
                yield place, line.rstrip(b"\r\n").decode("utf-8")
    except UnicodeDecodeError:
        raise DSUError(f"{place}: not UTF-8; convert with iconv") from None
    except OSError as error:
        raise DSUError(f"cannot read {path}: {error.strerror}") from None


@contextmanager
def _open(path: str | Path) -> Iterator[TextIO]:
    with atomic_path(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as f:
            yield f


def _check_name(name: str | None, seen: set[str]) -> None:
    if name is None:
        raise DSUError(
            "no name of the utterance; give the .tsv that names the lines (--manifest)"
        )
    # A space would end the id in every Kaldi file; so would what cannot be encoded.
    if not name or " " in name or not name.isprintable():
        raise DSUError(f"{name!r} is no utterance id, expected one word")
    if name in seen:
        raise DSUError(f"utterance {name} comes twice; give each a name of its own")
    seen.add(name)
