"""UnitEncoder: an upstream and a quantizer at work, waveform in, units out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from espnet_dsu.audio import AudioFile, check_samples
from espnet_dsu.bundle import Bundle
from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer.base import Quantizer
from espnet_dsu.streaming import UnitStream
from espnet_dsu.units.sequence import UnitSequence
from espnet_dsu.units.spec import UnitSpec
from espnet_dsu.upstream import Upstream, resample
from espnet_dsu.upstream.blocks import Recording, Waveform, resampled_blocks
from espnet_dsu.upstream.windows import Windowing, recording_frames

Encoder = TypeVar("Encoder", bound="UnitEncoder")


class UnitEncoder:
    """Encodes what a bundle can: waveforms, recordings of any length, streams.

    Attributes:
        spec: the unit space (vocabulary, frame shift, fingerprint).
        quantizer: frames -> units.
        windowing: how audio too long to be encoded whole is cut.
    """

    def __init__(self, content: Bundle, upstream: Upstream | None = None) -> None:
        self._content = content
        self._upstream = upstream
        self._device = torch.device("cpu")
        self._dtype = torch.float32
        self.spec: UnitSpec = content.spec
        self.quantizer: Quantizer = content.quantizer
        self.windowing: Windowing = content.windowing

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the units.

        Upstream and quantizer, and the windowing where it is not the default.
        """
        return self.spec.fingerprint

    @property
    def upstream(self) -> Upstream:
        """The upstream, its weights loaded on first use."""
        if self._upstream is None:
            self._upstream = self.load_upstream().to(self._device)
            self._upstream.dtype = self._dtype
        return self._upstream

    def load_upstream(self) -> Upstream:
        """Load the upstream anew, with the weights of the bundle, on the CPU.

        Libraries fill weights at random before they load them. The caller's random
        numbers stay as they are: a training must not depend on when this happens.
        """
        with torch.random.fork_rng(devices=[]):
            return self._content.upstream.load()

    def to(
        self: Encoder, device: str | torch.device, dtype: torch.dtype | None = None
    ) -> Encoder:
        """Move to a device (as torch does, in place) and give itself.

        Args:
            device: where to compute.
            dtype: what the upstream computes in: float32, or half precision by
                autocast, which changes some units; None leaves it.
        """
        device = torch.device(device)
        if dtype is not None:
            self._dtype = dtype
            if self._upstream is not None:
                self._upstream.dtype = dtype
        if device != self._device:
            self._device = device
            self.quantizer.to(device)
            if self._upstream is not None:
                self._upstream.to(device)
        return self

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
        units = self.encode_tensors([torch.as_tensor(w) for w in wavs], fs)
        return [self._sequence(u) for u in units]

    def encode_source(self, source: str, channel: int | None = None) -> UnitSequence:
        """Turn a recording, a ``wav.scp`` value, into its frame units.

        A long one is read block by block: the memory does not grow with its length.
        The units are those of :meth:`encode` for the samples of the file.

        Args:
            source: a path, or ``file.ark:offset``.
            channel: which channel to take, from 0; None accepts mono only.

        Raises:
            AudioError: for audio that cannot be used.
            DSUError: if it is shorter than one frame.
        """
        return self._sequence(self._encode_recording(AudioFile(source, channel)))

    def stream(self, fs: int, **options: Any) -> UnitStream:
        """Start a stream: feed samples at ``fs`` Hz as they come, get units.

        Args:
            fs: sampling rate of the samples to come.
            options: ``hop_sec``, ``context_sec``, ``lookahead_sec``, ``statistics``;
                see :class:`espnet_dsu.streaming.UnitStream`.
        """
        return UnitStream(
            self.upstream, self.quantizer, self.spec, fs, device=self._device, **options
        )

    @torch.inference_mode()
    def statistics(self, wav: np.ndarray | torch.Tensor, fs: int) -> Any:
        """Gather what normalises a waveform (N,), for streams of the same speaker."""
        check_samples(np.asarray(wav), "the waveform")
        recording = Waveform(torch.as_tensor(wav), fs)
        rate = self.upstream.sample_rate
        return self.upstream.statistics(resampled_blocks(recording, rate, self._device))

    @torch.inference_mode()
    def encode_tensors(
        self, wavs: Sequence[torch.Tensor], fs: int
    ) -> list[torch.Tensor]:
        """Turn waveforms (N,) into frame units (T,) or (T, S), int64, on the device.

        A waveform longer than ``windowing.window_sec`` is encoded window by window.

        Raises:
            DSUError: if a waveform is shorter than one frame.
        """
        cut = [self.windowing.applies_to(len(wav), fs) for wav in wavs]
        short = [wav for wav, long in zip(wavs, cut) if not long]
        whole = iter(
            batch_frames(self.upstream, short, fs, self._device) if short else []
        )
        return [
            (
                self._encode_recording(Waveform(wav, fs))
                if long
                else self.assign([next(whole)], len(wav), fs)
            )
            for wav, long in zip(wavs, cut)
        ]

    @torch.inference_mode()
    def _encode_recording(self, recording: Recording) -> torch.Tensor:
        frames = recording_frames(
            self.upstream, recording, self.windowing, self._device
        )
        return self.assign(frames, recording.num_samples, recording.fs)

    def assign(
        self, frames: Iterable[torch.Tensor], num_samples: int, fs: int
    ) -> torch.Tensor:
        """Turn an utterance's frames, in consecutive parts (n, D), into units.

        Raises:
            DSUError: if ``num_samples`` at ``fs`` Hz have given no frame.
        """
        # One utterance at a time: the matrix product then has the same shape,
        # and gives the same bits, whatever the utterance is batched with.
        parts = [self.quantizer.assign(part) for part in frames if len(part)]
        if not parts:
            raise DSUError(
                f"{num_samples} samples at {fs} Hz are shorter than one frame of "
                f"{self.spec.tag}; drop the utterance or lengthen it"
            )
        units = torch.cat(parts)
        return units[:, 0] if self.spec.num_streams == 1 else units

    def _sequence(self, units: torch.Tensor) -> UnitSequence:
        return UnitSequence.from_frames(
            units.cpu().numpy(),
            self.spec.frame_shift,
            self.spec.sample_rate,
            self.fingerprint,
        )


def batch_frames(
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
