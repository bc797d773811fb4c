import numpy as np
import pytest
import soundfile
import torch

from espnet_dsu import DSUError, UnitTokenizer
from espnet_dsu.tokenizer import plan_tag
from espnet_dsu.units.pieces import UnitPieces
from tests.speech import train_bundle, voice, write_corpus


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_bundle(tmp_path_factory.mktemp("t") / "bundle")


def test_encode_gives_one_unit_per_frame_with_its_facts(tokenizer):
    sequence = tokenizer.encode(voice(1.0, 9), 16000)
    assert len(sequence) == 98  # 25 ms frames every 10 ms
    assert (sequence.durations == 1).all()
    assert sequence.fingerprint == tokenizer.fingerprint
    assert sequence.units.max() < tokenizer.spec.vocab_size
    assert len(np.unique(sequence.units)) > 3


def test_encode_alone_or_in_any_batch_gives_the_same_units(tokenizer):
    wavs = [voice(s, i) for i, s in enumerate([0.3, 1.7, 0.025, 0.9])]
    alone = [tokenizer.encode(w, 16000) for w in wavs]
    assert tokenizer.encode_batch(wavs, 16000) == alone
    assert tokenizer.encode_batch(wavs[::-1], 16000) == alone[::-1]


def test_encode_tensor_and_array_give_the_same_units(tokenizer):
    wav = voice(0.5, 3)
    assert tokenizer.encode(torch.from_numpy(wav), 16000) == tokenizer.encode(
        wav, 16000
    )


def test_encode_other_rate_is_resampled(tokenizer):
    sequence = tokenizer.encode(voice(1.0, 9, fs=48000), 48000)
    expected = tokenizer.encode(voice(1.0, 9), 16000)
    assert len(sequence) == len(expected)


@pytest.mark.parametrize(
    ("wav", "message"),
    [
        (np.zeros((2, 100), np.float32), "shape"),
        (np.zeros(1000, np.int16), "int16"),
        (np.full(1000, np.nan, np.float32), "NaN"),
        (np.zeros(0, np.float32), "no samples"),
        (np.zeros(1, np.float32), "shorter than one frame"),
        (np.zeros(399, np.float32), "shorter than one frame"),
    ],
)
def test_encode_bad_samples_are_one_clear_error(tokenizer, wav, message):
    with pytest.raises(DSUError, match=message):
        tokenizer.encode(wav, 16000)


def test_train_is_repeatable_and_its_seed_matters():
    wavs = [voice(1.5, i) for i in range(3)]
    one, two, other = (
        UnitTokenizer.train(wavs, 16000, nclusters=10, seed=s) for s in (0, 0, 1)
    )
    assert one.fingerprint == two.fingerprint != other.fingerprint


def test_train_from_wav_scp_skips_and_names_bad_audio(tmp_path, caplog):
    scp = write_corpus(tmp_path, [1.0, 1.0, 1.0])
    (tmp_path / "utt1.wav").write_bytes(b"")
    tokenizer = UnitTokenizer.train(scp, nclusters=10)
    assert "utt1 is left out" in caplog.text
    assert tokenizer.reports[0].num_frames == 2 * 98


def test_train_portion_and_max_frames_bound_the_frames(tmp_path):
    scp = write_corpus(tmp_path, [1.0] * 8)
    half = UnitTokenizer.train(scp, nclusters=10, portion=0.5)
    number, rest = divmod(half.reports[0].num_frames, 98)
    assert 0 < number < 8 and rest == 0
    few = UnitTokenizer.train(scp, nclusters=10, max_frames=50)
    assert few.reports[0].num_frames == 50
    small = UnitTokenizer.train(scp, nclusters=10, max_memory="64.1MiB")
    assert small.reports[0].num_frames < 700


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nclusters": 1000}, "1000 units"),
        ({"portion": 0.0}, "portion is 0.0"),
        ({"portion": 1e-9}, "draws no utterance"),
        ({"max_frames": 0}, "max_frames is 0"),
        ({"max_memory": "2"}, "expected a number with a unit"),
        ({"upstream": "nothing"}, "unknown upstream family"),
        ({"upstream": "mfcc@3"}, "no layers"),
        ({"upstream_conf": {"foo": 1}}, "foo"),
        ({"quantizer": "foo"}, "unknown quantizer"),
        ({"quantizer_conf": {"foo": 1}}, "foo"),
        ({"fs": None}, "sampling rate"),
    ],
)
def test_train_impossible_options_are_one_clear_error(options, message):
    wavs = [voice(1.0, 0)]
    with pytest.raises(DSUError, match=message):
        UnitTokenizer.train(wavs, **{"fs": 16000, "nclusters": 10, **options})


def test_train_on_silence_is_refused_as_collapsed():
    silence = [np.zeros(16000, np.float32)]
    with pytest.raises(DSUError, match="(?i)constant|collapse|same"):
        UnitTokenizer.train(silence, 16000, nclusters=10)


def test_tag_is_known_before_training(tokenizer):
    assert plan_tag("mfcc", {}, 20) == tokenizer.spec.tag == "mfcc_km20"
    assert plan_tag("mfcc", {"sample_rate": 8000}, 5) == "mfcc_8k_km5"


def test_tag_of_large_upstream_needs_no_weights():
    assert plan_tag("torchaudio:WAVLM_LARGE@21", {}, 2000) == "wavlm_large_21_km2000"
    name = "hf:facebook/hubert-base-ls960@6"
    assert plan_tag(name, {}, 500) == "hubert_base_ls960_6_km500"


def test_saved_and_loaded_tokenizer_gives_the_same_units(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "b")
    loaded = UnitTokenizer.from_pretrained(tmp_path / "b")
    wav = voice(1.0, 5)
    assert loaded.encode(wav, 16000) == tokenizer.encode(wav, 16000)
    assert loaded.fingerprint == tokenizer.fingerprint
    by_config = UnitTokenizer.from_pretrained(tmp_path / "b" / "config.yaml")
    assert by_config.fingerprint == tokenizer.fingerprint


def test_with_pieces_same_units_and_fingerprint_survive_saving(tokenizer, tmp_path):
    runs = [tokenizer.encode(voice(1.0, i), 16000).collapse().units for i in range(5)]
    pieces = UnitPieces.train(runs, 20, 30)
    tokenizer.with_pieces(pieces).save_pretrained(tmp_path / "b")
    loaded = UnitTokenizer.from_pretrained(tmp_path / "b")
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.pieces.fingerprint == pieces.fingerprint
    assert tokenizer.pieces is None


def test_pieces_of_fewer_units_are_refused(tokenizer):
    with pytest.raises(DSUError, match="have no piece"):
        tokenizer.with_pieces(UnitPieces.train([np.arange(5)], 5, 6))


def test_to_moves_what_is_loaded_and_gives_itself(tokenizer):
    assert tokenizer.to("cpu") is tokenizer


def test_soundfile_samples_are_what_encode_takes(tokenizer, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, voice(0.5, 1), 16000)
    wav, fs = soundfile.read(path)  # float64
    assert len(tokenizer.encode(wav, fs)) == 48
