"""Where the time of the forward pass goes, part by part, in both programs.

Each part is timed by hooks around its modules, and its operations are counted from the
architecture; together they say which share of the machine's matrix-product rate it
reaches. Writes JSON; run as a process of its own, with the threads it shall have.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.baseline_loop import PlainModel
from benchmarks.common import clock, gemm_rate
from benchmarks.corpora import SAMPLE_RATE, batches, read_all
from benchmarks.flops import PARTS, forward_flops
from espnet_dsu.bin import tokenize
from espnet_dsu.bin.cli import run
from espnet_dsu.corpus.tokenizing import limit_batch
from espnet_dsu.errors import DSUError
from espnet_dsu.tokenizer import UnitTokenizer

# The part of the model that a module whose name so ends computes.
_MODULES = {
    "feature_extractor": "convolutions",
    "pos_conv_embed": "positions",
    "attention": "attention",
    "feed_forward": "feed-forward",
}


class PartTimer:
    """Adds up the seconds spent in each part of a model."""

    def __init__(self, model: nn.Module, device: str) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._now = clock(device, torch.get_num_threads())
        self._start = 0.0
        hooked = set()
        for name, module in model.named_modules():
            part = _MODULES.get(name.rpartition(".")[2])
            if part is not None:
                hooked.add(part)
                module.register_forward_pre_hook(self._begin)
                module.register_forward_hook(self._end(part))
        if missing := set(_MODULES.values()) - hooked:
            raise DSUError(f"{type(model).__name__} has no modules for {missing}")

    def _begin(self, module: nn.Module, args: Any) -> None:
        self._start = self._now()

    def _end(self, part: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self.seconds[part] += self._now() - self._start

        return hook

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Time the pass as a whole; what no part took is the rest."""
        before = sum(self.seconds.values())
        start = self._now()
        yield
        took = self._now() - start
        self.seconds["rest"] += took - (sum(self.seconds.values()) - before)


def profile_baseline(
    checkpoint: Path, layer: int, wavs: list[torch.Tensor], device: str
) -> dict[str, Any]:
    """Profile the plain loop's forward pass: all layers, one utterance at a time."""
    model = PlainModel(checkpoint, layer, device)
    model(wavs[0].numpy())
    timer = PartTimer(model.model, device)
    for wav in wavs:
        with timer.whole():
            model(wav.numpy())
    config = model.model.config
    return _result(timer, config, config.num_hidden_layers, wavs)


@torch.inference_mode()
def profile_tokenizer(
    bundle: Path, wavs: list[torch.Tensor], device: str, batch_sec: float
) -> dict[str, Any]:
    """Profile the tokenizer's forward pass, in batches of like length."""
    upstream: Any = UnitTokenizer.from_pretrained(bundle).to(device).upstream
    padded = [
        _padded(part, device)
        for part in batches(wavs, limit_batch(batch_sec, torch.device(device)))
    ]
    upstream.frames(*padded[-1])
    timer = PartTimer(upstream.model, device)
    for wav, lengths in padded:
        with timer.whole():
            upstream.frames(wav, lengths)
    return _result(timer, upstream.model.config, upstream.layer, wavs)


def _padded(wavs: list[torch.Tensor], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Give a batch (B, N) and its lengths (B,)."""
    lengths = torch.tensor([len(wav) for wav in wavs], device=device)
    return nn.utils.rnn.pad_sequence(wavs, batch_first=True).to(device), lengths


def _result(
    timer: PartTimer, config: Any, num_layers: int, wavs: list[torch.Tensor]
) -> dict[str, Any]:
    flops = forward_flops(config, num_layers, [len(wav) for wav in wavs])
    return {
        "audio_sec": sum(map(len, wavs)) / SAMPLE_RATE,
        "seconds": timer.seconds,
        "flops": flops,
    }


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.forward_profile", description=__doc__
    )
    add = parser.add_argument
    add("--wav_scp", type=Path, required=True, help="16 kHz audio files")
    add("--checkpoint", type=Path, required=True, help="folder of the model")
    add("--layer", type=int, required=True, help="layer to take")
    add("--bundle", type=Path, required=True, help="tokenizer of that layer")
    add("--output", type=Path, required=True, help="JSON file to write")
    add("--device", default="cpu", help="device of torch")
    default = tokenize.get_parser().get_default("batch_sec")
    add("--batch_sec", type=float, default=default, help="seconds of audio per batch")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    wavs = list(read_all(args.wav_scp))
    threads = torch.get_num_threads()
    result = {
        "gemm_flops": gemm_rate(threads, args.device),
        "plain loop": profile_baseline(args.checkpoint, args.layer, wavs, args.device),
        "espnet_dsu": profile_tokenizer(args.bundle, wavs, args.device, args.batch_sec),
    }
    args.output.write_text(json.dumps(result))


if __name__ == "__main__":
    run(main)
