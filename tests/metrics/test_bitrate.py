"""Bits per second: the challenge's definition, and what a code would really take."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.bitrate import unit_bitrates
from espnet_dsu.units import UnitSpec, collapse_units, write_units
from espnet_dsu.units.pieces import UnitPieces

MANY = st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=30), min_size=1)


def measure(folder, utterances, vocab_sizes=(8,), pieces=None, collapse=True):
    arrays = [np.array(units) for units in utterances]
    spec = UnitSpec("t", vocab_sizes, 320, 16000, "f")
    items = ((f"u{index}", units) for index, units in enumerate(arrays))
    write_units(folder, items, spec)
    return unit_bitrates(folder, pieces, collapse)


def entropy(symbols):
    counts = Counter(symbols)
    return sum(c * math.log2(len(symbols) / c) for c in counts.values())


def test_bitrate_of_units_that_never_repeat_is_that_of_the_challenges_vocoder(tmp_path):
    # 50 units a second of 500: the challenge's leader board gives 448.3.
    rates = measure(tmp_path, [[i % 500 for i in range(1000)]], vocab_sizes=(500,))
    assert rates.challenge == pytest.approx(448.3, abs=0.05)
    assert rates.coded == pytest.approx(rates.challenge)
    assert rates.coded_durations == 0 and rates.pieces is None


@settings(deadline=None, max_examples=40)
@given(MANY)
def test_bitrate_challenge_is_the_mean_over_utterances(tmp_path_factory, utterances):
    rates = measure(tmp_path_factory.mktemp("u"), utterances)
    runs = [collapse_units(np.array(units))[0] for units in utterances]
    each = [len(r) * 3 / (len(u) * 0.02) for r, u in zip(runs, utterances)]
    assert rates.challenge == pytest.approx(sum(each) / len(each))


@settings(deadline=None, max_examples=40)
@given(MANY)
def test_bitrate_coded_is_the_entropy_of_runs_and_durations(
    tmp_path_factory, utterances
):
    rates = measure(tmp_path_factory.mktemp("u"), utterances)
    collapsed = [collapse_units(np.array(units)) for units in utterances]
    runs = np.concatenate([r for r, _ in collapsed]).tolist()
    durations = np.concatenate([d for _, d in collapsed]).tolist()
    seconds = sum(map(len, utterances)) * 0.02
    assert rates.coded_durations * seconds == pytest.approx(entropy(durations))
    bits = entropy(runs) + entropy(durations)
    assert rates.coded * seconds == pytest.approx(bits)
    # An ideal code never takes more than the same bits for every unit.
    assert entropy(runs) <= 3 * len(runs) + 1e-9


def test_bitrate_sums_the_streams_whose_runs_end_together(tmp_path):
    rates = measure(tmp_path, [[[0, 0], [0, 1], [0, 1], [1, 1]]], (8, 32))
    assert rates.streams == pytest.approx((3 * 3 / 0.08, 3 * 5 / 0.08))
    assert rates.challenge == pytest.approx(sum(rates.streams))
    streams = entropy([0, 0, 1]) + entropy([0, 1, 1])
    assert rates.coded == pytest.approx((streams + entropy([1, 2, 1])) / 0.08)


def test_bitrate_with_repeats_counts_every_frame(tmp_path):
    utterances = [[1, 1, 1, 2], [5, 5]]
    kept = measure(tmp_path, utterances, collapse=False)
    assert kept.challenge == pytest.approx(3 / 0.02)
    removed = measure(tmp_path, utterances)
    assert removed.challenge == pytest.approx((2 / 4 + 1 / 2) / 2 * 3 / 0.02)
    assert removed.coded == kept.coded


def test_bitrate_of_pieces_counts_what_the_model_reads(tmp_path):
    runs = [np.array([1, 2, 1, 2, 3, 4] * 5)] * 20
    pieces = UnitPieces.train(runs, 8, 14)
    rates = measure(tmp_path, [runs[0].tolist()], pieces=pieces)
    read = len(pieces.encode(runs[0]))
    assert read < len(runs[0])
    assert rates.pieces == pytest.approx(read * math.log2(len(pieces)) / 0.6)
    with pytest.raises(DSUError, match="2 streams; pieces have one"):
        measure(tmp_path, [[[1, 2], [2, 1]]], (8, 8), pieces=pieces)


def test_bitrate_utterance_without_units_does_not_count(tmp_path):
    alone = measure(tmp_path, [[1, 2, 3]])
    assert measure(tmp_path, [[1, 2, 3], []]) == alone


def test_bitrate_of_nothing_is_an_error(tmp_path):
    with pytest.raises(DSUError, match="holds no unit"):
        measure(tmp_path, [[]])
