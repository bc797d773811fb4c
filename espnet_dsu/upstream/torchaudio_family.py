"""Speech encoders of torchaudio: HuBERT, wav2vec 2.0, WavLM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from espnet_dsu.upstream.base import Upstream
from espnet_dsu.upstream.convs import ConvFrontEnd
from espnet_dsu.upstream.fft_conv import FFTConv
from espnet_dsu.upstream.masking import beyond
from espnet_dsu.upstream.onednn import PackedLinear
from espnet_dsu.upstream.registry import (
    UpstreamName,
    check_layer,
    path_safe,
    register_upstream,
)
from espnet_dsu.upstream.torchaudio_checkpoint import (
    CONFIG,
    WEIGHTS,
    Architecture,
    load_checkpoint,
)
from espnet_dsu.upstream.weights import weights_digest

# torchaudio's pipelines normalise by layer_norm's default.
_WAVE_EPS = 1e-5
# Set by the number of layers and by training; they leave the frames as they are.
_NOT_IDENTITY = ("dropout", "layer_drop", "encoder_num_layers", "aux_num_out")


@register_upstream
class TorchaudioUpstream(Upstream):
    """HuBERT, wav2vec 2.0 and WavLM as torchaudio implements them.

    Named by a bundle of ``torchaudio.pipelines`` or by a local directory holding
    ``config.yaml`` and ``model.safetensors``. Layer k is the output of transformer
    layer k, before a final layer norm; later layers are dropped on loading.

    Options:
        checkpoint: state-dict file to load into the named bundle instead of its own.
    """

    family = "torchaudio"
    layered = True
    conf_keys = ("checkpoint",)
    layer: int

    def __init__(
        self,
        name: UpstreamName,
        model: Any,
        architecture: Architecture,
        checkpoint: str | None = None,
    ):
        super().__init__()
        self.name = name
        self.checkpoint = checkpoint
        self.architecture = architecture
        self.sample_rate = architecture.sample_rate
        transformer = model.encoder.transformer
        self.dim = transformer.pos_conv_embed.embed_dim * len(name.layers)
        self.num_layers = len(transformer.layers)
        self.layer = check_layer(name, self.num_layers)
        transformer.layers = transformer.layers[: self.layer]
        self.model: Any = model
        self.front = ConvFrontEnd(
            model.feature_extractor.conv_layers,
            nn.functional.gelu,
            _WAVE_EPS if architecture.normalize_waveform else None,
        )
        model.feature_extractor = self.front
        FFTConv.replace_in(transformer.pos_conv_embed)
        PackedLinear.replace_in(model)
        self.frame_shift = self.front.frame_shift
        self.receptive_field = self.front.receptive_field
        self.eval().requires_grad_(False)

    @classmethod
    def build(cls, name: UpstreamName, conf: Mapping[str, Any]) -> TorchaudioUpstream:
        """Load the weights of a bundle, a directory or a file."""
        checkpoint = conf.get("checkpoint")
        model, architecture = load_checkpoint(name.checkpoint, checkpoint)
        return cls(name, model, architecture, checkpoint)

    def num_frames(self, num_samples: int) -> int:
        """Return the length after the convolutions."""
        return self.front.num_frames(num_samples)

    def statistics(self, blocks: Iterable[Tensor]) -> Any:
        """Gather the moments that normalisation needs; see the base class."""
        return self.front.statistics(blocks)

    def running_statistics(self, blocks: Iterable[Tensor]) -> Iterator[Any]:
        """Give the statistics after each block; see the base class."""
        return self.front.running_statistics(blocks)

    def config(self) -> dict[str, Any]:
        """Return the name, and the weight file where one was given."""
        conf = {} if self.checkpoint is None else {"checkpoint": str(self.checkpoint)}
        return {"name": str(self.name), "conf": conf}

    def identity(self) -> dict[str, Any]:
        """Return the architecture, the input, and a digest of the weights used."""
        architecture = self.architecture.to_dict()
        architecture["params"] = {
            key: value
            for key, value in architecture["params"].items()
            if not any(word in key for word in _NOT_IDENTITY)
        }
        return {
            "family": self.family,
            "layers": list(self.layers),
            **architecture,
            "weights": self._digest,
        }

    def save_weights(self, directory: Path) -> None:
        """Write config.yaml and model.safetensors."""
        from safetensors.torch import save_file

        directory.mkdir(parents=True, exist_ok=True)
        config = self.architecture.to_dict()
        config["params"]["encoder_num_layers"] = self.layer
        text = yaml.safe_dump(config, sort_keys=False)
        (directory / CONFIG).write_text(text, encoding="utf-8")
        weights = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self.model.state_dict().items()
        }
        save_file(weights, directory / WEIGHTS)

    @classmethod
    def tag_of(cls, name: UpstreamName, conf: Mapping[str, Any]) -> str:
        """Bundle or directory, the weight file where one was given, and the layers."""
        parts = [path_safe(Path(name.checkpoint).name)]
        if conf.get("checkpoint") is not None:
            parts.append(path_safe(Path(conf["checkpoint"]).stem))
        return "_".join([*parts, name.layer_text])

    @cached_property
    def _digest(self) -> str:
        return weights_digest(self.model, lambda name: True)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Let ``torch.compile`` work on each transformer layer."""
        for layer in self.model.encoder.transformer.layers:
            layer.compile(*args, dynamic=True, **kwargs)

    def _frames(
        self,
        wav: Tensor,
        lengths: Tensor,
        counts: Tensor,
        statistics: Sequence[Any],
        layers: Sequence[int],
    ) -> list[Tensor]:
        self.front.prepare(lengths, statistics)
        features = self.front(wav).transpose(1, 2)
        found = list(self._encode(features, counts, max(layers)))
        return [found[layer] for layer in layers]

    def _encode(self, features: Tensor, counts: Tensor, last: int) -> Iterator[Tensor]:
        """Run layers one by one, each kind of attention with its own mask.

        torchaudio's own loop gives WavLM no mask and refuses lengths for it.
        """
        encoder = self.model.encoder
        padding = beyond(features.shape[1], counts)
        x = encoder.feature_projection(features).masked_fill(padding.unsqueeze(-1), 0.0)
        transformer = encoder.transformer
        x = x + transformer.pos_conv_embed(x)
        if transformer.layer_norm_first:
            x = transformer.layer_norm(x)
        yield x
        mask = self._mask(x, padding)
        position_bias = None
        for layer in transformer.layers[:last]:
            x, position_bias = layer(x, position_bias=position_bias, **mask)
            yield x

    def _mask(self, x: Tensor, padding: Tensor) -> dict[str, Tensor]:
        """Return the attention mask of (B, T, D), none where nothing is padding."""
        if not padding.any():
            return {}
        scores = x.new_zeros(padding.shape).masked_fill(padding, -torch.inf)
        if self.architecture.model_type == "wavlm":
            return {"key_padding_mask": scores}
        return {"attention_mask": scores[:, None, None].expand(-1, 1, x.shape[1], -1)}
