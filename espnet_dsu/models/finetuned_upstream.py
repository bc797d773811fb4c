"""An upstream that learns with the model: hard units, and a gradient for its frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from espnet_dsu.encoder import batch_frames
from espnet_dsu.errors import DSUError
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.augment import nearest_units


class FinetunedUpstream(torch.nn.Module):
    """The upstream of a tokenizer, as part of a model that trains it.

    Units are hard, the index of the nearest centroid, so a model sees what it would see
    of a frozen upstream with these weights. Their embedding passes its gradient on to
    the frames as if it were the mean of all embeddings under a softmax over the
    negative squared distances to the centroids (Agustsson et al., 2017,
    https://arxiv.org/abs/1704.00648; for speech units Onda et al., 2025,
    https://arxiv.org/abs/2505.16207, who draw from that softmax). The centroids stay.

    Weights stay float32 on any device whatever the model is cast to, and frames are
    computed in float32 under autocast too: rounding would change units. As a frozen
    upstream's, they are computed without dropout.

    Args:
        tokenizer: whose upstream it is; its weights change as this learns.
        temperature: of the softmax, in mean squared distances of a centroid to the one
            nearest to it. Larger spreads the gradient over more units.

    Raises:
        DSUError: for an upstream without weights, or a temperature that is not above 0.
    """

    def __init__(self, tokenizer: UnitTokenizer, temperature: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise DSUError(f"temperature is {temperature}, expected a number above 0")
        self.upstream = tokenizer.upstream
        if not any(True for _ in self.upstream.parameters()):
            raise DSUError(
                f"finetune_upstream: the upstream {self.upstream.name} has no weights "
                "to train; take a speech encoder (hf:..., torchaudio:...), or leave it "
                "out"
            )
        self._tokenizer, self.temperature = tokenizer, temperature
        for number, centroids in enumerate(tokenizer.quantizer.stream_centroids()):
            table = centroids.detach().clone()
            near = table[torch.from_numpy(nearest_units(table.cpu().numpy(), 1)[:, 0])]
            scale = (table - near).square().sum(dim=1).mean()
            self.register_buffer(f"centroids{number}", table, persistent=False)
            self.register_buffer(f"scale{number}", scale, persistent=False)
        _require_grad_where_used(self.upstream)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Follow to another device, but not to another dtype."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(fn(tensor.new_empty(0)).device)

        return super()._apply(move, recurse)

    def forward(
        self, wavs: Sequence[Tensor], fs: int, tables: Sequence[Tensor]
    ) -> list[tuple[Tensor, Tensor]]:
        """Compute units of waveforms (N,), and surrogates of their embeddings.

        Args:
            wavs: of a batch; each is encoded whole, however long.
            fs: in Hz.
            tables: embeddings (K, D) of each stream; they get no gradient here.

        Returns:
            of each waveform, units (T, S) and surrogates (T, S, D).
        """
        device, pairs = wavs[0].device, []
        tokenizer = self._tokenizer.to(device)
        for wav, frames in zip(wavs, batch_frames(self.upstream, wavs, fs, device)):
            units = tokenizer.assign([frames.detach()], len(wav), fs)
            parts = tokenizer.quantizer.stream_frames(frames)
            with torch.autocast(device.type, enabled=False):
                soft = [self._soften(*p) for p in zip(range(len(parts)), parts, tables)]
            pairs.append((units.reshape(len(units), -1), torch.stack(soft, dim=1)))
        return pairs

    def reload(self) -> None:
        """Give the upstream the weights of the bundle back."""
        self.upstream.load_state_dict(self._tokenizer.load_upstream().state_dict())

    def _soften(self, stream: int, frames: Tensor, table: Tensor) -> Tensor:
        """Give the mean embeddings (T, D) of frames of one stream."""
        centroids = self.get_buffer(f"centroids{stream}")
        scale = self.get_buffer(f"scale{stream}") * self.temperature
        # Distances do not change under translation, rounding errors shrink; the squares
        # of the frames are the same for all units.
        mean = centroids.mean(dim=0)
        centred = centroids - mean
        nearness = 2 * (frames - mean) @ centred.t() - centred.square().sum(dim=1)
        return (nearness / scale).softmax(dim=1) @ table.detach().float()


def collapse_runs(units: Tensor, surrogates: Tensor) -> tuple[Tensor, Tensor]:
    """Collapse frames to unit runs; all frames of a run share in its surrogate.

    Args:
        units: (T, S).
        surrogates: (T, S, D).

    Returns:
        unit runs (R, S) and the means of their frames' surrogates (R, S, D).
    """
    starts = torch.ones(len(units), dtype=torch.bool, device=units.device)
    starts[1:] = (units[1:] != units[:-1]).any(dim=1)
    run = starts.cumsum(dim=0) - 1
    runs = units[starts]
    sums = surrogates.new_zeros(len(runs), *surrogates.shape[1:])
    durations = torch.bincount(run, minlength=len(runs))
    return runs, sums.index_add(0, run, surrogates) / durations[:, None, None]


def _require_grad_where_used(upstream: Any) -> None:
    """Freeze weights that no frame depends on: some kinds of training refuse them."""
    upstream.requires_grad_(True)
    some = next(upstream.parameters())
    samples = 4 * upstream.receptive_field + upstream.frame_shift
    wav = torch.linspace(0, 40, samples, device=some.device).sin()[None]
    with torch.enable_grad():
        frames, _ = upstream.frames(wav, torch.tensor([samples]))
        frames.square().sum().backward()
    for weight in upstream.parameters():
        weight.requires_grad_(weight.grad is not None)
        weight.grad = None
