"""From a torchaudio bundle, a directory or a weight file to a loaded model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream.weights import check_arrived, one_line, read_weights

CONFIG, WEIGHTS = "config.yaml", "model.safetensors"
_BUILDERS = {"wav2vec2": "wav2vec2_model", "wavlm": "wavlm_model"}


@dataclass(frozen=True)
class Architecture:
    """What ``config.yaml`` of a local directory holds.

    Attributes:
        model_type: ``wav2vec2`` (HuBERT too) or ``wavlm``.
        params: arguments of torchaudio's builder of that type.
        sample_rate: of the waveforms, in Hz.
        normalize_waveform: whether they get zero mean and unit variance.
    """

    model_type: str
    params: dict[str, Any]
    sample_rate: int
    normalize_waveform: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain YAML values."""
        content = asdict(self)
        for key, value in content["params"].items():
            if isinstance(value, (list, tuple)):
                content["params"][key] = [list(item) for item in value]
        return content

    @classmethod
    def read(cls, path: Path) -> Architecture:
        """Read a ``config.yaml``.

        Raises:
            DSUError: unreadable, a key missing or unknown, or an unknown model type.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise DSUError(f"cannot read {path}: {one_line(error)}") from error
        keys = [field.name for field in fields(cls)]
        if not isinstance(content, dict) or set(content) != set(keys):
            raise DSUError(f"{path}: expected exactly the keys {', '.join(keys)}")
        if content["model_type"] not in _BUILDERS:
            raise DSUError(
                f"{path}: model_type {content['model_type']!r}: expected one of"
                f" {', '.join(_BUILDERS)}"
            )
        return cls(**content)


def load_checkpoint(
    name: str, weight_file: str | None = None
) -> tuple[Any, Architecture]:
    """Load a bundle by name or a local directory.

    Args:
        name: bundle of ``torchaudio.pipelines``, or a directory.
        weight_file: state dict to take instead of the bundle's own.

    Raises:
        DSUError: no such bundle or directory, or weights that do not fit.
    """
    directory = Path(name).expanduser()
    if not directory.is_dir():
        return _load_bundle(name, weight_file)
    if weight_file is not None:
        raise DSUError(
            f"{name} is a directory with weights of its own; option checkpoint is for"
            " bundles: drop it"
        )
    architecture = Architecture.read(directory / CONFIG)
    weights = read_weights(directory / WEIGHTS)
    return _load(architecture, weights, str(directory / WEIGHTS)), architecture


def _load_bundle(name: str, weight_file: str | None) -> tuple[Any, Architecture]:
    bundle = _bundle(name)
    architecture = Architecture(
        model_type=bundle._model_type.lower(),
        params={**bundle._params, "aux_num_out": None},
        sample_rate=int(bundle.sample_rate),
        normalize_waveform=bundle._normalize_waveform,
    )
    if weight_file is not None:
        weights = read_weights(Path(weight_file).expanduser())
    else:
        try:
            weights = bundle._get_state_dict({"weights_only": True})
        except (OSError, RuntimeError) as error:
            raise DSUError(
                f"cannot download the weights of {name} ({one_line(error)});"
                " check the network, or give a local file as option checkpoint"
            ) from error
    # The output layer of a fine-tuned model comes after every frame.
    weights = {k: v for k, v in weights.items() if not k.startswith("aux.")}
    return _load(architecture, weights, weight_file or name), architecture


def _bundle(name: str) -> Any:
    from torchaudio import pipelines
    from torchaudio.pipelines import Wav2Vec2Bundle

    bundle = getattr(pipelines, name, None)
    if not isinstance(bundle, Wav2Vec2Bundle):
        known = [
            n
            for n in dir(pipelines)
            if isinstance(getattr(pipelines, n), Wav2Vec2Bundle)
        ]
        raise DSUError(
            f"{name!r} is neither a directory nor a bundle of torchaudio; bundles:"
            f" {', '.join(known)}"
        )
    return bundle


def _load(architecture: Architecture, weights: dict[str, Tensor], source: str) -> Any:
    from torchaudio import models

    build = getattr(models, _BUILDERS[architecture.model_type])
    try:
        model = build(**{**architecture.params, "aux_num_out": None})
        arrived = model.load_state_dict(weights, strict=False)
    # Wrong parameters and wrong shapes.
    except (TypeError, ValueError, RuntimeError) as error:
        raise DSUError(f"{source} does not fit its model: {one_line(error)}") from error
    check_arrived(source, arrived.missing_keys, arrived.unexpected_keys)
    return model.float()
