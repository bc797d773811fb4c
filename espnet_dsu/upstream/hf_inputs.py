"""What goes into encoders of the transformers library: waveforms or filter banks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from espnet_dsu.upstream.convs import ConvFrontEnd
from espnet_dsu.upstream.masking import FrameMask, beyond

# Kaldi filter banks of Wav2Vec2-BERT, in samples at 16 kHz.
_FBANK_WINDOW, _FBANK_SHIFT = 400, 160
# What the library's extractors add to a variance, of samples or of filter banks.
_EPS = 1e-7


class Inputs(ABC):
    """Samples in, keyword arguments of the model out."""

    frame_shift: int
    receptive_field: int

    @abstractmethod
    def num_frames(self, num_samples: int) -> int:
        """Return how many frames so many samples give."""

    @abstractmethod
    def statistics(self, blocks: Iterable[Tensor]) -> Any:
        """See :meth:`Upstream.statistics`."""

    @abstractmethod
    def running_statistics(self, blocks: Iterable[Tensor]) -> Iterator[Any]:
        """See :meth:`Upstream.running_statistics`."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return what changes the frames, as plain JSON values."""

    @abstractmethod
    def arguments(
        self, wav: Tensor, lengths: Tensor, counts: Tensor, statistics: Sequence[Any]
    ) -> dict[str, Any]:
        """Return what the model's forward takes for a batch; see ``_frames``."""


class WaveInputs(Inputs):
    """Samples, through convolutions that are computed in slices."""

    def __init__(self, model: Any, extractor: Any) -> None:
        self.normalize = bool(extractor.do_normalize)
        convs = model.feature_extractor.conv_layers
        exact = model.config.feat_extract_activation == "gelu"
        gelu = nn.functional.gelu
        self.front = ConvFrontEnd(
            convs,
            gelu if exact else convs[0].activation,
            _EPS if self.normalize else None,
        )
        model.feature_extractor = self.front
        self.mask = FrameMask(_spoils_padding(model.encoder.pos_conv_embed))
        self.frame_shift = self.front.frame_shift
        self.receptive_field = self.front.receptive_field

    def num_frames(self, num_samples: int) -> int:
        """Return the length after the convolutions."""
        return self.front.num_frames(num_samples)

    def statistics(self, blocks: Iterable[Tensor]) -> Any:
        """Gather the moments that normalisation needs."""
        return self.front.statistics(blocks)

    def running_statistics(self, blocks: Iterable[Tensor]) -> Iterator[Any]:
        """Give the moments after each block."""
        return self.front.running_statistics(blocks)

    def identity(self) -> dict[str, Any]:
        """Return whether waveforms are normalised."""
        return {"do_normalize": self.normalize}

    def arguments(
        self, wav: Tensor, lengths: Tensor, counts: Tensor, statistics: Sequence[Any]
    ) -> dict[str, Any]:
        """Return samples and a mask over them."""
        self.front.prepare(lengths, statistics)
        self.mask.counts = counts
        return {"input_values": wav, "attention_mask": _mask(wav.shape[1], lengths)}


class FbankInputs(Inputs):
    """Stacked log mel filter banks, normalised over the utterance (Wav2Vec2-BERT)."""

    def __init__(self, extractor: Any) -> None:
        self.extractor = extractor
        self.stride = int(extractor.stride)
        self.frame_shift = _FBANK_SHIFT * self.stride
        self.receptive_field = _FBANK_WINDOW + _FBANK_SHIFT * (self.stride - 1)

    def num_frames(self, num_samples: int) -> int:
        """Return how many whole stacks of filter banks fit."""
        return _num_banks(num_samples) // self.stride

    def statistics(self, blocks: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Gather mean and factor to unit variance of each mel bin, float64."""
        *_, last = self.running_statistics(blocks)
        return last

    def running_statistics(
        self, blocks: Iterable[Tensor]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Give, after each block, mean and factor of the filter banks so far."""
        total = squares = torch.zeros(())
        number = 0
        tail: Tensor | None = None
        for block in blocks:
            tail = block if tail is None else torch.cat([tail, block])
            if count := _num_banks(len(tail)):
                banks = self._banks(tail).double()
                number += count
                total = total.to(banks) + banks.sum(dim=0)
                squares = squares.to(banks) + banks.square().sum(dim=0)
                tail = tail[count * _FBANK_SHIFT :]
            mean = total / max(number, 1)
            spread = squares / max(number, 1) - mean.square()
            variance = spread * number / max(number - 1, 1)
            yield mean, (variance.clamp_min(0) + _EPS).rsqrt()

    def identity(self) -> dict[str, Any]:
        """Return the sizes of the features."""
        keys = ("num_mel_bins", "stride")
        return {key: getattr(self.extractor, key) for key in keys}

    def arguments(
        self, wav: Tensor, lengths: Tensor, counts: Tensor, statistics: Sequence[Any]
    ) -> dict[str, Any]:
        """Return stacked features and a mask over them."""
        features = []
        rows = zip(wav, lengths.tolist(), counts.tolist(), statistics)
        for row, length, count, (mean, factor) in rows:
            banks = self._banks(row[:length])[: count * self.stride]
            normal = ((banks.double() - mean) * factor).float()
            features.append(normal.reshape(count, -1).to(wav.device))
        padded = nn.utils.rnn.pad_sequence(features, batch_first=True)
        return {
            "input_features": padded,
            "attention_mask": _mask(padded.shape[1], counts),
        }

    def _banks(self, wav: Tensor) -> Tensor:
        """Return filter banks (T, mel bins), not normalised; no gradient passes."""
        features = self.extractor(
            wav.detach().cpu().numpy(),
            sampling_rate=self.extractor.sampling_rate,
            do_normalize_per_mel_bins=False,
            # An incomplete stack would be dropped.
            pad_to_multiple_of=self.stride,
            return_tensors="pt",
        )["input_features"][0]
        banks = features.reshape(-1, int(self.extractor.num_mel_bins))
        return banks[: _num_banks(len(wav))].to(wav.device)


def _num_banks(num_samples: int) -> int:
    if num_samples < _FBANK_WINDOW:
        return 0
    return 1 + (num_samples - _FBANK_WINDOW) // _FBANK_SHIFT


def _spoils_padding(pos_conv_embed: Any) -> list[nn.Module]:
    """Return the modules after which padding is no longer zero before a convolution.

    data2vec stacks positional convolutions; some HuBERTs have a batch norm before one.
    """
    batch_norm = getattr(pos_conv_embed, "batch_norm", None)
    layers = getattr(pos_conv_embed, "layers", ())
    return [*layers, *([] if batch_norm is None else [batch_norm])]


def _mask(width: int, lengths: Tensor) -> Tensor | None:
    """Return 1 for what is valid and 0 for padding, (B, width); None if all is valid.

    Attention without a mask is quicker.
    """
    if int(lengths.min()) == width:
        return None
    return (~beyond(width, lengths)).long()
