"""Embeddings of a voice: speaker models of ESPnet and Hugging Face, and a fallback."""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import librosa
import numpy as np

from espnet_dsu.audio import AudioError, check_samples, read_audio
from espnet_dsu.errors import DSUError


class SpeakerModel(ABC):
    """Turns a recording into an embedding.

    Attributes:
        name: lower-case, part of the keys of scores.
        fs: sample rate of its input, to which recordings are brought.
        standardise: embeddings mean nothing as they are; they are compared after
            each dimension has been standardised over the reference set.
    """

    name: str
    fs: int
    standardise = False

    def embed(self, wav: np.ndarray, fs: int) -> np.ndarray:
        """Return the embedding (D,) of ``wav`` (N,), float samples at ``fs``.

        Raises:
            DSUError: no mono float waveform, no samples, or NaN or infinite ones.
        """
        check_samples(wav, "the waveform")
        wav = librosa.resample(wav.astype(np.float32), orig_sr=fs, target_sr=self.fs)
        return np.asarray(self._embed(wav), dtype=np.float64)

    @abstractmethod
    def _embed(self, wav: np.ndarray) -> np.ndarray:
        """Return the embedding of samples at ``self.fs``."""


class MfccStatistics(SpeakerModel):
    """Means of MFCCs: a rough measure of timbre that needs no model.

    MFCCs 1 to 19 of 40 mel bands up to 4 kHz, windows of 32 ms every 10 ms, over the
    frames at most 60 dB below the loudest. Their deviations are left out: those of
    synthetic speech are smaller whoever speaks, and real speakers are told apart
    better without.
    """

    name = "mfcc_statistics"
    fs = 8000
    standardise = True

    def _embed(self, wav: np.ndarray) -> np.ndarray:
        bands = librosa.feature.melspectrogram(
            y=wav, sr=self.fs, n_fft=256, hop_length=80, n_mels=40, pad_mode="constant"
        )
        decibels = librosa.power_to_db(bands, top_db=None)
        level = 10 * np.log10(bands.sum(axis=0) + 1e-10)
        mfcc = librosa.feature.mfcc(S=decibels, n_mfcc=20)[1:, level > level.max() - 60]
        return mfcc.mean(axis=1)


class EspnetSpeakerModel(SpeakerModel):
    """A model of ESPnet's speaker recipes: an experiment's folder, or a tag."""

    def __init__(self, source: str) -> None:
        """Load ``source``: a folder with config.yaml and one .pth, or a tag.

        Raises:
            DSUError: the folder holds no config, or no or several checkpoints.
        """
        folder = Path(source)
        files = _experiment(folder) if folder.is_dir() else {"model_tag": source}
        # By name: metrics load without torch and ESPnet, which take 13 s.
        inference = importlib.import_module("espnet2.bin.spk_inference")
        self._model = inference.Speech2Embedding.from_pretrained(**files)
        self.name = _key("espnet", source)
        conf = getattr(self._model.spk_train_args, "frontend_conf", None) or {}
        rate = str(conf.get("fs", 16000)).lower()
        self.fs = round(float(rate.removesuffix("k")) * (1000 if "k" in rate else 1))

    def _embed(self, wav: np.ndarray) -> np.ndarray:
        return self._model(wav).cpu().numpy().reshape(-1)


class HuggingFaceSpeakerModel(SpeakerModel):
    """A model with an x-vector head of Hugging Face: a folder, or a name on the hub."""

    def __init__(self, source: str) -> None:
        """Load ``source``.

        Raises:
            DSUError: it cannot be loaded as such a model.
        """
        try:
            transformers = importlib.import_module("transformers")
        except ImportError as error:
            raise DSUError(
                f"hf:{source} needs transformers ({error}); pip install transformers"
            ) from error
        try:
            extractor = transformers.AutoFeatureExtractor.from_pretrained(source)
            model = transformers.AutoModelForAudioXVector.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise DSUError(
                f"hf:{source} cannot be loaded as a model for AutoModelForAudioXVector:"
                f" {error}"
            ) from error
        self.name = _key("hf", source)
        self.fs = extractor.sampling_rate
        self._extractor, self._model = extractor, model.eval()

    def _embed(self, wav: np.ndarray) -> np.ndarray:
        inputs = self._extractor(wav, sampling_rate=self.fs, return_tensors="pt")
        with importlib.import_module("torch").no_grad():
            return self._model(**inputs).embeddings[0].numpy()


_FAMILIES: dict[str, Any] = {
    "espnet": EspnetSpeakerModel,
    "hf": HuggingFaceSpeakerModel,
}


@lru_cache(maxsize=1)
def build_speaker_model(name: str) -> SpeakerModel:
    """Return a speaker model by its name; the last one is kept.

    Args:
        name: ``mfcc_statistics``, ``espnet:<folder or tag>`` or
            ``hf:<folder or name>``.

    Raises:
        DSUError: the name is none of these, or the model cannot be loaded.
    """
    if name == MfccStatistics.name:
        return MfccStatistics()
    family, _, source = name.partition(":")
    if family not in _FAMILIES or not source:
        raise DSUError(
            f"speaker model {name!r}: expected mfcc_statistics, espnet:<folder or tag> "
            "or hf:<folder or name>"
        )
    return _FAMILIES[family](source)


def _key(family: str, source: str) -> str:
    """Return what scores of a model are called: ``hf_wavlm_base_plus_sv``."""
    last = source.rstrip("/").rpartition("/")[2].lower()
    return f"{family}_{re.sub(r'[^a-z0-9]+', '_', last).strip('_')}"


def _experiment(folder: Path) -> dict[str, str]:
    config, checkpoints = folder / "config.yaml", sorted(folder.glob("*.pth"))
    if not config.is_file() or len(checkpoints) != 1:
        raise DSUError(
            f"espnet:{folder}: {len(checkpoints)} .pth files beside "
            f"{'a' if config.is_file() else 'no'} config.yaml, expected one and one"
        )
    return {"train_config": str(config), "model_file": str(checkpoints[0])}


@dataclass(frozen=True)
class EmbedRecording:
    """Embeds a recording; can be sent to another process."""

    model: str

    def __call__(self, source: str) -> np.ndarray | str:
        """Return the embedding, or what is wrong with the audio."""
        try:
            wav, fs = read_audio(source)
        except AudioError as error:
            return str(error)
        return build_speaker_model(self.model).embed(wav, fs)
