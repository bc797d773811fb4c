"""Frames that cluster like speech, for timing k-means without a pretrained model.

Each frame sees 39 MFCC values of 21 neighbouring frames, through a fixed random network
of two tanh layers: smooth in time, shared by sounds that recur, correlated dimensions,
as the hidden layers of an SSL model are, and unlike a Gaussian blob.

    python -m benchmarks.speech_frames --wav_scp wav.scp --output frames.npy
    python -m benchmarks.speech_frames --output frames.npy     # no audio: made up
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from espnet_dsu.audio import read_audio
from espnet_dsu.bin.cli import run
from espnet_dsu.errors import DSUError
from espnet_dsu.progress import track
from espnet_dsu.scp import read_scp
from espnet_dsu.units.files import atomic_path
from espnet_dsu.upstream import build_upstream, resample

_CEPSTRA = 39
_CONTEXT = 10  # frames on either side
_HIDDEN = 1024
_SPEEDS = (1.0, 0.9, 1.1, 0.85, 1.05, 0.95, 1.15)
# The made-up speakers: sounds of 39 dimensions, each held for some 8 frames.
_SOUNDS, _SPEAKERS, _HOLD, _NOISE = 60, 20, 8.0, 0.35


class ContextNetwork:
    """Maps cepstra ``(T, 39)`` to frames ``(T, dim)``; fixed by its seed."""

    def __init__(self, dim: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        width = _CEPSTRA * (2 * _CONTEXT + 1)
        self.first = torch.randn(width, _HIDDEN, generator=generator) / width**0.5
        self.second = torch.randn(_HIDDEN, dim, generator=generator) / _HIDDEN**0.5

    def __call__(self, cepstra: torch.Tensor) -> torch.Tensor:
        edges = (_CONTEXT, _CONTEXT)
        padded = torch.nn.functional.pad(cepstra.t()[None], edges, mode="replicate")
        windows = padded[0].unfold(1, 2 * _CONTEXT + 1, 1)  # (39, T, 21)
        stacked = windows.transpose(0, 1).reshape(len(cepstra), -1)
        return (2 * (1.5 * stacked @ self.first).tanh() @ self.second).tanh()


def cepstra_of(wav_scp: Path, seed: int = 0) -> Iterator[torch.Tensor]:
    """Yield MFCC ``(T, 39)`` of all utterances, again at other speeds, without end."""
    upstream = build_upstream("mfcc", {"cmvn": "utterance"})
    sources = list(read_scp(wav_scp).values())
    rng = np.random.default_rng(seed)
    for speed in _SPEEDS:
        for index in rng.permutation(len(sources)).tolist():
            wav, rate = read_audio(sources[index])
            # Declared faster than it is, the audio comes out shorter and higher.
            fast = resample(
                torch.from_numpy(wav), round(rate * speed), upstream.sample_rate
            )
            frames, counts = upstream.frames(fast[None], torch.tensor([len(fast)]))
            if counts[0] > 0:
                yield frames[0]


def cepstra_made_up(seed: int = 0) -> Iterator[torch.Tensor]:
    """Yield sequences ``(T, 39)`` of held, smoothed, noisy targets, without end."""
    rng = np.random.default_rng(seed)
    sounds = rng.standard_normal((_SOUNDS, _CEPSTRA))
    voices = 0.4 * rng.standard_normal((_SPEAKERS, _CEPSTRA))
    follow = rng.dirichlet(np.full(_SOUNDS, 0.1), size=_SOUNDS)
    while True:
        sound, path = int(rng.integers(_SOUNDS)), list[int]()
        for length in 1 + rng.poisson(_HOLD, size=40):
            path += [sound] * int(length)
            sound = int(rng.choice(_SOUNDS, p=follow[sound]))
        target = torch.from_numpy(sounds[path] + voices[rng.integers(_SPEAKERS)])
        smooth = torch.nn.functional.avg_pool1d(target.t()[None], 5, 1, 2)[0].t()
        noise = torch.from_numpy(rng.standard_normal(smooth.shape))
        yield (smooth + _NOISE * noise).float()


def write_frames(
    output: Path, number: int, dim: int, wav_scp: Path | None = None, seed: int = 0
) -> None:
    """Write ``(number, dim)`` float32 frames as an ``.npy`` file, in order of time.

    Raises:
        DSUError: the audio, at all speeds, gives fewer frames than ``number``.
    """
    network, done = ContextNetwork(dim, seed), 0
    sequences = cepstra_of(wav_scp, seed) if wav_scp else cepstra_made_up(seed)
    with atomic_path(output) as temporary:
        frames = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.float32, shape=(number, dim)
        )
        for cepstra in track(sequences, None, "frames"):
            part = network(cepstra)[: number - done].numpy()
            frames[done : done + len(part)] = part
            done += len(part)
            if done == number:
                break
        frames.flush()
        if done < number:
            raise DSUError(
                f"{wav_scp} gives {done} frames at {len(_SPEEDS)} speeds, expected "
                f"{number}; ask for fewer or give more audio"
            )
    logging.info(f"{output}: {number} frames of size {dim}")


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description="Write frames that cluster like speech.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--wav_scp", type=Path, help="utterance ids and audio files; none: made up")
    add("--output", type=Path, required=True, help=".npy file to write")
    add("--number", type=int, default=500_000, help="frames")
    add("--dim", type=int, default=768, help="size of a frame")
    add("--seed", type=int, default=0, help="of the network and the order")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    write_frames(args.output, args.number, args.dim, args.wav_scp, args.seed)


if __name__ == "__main__":
    run(main)
