"""Units as characters, so that sentencepiece can find pieces of them.

Unit u is one character: u itself decides which, so a larger vocabulary only adds
characters and never renames one. The first 20,992 units are the CJK block from
U+4E00 that ESPnet's asr2 uses as well; units above go on at U+20000.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from espnet_dsu.errors import DSUError

_FIRST, _FIRST_SIZE = 0x4E00, 0x9FFF - 0x4E00 + 1
_SECOND, _SECOND_SIZE = 0x20000, 0x2A6DF - 0x20000 + 1
MAX_UNITS = _FIRST_SIZE + _SECOND_SIZE


def units_to_text(units: Iterable[int]) -> str:
    """Write units (T,) as one character each."""
    return "".join(map(_character, units))


def text_to_units(text: str) -> np.ndarray:
    """Read what :func:`units_to_text` wrote; gives int32 (T,)."""
    return np.fromiter(map(_unit, text), dtype=np.int32, count=len(text))


def _character(unit: int) -> str:
    if not 0 <= unit < MAX_UNITS:
        raise DSUError(f"unit {unit} has no character; expected 0..{MAX_UNITS - 1}")
    if unit < _FIRST_SIZE:
        return chr(_FIRST + unit)
    return chr(_SECOND + unit - _FIRST_SIZE)


def _unit(character: str) -> int:
    code = ord(character)
    if _FIRST <= code < _FIRST + _FIRST_SIZE:
        return code - _FIRST
    if _SECOND <= code < _SECOND + _SECOND_SIZE:
        return code - _SECOND + _FIRST_SIZE
    raise DSUError(f"{character!r} (U+{code:04X}) is not the character of a unit")
