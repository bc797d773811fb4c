"""The convolutions that turn samples into frames, computed slice by slice of time.

A frame sees few samples, so the convolutions give the same frames slice by slice: their
memory is bounded and stays in a CPU's cache. Only normalisation looks at the whole
utterance: of the waveform, and of the first convolution's output (group norm of the
*base* models). Both follow from moments of the samples, which are gathered first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream.masking import zero_padding
from espnet_dsu.upstream.onednn import applies_to, is_frozen
from espnet_dsu.upstream.packed_conv import PackedConv
from espnet_dsu.upstream.wave_statistics import WaveStatistics

# Frames of one slice. On a CPU about a second, whose activations stay in the cache; a
# GPU wants larger pieces, and takes all utterances of a batch at once.
_SLICE_FRAMES = {"cpu": 64, "cuda": 512}


class ConvFrontEnd(nn.Module):
    """Unpadded convolutions over samples, with the norms between them.

    It takes the place of a model's own feature extractor and has its parameters, by
    the same names.

    Args:
        conv_layers: modules with ``conv`` (Conv1d) and perhaps ``layer_norm``.
        activation: that follows each.
        wave_eps: brings waveforms to zero mean and unit variance, with this much added
            to the variance; None leaves them.
    """

    def __init__(
        self,
        conv_layers: nn.ModuleList,
        activation: Callable[[Tensor], Tensor],
        wave_eps: float | None,
    ) -> None:
        super().__init__()
        self.conv_layers = conv_layers
        self.activation, self.wave_eps = activation, wave_eps
        convs: list[Any] = [layer.conv for layer in conv_layers]
        self.stages = [(conv.kernel_size[0], conv.stride[0]) for conv in convs]
        norms = [getattr(layer, "layer_norm", None) for layer in conv_layers]
        self.grouped = isinstance(norms[0], nn.GroupNorm)
        if any(isinstance(norm, nn.GroupNorm) for norm in norms[1:]):
            raise DSUError("group norm after a convolution other than the first")
        self._packed: dict[int, PackedConv] = {}
        self.frame_shift, self.receptive_field = 1, 1
        for kernel, stride in self.stages:
            self.receptive_field += (kernel - 1) * self.frame_shift
            self.frame_shift *= stride

    def num_frames(self, num_samples: int) -> int:
        """Return the length after all convolutions."""
        length = num_samples
        for kernel, stride in self.stages:
            length = 0 if length < kernel else (length - kernel) // stride + 1
        return length

    def statistics(self, blocks: Iterable[Tensor]) -> WaveStatistics | None:
        """Gather the moments of an utterance, if any norm needs them."""
        if self.wave_eps is None and not self.grouped:
            return None
        return WaveStatistics.gather(blocks, *self.stages[0])

    def running_statistics(
        self, blocks: Iterable[Tensor]
    ) -> Iterator[WaveStatistics | None]:
        """Give, after each block, the moments so far, if any norm needs them."""
        if self.wave_eps is None and not self.grouped:
            return (None for _ in blocks)
        return WaveStatistics.running(blocks, *self.stages[0])

    def prepare(
        self, lengths: Tensor, statistics: Sequence[WaveStatistics | None]
    ) -> None:
        """Say the lengths (B,) in samples and the statistics of the coming batch."""
        self.batch = [self.num_frames(n) for n in lengths.tolist()], list(statistics)

    def forward(self, wav: Tensor) -> Tensor:
        """Turn samples (B, N) into frames (B, C, T), zero beyond each length."""
        counts, statistics = self.batch
        if wav.device.type == "cpu":
            rows = [
                self._rows(x[None], count, [known])[0]
                for x, count, known in zip(wav, counts, statistics)
            ]
            frames = nn.utils.rnn.pad_sequence(rows, batch_first=True)
            return frames.transpose(1, 2)
        frames = self._rows(wav, max(counts), statistics).transpose(1, 2)
        return zero_padding(frames, torch.tensor(counts, device=wav.device))

    def _rows(
        self, wav: Tensor, count: int, statistics: list[WaveStatistics | None]
    ) -> Tensor:
        """Turn samples (R, N) into ``count`` frames (R, count, C), slice by slice."""
        mean, factor, folded = self._fold(wav, statistics)
        step = _SLICE_FRAMES.get(wav.device.type, 512)
        slices = []
        for first in range(0, count, step):
            last = min(first + step, count)
            start = first * self.frame_shift
            stop = (last - 1) * self.frame_shift + self.receptive_field
            x = (wav[:, start:stop] - mean) * factor
            slices.append(self._slice(x, folded))
        return torch.cat(slices, dim=1)

    def _slice(self, x: Tensor, folded: tuple[Tensor, Tensor] | None) -> Tensor:
        """Run all convolutions on (R, n) samples; give (R, T, C)."""
        x = x.unsqueeze(-1)
        layers = list(range(len(self.stages)))
        if folded is not None:
            weight, bias = folded
            patches = x.squeeze(-1).unfold(1, *self.stages[0])
            # Cheap, and the only place where samples themselves would be rounded.
            with torch.autocast(x.device.type, enabled=False):
                x = torch.baddbmm(bias, patches, weight)
            x = self.activation(x)
            layers = layers[1:]
        for index in layers:
            x = self._layer(x, index)
        return x

    def _layer(self, x: Tensor, index: int) -> Tensor:
        """Run a convolution on (R, T, C), its layer norm if it has one, activation."""
        conv: Any = self.conv_layers[index].conv
        norm = getattr(self.conv_layers[index], "layer_norm", None)
        fused = norm is None and self.activation is nn.functional.gelu
        packed = self._packed_conv(index, fused) if applies_to(x) else None
        if packed is None:
            x = conv(x.transpose(1, 2)).transpose(1, 2)
        else:
            x = packed(x)
            if fused:
                return x
        if norm is not None:
            size, weight, bias = norm.normalized_shape, norm.weight, norm.bias
            x = nn.functional.layer_norm(x, size, weight, bias, norm.eps)
        return self.activation(x)

    def _packed_conv(self, index: int, gelu: bool) -> PackedConv | None:
        """Return the packed form of a convolution; None if training may change it."""
        conv: Any = self.conv_layers[index].conv
        if not is_frozen(conv):
            self._packed.pop(index, None)
        elif index not in self._packed:
            self._packed[index] = PackedConv(conv, gelu)
        return self._packed.get(index)

    def _fold(
        self, wav: Tensor, statistics: list[WaveStatistics | None]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
        """Return mean and factor (R, 1) of the samples, and the first layer's weights.

        Those hold its group norm, or are None where it has none.
        """
        means, factors, folded = [], [], []
        for known in statistics:
            mean, factor = wav.new_zeros(1).double(), wav.new_ones(1).double()
            if known is not None:
                if self.wave_eps is not None:
                    mean = known.mean.reshape(1)
                    factor, known = known.normalized(self.wave_eps)
                    factor = factor.reshape(1)
                if self.grouped:
                    folded.append(_fold_group_norm(self.conv_layers[0], known))
            means.append(mean)
            factors.append(factor)
        first = None
        if folded:
            weights, biases = zip(*folded)
            first = torch.stack(weights), torch.stack(biases)
        return torch.stack(means).to(wav), torch.stack(factors).to(wav), first


def _fold_group_norm(layer: Any, known: WaveStatistics) -> tuple[Tensor, Tensor]:
    """Join the first convolution and its group norm: weight (k, C) and bias (1, C).

    Mean and variance of the convolution's output follow from those of its input.
    """
    norm = layer.layer_norm
    weight = layer.conv.weight[:, 0].double()
    bias = weight.new_zeros(len(weight))
    if layer.conv.bias is not None:
        bias = layer.conv.bias.double()
    mean = weight @ known.patch_mean + bias
    variance = ((weight @ known.patch_covariance) * weight).sum(dim=1)
    square = (variance + mean.square()).view(norm.num_groups, -1).mean(dim=1)
    size = len(mean) // norm.num_groups
    mean = mean.view(norm.num_groups, -1).mean(dim=1)
    deviation = (square - mean.square()).clamp_min(0).add(norm.eps).sqrt()
    scale = norm.weight.double() / deviation.repeat_interleave(size)
    shift = (bias - mean.repeat_interleave(size)) * scale + norm.bias.double()
    return (weight * scale[:, None]).t().float(), shift[None].float()
