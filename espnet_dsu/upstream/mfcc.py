"""Mel-frequency cepstra: frames without a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream.base import Upstream
from espnet_dsu.upstream.registry import UpstreamName, register_upstream

_DEFAULT_RATE = 16000
_NUM_CEPSTRA = 13
_CMVN = ("utterance", "none")


@register_upstream
class MFCCUpstream(Upstream):
    """Kaldi-style MFCC with deltas and delta-deltas, 25 ms every 10 ms, D = 39.

    The first-iteration targets of HuBERT (https://arxiv.org/abs/2106.07447). Samples
    are in [-1, 1], so the floor of the log mel energies acts as a noise floor near one
    16-bit step. Each utterance is computed on its own in float64, so its frames are
    bitwise the same in any batch.

    Options:
        sample_rate: Hz, 16000 by default, at least 8000.
        cmvn: ``utterance`` (default) gives each of the 39 dimensions zero mean and
            unit variance over the utterance: far better units than ``none``.
    """

    family = "mfcc"
    layered = False
    conf_keys = ("sample_rate", "cmvn")

    def __init__(self, sample_rate: int = _DEFAULT_RATE, cmvn: str = "utterance"):
        super().__init__()
        if not isinstance(sample_rate, int) or sample_rate < 8000:
            raise DSUError(
                f"mfcc: sample_rate {sample_rate!r}: expected whole Hz from 8000 up"
            )
        if cmvn not in _CMVN:
            raise DSUError(f"mfcc: cmvn {cmvn!r}: expected one of {', '.join(_CMVN)}")
        self.name = UpstreamName(self.family)
        self.sample_rate = sample_rate
        self.cmvn = cmvn
        # Kaldi's own rounding, so that these are exactly its window and shift.
        self.window_size = int(sample_rate * 25.0 * 0.001)
        self.frame_shift = int(sample_rate * 10.0 * 0.001)
        self.dim = 3 * _NUM_CEPSTRA

    @classmethod
    def build(cls, name: UpstreamName, conf: Mapping[str, Any]) -> MFCCUpstream:
        """Build; there is no checkpoint to name."""
        if name.checkpoint:
            raise DSUError(f"upstream '{name}': mfcc has no checkpoint; write 'mfcc'")
        return cls(**conf)

    def num_frames(self, num_samples: int) -> int:
        """Return how many whole windows fit."""
        if num_samples < self.window_size:
            return 0
        return 1 + (num_samples - self.window_size) // self.frame_shift

    def config(self) -> dict[str, Any]:
        """Return the name and every option."""
        conf = {"sample_rate": self.sample_rate, "cmvn": self.cmvn}
        return {"name": str(self.name), "conf": conf}

    def identity(self) -> dict[str, Any]:
        """Return the family and every option."""
        return {"family": self.family, **self.config()["conf"]}

    def save_weights(self, directory: Path) -> None:
        """Do nothing: there are no weights."""

    @classmethod
    def tag_of(cls, name: UpstreamName, conf: Mapping[str, Any]) -> str:
        """``mfcc`` and what is not default: ``mfcc_8k``, ``mfcc_nocmvn``."""
        made = cls.build(name, conf)
        parts = [cls.family]
        if made.sample_rate != _DEFAULT_RATE:
            thousands, rest = divmod(made.sample_rate, 1000)
            parts.append(f"{made.sample_rate}hz" if rest else f"{thousands}k")
        if made.cmvn == "none":
            parts.append("nocmvn")
        return "_".join(parts)

    def _frames(self, wav: Tensor, lengths: Tensor, counts: Tensor) -> Tensor:
        utterances = [self._utterance(x[:n]) for x, n in zip(wav, lengths.tolist())]
        return torch.nn.utils.rnn.pad_sequence(utterances, batch_first=True)

    def _utterance(self, wav: Tensor) -> Tensor:
        """Return frames (T, 39) of samples (N,)."""
        from torchaudio.compliance.kaldi import mfcc
        from torchaudio.functional import compute_deltas

        cepstra = mfcc(
            wav.double().unsqueeze(0),
            sample_frequency=self.sample_rate,
            num_ceps=_NUM_CEPSTRA,
            use_energy=False,
            dither=0.0,
            frame_length=25.0,
            frame_shift=10.0,
            snip_edges=True,
        ).T
        deltas = compute_deltas(cepstra)
        frames = torch.cat([cepstra, deltas, compute_deltas(deltas)]).T
        if self.cmvn == "utterance":
            centred = frames - frames.mean(dim=0)
            # The floor keeps rounding noise of constant dimensions (digital silence)
            # from being blown up to unit variance.
            frames = centred / centred.pow(2).mean(dim=0).sqrt().clamp_min(1e-5)
        return frames.float()
