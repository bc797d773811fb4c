import pickle

import numpy as np
import pytest

from espnet_dsu.errors import DSUError
from espnet_dsu.units.pieces import UnitPieces

K = 30


@pytest.fixture(scope="module")
def runs():
    rng = np.random.default_rng(0)
    # Units 25..29 never occur.
    return [rng.integers(0, 25, rng.integers(5, 40)) for _ in range(200)]


@pytest.fixture(scope="module")
def pieces(runs):
    return UnitPieces.train(runs, K, 60)


def test_pieces_decode_gives_the_runs_back(pieces, runs):
    for run in runs[:50]:
        assert np.array_equal(pieces.decode(pieces.encode(run)), run)
        sampled = pieces.encode(run, enable_sampling=True, alpha=0.1)
        assert np.array_equal(pieces.decode(sampled), run)


def test_pieces_units_never_seen_in_training_are_kept(pieces):
    every = np.arange(K)
    assert np.array_equal(pieces.decode(pieces.encode(every)), every)
    pieces.check_covers(K)


def test_pieces_shorten_the_sequence(pieces, runs):
    assert sum(len(pieces.encode(r)) for r in runs) < sum(len(r) for r in runs)


def test_pieces_of_enlarged_vocabulary_are_refused(pieces):
    with pytest.raises(DSUError, match="10 of 40 units have no piece"):
        pieces.check_covers(K + 10)


def test_pieces_fewer_than_units_are_refused(runs):
    with pytest.raises(DSUError, match="at least 31"):
        UnitPieces.train(runs, K, 30)


def test_pieces_survive_pickling_for_data_loader_workers(pieces, runs):
    again = pickle.loads(pickle.dumps(pieces))
    assert np.array_equal(again.encode(runs[0]), pieces.encode(runs[0]))
    assert again.fingerprint == pieces.fingerprint


def test_pieces_training_is_repeatable(pieces, runs):
    assert UnitPieces.train(runs, K, 60).fingerprint == pieces.fingerprint


def test_pieces_empty_utterances_do_not_matter(runs):
    UnitPieces.train([*runs, np.zeros(0, int)], K, 60)
