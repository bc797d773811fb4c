import numpy as np
import pytest

from espnet_dsu import UnitTokenizer
from espnet_dsu.preprocessor import UnitPreprocessor
from espnet_dsu.units import collapse_units
from espnet_dsu.units.pieces import UnitPieces
from tests.speech import train_bundle, voice

K = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    tokenizer = train_bundle(folder / "plain", K)
    runs = [tokenizer.encode(voice(1.0, i), 16000).collapse().units for i in range(6)]
    pieces = UnitPieces.train(runs, K, 40)
    tokenizer.with_pieces(pieces).save_pretrained(folder / "pieces")
    return folder


@pytest.fixture(scope="module")
def units():
    return np.repeat(np.arange(K), 3).astype(np.int64)


@pytest.fixture(scope="module")
def spoken(folder):
    """Frame units whose runs the pieces were trained on: several splits exist."""
    tokenizer = UnitTokenizer.from_pretrained(folder / "plain")
    return tokenizer.encode(voice(1.0, 0), 16000).units


def make(folder, name="pieces", train=True, **conf):
    path = str(folder / name / "config.yaml")
    return UnitPreprocessor(train, tokenizer=path, **conf)


def test_units_become_runs_without_pieces(folder, units):
    out = make(folder, "plain")("utt", {"speech": units})["speech"]
    assert np.array_equal(out, collapse_units(units)[0])


def test_units_become_pieces_offset_by_the_number_of_units(folder, units):
    preprocessor = make(folder)
    out = preprocessor("utt", {"speech": units})["speech"]
    assert out.min() >= K
    assert np.array_equal(preprocessor.pieces.decode(out - K), np.arange(K))


@pytest.mark.parametrize("name", ["plain", "pieces"])
def test_processing_twice_changes_nothing_more(folder, units, name):
    # ESPnet's IterableESPnetDataset runs the preprocessor twice over these data.
    preprocessor = make(folder, name, train=False)
    once = preprocessor("utt", {"speech": units})["speech"]
    repeated = np.repeat(once, 2) if name == "pieces" else once
    twice = preprocessor("utt", {"speech": repeated})["speech"]
    assert np.array_equal(twice, repeated)


def test_units_are_left_alone_where_the_frontend_does_not_collapse(folder, units):
    out = make(folder, "plain", collapse=False)("utt", {"speech": units})["speech"]
    assert np.array_equal(out, units)


def test_sampling_varies_the_pieces_and_keeps_the_units(folder, spoken):
    preprocessor = make(folder, enable_sampling=True, alpha=0.1)
    outs = [preprocessor("utt", {"speech": spoken})["speech"] for _ in range(20)]
    assert len({tuple(out) for out in outs}) > 1
    runs = collapse_units(spoken)[0]
    for out in outs:
        assert np.array_equal(preprocessor.pieces.decode(out - K), runs)


def test_sampling_happens_in_training_only(folder, spoken):
    preprocessor = make(folder, train=False, enable_sampling=True, alpha=0.1)
    outs = {tuple(preprocessor("u", {"speech": spoken})["speech"]) for _ in range(20)}
    assert outs == {tuple(preprocessor.pieces.encode(collapse_units(spoken)[0]) + K)}


def test_waveforms_and_text_pass_as_in_espnet(folder, tmp_path):
    tokens = ["<blank>", "<unk>", "one", "two", "<sos/eos>"]
    preprocessor = make(folder, token_type="word", token_list=tokens)
    wav = voice(0.3, 0)
    out = preprocessor("utt", {"speech": wav, "text": "two one"})
    assert np.array_equal(out["speech"], wav)
    assert out["text"].tolist() == [3, 2]
    out = preprocessor("utt", {"speech": np.array([1, 1]), "text": "two"})
    assert out["text"].tolist() == [3]
