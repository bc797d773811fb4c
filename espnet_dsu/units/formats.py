"""Unit files of other toolkits: what one line of each looks like.

``cjk``       ESPnet's asr2, ``text.ts.<tag>``: ``utt 丁丁七``, unit u is U+4E00 + u
``ids``       ESPnet's ``text.km.<tag>``: ``utt 1 1 7``
``fairseq``   GSLM: ``file|1 1 7``
``km``        HuBERT training: ``1 1 7``; a manifest (``.tsv``) names the lines
``textless``  textlesslib: ``file<tab>1 7`` or ``1 7``; ``.durations`` beside ``.units``
``jsonl``     ``{"id": "utt", "units": [1, 7], "durations": [2, 1]}``
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from espnet_dsu.errors import DSUError

_FIRST_CHARACTER = 0x4E00
# Above U+9FFF the characters of ESPnet's recipe are no ideographs any more.
_NUM_CHARACTERS = 0x9FFF - _FIRST_CHARACTER + 1


@dataclass(frozen=True, eq=False)
class Record:
    """The units of one utterance, as a line holds them.

    Attributes:
        name: utterance id, or None where the format has none.
        units: (R,) or (R, S).
        durations: (R,) in frames, or None where nothing says them.
    """

    name: str | None
    units: np.ndarray
    durations: np.ndarray | None = None


class UnitFormat(ABC):
    """A line of text and the units of an utterance, both ways.

    Attributes:
        names: whether a line that is written names its utterance.
        streams: whether a line can hold several streams.
        durations_suffix: of the file of durations that the toolkit itself writes.
        durations_file: format of such a file; None where the line holds durations.
    """

    names: bool = True
    streams: bool = False
    durations_suffix: str | None = None

    @abstractmethod
    def parse(self, line: str) -> Record:
        """Read a line without its newline.

        Raises:
            DSUError: it is not of this format.
        """

    @abstractmethod
    def render(self, record: Record) -> str:
        """Write a line without its newline.

        Raises:
            DSUError: the format cannot hold the record.
        """

    @property
    def durations_file(self) -> UnitFormat | None:
        """Format of a file of durations: the lines of the units, whole numbers."""
        return None


def _split_kaldi(line: str) -> tuple[str | None, str]:
    name, *rest = line.split(maxsplit=1)
    return name, rest[0] if rest else ""


def _split_bar(line: str) -> tuple[str | None, str]:
    name, bar, units = line.rpartition("|")
    if not bar:
        raise DSUError("no '|', expected 'file|1 1 7'")
    return name, units


def _split_tab(line: str) -> tuple[str | None, str]:
    name, tab, units = line.rpartition("\t")
    return (name, units) if tab else (None, units)


def _split_nothing(line: str) -> tuple[str | None, str]:
    return None, line


def _read_numbers(text: str) -> np.ndarray:
    words = text.split()
    # One look at all of them together; 9 digits stay below 2**31.
    digits = "".join(words)
    if words and not (
        digits.isascii() and digits.isdigit() and len(max(words, key=len)) < 10
    ):
        bad = next(word for word in words if not re.fullmatch("[0-9]{1,9}", word))
        raise DSUError(f"{bad[:50]!r} is no unit, expected a whole number")
    return np.array(list(map(int, words)), dtype=np.int32)


def _write_numbers(units: np.ndarray) -> str:
    return " ".join(map(str, units.tolist()))


def _read_characters(text: str) -> np.ndarray:
    units = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.int64)
    units -= _FIRST_CHARACTER
    strange = (units < 0) | (units >= _NUM_CHARACTERS)
    if strange.any():
        character = text[int(strange.argmax())]
        raise DSUError(
            f"{character!r} (U+{ord(character):04X}) is not the character of a unit, "
            "expected U+4E00 to U+9FFF without spaces (units as numbers are 'ids')"
        )
    return units.astype(np.int32)


def _write_characters(units: np.ndarray) -> str:
    if units.max() >= _NUM_CHARACTERS:
        raise DSUError(
            f"unit {units.max()} has no character in ESPnet's asr2, which ends at "
            f"{_NUM_CHARACTERS - 1}; export 'ids'"
        )
    return (units + _FIRST_CHARACTER).astype("<u4").tobytes().decode("utf-32-le")


@dataclass(frozen=True)
class LineFormat(UnitFormat):
    """A name, a separator, and the units of one stream."""

    split: Callable[[str], tuple[str | None, str]]
    pattern: str
    read: Callable[[str], np.ndarray] = _read_numbers
    write: Callable[[np.ndarray], str] = _write_numbers
    names: bool = True
    durations_suffix: str | None = None

    def parse(self, line: str) -> Record:
        """Read a line; see :meth:`UnitFormat.parse`."""
        if not line.strip():
            raise DSUError("empty line, expected the units of an utterance")
        name, units = self.split(line)
        return Record(name, self.read(units))

    def render(self, record: Record) -> str:
        """Write a line; see :meth:`UnitFormat.render`."""
        return self.pattern.format(name=record.name, units=self.write(record.units))

    @property
    def durations_file(self) -> UnitFormat | None:
        """The same lines, with durations as whole numbers in place of units."""
        return replace(self, read=_read_numbers, write=_write_numbers)


class JsonLines(UnitFormat):
    """One JSON object a line; several streams are a list of units per frame."""

    streams = True

    def parse(self, line: str) -> Record:
        """Read a line; keys other than id, units and durations are not looked at."""
        try:
            values = json.loads(line)
        # The second is a ValueError of another kind: nested beyond the stack.
        except (ValueError, RecursionError) as error:
            raise DSUError(f"is no JSON: {error}") from None
        if not isinstance(values, dict) or not isinstance(values.get("id"), str):
            raise DSUError('expected {"id": "...", "units": [...]}')
        units = _whole_numbers("units", values.get("units"))
        durations = values.get("durations")
        if durations is not None:
            durations = _whole_numbers("durations", durations)
            if durations.ndim != 1:
                raise DSUError("durations are a list of lists, expected one list")
        return Record(values["id"], units, durations)

    def render(self, record: Record) -> str:
        """Write a line; durations only where the record has them."""
        values = {"id": record.name, "units": record.units.tolist()}
        if record.durations is not None:
            values["durations"] = record.durations.tolist()
        return json.dumps(values, ensure_ascii=False)


def _whole_numbers(key: str, values: object) -> np.ndarray:
    """Read a list of numbers, or of lists of equal length."""
    rows = values if isinstance(values, list) else []
    nested = bool(rows) and isinstance(rows[0], list)
    flat = [x for row in rows if isinstance(row, list) for x in row] if nested else rows
    whole = all(type(x) is int and 0 <= x < 2**31 for x in flat)
    lengths = {len(row) if isinstance(row, list) else None for row in rows}
    if not flat or not whole or (nested and len(lengths) != 1):
        raise DSUError(
            f"{key} are no list of whole numbers (or, for streams, of such lists of "
            "one length)"
        )
    return np.array(rows, dtype=np.int32)


FORMATS: dict[str, UnitFormat] = {
    "cjk": LineFormat(
        _split_kaldi, "{name} {units}", _read_characters, _write_characters
    ),
    "ids": LineFormat(_split_kaldi, "{name} {units}"),
    "fairseq": LineFormat(_split_bar, "{name}|{units}"),
    "km": LineFormat(_split_nothing, "{units}", names=False),
    "textless": LineFormat(
        _split_tab, "{name}\t{units}", durations_suffix=".durations"
    ),
    "jsonl": JsonLines(),
}
