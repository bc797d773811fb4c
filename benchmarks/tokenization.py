"""Tokenization of the same files by the plain loop and by espnet_dsu.

The plain loop (benchmarks/baseline_loop.py) is what ESPnet's unit scripts do. Both run
as whole commands in turn; what they need to start, measured on two half-second files,
is taken off. Models have the real architectures and random weights.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import children
from benchmarks.children import python
from benchmarks.common import (
    Command,
    alternate,
    machine_facts,
    make_parser,
    publish,
    run_folder,
    work_folder,
)
from benchmarks.corpora import Corpus, formatted, made_up, near_empty
from benchmarks.models import (
    CASES,
    ModelCase,
    read_centroids,
    save_checkpoint,
    train_bundle,
)
from benchmarks.tokenization_tables import (
    LOOP,
    OURS,
    Result,
    forward_row,
    part_rows,
    ratio_row,
    usage_rows,
)
from espnet_dsu.bin.cli import run
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import read_scp
from espnet_dsu.units.files import UnitReader


def compare(
    case: ModelCase, corpora: Mapping[str, Corpus], args: argparse.Namespace, work: Path
) -> Result:
    """Measure both programs with one model."""
    checkpoint = save_checkpoint(case, work)
    bundle = train_bundle(
        case, checkpoint, args.nclusters, corpora["whole"], args.threads, args.device
    )
    np.save(centroids := bundle.with_suffix(".npy"), read_centroids(bundle))

    def loop(kind: str, folder: Path) -> Sequence[str]:
        return python(
            "benchmarks.baseline_loop",
            wav_scp=corpora[kind].wav_scp,
            checkpoint=checkpoint,
            layer=case.layer,
            centroids=centroids,
            output=folder / "units.txt",
            device=args.device,
        )

    def ours(kind: str, folder: Path) -> Sequence[str]:
        return python(
            "espnet_dsu.bin.tokenize",
            wav_scp=corpora[kind].wav_scp,
            tokenizer=bundle,
            output_dir=folder,
            ngpu=int(args.device == "cuda"),
            batch_sec=args.batch_sec,
        )

    commands: Mapping[str, Command] = {LOOP: loop, OURS: ours}
    with run_folder(work) as folder:
        runs = alternate(commands, args.rounds, folder, args.threads)
        last = f"whole-{args.rounds - 1}"
        counts = differing_frames(
            folder / LOOP / last / "units.txt", folder / OURS / last / "units.scp"
        )
    profile = _profile(case, checkpoint, bundle, corpora["whole"], args, work)
    return Result(f"{case.name}@{case.layer}", runs, profile, *counts)


def differing_frames(text: Path, units_scp: Path) -> tuple[int, int]:
    """Compare the units of both; return (frames, frames that differ).

    Raises:
        DSUError: the utterances or their lengths are not the same.
    """
    ours, loop = UnitReader(units_scp), read_scp(text)
    if set(ours) != set(loop):
        raise DSUError(f"{units_scp} and {text} hold different utterances")
    total = differing = 0
    for name, line in loop.items():
        expected = np.array(line.split(), dtype=np.int64)
        if len(expected) != len(ours[name]):
            raise DSUError(
                f"{name}: {len(ours[name])} units, {len(expected)} in the plain loop"
            )
        total += len(expected)
        differing += int((expected != ours[name]).sum())
    return total, differing


def _profile(
    case: ModelCase,
    checkpoint: Path,
    bundle: Path,
    corpus: Corpus,
    args: argparse.Namespace,
    work: Path,
) -> Mapping[str, Any]:
    output = work / f"profile_{case.name}.json"
    command = python(
        "benchmarks.forward_profile",
        wav_scp=corpus.head("profile", args.profile_sec).wav_scp,
        checkpoint=checkpoint,
        layer=case.layer,
        bundle=bundle,
        output=output,
        device=args.device,
        batch_sec=args.batch_sec,
    )
    children.measure(command, output.with_suffix(".log"), args.threads)
    return json.loads(output.read_text())


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = make_parser("tokenization", __doc__ or "", 3, 1, "cpu")
    add = parser.add_argument
    add("--wav_scp", type=Path, help="audio to use; none: made up")
    add("--audio_sec", type=float, default=240.0, help="how much to make up")
    add("--models", nargs="+", choices=CASES, default=["hubert_base", "wavlm_large"])
    add("--nclusters", type=int, default=2000, help="K, the number of units")
    add("--batch_sec", type=float, help="of the tokenize command; none: its default")
    add("--profile", action="store_true", help="print where the forward pass spends")
    add("--profile_sec", type=float, default=60.0, help="seconds of audio to profile")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    facts = machine_facts(args.threads, args.device)
    with work_folder(args.work_dir) as work:
        whole = (
            formatted(args.wav_scp, work / "formatted")
            if args.wav_scp
            else made_up(work / "made_up", args.audio_sec)
        )
        corpora = {"empty": near_empty(work / "empty"), "whole": whole}
        results = [compare(CASES[name], corpora, args, work) for name in args.models]
    both = [(result, program) for result in results for program in (LOOP, OURS)]
    tables = {
        "Use of the machine, start-up off": [
            row for result in results for row in usage_rows(result, whole)
        ],
        "Ratio, plain loop : espnet_dsu": [ratio_row(result) for result in results],
        "Forward pass": [forward_row(*each) for each in both],
    }
    if args.profile:
        tables["Forward pass by part"] = [r for each in both for r in part_rows(*each)]
    details = {
        result.model: {
            "profile": result.profile,
            "runs": {name: runs.to_json() for name, runs in result.runs.items()},
        }
        for result in results
    }
    publish(args.output, args, facts, tables, details)


if __name__ == "__main__":
    run(main)
