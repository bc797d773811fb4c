"""Speech encoders of the transformers library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from espnet_dsu.upstream.base import Upstream
from espnet_dsu.upstream.checkpoint import load_extractor, load_model, locate
from espnet_dsu.upstream.fft_conv import FFTConv
from espnet_dsu.upstream.hf_inputs import FbankInputs, Inputs, WaveInputs
from espnet_dsu.upstream.onednn import PackedLinear
from espnet_dsu.upstream.registry import (
    UpstreamName,
    check_layer,
    path_safe,
    register_upstream,
)
from espnet_dsu.upstream.weights import weights_digest

# What changes the frames and cannot be seen from the names and shapes of the weights.
_IDENTITY_KEYS = (
    "conv_stride",
    "do_stable_layer_norm",
    "feat_extract_activation",
    "hidden_act",
    "layer_norm_eps",
    "left_max_position_embeddings",
    "max_bucket_distance",
    "model_type",
    "num_attention_heads",
    "position_embeddings_type",
    "right_max_position_embeddings",
    "rotary_embedding_base",
)


@register_upstream
class HuggingFaceUpstream(Upstream):
    """HuBERT, wav2vec 2.0, WavLM, UniSpeech-SAT, data2vec and Wav2Vec2-BERT.

    Named by hub id or local directory. Layer k is the output of transformer layer k,
    before the final layer norm that some models put after their last layer; later
    layers are dropped on loading.

    Options:
        revision: branch, tag or commit of a hub id; ``config()`` holds the commit.
        do_normalize: whether waveforms get zero mean and unit variance; read from the
            checkpoint, to be given only where the checkpoint does not say.
    """

    family = "hf"
    layered = True
    conf_keys = ("revision", "do_normalize")
    layer: int

    def __init__(
        self,
        name: UpstreamName,
        model: Any,
        extractor: Any,
        revision: str | None = None,
    ):
        super().__init__()
        self.name = name
        self.revision = revision
        self.extractor = extractor
        self.sample_rate = int(extractor.sampling_rate)
        self.dim = int(model.config.hidden_size) * len(name.layers)
        self.num_layers = len(model.encoder.layers)
        self.layer = check_layer(name, self.num_layers)
        self.model: Any = _truncate(model, self.layer)
        self.inputs: Inputs
        if hasattr(model, "feature_extractor"):
            self.inputs = WaveInputs(model, extractor)
            FFTConv.replace_in(model.encoder.pos_conv_embed)
        else:
            self.inputs = FbankInputs(extractor)
        PackedLinear.replace_in(model)
        self.frame_shift = self.inputs.frame_shift
        self.receptive_field = self.inputs.receptive_field
        self.eval().requires_grad_(False)

    @classmethod
    def build(cls, name: UpstreamName, conf: Mapping[str, Any]) -> HuggingFaceUpstream:
        """Locate the checkpoint, then load it."""
        directory, commit = locate(name.checkpoint, conf.get("revision"))
        extractor = load_extractor(directory, conf.get("do_normalize"))
        return cls(name, load_model(directory), extractor, commit)

    def num_frames(self, num_samples: int) -> int:
        """Return the length after the convolutions, or of the stacked filter banks."""
        return self.inputs.num_frames(num_samples)

    def statistics(self, blocks: Iterable[Tensor]) -> Any:
        """Gather what normalisation needs; see the base class."""
        return self.inputs.statistics(blocks)

    def running_statistics(self, blocks: Iterable[Tensor]) -> Iterator[Any]:
        """Give the statistics after each block; see the base class."""
        return self.inputs.running_statistics(blocks)

    def config(self) -> dict[str, Any]:
        """Return the name, the commit of a hub id, and the normalisation."""
        conf: dict[str, Any] = {}
        if self.revision is not None:
            conf["revision"] = self.revision
        if isinstance(self.inputs, WaveInputs):
            conf["do_normalize"] = self.inputs.normalize
        return {"name": str(self.name), "conf": conf}

    def identity(self) -> dict[str, Any]:
        """Return the architecture, the input, and a digest of the weights used.

        The hub id is not in it: equal weights are equal wherever they come from.
        """
        config = self.model.config
        return {
            "family": self.family,
            "layers": list(self.layers),
            "sample_rate": self.sample_rate,
            "inputs": self.inputs.identity(),
            "model": {
                key: _plain(getattr(config, key))
                for key in _IDENTITY_KEYS
                if hasattr(config, key)
            },
            "weights": self._digest,
        }

    def save_weights(self, directory: Path) -> None:
        """Write config.json, model.safetensors and preprocessor_config.json."""
        directory.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(directory)
        self.extractor.save_pretrained(directory)

    @classmethod
    def tag_of(cls, name: UpstreamName, conf: Mapping[str, Any]) -> str:
        """Last part of the hub id or path, and the layers."""
        return f"{path_safe(Path(name.checkpoint).name)}_{name.layer_text}"

    @cached_property
    def _digest(self) -> str:
        used = ("feature_extractor.", "feature_projection.", "encoder.")
        unused = tuple(
            f"encoder.layers.{index}."
            for index in range(self.layer, len(self.model.encoder.layers))
        )
        return weights_digest(
            self.model,
            lambda name: name.startswith(used) and not name.startswith(unused),
        )

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Let ``torch.compile`` work on each transformer layer."""
        for layer in self.model.encoder.layers:
            layer.compile(*args, dynamic=True, **kwargs)

    def _frames(
        self,
        wav: Tensor,
        lengths: Tensor,
        counts: Tensor,
        statistics: Sequence[Any],
        layers: Sequence[int],
    ) -> list[Tensor]:
        arguments = self.inputs.arguments(wav, lengths, counts, statistics)
        found: dict[int, Tensor] = {}
        handles = [self._capture(layer, found) for layer in set(layers)]
        try:
            self.model(**arguments)
        finally:
            for handle in handles:
                handle.remove()
        return [found[layer] for layer in layers]

    def _capture(self, layer: int, into: dict[int, Tensor]) -> RemovableHandle:
        """Hook the wanted layer, whose place in the outputs differs by version."""
        modules = self.model.encoder.layers
        if layer == 0:
            return modules[0].register_forward_pre_hook(
                lambda _, args, kwargs: into.update(
                    {0: args[0] if args else kwargs["hidden_states"]}
                ),
                with_kwargs=True,
            )
        return modules[layer - 1].register_forward_hook(
            lambda _, args, output: into.update(
                {layer: output if isinstance(output, Tensor) else output[0]}
            )
        )


def _truncate(model: Any, layer: int) -> Any:
    """Drop the adapter and the layers after the wanted one; one stays, to be hooked."""
    model.encoder.layers = model.encoder.layers[: max(layer, 1)]
    model.config.num_hidden_layers = len(model.encoder.layers)
    if getattr(model, "adapter", None) is not None:
        model.adapter = None
        model.config.add_adapter = False
    return model


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
