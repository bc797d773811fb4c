"""What a set of units is: its vocabulary, its clock and where it came from."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from espnet_dsu.errors import DSUError


def unit_tag(upstream_tag: str, nclusters: int) -> str:
    """Name a unit space for paths; the one place that builds it.

    >>> unit_tag("wavlm_large_21", 2000)
    'wavlm_large_21_km2000'
    """
    return f"{upstream_tag}_km{nclusters}"


@dataclass(frozen=True)
class UnitSpec:
    """A unit space, as written beside every unit file.

    Attributes:
        tag: e.g. ``wavlm_large_21_km2000``; part of every derived path.
        vocab_size: K; units are 0 .. K-1 in every stream.
        num_streams: S.
        frame_shift: in samples at ``sample_rate``.
        sample_rate: of the upstream, in Hz.
        fingerprint: of the tokenizer bundle.
    """

    tag: str
    vocab_size: int
    num_streams: int
    frame_shift: int
    sample_rate: int
    fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any, source: str = "unit spec") -> UnitSpec:
        """Read what :meth:`to_dict` gave; ``source`` names the file in errors."""
        expected = {f.name: f.type for f in fields(cls)}
        if not isinstance(values, dict) or set(values) != set(expected):
            found = sorted(values) if isinstance(values, dict) else values
            raise DSUError(
                f"{source} holds {found}, expected the keys {sorted(expected)}; "
                "write it again with the tokenize command"
            )
        for name, kind in expected.items():
            if type(values[name]).__name__ != kind:
                raise DSUError(f"{source}: {name} is {values[name]!r}, expected {kind}")
        return cls(**values)

    def check_units(self, units: np.ndarray, name: str) -> None:
        """Refuse units outside 0 .. K-1; ``name`` says whose they are.

        Raises:
            DSUError: naming the unit and K.
        """
        if units.size and not 0 <= units.min() <= units.max() < self.vocab_size:
            bad = units.min() if units.min() < 0 else units.max()
            raise DSUError(
                f"{name}: unit {bad} is outside 0..{self.vocab_size - 1} of {self.tag};"
                " it is of another tokenizer: name that one, or tokenize again with "
                "this one"
            )
        streams = 1 if units.ndim == 1 else units.shape[1]
        if streams != self.num_streams:
            raise DSUError(
                f"{name}: {streams} unit streams, expected {self.num_streams} for "
                f"{self.tag}"
            )

    def require_same(self, other: UnitSpec, name: str) -> None:
        """Refuse ``other`` (units called ``name``) if it is another unit space."""
        if self.fingerprint != other.fingerprint:
            raise DSUError(
                f"{name} holds units of {other.tag} (fingerprint {other.fingerprint}), "
                f"but the tokenizer is {self.tag} (fingerprint {self.fingerprint}); "
                "tokenize again with this tokenizer or name the other one"
            )


def foreign_spec(
    tag: str, vocab_size: int, frame_shift: int, sample_rate: int, num_streams: int = 1
) -> UnitSpec:
    """Describe units of another toolkit whose tokenizer is no bundle.

    The fingerprint begins with ``foreign-`` and hashes this description, since what
    made the units is not at hand: units described alike belong together, and a model
    trained on a bundle refuses them.

    Args:
        tag: names the tokenizer in paths; give different tokenizers different tags.
        vocab_size, frame_shift, sample_rate, num_streams: as in :class:`UnitSpec`.

    Raises:
        DSUError: a tag that is no file name, or a number that is not positive.
    """
    if not re.fullmatch(r"\w[\w.-]*", tag):
        raise DSUError(f"tag {tag!r}: expected letters, digits, '_', '-' and '.'")
    spec = UnitSpec(tag, vocab_size, num_streams, frame_shift, sample_rate, "")
    for name, value in spec.to_dict().items():
        if isinstance(value, int) and value < (2 if name == "vocab_size" else 1):
            raise DSUError(f"{name} {value} is too small")
    facts = json.dumps(spec.to_dict(), sort_keys=True)
    digest = hashlib.sha256(facts.encode()).hexdigest()
    return replace(spec, fingerprint=f"foreign-{digest[:8]}")
