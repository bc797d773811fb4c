"""Bootstrap intervals: deterministic, around the estimate, of the right width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu.metrics import bootstrap
from espnet_dsu.metrics.bootstrap import bootstrap_interval

utterances = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 10)), min_size=1, max_size=40
).filter(lambda pairs: any(tokens for _, tokens in pairs))


@given(utterances)
def test_bootstrap_interval_any_counts_contains_the_estimate(pairs):
    errors, tokens = np.array(pairs).T
    low, high = bootstrap_interval(errors, tokens)
    estimate = 100 * errors.sum() / tokens.sum()
    assert low <= estimate + 1e-9 and estimate <= high + 1e-9
    assert (low, high) == bootstrap_interval(errors, tokens)


def test_bootstrap_interval_equal_utterances_is_a_point():
    assert bootstrap_interval(np.full(9, 1), np.full(9, 5)) == pytest.approx((20, 20))


def test_bootstrap_interval_binomial_errors_has_the_normal_width():
    rng = np.random.default_rng(0)
    errors = rng.binomial(5, 0.1, size=1000)
    low, high = bootstrap_interval(errors, np.full(1000, 5), resamples=4000)
    width = 2 * 1.96 * 100 * np.sqrt(0.1 * 0.9 / 5000)
    assert high - low == pytest.approx(width, rel=0.1)


def test_bootstrap_interval_other_seed_differs_a_little():
    errors, tokens = np.arange(50) % 3, np.full(50, 6)
    first = bootstrap_interval(errors, tokens)
    other = bootstrap_interval(errors, tokens, seed=1)
    assert other != first
    assert other == pytest.approx(first, abs=1)


def test_bootstrap_interval_small_chunks_change_nothing(monkeypatch):
    errors, tokens = np.arange(50) % 3, np.full(50, 6)
    whole = bootstrap_interval(errors, tokens)
    monkeypatch.setattr(bootstrap, "_DRAWS_PER_CHUNK", 333)
    assert bootstrap_interval(errors, tokens) == whole


def test_bootstrap_interval_draws_without_tokens_are_left_out():
    # Utterance 0 twice has errors and no tokens; the other draws give 0 or 60 %.
    errors, tokens = np.array([3, 0]), np.array([0, 5])
    assert bootstrap_interval(errors, tokens) == pytest.approx((0, 60))
