"""Speaker references and the models behind them."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.speaker_similarity import (
    SpeakerReferences,
    build_speaker_model,
    embed_speakers,
)

FS = 8000


def speak(formant: float, seed: int) -> np.ndarray:
    """Make a voice of one resonance (Hz) with changing pitch and loudness."""
    rng = np.random.default_rng(seed)
    time = np.arange(FS) / FS
    pitch = rng.uniform(90, 200)
    phase = 2 * np.pi * np.cumsum(pitch + 20 * np.sin(8 * time)) / FS
    wav = sum(
        np.sin(k * phase) * np.exp(-(((k * pitch - formant) / 400) ** 2))
        for k in range(1, 20)
    )
    wav = wav * (1.2 + np.sin(12 * time + seed)) + 0.01 * rng.normal(size=FS)
    return (rng.uniform(0.02, 0.1) * wav).astype(np.float32)


def write_speakers(folder, formants, number):
    folder.mkdir(parents=True, exist_ok=True)
    wavs, utt2spk = {}, {}
    for spk, formant in formants.items():
        for index in range(number):
            utt = f"{spk}-{index}"
            wavs[utt], utt2spk[utt] = str(folder / f"{utt}.wav"), spk
            soundfile.write(wavs[utt], speak(formant, index), FS)
    return wavs, utt2spk


FORMANTS = {"low": 500.0, "mid": 1100.0, "high": 2000.0}


def test_mfcc_statistics_rank_the_own_speaker_first_at_any_level_and_rate(tmp_path):
    wavs, utt2spk = write_speakers(tmp_path, FORMANTS, 4)
    references = embed_speakers(wavs, utt2spk, "mfcc_statistics", max_utts=4)
    model = build_speaker_model("mfcc_statistics")
    for spk, formant in FORMANTS.items():
        wav = speak(formant, 77)
        assert references.nearest(model.embed(wav, FS)) == spk
        embedding = model.embed(0.1 * wav, FS)
        np.testing.assert_allclose(embedding, model.embed(wav, FS), atol=0.5)
        twice = np.repeat(wav, 2)  # crude: images above 4 kHz, which are not looked at
        assert references.nearest(model.embed(twice, 2 * FS)) == spk


def test_references_without_standardising_are_mean_directions():
    embeddings = {
        "a1": np.array([3.0, 0.0]),
        "a2": np.array([0.0, 5.0]),
        "b1": np.array([0.0, -1.0]),
    }
    utt2spk = {"a1": "a", "a2": "a", "b1": "b"}
    references = SpeakerReferences.from_embeddings(embeddings, utt2spk, False)
    assert references.cosine(np.array([2.0, 2.0]), "a") == pytest.approx(1)
    assert references.cosine(np.array([2.0, 2.0]), "b") == pytest.approx(-(0.5**0.5))
    assert references.nearest(np.array([1.0, -9.0])) == "b"
    with pytest.raises(DSUError, match="speaker 'c'.*a, b.*--spk_wav_scp"):
        references.cosine(np.array([1.0, 0.0]), "c")


@pytest.mark.parametrize("utts", [["a1", "a2"], ["a1", "b1"]])
def test_standardising_too_few_references_is_refused(utts):
    rng = np.random.default_rng(0)
    embeddings = {utt: rng.normal(size=3) for utt in utts}
    with pytest.raises(DSUError, match="2 utterances of . speakers.*speaker_model"):
        SpeakerReferences.from_embeddings(embeddings, {u: u[0] for u in utts}, True)


def test_embed_speakers_bad_audio_is_named_and_left_out(tmp_path, caplog):
    wavs, utt2spk = write_speakers(tmp_path, FORMANTS, 3)
    whole = embed_speakers(wavs, utt2spk, "mfcc_statistics", max_utts=9)
    wavs["low-bad"], utt2spk["low-bad"] = str(tmp_path / "none.wav"), "low"
    found = embed_speakers(wavs, utt2spk, "mfcc_statistics", max_utts=9)
    assert "low-bad is left out" in caplog.text
    for spk, reference in whole.references.items():
        np.testing.assert_array_equal(found.references[spk], reference)


def test_embed_speakers_utterance_without_speaker_is_refused(tmp_path):
    with pytest.raises(DSUError, match="u1 .* no speaker"):
        embed_speakers({"u1": "x.wav"}, {}, "mfcc_statistics", max_utts=9)


@pytest.mark.parametrize("name", ["mfcc", "hf:", "other:x", "espnet:"])
def test_build_speaker_model_unknown_name_lists_the_known(name):
    with pytest.raises(DSUError, match="mfcc_statistics, espnet:.* or hf:"):
        build_speaker_model(name)


def test_espnet_speaker_model_folder_without_checkpoint_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(DSUError, match="0 .pth files beside a config.yaml"):
        build_speaker_model(f"espnet:{tmp_path}")


def test_hugging_face_speaker_model_of_a_folder_is_the_models_embedding(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_stride=(8, 8),
        conv_kernel=(8, 8),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        tdnn_dim=(16, 16, 16, 16, 16),
        xvector_output_dim=12,
    )
    folder = tmp_path / "Tiny-SV.v1"
    transformers.Wav2Vec2ForXVector(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    model = build_speaker_model(f"hf:{folder}")
    assert (model.name, model.fs) == ("hf_tiny_sv_v1", 16000)
    wav = speak(500.0, 0)
    embedding = model.embed(wav, FS)
    assert embedding.shape == (12,) and np.isfinite(embedding).all()
    np.testing.assert_allclose(embedding, model.embed(wav, FS))
    # The extractor normalises the level.
    np.testing.assert_allclose(embedding, model.embed(2 * wav, FS), atol=1e-4)


def test_hugging_face_speaker_model_of_nothing_is_one_error(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DSUError, match="cannot be loaded as a model"):
        build_speaker_model(f"hf:{tmp_path}/empty")
