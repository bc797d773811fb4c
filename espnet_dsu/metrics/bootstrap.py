"""Confidence intervals of error rates, by resampling utterances."""

from __future__ import annotations

import numpy as np

# Numbers drawn at a time; bounds the memory, not the result.
_DRAWS_PER_CHUNK = 2**22


def bootstrap_interval(
    errors: np.ndarray,
    tokens: np.ndarray,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval of ``sum(errors) / sum(tokens)``, in percent.

    N utterances are drawn with replacement, ``resamples`` times; a draw of utterances
    without any reference token has no rate and is left out (Bisani and Ney, "Bootstrap
    estimates for confidence intervals in ASR performance evaluation", ICASSP 2004).

    Args:
        errors: Errors of each utterance, ``(N,)``.
        tokens: Reference tokens of each utterance, ``(N,)``, not all zero.
    """
    rng = np.random.default_rng(seed)
    size = len(tokens)
    rows = max(1, _DRAWS_PER_CHUNK // size)
    rates = []
    for first in range(0, resamples, rows):
        drawn = rng.integers(size, size=(min(rows, resamples - first), size))
        total = tokens[drawn].sum(axis=1)
        some = total > 0
        rates.append(errors[drawn].sum(axis=1)[some] / total[some])
    tail = 50 * (1 - confidence)
    low, high = np.percentile(np.concatenate(rates), [tail, 100 - tail])
    return 100 * float(low), 100 * float(high)
