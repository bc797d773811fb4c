"""UnitTokenizer = upstream + quantizer (+ unit pieces): waveform in, units out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet_dsu import bundle
from espnet_dsu.decoder import UnitDecoder
from espnet_dsu.encoder import UnitEncoder
from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer.base import FitReport, Quantizer, build_quantizer
from espnet_dsu.quantizer.memory import DEFAULT_MAX_FRAMES, DEFAULT_MAX_MEMORY
from espnet_dsu.training_audio import training_recordings
from espnet_dsu.training_streams import (
    NumClusters,
    join_streams,
    plan_streams,
    sample_streams,
    vocab_sizes,
)
from espnet_dsu.units.augment import UnitAugment
from espnet_dsu.units.pieces import UnitPieces
from espnet_dsu.units.spec import UnitSpec, unit_tag
from espnet_dsu.units.splitter import UnitSplitter
from espnet_dsu.upstream import (
    Upstream,
    build_upstream,
    parse_upstream_name,
    upstream_tag,
)
from espnet_dsu.upstream.windows import Windowing


class UnitTokenizer(UnitEncoder, UnitDecoder):
    """Turn waveforms into units, and with a vocoder in the bundle back.

    Make one by :meth:`train` or :meth:`from_pretrained`. The upstream's weights are
    loaded when the first waveform comes, so models fed with cached units never hold
    them.

    Attributes:
        pieces: unit pieces, or None.
        reports: how the training of each stream went; empty for a loaded tokenizer.
    """

    def __init__(
        self,
        content: bundle.Bundle,
        upstream: Upstream | None = None,
        reports: Sequence[FitReport] = (),
    ) -> None:
        super().__init__(content, upstream)
        model = content.bpe_model
        self.pieces = None if model is None else UnitPieces(model)
        self.reports = tuple(reports)

    @classmethod
    def train(
        cls,
        wavs: str | Path | Iterable[np.ndarray],
        fs: int | None = None,
        upstream: str = "mfcc",
        nclusters: NumClusters = 500,
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
                ``hf:facebook/hubert-base-ls960@6``; ``@6+12`` gives a stream of each.
            nclusters: K, the number of units; ``(500, 2000)`` gives two streams, of
                two layers or of the same frames, their own.
            seed: of the sample of frames and the quantizer.
            upstream_conf: options of the upstream family.
            quantizer_conf: further options of the quantizer.
            portion: share of the utterances to use, drawn at random.
            max_frames: frames to train on at most.
            max_memory: of frames and quantizer; bounds the frames as well. Streams of
                several layers take as much for the frames of each.
            device: where to compute.

        Raises:
            DSUError: for unusable audio, too few frames, or units that collapse.
        """
        model = build_upstream(upstream, upstream_conf).to(device)
        streams = plan_streams(model, nclusters, max_frames, max_memory)
        confs = [s.quantizer_conf(quantizer_conf or {}, seed) for s in streams]
        parts = [build_quantizer(quantizer, conf).to(device) for conf in confs]
        audio = training_recordings(wavs, fs, portion, seed)
        frames = sample_streams(model, streams, audio, seed, device)
        reports: list[FitReport] = []
        for stream, part in zip(streams, parts):
            reports += part.fit([frames[stream.first][: stream.num_frames]])
        joined = join_streams(model, streams, parts)
        return cls.join(model, joined, reports).to(device)

    @classmethod
    def join(
        cls,
        upstream: Upstream,
        quantizer: Quantizer,
        reports: Sequence[FitReport] = (),
    ) -> UnitTokenizer:
        """Make a tokenizer of an upstream and a quantizer trained on its frames.

        Raises:
            DSUError: the upstream has several layers, and not each has its stream.
        """
        if len(upstream.layers) > 1 and quantizer.num_streams != len(upstream.layers):
            raise DSUError(
                f"upstream '{upstream.name}' has {len(upstream.layers)} layers and the "
                f"quantizer {quantizer.num_streams} streams, expected one for each; "
                "name one layer"
            )
        ref = bundle.UpstreamRef.of(upstream)
        spec = UnitSpec(
            tag=unit_tag(upstream.tag, quantizer.vocab_sizes),
            vocab_sizes=quantizer.vocab_sizes,
            frame_shift=upstream.frame_shift,
            sample_rate=upstream.sample_rate,
            fingerprint=bundle.fingerprint(ref.identity, quantizer),
        )
        return cls(bundle.Bundle(ref, quantizer, spec, None), upstream, reports)

    def with_pieces(self, pieces: UnitPieces) -> UnitTokenizer:
        """Give a tokenizer with the same units and these unit pieces."""
        self.spec.require_one_stream("unit pieces")
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
        made = UnitTokenizer(content, self._upstream, self.reports)
        made.directory = self.directory
        return made.to(self._device, self._dtype)

    def splitter(
        self,
        collapse: bool = True,
        augment: Mapping[str, Any] | None = None,
        **sampling: Any,
    ) -> UnitSplitter:
        """Make what turns frame units into the indices that a model embeds.

        Args:
            collapse: collapse repeats.
            augment: options of :class:`espnet_dsu.units.augment.UnitAugment`.
            sampling: of pieces; see :class:`espnet_dsu.units.splitter.UnitSplitter`.
        """
        streams = self.quantizer.stream_centroids()
        varied = UnitAugment.of(augment, [c.cpu().numpy() for c in streams])
        return UnitSplitter(self.spec, self.pieces, collapse, varied, **sampling)

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
        directory = bundle.locate(path_or_tag)
        made = cls(bundle.load(directory))
        made.directory = directory
        return made


def plan_tag(
    upstream: str, upstream_conf: dict[str, Any], nclusters: NumClusters
) -> str:
    """Give the tag of the bundle that these options would make; loads no weights.

    Raises:
        DSUError: a wrong name or option; streams that do not fit the layers.
    """
    sizes = vocab_sizes(nclusters, len(parse_upstream_name(upstream).layers))
    return unit_tag(upstream_tag(upstream, upstream_conf), sizes)
