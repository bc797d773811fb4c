"""The plain loop: what ESPnet's unit scripts do for every utterance.

Read the file, run the whole model with all hidden states, take one layer, find the
nearest centroid in numpy, write the units as a line of text. One utterance at a time,
one process. No features are written to disk in between, which is to its advantage.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch

from espnet_dsu.bin.cli import run
from espnet_dsu.errors import DSUError


class NumpyKMeans:
    """Assigns frames by ``|x|^2 - 2 x C + |c|^2``, all of an utterance at once."""

    def __init__(self, centroids: np.ndarray) -> None:
        self.columns = np.ascontiguousarray(centroids.T)
        self.norms = (self.columns**2).sum(axis=0, keepdims=True)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Return the units (T,) of frames (T, D)."""
        distances = (
            (frames**2).sum(axis=1, keepdims=True)
            - 2 * np.matmul(frames, self.columns)
            + self.norms
        )
        return distances.argmin(axis=1)


class PlainModel:
    """The whole of a transformers model, called for one utterance at a time."""

    def __init__(self, checkpoint: Path, layer: int, device: str) -> None:
        from transformers import AutoFeatureExtractor, AutoModel

        extractor = AutoFeatureExtractor.from_pretrained(checkpoint)
        self.model = AutoModel.from_pretrained(checkpoint).eval().to(device)
        self.layer, self.device = layer, device
        self.sample_rate = extractor.sampling_rate
        self.do_normalize = extractor.do_normalize

    @torch.no_grad()
    def __call__(self, wav: np.ndarray) -> np.ndarray:
        """Return the frames (T, D) of samples (N,)."""
        samples = torch.from_numpy(wav)[None].to(self.device)
        if self.do_normalize:
            samples = torch.nn.functional.layer_norm(
                samples, samples.shape[1:], eps=1e-7
            )
        output = self.model(samples, output_hidden_states=True)
        return output.hidden_states[self.layer][0].cpu().numpy()


def tokenize(model: PlainModel, kmeans: NumpyKMeans, scp: Path, output: Path) -> None:
    """Write a line ``id unit unit...`` for every line of a ``wav.scp``."""
    with open(scp) as entries, open(output, "w") as lines:
        for entry in entries:
            name, path = entry.split(maxsplit=1)
            wav, fs = soundfile.read(path.strip(), dtype="float32")
            if fs != model.sample_rate:
                raise DSUError(f"{name} has {fs} Hz, expected {model.sample_rate}")
            units = kmeans(model(wav))
            lines.write(f"{name} {' '.join(map(str, units.tolist()))}\n")


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.baseline_loop", description=__doc__
    )
    add = parser.add_argument
    add("--wav_scp", type=Path, required=True, help="16 kHz audio files")
    add("--checkpoint", type=Path, required=True, help="folder of the model")
    add("--layer", type=int, required=True, help="layer to take")
    add("--centroids", type=Path, required=True, help=".npy file, (K, D)")
    add("--output", type=Path, required=True, help="text file to write")
    add("--device", default="cpu", help="device of torch")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    model = PlainModel(args.checkpoint, args.layer, args.device)
    tokenize(model, NumpyKMeans(np.load(args.centroids)), args.wav_scp, args.output)


if __name__ == "__main__":
    run(main)
