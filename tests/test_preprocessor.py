import numpy as np
import pytest

from espnet_dsu import DSUError, UnitTokenizer
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
    assert np.array_equal(preprocessor.splitter.pieces.decode(out - K), np.arange(K))


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
        assert np.array_equal(preprocessor.splitter.pieces.decode(out - K), runs)


def test_sampling_happens_in_training_only(folder, spoken):
    preprocessor = make(folder, train=False, enable_sampling=True, alpha=0.1)
    outs = {tuple(preprocessor("u", {"speech": spoken})["speech"]) for _ in range(20)}
    assert outs == {
        tuple(preprocessor.splitter.pieces.encode(collapse_units(spoken)[0]) + K)
    }


def test_waveforms_and_text_pass_as_in_espnet(folder, tmp_path):
    tokens = ["<blank>", "<unk>", "one", "two", "<sos/eos>"]
    preprocessor = make(folder, token_type="word", token_list=tokens)
    wav = voice(0.3, 0)
    out = preprocessor("utt", {"speech": wav, "text": "two one"})
    assert np.array_equal(out["speech"], wav)
    assert out["text"].tolist() == [3, 2]
    out = preprocessor("utt", {"speech": np.array([1, 1]), "text": "two"})
    assert out["text"].tolist() == [3]


STRONG = {"duration_jitter": 1.0, "time_warp": 0.5, "substitution": 0.3}


@pytest.mark.parametrize("name", ["plain", "pieces"])
def test_augmentation_happens_in_training_only(folder, spoken, name):
    varied, plain = make(folder, name, augment=STRONG), make(folder, name)
    outs = {tuple(varied("u", {"speech": spoken})["speech"]) for _ in range(10)}
    assert len(outs) > 5
    same = make(folder, name, train=False, augment=STRONG)
    expected = plain("u", {"speech": spoken})["speech"]
    assert np.array_equal(same("u", {"speech": spoken})["speech"], expected)


def test_units_of_streams_are_augmented_together(tmp_path):
    wavs = [voice(1.5, i) for i in range(4)]
    two = UnitTokenizer.train(wavs, 16000, nclusters=(K, 7))
    two.save_pretrained(tmp_path / "two")
    units = two.encode(wavs[0], 16000).units
    plain = make(tmp_path, "two")("u", {"speech": units})["speech"]
    assert np.array_equal(plain, collapse_units(units)[0])
    varied = make(tmp_path, "two", augment=STRONG)("u", {"speech": units})["speech"]
    assert varied.shape[1:] == (2,)
    assert not np.array_equal(varied, plain)


def test_units_are_left_to_the_frontend_without_a_bundle(units):
    out = UnitPreprocessor(True)("utt", {"speech": units})["speech"]
    assert np.array_equal(out, units)


@pytest.mark.parametrize("conf", [{"augment": STRONG}, {"enable_sampling": True}])
def test_varying_units_without_a_bundle_is_an_error(conf):
    with pytest.raises(DSUError, match="tokenizer=<bundle>/config.yaml"):
        UnitPreprocessor(True, **conf)
