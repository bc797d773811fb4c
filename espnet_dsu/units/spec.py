"""What a set of units is: its vocabulary, its clock and where it came from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from espnet_dsu.errors import DSUError

# What an attribute's type is in YAML, where it is another.
_PLAIN: dict[Any, str] = {"tuple[int, ...]": "list"}


def unit_tag(upstream_tag: str, vocab_sizes: Sequence[int]) -> str:
    """Name a unit space for paths; the one place that builds it.

    >>> unit_tag("wavlm_large_21", (2000,))
    'wavlm_large_21_km2000'
    >>> unit_tag("hubert_base_6+12", (500, 500))
    'hubert_base_6+12_km500'
    >>> unit_tag("mfcc", (100, 500))
    'mfcc_km100+500'
    """
    sizes = vocab_sizes if len(set(vocab_sizes)) > 1 else vocab_sizes[:1]
    return f"{upstream_tag}_km{'+'.join(map(str, sizes))}"


@dataclass(frozen=True)
class UnitSpec:
    """A unit space, as written beside every unit file.

    Attributes:
        tag: e.g. ``wavlm_large_21_km2000``; part of every derived path.
        vocab_sizes: K of each stream, whose units are 0 .. K-1.
        frame_shift: in samples at ``sample_rate``.
        sample_rate: of the upstream, in Hz.
        fingerprint: of the tokenizer bundle.
    """

    tag: str
    vocab_sizes: tuple[int, ...]
    frame_shift: int
    sample_rate: int
    fingerprint: str

    @property
    def num_streams(self) -> int:
        """S, the number of parallel unit sequences."""
        return len(self.vocab_sizes)

    @property
    def vocab_size(self) -> int:
        """The greatest K of the streams."""
        return max(self.vocab_sizes)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for YAML."""
        return {**asdict(self), "vocab_sizes": list(self.vocab_sizes)}

    @classmethod
    def from_dict(cls, values: Any, source: str = "unit spec") -> UnitSpec:
        """Read what :meth:`to_dict` gave; ``source`` names the file in errors."""
        expected = {f.name: _PLAIN.get(f.type, f.type) for f in fields(cls)}
        if not isinstance(values, dict) or set(values) != set(expected):
            found = sorted(values) if isinstance(values, dict) else values
            raise DSUError(
                f"{source} holds {found}, expected the keys {sorted(expected)}; "
                "write it again with the tokenize command"
            )
        for name, kind in expected.items():
            if type(values[name]).__name__ != kind:
                raise DSUError(f"{source}: {name} is {values[name]!r}, expected {kind}")
        sizes = values["vocab_sizes"]
        if not sizes or any(type(k) is not int or k < 2 for k in sizes):
            raise DSUError(
                f"{source}: vocab_sizes is {sizes}, expected whole numbers from 2 up"
            )
        return cls(**{**values, "vocab_sizes": tuple(sizes)})

    def check_units(self, units: np.ndarray, name: str) -> None:
        """Refuse units outside 0 .. K-1; ``name`` says whose they are.

        Args:
            units: (T,) or (T, S).
            name: of the utterance.

        Raises:
            DSUError: naming the unit and K, or both numbers of streams.
        """
        streams = 1 if units.ndim == 1 else units.shape[1]
        if streams != self.num_streams:
            raise DSUError(
                f"{name}: {streams} unit streams, expected {self.num_streams} for "
                f"{self.tag}"
            )
        columns = units.reshape(len(units), streams).T if units.size else []
        for number, (column, size) in enumerate(zip(columns, self.vocab_sizes)):
            if not 0 <= column.min() <= column.max() < size:
                bad = column.min() if column.min() < 0 else column.max()
                where = f" in stream {number}" if streams > 1 else ""
                raise DSUError(
                    f"{name}: unit {bad}{where} is outside 0..{size - 1} of {self.tag};"
                    " it is of another tokenizer: name that one, or tokenize again "
                    "with this one"
                )

    def require_one_stream(self, what: str) -> None:
        """Refuse several streams where ``what`` is made of one.

        Raises:
            DSUError: naming the unit space and what cannot be made of it.
        """
        if self.num_streams > 1:
            raise DSUError(
                f"{self.tag} has {self.num_streams} unit streams, and {what} are made "
                "of one: give the model the units themselves (--src_token_type unit)"
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
    tag: str,
    vocab_size: int | tuple[int, ...],
    frame_shift: int,
    sample_rate: int,
    num_streams: int = 1,
) -> UnitSpec:
    """Describe units of another toolkit whose tokenizer is no bundle.

    The fingerprint begins with ``foreign-`` and hashes this description, since what
    made the units is not at hand: units described alike belong together, and a model
    trained on a bundle refuses them.

    Args:
        tag: names the tokenizer in paths; give different tokenizers different tags.
        vocab_size: K of every stream, or of each.
        frame_shift, sample_rate: as in :class:`UnitSpec`.
        num_streams: S, needed where ``vocab_size`` is one number for all of them.

    Raises:
        DSUError: a tag that is no file name, a number that is not positive, or another
            number of streams than of vocabularies.
    """
    if not re.fullmatch(r"\w[\w.+-]*", tag):
        raise DSUError(f"tag {tag!r}: expected letters, digits, '_', '-', '+' and '.'")
    sizes = (vocab_size,) if isinstance(vocab_size, int) else tuple(vocab_size)
    if len(sizes) > 1 and num_streams not in (1, len(sizes)):
        raise DSUError(
            f"{len(sizes)} numbers of units for {num_streams} streams, expected one "
            "for each, or one for all"
        )
    for name, value, least in (
        ("vocab_size", min(sizes), 2),
        ("num_streams", num_streams, 1),
        ("frame_shift", frame_shift, 1),
        ("sample_rate", sample_rate, 1),
    ):
        if value < least:
            raise DSUError(f"{name} {value} is too small")
    sizes = sizes * num_streams if len(sizes) == 1 else sizes
    spec = UnitSpec(tag, sizes, frame_shift, sample_rate, "")
    facts = json.dumps(spec.to_dict(), sort_keys=True)
    digest = hashlib.sha256(facts.encode()).hexdigest()
    return replace(spec, fingerprint=f"foreign-{digest[:8]}")
