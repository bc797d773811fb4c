"""UnitTokenizer = upstream + quantizer (+ unit pieces): waveform in, units out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet_dsu import bundle
from espnet_dsu.encoder import UnitEncoder
from espnet_dsu.quantizer.base import FitReport, Quantizer, build_quantizer
from espnet_dsu.quantizer.frame_sample import FrameSample
from espnet_dsu.quantizer.memory import (
    DEFAULT_MAX_FRAMES,
    DEFAULT_MAX_MEMORY,
    sample_size,
)
from espnet_dsu.training_audio import training_recordings
from espnet_dsu.units.pieces import UnitPieces
from espnet_dsu.units.spec import UnitSpec, unit_tag
from espnet_dsu.upstream import Upstream, build_upstream, upstream_tag
from espnet_dsu.upstream.windows import (
    DEFAULT_WINDOWING,
    Windowing,
    recording_frames,
)


class UnitTokenizer(UnitEncoder):
    """Turn waveforms into units.

    Make one by :meth:`train` or :meth:`from_pretrained`. The upstream's weights are
    loaded when the first waveform comes, so models fed with cached units never hold
    them.

    Attributes:
        pieces: unit pieces, or None.
        report: how the quantizer's training went, or None for a loaded tokenizer.
    """

    def __init__(
        self,
        content: bundle.Bundle,
        upstream: Upstream | None = None,
        report: FitReport | None = None,
    ) -> None:
        super().__init__(content, upstream)
        model = content.bpe_model
        self.pieces = None if model is None else UnitPieces(model)
        self.report = report

    @classmethod
    def train(
        cls,
        wavs: str | Path | Iterable[np.ndarray],
        fs: int | None = None,
        upstream: str = "mfcc",
        nclusters: int = 500,
        seed: int = 0,
        *,
        upstream_conf: dict[str, Any] | None = None,
        quantizer: str = "kmeans",
        quantizer_conf: dict[str, Any] | None = None,
        portion: float = 1.0,
        max_frames: int = DEFAULT_MAX_FRAMES,
        max_memory: str = DEFAULT_MAX_MEMORY,
        device: str | torch.device = "cpu",
    ) -> UnitTokenizer:
        """Train a tokenizer, in this process.

        On a CPU, the command ``train_tokenizer`` makes the same of the same corpus.

        Args:
            wavs: waveforms (N,), or the path of a ``wav.scp``.
            fs: sampling rate of the waveforms in Hz; files say their own.
            upstream: ``family:checkpoint@layer``, e.g. ``mfcc`` or
                ``hf:facebook/hubert-base-ls960@6``.
            nclusters: K, the number of units.
            seed: of the sample of frames and the quantizer.
            upstream_conf: options of the upstream family.
            quantizer_conf: further options of the quantizer.
            portion: share of the utterances to use, drawn at random.
            max_frames: frames to train on at most.
            max_memory: of frames and quantizer; bounds the frames as well.
            device: where to compute.

        Raises:
            DSUError: for unusable audio, too few frames, or units that collapse.
        """
        model = build_upstream(upstream, upstream_conf).to(device)
        size, _ = sample_size(max_frames, max_memory, model.dim, nclusters)
        conf = {"nclusters": nclusters, "seed": seed, **(quantizer_conf or {})}
        units = build_quantizer(quantizer, {**conf, "dim": model.dim}).to(device)
        sample = FrameSample(size, seed)
        for name, audio in training_recordings(wavs, fs, portion, seed):
            first = 0
            for part in recording_frames(model, audio, DEFAULT_WINDOWING, device):
                sample.add(name, part.cpu().numpy(), first)
                first += len(part)
            if not first:
                logging.warning(f"{name} is left out: shorter than one frame")
        return cls.join(model, units, units.fit([sample.take()])).to(device)

    @classmethod
    def join(
        cls, upstream: Upstream, quantizer: Quantizer, report: FitReport | None = None
    ) -> UnitTokenizer:
        """Make a tokenizer of an upstream and a quantizer trained on its frames."""
        ref = bundle.UpstreamRef.of(upstream)
        spec = UnitSpec(
            tag=unit_tag(upstream.tag, quantizer.vocab_size),
            vocab_size=quantizer.vocab_size,
            num_streams=quantizer.num_streams,
            frame_shift=upstream.frame_shift,
            sample_rate=upstream.sample_rate,
            fingerprint=bundle.fingerprint(ref.identity, quantizer),
        )
        return cls(bundle.Bundle(ref, quantizer, spec, None), upstream, report)

    def with_pieces(self, pieces: UnitPieces) -> UnitTokenizer:
        """Give a tokenizer with the same units and these unit pieces."""
        pieces.check_covers(self.spec.vocab_size)
        content = replace(self._content, bpe_model=pieces.model)
        return self._like(content)

    def with_windowing(self, windowing: Windowing) -> UnitTokenizer:
        """Give a tokenizer that cuts long audio otherwise, under another fingerprint.

        Shorter windows need less memory; units of long audio change a little.
        """
        content = self._content.with_windowing(windowing)
        return self._like(content)

    def _like(self, content: bundle.Bundle) -> UnitTokenizer:
        made = UnitTokenizer(content, self._upstream, self.report)
        return made.to(self._device, self._dtype)

    def save_pretrained(
        self,
        path: str | Path,
        embed_upstream: bool = False,
        add: Callable[[Path], None] | None = None,
    ) -> None:
        """Write the bundle: a directory that holds all of the tokenizer.

        Args:
            path: the bundle's directory; made anew or replaced as a whole.
            embed_upstream: copy the upstream's weights into the bundle instead of
                naming them.
            add: writes further files into the directory, before it gets its name.
        """
        embed = self.upstream if embed_upstream else None
        bundle.save(Path(path), self._content, embed, add)

    @classmethod
    def from_pretrained(cls, path_or_tag: str | Path) -> UnitTokenizer:
        """Load a bundle: its directory, its ``config.yaml``, or a hub id.

        Nothing in a bundle is executed. Every file is checked against its hash.

        Raises:
            DSUError: if something is missing or was changed.
        """
        return cls(bundle.load(bundle.locate(path_or_tag)))


def plan_tag(upstream: str, upstream_conf: dict[str, Any], nclusters: int) -> str:
    """Give the tag of the bundle that these options would make; loads no weights."""
    return unit_tag(upstream_tag(upstream, upstream_conf), nclusters)
