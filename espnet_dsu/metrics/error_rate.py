"""Word, character and token error rates with the counts of NIST's sclite.

sclite aligns with weights substitution 4, insertion 3, deletion 3, does not see the
case of ASCII letters, and among alignments of equal cost takes one particular. All
three are followed here, so the counts agree. Its mark-up is not: a word ``@``, words
that begin with ``{``, and lines that begin with ``;;`` or ``**`` are plain text here.
"""

from __future__ import annotations

import logging
import re
import string
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from espnet_dsu.errors import DSUError

Tokenizer = Callable[[str], list[str]]

_SUBSTITUTE, _GAP = 4, 3
_MATCH_OR_SUB, _INSERT, _DELETE = 0, 1, 2
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_NAMED = 5


@dataclass(frozen=True)
class ErrorCounts:
    """Per-utterance counts ``(N,)`` of an evaluation; rates are in percent.

    Attributes:
        correct, substituted, deleted, inserted: Tokens of each utterance.
    """

    correct: np.ndarray
    substituted: np.ndarray
    deleted: np.ndarray
    inserted: np.ndarray

    @property
    def tokens(self) -> np.ndarray:
        """Reference tokens of each utterance."""
        return self.correct + self.substituted + self.deleted

    @property
    def errors(self) -> np.ndarray:
        """Errors of each utterance."""
        return self.substituted + self.deleted + self.inserted

    @property
    def rate(self) -> float:
        """Errors per reference token."""
        return 100 * float(self.errors.sum()) / float(self.tokens.sum())

    @property
    def utterance_rate(self) -> float:
        """Share of the utterances that hold an error."""
        return 100 * float((self.errors > 0).mean())

    def sums(self) -> tuple[int, ...]:
        """Return the sums of correct, substituted, deleted and inserted tokens."""
        parts = (self.correct, self.substituted, self.deleted, self.inserted)
        return tuple(int(part.sum()) for part in parts)

    def percentages(self) -> tuple[float, ...]:
        """Return sclite's columns Corr, Sub, Del, Ins, Err, S.Err."""
        shares = (100 * count / int(self.tokens.sum()) for count in self.sums())
        return (*shares, self.rate, self.utterance_rate)


def word_tokenizer(symbols: Collection[str] = ()) -> Tokenizer:
    """Return a splitter into words that drops the non-linguistic ``symbols``."""
    return lambda text: [word for word in text.split() if word not in symbols]


def char_tokenizer(symbols: Collection[str] = ()) -> Tokenizer:
    """Return a splitter into characters that drops the non-linguistic ``symbols``.

    Words are joined by one space, written ``<space>``. As in ESPnet's scoring, symbols
    are cut out of that line and the spaces around them stay.
    """
    longest_first = sorted(filter(None, symbols), key=len, reverse=True)
    cut = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def split(text: str) -> list[str]:
        line = cut.sub("", " ".join(text.split()))
        return ["<space>" if char == " " else char for char in line]

    return split


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, ...]:
    """Count ``(correct, substituted, deleted, inserted)`` as sclite does."""
    ref = [token.translate(_LOWER) for token in reference]
    hyp = [token.translate(_LOWER) for token in hypothesis]
    if ref == hyp:
        return len(ref), 0, 0, 0
    moves = _best_moves(ref, hyp)
    counts = [0, 0, 0, 0]
    i, j = len(ref), len(hyp)
    while i or j:
        move = moves[i, j]
        if move == _MATCH_OR_SUB:
            i, j = i - 1, j - 1
            counts[ref[i] != hyp[j]] += 1
        elif move == _INSERT:
            j -= 1
            counts[3] += 1
        else:
            i -= 1
            counts[2] += 1
    return tuple(counts)


def _best_moves(ref: list[str], hyp: list[str]) -> np.ndarray:
    """Return the last move of a cheapest alignment of every two prefixes.

    Of equally cheap moves the diagonal comes first, then the insertion: thousands of
    random pairs agree with sclite's choice.
    """
    ids = {token: number for number, token in enumerate({*ref, *hyp})}
    columns = np.array([ids[token] for token in hyp], dtype=np.int64)
    gaps = _GAP * np.arange(len(hyp) + 1)
    moves = np.full((len(ref) + 1, len(hyp) + 1), _INSERT, dtype=np.uint8)
    moves[1:, 0] = _DELETE
    above = gaps
    for i, token in enumerate(ref, start=1):
        diagonal = above[:-1] + _SUBSTITUTE * (columns != ids[token])
        cost = above + _GAP
        np.minimum(cost[1:], diagonal, out=cost[1:])
        # A run of insertions from column k to j costs gaps[j] - gaps[k].
        cost = np.minimum.accumulate(cost - gaps) + gaps
        inserted = cost[1:] == cost[:-1] + _GAP
        moves[i, 1:] = np.where(inserted, _INSERT, _DELETE)
        moves[i, 1:][cost[1:] == diagonal] = _MATCH_OR_SUB
        above = cost
    return moves


def count_errors(
    refs: Mapping[str, str], hyps: Mapping[str, str], tokenizer: Tokenizer
) -> ErrorCounts:
    """Align every reference text with its hypothesis, in the references' order.

    A missing hypothesis counts as empty; see :func:`check_texts` for the warning.

    Raises:
        DSUError: The references hold no token at all, so no rate exists.
    """
    pairs = [
        (tokenizer(text), tokenizer(hyps.get(utt, ""))) for utt, text in refs.items()
    ]
    if not any(ref for ref, _ in pairs):
        raise DSUError(
            f"{len(pairs)} reference utterances hold no token, expected at least one; "
            "check the reference file and the non-linguistic symbols"
        )
    counts = np.array([align(*pair) for pair in pairs], dtype=np.int64)
    return ErrorCounts(*counts.T)


def check_texts(refs: Mapping[str, str], hyps: Mapping[str, str]) -> None:
    """Warn of utterances without hypothesis.

    Raises:
        DSUError: No references, or a hypothesis of an utterance that has none.
    """
    if not refs:
        raise DSUError("the reference file is empty, expected one line per utterance")
    strangers = sorted(hyps.keys() - refs.keys())
    if strangers:
        raise DSUError(
            f"{len(strangers)} hypotheses have no reference: {_few(strangers)}; score "
            "the references of the set that was decoded"
        )
    missing = [utt for utt in refs if utt not in hyps]
    if missing:
        logging.warning(
            "%d of %d utterances have no hypothesis, all their words count as "
            "deleted: %s",
            len(missing),
            len(refs),
            _few(missing),
        )


def _few(names: list[str]) -> str:
    more = ", ..." if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
