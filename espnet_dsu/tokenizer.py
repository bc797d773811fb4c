"""UnitTokenizer = upstream + quantizer (+ unit pieces): waveform in, units out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet_dsu import bundle
from espnet_dsu.audio import AudioError, check_samples, read_audio
from espnet_dsu.errors import DSUError
from espnet_dsu.progress import track
from espnet_dsu.quantizer.base import FitReport, Quantizer, build_quantizer
from espnet_dsu.quantizer.reservoir import FrameReservoir
from espnet_dsu.scp import read_scp
from espnet_dsu.units.pieces import UnitPieces
from espnet_dsu.units.sequence import UnitSequence
from espnet_dsu.units.spec import UnitSpec, unit_tag
from espnet_dsu.upstream import Upstream, build_upstream, resample, upstream_tag

DEFAULT_MAX_FRAMES = 1_000_000


class UnitTokenizer:
    """Turn waveforms into units.

    Make one by :meth:`train` or :meth:`from_pretrained`. The upstream's weights are
    loaded when the first waveform comes, so models fed with cached units never hold
    them.

    Attributes:
        spec: the unit space (vocabulary, frame shift, fingerprint).
        quantizer: frames -> units.
        pieces: unit pieces, or None.
        report: how the quantizer's training went, or None for a loaded tokenizer.
    """

    def __init__(
        self,
        content: bundle.Bundle,
        upstream: Upstream | None = None,
        report: FitReport | None = None,
    ) -> None:
        self._content = content
        self._upstream = upstream
        self._device = torch.device("cpu")
        self.spec: UnitSpec = content.spec
        self.quantizer: Quantizer = content.quantizer
        model = content.bpe_model
        self.pieces = None if model is None else UnitPieces(model)
        self.report = report

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the units: upstream and quantizer."""
        return self.spec.fingerprint

    @property
    def upstream(self) -> Upstream:
        """The upstream, its weights loaded on first use."""
        if self._upstream is None:
            self._upstream = self._content.upstream.load().to(self._device)
        return self._upstream

    def to(self, device: str | torch.device) -> UnitTokenizer:
        """Move to a device (as torch does, in place) and give itself."""
        device = torch.device(device)
        if device != self._device:
            self._device = device
            self.quantizer.to(device)
            if self._upstream is not None:
                self._upstream.to(device)
        return self

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
        device: str | torch.device = "cpu",
    ) -> UnitTokenizer:
        """Train a tokenizer.

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
            max_frames: frames to keep at most; bounds the memory.
            device: where to compute.

        Raises:
            DSUError: for unusable audio, too few frames, or units that collapse.
        """
        model = build_upstream(upstream, upstream_conf).to(device)
        reservoir = FrameReservoir(max_frames, seed)
        for wav, rate in _training_wavs(wavs, fs, portion, seed):
            reservoir.add(_frames(model, [wav], rate, device)[0].cpu().numpy())
        conf = {"nclusters": nclusters, "seed": seed, **(quantizer_conf or {})}
        return cls.fit(model, reservoir.sample(), quantizer, conf, device)

    @classmethod
    def fit(
        cls,
        upstream: Upstream,
        frames: np.ndarray,
        quantizer: str,
        conf: dict[str, Any],
        device: str | torch.device = "cpu",
    ) -> UnitTokenizer:
        """Train a quantizer on frames (n, D) of ``upstream`` and join the two."""
        model = build_quantizer(quantizer, {**conf, "dim": upstream.dim}).to(device)
        report = model.fit([frames])
        ref = bundle.UpstreamRef.of(upstream)
        spec = UnitSpec(
            tag=unit_tag(upstream.tag, model.vocab_size),
            vocab_size=model.vocab_size,
            num_streams=model.num_streams,
            frame_shift=upstream.frame_shift,
            sample_rate=upstream.sample_rate,
            fingerprint=bundle.fingerprint(ref.identity, model),
        )
        tokenizer = cls(bundle.Bundle(ref, model, spec, None), upstream, report)
        return tokenizer.to(device)

    def with_pieces(self, pieces: UnitPieces) -> UnitTokenizer:
        """Give a tokenizer with the same units and these unit pieces."""
        pieces.check_covers(self.spec.vocab_size)
        content = replace(self._content, bpe_model=pieces.model)
        return UnitTokenizer(content, self._upstream, self.report).to(self._device)

    def encode(self, wav: np.ndarray | torch.Tensor, fs: int) -> UnitSequence:
        """Turn one waveform into its frame units.

        Args:
            wav: (N,) float samples in [-1, 1].
            fs: sampling rate in Hz; another rate than the upstream's is resampled.

        Raises:
            DSUError: for samples that are no mono waveform, or too few of them.
        """
        return self.encode_batch([wav], fs)[0]

    def encode_batch(
        self, wavs: Sequence[np.ndarray | torch.Tensor], fs: int
    ) -> list[UnitSequence]:
        """Turn waveforms into frame units, each as if it came alone."""
        for index, wav in enumerate(wavs):
            check_samples(np.asarray(wav), f"waveform {index}")
        return [
            UnitSequence.from_frames(
                units.cpu().numpy(),
                self.spec.frame_shift,
                self.spec.sample_rate,
                self.fingerprint,
            )
            for units in self.encode_tensors([torch.as_tensor(w) for w in wavs], fs)
        ]

    @torch.inference_mode()
    def encode_tensors(
        self, wavs: Sequence[torch.Tensor], fs: int
    ) -> list[torch.Tensor]:
        """Turn waveforms (N,) into frame units (T,) or (T, S), int64, on the device.

        Raises:
            DSUError: if a waveform is shorter than one frame.
        """
        units = []
        for wav, frames in zip(wavs, _frames(self.upstream, wavs, fs, self._device)):
            if len(frames) == 0:
                raise DSUError(
                    f"{len(wav)} samples at {fs} Hz are shorter than one frame of "
                    f"{self.spec.tag}; drop the utterance or lengthen it"
                )
            # One utterance at a time: the matrix product then has the same shape,
            # and gives the same bits, whatever the utterance is batched with.
            assigned = self.quantizer.assign(frames)
            units.append(assigned[:, 0] if self.spec.num_streams == 1 else assigned)
        return units

    def save_pretrained(self, path: str | Path, embed_upstream: bool = False) -> None:
        """Write the bundle: a directory that holds all of the tokenizer.

        Args:
            path: the bundle's directory; made anew or replaced as a whole.
            embed_upstream: copy the upstream's weights into the bundle instead of
                naming them.
        """
        embed = self.upstream if embed_upstream else None
        bundle.save(Path(path), self._content, embed)

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


@torch.inference_mode()
def _frames(
    upstream: Upstream,
    wavs: Sequence[torch.Tensor],
    fs: int,
    device: str | torch.device,
) -> list[torch.Tensor]:
    """Give the frames (T, D) of waveforms (N,) at ``fs``, computed as one batch."""
    resampled = [
        resample(wav.to(device).float(), fs, upstream.sample_rate) for wav in wavs
    ]
    lengths = torch.tensor([len(wav) for wav in resampled], device=device)
    batch = torch.nn.utils.rnn.pad_sequence(resampled, batch_first=True)
    frames, frame_lengths = upstream.frames(batch, lengths)
    return [f[:n] for f, n in zip(frames, frame_lengths.tolist())]


def _training_wavs(
    wavs: str | Path | Iterable[np.ndarray], fs: int | None, portion: float, seed: int
) -> Iterator[tuple[torch.Tensor, int]]:
    if not 0 < portion <= 1:
        raise DSUError(f"portion is {portion}, expected a share in (0, 1]")
    rng = np.random.default_rng(seed)
    if isinstance(wavs, (str, Path)):
        yield from _read_sample(Path(wavs), portion, rng)
        return
    if fs is None:
        raise DSUError("fs is None, expected the sampling rate of the waveforms in Hz")
    for index, wav in enumerate(wavs):
        if portion == 1 or rng.random() < portion:
            check_samples(np.asarray(wav), f"waveform {index}")
            yield torch.as_tensor(wav), fs


def _read_sample(
    wav_scp: Path, portion: float, rng: np.random.Generator
) -> Iterator[tuple[torch.Tensor, int]]:
    entries = list(read_scp(wav_scp).items())
    number = max(1, round(portion * len(entries)))
    failed = 0
    order = rng.permutation(len(entries))[:number].tolist()
    for index in track(order, number, "reading frames"):
        name, source = entries[index]
        try:
            wav, rate = read_audio(source)
        except AudioError as error:
            failed += 1
            logging.warning(f"{name} is left out: {source}: {error}")
            continue
        yield torch.from_numpy(wav), rate
    logging.info(
        f"read {number - failed} of {len(entries)} utterances, {failed} failed"
    )
