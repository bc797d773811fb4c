"""From a Hugging Face hub id or a local directory to a loaded model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream.weights import check_arrived, one_line

MODEL_CLASSES = {
    "data2vec-audio": "Data2VecAudioModel",
    "hubert": "HubertModel",
    "unispeech-sat": "UniSpeechSatModel",
    "wav2vec2": "Wav2Vec2Model",
    "wav2vec2-bert": "Wav2Vec2BertModel",
    "wavlm": "WavLMModel",
}
_TEXT_FILES = ["config.json", "preprocessor_config.json", "processor_config.json"]
_SAFE_FILES = [
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
]
_TORCH_FILES = [
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "pytorch_model-*.bin",
]


def import_transformers() -> ModuleType:
    """Import transformers, or say how to install it."""
    try:
        import transformers
    except ImportError as error:
        raise DSUError(
            f"upstreams of family 'hf' need transformers ({error});"
            " run: pip install 'espnet_dsu[hf]'"
        ) from error
    return transformers


def locate(checkpoint: str, revision: str | None) -> tuple[Path, str | None]:
    """Find the folder of a checkpoint, downloading a hub id that is not cached.

    Args:
        checkpoint: local directory or hub id.
        revision: branch, tag or commit of a hub id.

    Returns:
        the folder, and for a hub id the commit hash it holds.

    Raises:
        DSUError: neither a directory nor a hub id that can be had.
    """
    directory = Path(checkpoint).expanduser()
    if directory.is_dir():
        if revision is not None:
            raise DSUError(
                f"{checkpoint} is a local directory; option revision={revision!r} is"
                " for hub ids: drop it"
            )
        return directory, None
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", checkpoint):
        raise DSUError(f"{checkpoint}: no such directory, and not a hub id either")
    snapshot = _download(checkpoint, revision, [*_TEXT_FILES, *_SAFE_FILES])
    if not list(snapshot.glob("*.safetensors")):
        # The commit found first, so that a push in between cannot mix two versions.
        snapshot = _download(checkpoint, snapshot.name, [*_TEXT_FILES, *_TORCH_FILES])
    return snapshot, snapshot.name


def _download(hub_id: str, revision: str | None, patterns: list[str]) -> Path:
    import_transformers()
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(hub_id, revision=revision, allow_patterns=patterns)
        )
    # The network errors of the hub client share no base class across its versions.
    except Exception as error:
        raise DSUError(
            f"cannot get {hub_id} (revision {revision or 'main'}): it is no local"
            " directory, not complete in the cache, and the hub did not give it"
            f" ({one_line(error)}); check the name and the network, or give a directory"
        ) from error


def model_type(directory: Path) -> str:
    """Return the model type of a folder.

    Raises:
        DSUError: no readable config.json, or a type that is not supported.
    """
    kind = _read_json(directory / "config.json").get("model_type")
    if kind not in MODEL_CLASSES:
        raise DSUError(
            f"{directory}: model_type {kind!r} is not supported; supported:"
            f" {', '.join(MODEL_CLASSES)}"
        )
    return kind


def load_model(directory: Path) -> Any:
    """Load the encoder in float32; never runs code that comes with a checkpoint.

    Raises:
        DSUError: weights missing or damaged.
    """
    cls = getattr(import_transformers(), MODEL_CLASSES[model_type(directory)])
    try:
        model, info = cls.from_pretrained(
            directory,
            use_safetensors=bool(list(directory.glob("*.safetensors"))),
            output_loading_info=True,
        )
    # Damage shows as many kinds of error, among them ones of safetensors' own kind.
    except Exception as error:
        raise DSUError(
            f"cannot load the model in {directory}: {one_line(error)}"
        ) from error
    # Only masked training uses masked_spec_embed, only the last output the adapter.
    unused = ("masked_spec_embed", "adapter.")
    missing = [name for name in info["missing_keys"] if not name.startswith(unused)]
    check_arrived(directory, missing, [])
    return model.float()


def load_extractor(directory: Path, do_normalize: bool | None) -> Any:
    """Load the feature extractor, which knows the rate and the normalisation.

    Args:
        directory: of the checkpoint.
        do_normalize: what to take where the checkpoint does not say.

    Raises:
        DSUError: the checkpoint does not say and neither does ``do_normalize``, or
            they contradict each other.
    """
    kind = model_type(directory)
    said = _has_extractor(directory)
    if kind == "wav2vec2-bert":
        if do_normalize is not None:
            raise DSUError(f"{directory}: wav2vec2-bert has no option do_normalize")
        if not said:
            raise DSUError(f"{directory}: {kind} needs its preprocessor_config.json")
        return _read_extractor("SeamlessM4TFeatureExtractor", directory)
    if not said:
        if do_normalize is None:
            raise DSUError(
                f"{directory} has no preprocessor_config.json, so whether the model was"
                " trained on normalised waveforms is unknown; set do_normalize to true"
                " or false in the upstream's options"
            )
        cls = import_transformers().Wav2Vec2FeatureExtractor
        return cls(do_normalize=do_normalize)
    extractor = _read_extractor("Wav2Vec2FeatureExtractor", directory)
    if do_normalize not in (None, extractor.do_normalize):
        raise DSUError(
            f"do_normalize={do_normalize} contradicts {directory}, which says"
            f" {extractor.do_normalize}; drop the option"
        )
    return extractor


def _has_extractor(directory: Path) -> bool:
    old, new = (directory / name for name in _TEXT_FILES[1:])
    return old.is_file() or (new.is_file() and "feature_extractor" in _read_json(new))


def _read_extractor(class_name: str, directory: Path) -> Any:
    try:
        return getattr(import_transformers(), class_name).from_pretrained(directory)
    except (OSError, ValueError, TypeError) as error:
        raise DSUError(
            f"cannot read the feature extractor in {directory}: {one_line(error)}"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DSUError(f"cannot read {path}: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise DSUError(f"{path}: expected a JSON object")
    return content
