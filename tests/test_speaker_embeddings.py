"""Speaker embeddings of a set: by utterance and by speaker."""

from __future__ import annotations

from pathlib import Path

import kaldiio
import numpy as np
import pytest

from espnet_dsu.audio import read_audio, write_audio
from espnet_dsu.bin.extract_spembs import main
from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.speaker_models import build_speaker_model
from espnet_dsu.scp import read_scp, write_scp
from tests.speech import voice

SPEAKERS = {"a-1": "a", "a-2": "a", "b-1": "b"}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three utterances by two speakers, and one whose audio is missing."""
    audio = {}
    for seed, utt in enumerate(SPEAKERS):
        audio[utt] = str(tmp_path / f"{utt}.wav")
        write_audio(audio[utt], voice(0.5, seed, 8000), 8000)
    write_scp(tmp_path / "wav.scp", {**audio, "c-1": str(tmp_path / "none.wav")})
    write_scp(tmp_path / "utt2spk", {**SPEAKERS, "c-1": "c"})
    return tmp_path


def extract(corpus: Path, *options: str) -> Path:
    out = corpus / "out"
    files = ["--wav_scp", f"{corpus}/wav.scp", "--utt2spk", f"{corpus}/utt2spk"]
    main([*files, "--output_dir", str(out), *options])
    return out


def read(scp: Path) -> dict[str, np.ndarray]:
    return {key: kaldiio.load_mat(place) for key, place in read_scp(scp).items()}


def test_embeddings_are_the_models_at_unit_length(corpus: Path) -> None:
    found = read(extract(corpus) / "spembs.scp")
    assert found.keys() == SPEAKERS.keys()
    for utt, embedding in found.items():
        expected = build_speaker_model("mfcc_statistics").embed(
            *read_audio(f"{corpus}/{utt}.wav")
        )
        assert embedding.dtype == np.float32
        np.testing.assert_allclose(
            embedding, expected / np.linalg.norm(expected), rtol=1e-5, atol=1e-6
        )


def test_speaker_has_the_mean_of_its_utterances(corpus: Path) -> None:
    out = extract(corpus)
    found, means = read(out / "spembs.scp"), read(out / "spk_spembs.scp")
    assert list(means) == ["a", "b"]
    mean = (found["a-1"] + found["a-2"]) / 2
    np.testing.assert_allclose(means["a"], mean / np.linalg.norm(mean), rtol=1e-5)
    np.testing.assert_allclose(means["b"], found["b-1"], rtol=1e-5)


def test_unusable_audio_is_named_and_the_rest_is_written(corpus: Path) -> None:
    failed = (extract(corpus) / "failed.tsv").read_text().split("\t")
    assert failed[0] == "c-1" and failed[1].endswith("none.wav")


def test_number_of_processes_changes_nothing(corpus: Path) -> None:
    one = read(extract(corpus) / "spembs.scp")
    two = read(extract(corpus, "--nj", "2") / "spembs.scp")
    for utt in SPEAKERS:
        np.testing.assert_array_equal(one[utt], two[utt])


def test_utterance_without_a_speaker_is_an_error(corpus: Path) -> None:
    write_scp(corpus / "utt2spk", SPEAKERS)
    with pytest.raises(DSUError, match="lacks 1 of the utterances .* such as c-1"):
        extract(corpus)


def test_no_usable_audio_is_an_error(corpus: Path) -> None:
    write_scp(corpus / "wav.scp", {"a-1": f"{corpus}/none.wav"})
    with pytest.raises(DSUError, match="no utterance is usable; see .*failed.tsv"):
        extract(corpus)
    assert not (corpus / "out/spembs.scp").exists()
