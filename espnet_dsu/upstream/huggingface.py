"""Speech encoders of the transformers library."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from espnet_dsu.upstream.base import Upstream, check_layer, path_safe
from espnet_dsu.upstream.checkpoint import load_extractor, load_model, locate
from espnet_dsu.upstream.masking import ConvFrontEnd, FrameMask, normalize_waveforms
from espnet_dsu.upstream.registry import UpstreamName, register_upstream
from espnet_dsu.upstream.weights import weights_digest

# Kaldi filter banks of Wav2Vec2-BERT, in samples at 16 kHz.
_FBANK_WINDOW, _FBANK_SHIFT = 400, 160
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
        self.dim = int(model.config.hidden_size)
        self.num_layers = len(model.encoder.layers)
        self.layer = check_layer(name, self.num_layers)
        self.model: Any = _truncate(model, self.layer)
        self.takes_waveforms = hasattr(model, "feature_extractor")
        if self.takes_waveforms:
            self.convs = ConvFrontEnd(model.feature_extractor.conv_layers)
            self.frame_shift = self.convs.frame_shift
            self.mask = FrameMask(_spoils_padding(model.encoder.pos_conv_embed))
        else:
            self.frame_shift = _FBANK_SHIFT * int(extractor.stride)
        self.eval()

    @classmethod
    def build(cls, name: UpstreamName, conf: Mapping[str, Any]) -> HuggingFaceUpstream:
        """Locate the checkpoint, then load it."""
        directory, commit = locate(name.checkpoint, conf.get("revision"))
        extractor = load_extractor(directory, conf.get("do_normalize"))
        return cls(name, load_model(directory), extractor, commit)

    def num_frames(self, num_samples: int) -> int:
        """Return the length after the convolutions, or of the stacked filter banks."""
        if self.takes_waveforms:
            return self.convs.num_frames(num_samples)
        if num_samples < _FBANK_WINDOW:
            return 0
        banks = 1 + (num_samples - _FBANK_WINDOW) // _FBANK_SHIFT
        return banks // int(self.extractor.stride)

    def config(self) -> dict[str, Any]:
        """Return the name, the commit of a hub id, and the normalisation."""
        conf: dict[str, Any] = {}
        if self.revision is not None:
            conf["revision"] = self.revision
        if self.takes_waveforms:
            conf["do_normalize"] = bool(self.extractor.do_normalize)
        return {"name": str(self.name), "conf": conf}

    def identity(self) -> dict[str, Any]:
        """Return the architecture, the input, and a digest of the weights used.

        The hub id is not in it: equal weights are equal wherever they come from.
        """
        if self.takes_waveforms:
            inputs = {"do_normalize": bool(self.extractor.do_normalize)}
        else:
            keys = ("num_mel_bins", "stride")
            inputs = {key: getattr(self.extractor, key) for key in keys}
        config = self.model.config
        return {
            "family": self.family,
            "layer": self.layer,
            "sample_rate": self.sample_rate,
            "inputs": inputs,
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
        """Last part of the hub id or path, and the layer."""
        return f"{path_safe(Path(name.checkpoint).name)}_{name.layer}"

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

    def _frames(self, wav: Tensor, lengths: Tensor, counts: Tensor) -> Tensor:
        if self.takes_waveforms:
            inputs = self._waveform_inputs(wav, lengths, counts)
        else:
            inputs = self._fbank_inputs(wav, lengths, counts)
        captured: list[Tensor] = []
        handle = self._capture(captured)
        try:
            self.model(**inputs)
        finally:
            handle.remove()
        return captured[0]

    def _capture(self, into: list[Tensor]) -> RemovableHandle:
        """Hook the wanted layer, whose place in the outputs differs by version."""
        layers = self.model.encoder.layers
        if self.layer == 0:
            return layers[0].register_forward_pre_hook(
                lambda _, args, kwargs: into.append(
                    args[0] if args else kwargs["hidden_states"]
                ),
                with_kwargs=True,
            )
        return layers[-1].register_forward_hook(
            lambda _, args, output: into.append(
                output if isinstance(output, Tensor) else output[0]
            )
        )

    def _waveform_inputs(
        self, wav: Tensor, lengths: Tensor, counts: Tensor
    ) -> dict[str, Tensor]:
        self.convs.set_lengths(lengths)
        self.mask.counts = counts
        if self.extractor.do_normalize:
            wav = normalize_waveforms(wav, lengths, eps=1e-7)
        return {"input_values": wav, "attention_mask": _mask(wav.shape[1], lengths)}

    def _fbank_inputs(
        self, wav: Tensor, lengths: Tensor, counts: Tensor
    ) -> dict[str, Tensor]:
        # One at a time, cut to whole frames: the extractor may add a last one that is
        # half padding. No gradient passes here.
        features = [
            self.extractor(
                row[:n].detach().cpu().numpy(),
                sampling_rate=self.sample_rate,
                pad_to_multiple_of=int(self.extractor.stride),
                return_tensors="pt",
            )["input_features"][0, :count]
            for row, n, count in zip(wav, lengths.tolist(), counts.tolist())
        ]
        padded = nn.utils.rnn.pad_sequence(features, batch_first=True).to(wav.device)
        mask = _mask(padded.shape[1], counts)
        return {"input_features": padded, "attention_mask": mask}


def _truncate(model: Any, layer: int) -> Any:
    """Drop the adapter and the layers after the wanted one; one stays, to be hooked."""
    model.encoder.layers = model.encoder.layers[: max(layer, 1)]
    model.config.num_hidden_layers = len(model.encoder.layers)
    if getattr(model, "adapter", None) is not None:
        model.adapter = None
        model.config.add_adapter = False
    return model


def _spoils_padding(pos_conv_embed: Any) -> list[nn.Module]:
    """Return the modules after which padding is no longer zero before a convolution.

    data2vec stacks positional convolutions; some HuBERTs have a batch norm before one.
    """
    batch_norm = getattr(pos_conv_embed, "batch_norm", None)
    layers = getattr(pos_conv_embed, "layers", ())
    return [*layers, *([] if batch_norm is None else [batch_norm])]


def _mask(width: int, lengths: Tensor) -> Tensor:
    """Return 1 for what is valid and 0 for padding, (B, width)."""
    return (torch.arange(width, device=lengths.device) < lengths.unsqueeze(1)).long()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
