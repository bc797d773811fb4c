"""Tokenizers whose upstream is a model: named by, or embedded in, the bundle."""

import shutil

import numpy as np
import pytest
from tiny_checkpoints import name_of, save_checkpoint

from espnet_dsu import DSUError, UnitTokenizer

CASES = ["hubert_group", "wavlm_layer", "wav2vec2_bert", "ta_wavlm_group"]
LAYER = 2


@pytest.fixture
def wavs():
    rng = np.random.default_rng(0)
    lengths = (8000, 5000, 12000)
    return [0.1 * rng.standard_normal(n).astype(np.float32) for n in lengths]


@pytest.mark.parametrize("case", CASES)
def test_bundle_named_upstream_gives_the_same_units_in_any_batch(case, tmp_path, wavs):
    save_checkpoint(tmp_path / "model", case)
    name = name_of(tmp_path / "model", case, LAYER)
    tokenizer = UnitTokenizer.train(wavs, 16000, upstream=name, nclusters=8)
    tokenizer.save_pretrained(tmp_path / "bundle")
    loaded = UnitTokenizer.from_pretrained(tmp_path / "bundle")
    alone = [loaded.encode(wav, 16000) for wav in wavs]
    assert loaded.encode_batch(wavs, 16000) == alone
    assert tokenizer.encode_batch(wavs[::-1], 16000) == alone[::-1]


@pytest.mark.parametrize("case", CASES)
def test_bundle_embedded_upstream_needs_no_original(case, tmp_path, wavs):
    save_checkpoint(tmp_path / "model", case)
    name = name_of(tmp_path / "model", case, LAYER)
    tokenizer = UnitTokenizer.train(wavs, 16000, upstream=name, nclusters=8)
    expected = tokenizer.encode_batch(wavs, 16000)
    tokenizer.save_pretrained(tmp_path / "bundle", embed_upstream=True)
    shutil.rmtree(tmp_path / "model")
    moved = shutil.move(tmp_path / "bundle", tmp_path / "moved")
    loaded = UnitTokenizer.from_pretrained(moved)
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.encode_batch(wavs, 16000) == expected
    loaded.save_pretrained(tmp_path / "again")
    again = UnitTokenizer.from_pretrained(tmp_path / "again")
    assert again.encode_batch(wavs, 16000) == expected


def test_bundle_named_upstream_with_other_weights_is_refused(tmp_path, wavs):
    case = CASES[0]
    save_checkpoint(tmp_path / "model", case)
    name = name_of(tmp_path / "model", case, LAYER)
    tokenizer = UnitTokenizer.train(wavs, 16000, upstream=name, nclusters=8)
    tokenizer.save_pretrained(tmp_path / "bundle")
    shutil.rmtree(tmp_path / "model")
    save_checkpoint(tmp_path / "model", case, seed=1)
    loaded = UnitTokenizer.from_pretrained(tmp_path / "bundle")
    with pytest.raises(DSUError, match="is not the one that this bundle was trained"):
        loaded.encode(wavs[0], 16000)


def test_bundle_embedding_mfcc_changes_nothing(tmp_path, wavs):
    tokenizer = UnitTokenizer.train(wavs, 16000, nclusters=8)
    tokenizer.save_pretrained(tmp_path / "bundle", embed_upstream=True)
    names = sorted(p.name for p in (tmp_path / "bundle").iterdir())
    assert names == ["config.yaml", "quantizer.safetensors"]
