import shutil

import numpy as np
import pytest

from espnet_dsu import DSUError, UnitTokenizer
from tests.inference.tiny_vocoder import write_vocoder
from tests.speech import train_bundle, voice


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A bundle and a vocoder of it that names the bundle where it is not any more."""
    folder = tmp_path_factory.mktemp("bundle_vocoder")
    train_bundle(folder / "first")
    write_vocoder(folder / "voc", folder / "first" / "config.yaml")
    (folder / "first").rename(folder / "bundle")
    return folder


@pytest.mark.parametrize("place", ["tokenizer/vocoder", "vocoder"])
def test_decode_speaks_with_the_vocoder_in_or_beside_the_bundle(
    trained, tmp_path, place
):
    from espnet_dsu import Units2Speech

    shutil.copytree(trained / "bundle", tmp_path / "tokenizer")
    shutil.copytree(trained / "voc", tmp_path / place)
    tokenizer = UnitTokenizer.from_pretrained(tmp_path / "tokenizer")
    units = tokenizer.encode(voice(0.7, 3), 16000)
    wav, fs = tokenizer.decode(units)
    assert fs == 8000 and len(wav) == units.num_frames * 80 and wav.any()
    assert tokenizer.vocoder is tokenizer.vocoder
    slower, _ = tokenizer.decode(units.units, length_scale=2.0)
    assert len(slower) == 2 * len(wav)
    named = tmp_path / "tokenizer" / "config.yaml"
    other = Units2Speech.from_pretrained(tmp_path / place, tokenizer=named)
    assert np.array_equal(other(units), wav)


def test_decode_without_a_vocoder_says_where_it_belongs(trained, tmp_path):
    shutil.copytree(trained / "bundle", tmp_path / "tokenizer")
    tokenizer = UnitTokenizer.from_pretrained(tmp_path / "tokenizer")
    with pytest.raises(DSUError, match="has no vocoder: expected .*tokenizer/vocoder"):
        tokenizer.decode([1, 2])
    (tmp_path / "vocoder").mkdir()
    with pytest.raises(DSUError, match="holds no config.yaml"):
        tokenizer.decode([1, 2])


def test_decode_of_a_tokenizer_that_was_never_saved_is_refused(tmp_path):
    tokenizer = UnitTokenizer.train(
        [voice(1.5, i) for i in range(3)], 16000, nclusters=9
    )
    with pytest.raises(DSUError, match="was not loaded from a bundle"):
        tokenizer.decode([1, 2])


def test_decode_with_the_vocoder_of_another_bundle_is_refused(trained, tmp_path):
    other = train_bundle(tmp_path / "tokenizer", seed=9)
    shutil.copytree(trained / "voc", tmp_path / "tokenizer/vocoder")
    tokenizer = UnitTokenizer.from_pretrained(tmp_path / "tokenizer")
    with pytest.raises(DSUError, match=other.fingerprint):
        tokenizer.decode([1, 2])
