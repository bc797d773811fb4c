"""How fast a tokenizer encodes audio that is in memory: no files, no engine."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import clock, gemm_rate
from benchmarks.corpora import SAMPLE_RATE, batches, read_all
from benchmarks.flops import forward_flops
from espnet_dsu.bin import tokenize
from espnet_dsu.bin.cli import run
from espnet_dsu.corpus.tokenizing import limit_batch
from espnet_dsu.tokenizer import UnitTokenizer


def time_passes(
    tokenizer: UnitTokenizer,
    parts: list[list[torch.Tensor]],
    device: str,
    number: int,
) -> float:
    """Return the median seconds of a pass over all batches, after one for warming."""
    times, now = list[float](), clock(device, torch.get_num_threads())
    for _ in range(number + 1):
        start = now()
        for wavs in parts:
            # The copy to the device is part of it; the next batch waits for units.
            found = tokenizer.encode_tensors([w.to(device) for w in wavs], SAMPLE_RATE)
            for units in found:
                units.cpu()
        times.append(now() - start)
    return statistics.median(times[1:])


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.encode_rate", description=__doc__
    )
    add = parser.add_argument
    add("--wav_scp", type=Path, required=True, help="16 kHz audio files")
    add("--tokenizer", required=True, help="bundle")
    add("--output", type=Path, required=True, help="JSON file to write")
    add("--device", default="cuda", help="device of torch")
    add("--dtype", default="float32", help="that the upstream computes in")
    default = tokenize.get_parser().get_default("batch_sec")
    add("--batch_sec", type=float, default=default, help="seconds of audio per batch")
    add("--passes", type=int, default=3, help="over the audio; the median counts")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    dtype = getattr(torch, args.dtype)
    wavs = list(read_all(args.wav_scp))
    limit = limit_batch(args.batch_sec, torch.device(args.device))
    parts = list(batches(wavs, limit))
    tokenizer = UnitTokenizer.from_pretrained(args.tokenizer)
    tokenizer.to(args.device, dtype=dtype)
    upstream: Any = tokenizer.upstream
    lengths = [len(wav) for wav in wavs]
    flops = forward_flops(upstream.model.config, upstream.layer, lengths)
    result = {
        "audio_sec": sum(lengths) / SAMPLE_RATE,
        "seconds": time_passes(tokenizer, parts, args.device, args.passes),
        "flops": sum(flops.values()),
        "gemm_flops": gemm_rate(torch.get_num_threads(), args.device, dtype),
        "peak_gpu_bytes": (
            torch.cuda.max_memory_allocated() if args.device == "cuda" else None
        ),
    }
    args.output.write_text(json.dumps(result))


if __name__ == "__main__":
    run(main)
