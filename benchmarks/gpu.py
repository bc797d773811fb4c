"""Audio hours per hour on one GPU, by model and precision, and whose units agree.

The tokenize command, start-up taken off, and encoding alone with the audio in memory.
Units of half precision are compared with those of float32 on every frame. Models have
the real architectures and random weights: units of trained ones may agree otherwise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import children
from benchmarks.children import Runs, median, python
from benchmarks.common import (
    Command,
    Row,
    alternate,
    machine_facts,
    make_parser,
    publish,
    run_folder,
    work_folder,
)
from benchmarks.corpora import Corpus, formatted, made_up, near_empty
from benchmarks.models import CASES, ModelCase, save_checkpoint, train_bundle
from espnet_dsu.bin.cli import run
from espnet_dsu.units.files import UnitReader

DTYPES = ("float32", "bfloat16", "float16")


def measure_model(
    case: ModelCase, corpora: Mapping[str, Corpus], args: argparse.Namespace, work: Path
) -> list[Row]:
    """Give a row for each precision."""
    checkpoint = save_checkpoint(case, work)
    bundle = train_bundle(
        case, checkpoint, args.nclusters, corpora["whole"], args.threads, args.device
    )

    def command_of(dtype: str) -> Command:
        return lambda kind, folder: python(
            "espnet_dsu.bin.tokenize",
            wav_scp=corpora[kind].wav_scp,
            tokenizer=bundle,
            output_dir=folder,
            dtype=dtype,
            ngpu=int(args.device == "cuda"),
            batch_sec=args.batch_sec,
        )

    commands = {dtype: command_of(dtype) for dtype in args.dtypes}
    with run_folder(work) as folder:
        runs = alternate(commands, args.rounds, folder, args.threads)
        last = {d: folder / d / f"whole-{args.rounds - 1}" for d in commands}
        percent = {d: agreement(last[args.dtypes[0]], last[d]) for d in commands}
        rates = {d: _encode_rate(bundle, corpora, d, args, folder) for d in commands}
    return [
        _row(case, dtype, runs[dtype], rates[dtype], percent[dtype], corpora["whole"])
        for dtype in commands
    ]


def agreement(one: Path, other: Path) -> float:
    """Percentage of frames to which two unit directories give the same unit."""
    units, others = UnitReader(one / "units.scp"), UnitReader(other / "units.scp")
    same = sum(int((units[name] == others[name]).sum()) for name in units)
    return 100 * same / sum(len(units[name]) for name in units)


def _encode_rate(
    bundle: Path,
    corpora: Mapping[str, Corpus],
    dtype: str,
    args: argparse.Namespace,
    folder: Path,
) -> Mapping[str, Any]:
    output = folder / f"encode_{dtype}.json"
    command = python(
        "benchmarks.encode_rate",
        wav_scp=corpora["whole"].head("encode", args.encode_sec).wav_scp,
        tokenizer=bundle,
        output=output,
        device=args.device,
        dtype=dtype,
        batch_sec=args.batch_sec,
    )
    children.measure(command, output.with_suffix(".log"), args.threads)
    return json.loads(output.read_text())


def _row(
    case: ModelCase,
    dtype: str,
    runs: Runs,
    rate: Mapping[str, Any],
    percent: float,
    corpus: Corpus,
) -> Row:
    wall = median(runs.net("wall_sec"))
    reached, memory = rate["flops"] / rate["seconds"], rate["peak_gpu_bytes"]
    return {
        "model": f"{case.name}@{case.layer}",
        "dtype": dtype,
        "start-up s": runs.startup("wall_sec"),
        "audio h per h, command": corpus.audio_sec / wall if wall else None,
        "audio h per h, encoding": rate["audio_sec"] / rate["seconds"],
        "TFLOP/s": reached / 1e12,
        "% of matrix product": 100 * reached / rate["gemm_flops"],
        "GPU MiB": memory and memory / 2**20,
        "% units as first dtype": percent,
    }


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = make_parser("gpu", __doc__ or "", 3, 1, "cuda")
    add = parser.add_argument
    add("--wav_scp", type=Path, help="audio to use; none: made up")
    add("--audio_sec", type=float, default=28800.0, help="how much to make up")
    add("--encode_sec", type=float, default=3600.0, help="to encode from memory")
    add("--models", nargs="+", choices=CASES, default=["hubert_base", "wavlm_large"])
    add("--dtypes", nargs="+", choices=DTYPES, default=DTYPES, help="first: reference")
    add("--nclusters", type=int, default=2000, help="K, the number of units")
    add("--batch_sec", type=float, help="of the tokenize command; none: its default")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    facts = machine_facts(args.threads, args.device)
    rows: list[Row] = []
    with work_folder(args.work_dir) as work:
        whole = (
            formatted(args.wav_scp, work / "formatted")
            if args.wav_scp
            else made_up(work / "made_up", args.audio_sec)
        )
        corpora = {"empty": near_empty(work / "empty"), "whole": whole}
        for name in args.models:
            rows += measure_model(CASES[name], corpora, args, work)
    publish(args.output, args, facts, {"One GPU": rows})


if __name__ == "__main__":
    run(main)
