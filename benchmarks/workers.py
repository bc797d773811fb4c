"""Two workers against one, and what the corpus engine itself costs.

One worker and two, with one thread each, tokenize the same corpus in turn; what they
need to start, measured on two half-second files, is taken off. The engine's own share
is what is not load, decode, forward, assign or write in one worker's run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import children
from benchmarks.children import Runs, median, python, ratios
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
from benchmarks.engine_parts import PARTS
from benchmarks.models import CASES, save_checkpoint, train_bundle
from espnet_dsu.bin.cli import run

# So that the last shard of one worker does not keep the other waiting for long.
_SHARDS_PER_WORKER = 8


def commands_of(
    bundle: Path, corpora: Mapping[str, Corpus], workers: Sequence[int]
) -> dict[str, Command]:
    """Make the tokenize command for each number of workers."""
    shards = _SHARDS_PER_WORKER * max(workers)

    def command_of(nj: int) -> Command:
        return lambda kind, folder: python(
            "espnet_dsu.bin.tokenize",
            wav_scp=corpora[kind].wav_scp,
            tokenizer=bundle,
            output_dir=folder,
            nj=nj,
            # A shard an utterance where it is near-empty: all workers must start.
            shard_sec=0.1 if kind == "empty" else corpora[kind].audio_sec / shards,
        )

    return {f"nj {nj}": command_of(nj) for nj in workers}


def worker_rows(runs: Mapping[str, Runs]) -> list[Row]:
    """One row for each number of workers, and its speed against the first."""
    first = next(iter(runs.values()))
    rows: list[Row] = []
    for name, some in runs.items():
        speedups = ratios(first, some, "wall_sec")
        with_start = [
            a.wall_sec / b.wall_sec for a, b in zip(first.wholes, some.wholes)
        ]
        rows.append(
            {
                "": name,
                "start-up wall s": some.startup("wall_sec"),
                "wall s": median(some.net("wall_sec")),
                "CPU s": median(some.net("cpu_sec")),
                "peak MiB": some.peak(),
                "speed : first": median(speedups),
                "each pair": speedups,
                "speed : first, with start-up": median(with_start),
            }
        )
    return rows


def engine_rows(parts: Sequence[Mapping[str, Mapping[str, float]]]) -> list[Row]:
    """Share of each part and of the engine, of all but the start; median of rounds."""
    rows: list[Row] = []
    for clock, said in (("cpu", "CPU time"), ("wall", "wall time")):
        shares: dict[str, list[float]] = {}
        for round_ in parts:
            spent = round_[clock]
            work = round_["total"][clock] - spent["load"]
            named = [part for part in PARTS if part != "load"]
            if clock == "wall":
                # Decoding goes on beside; waiting for it counts as the engine's.
                named.remove("decode")
            for part in named:
                shares.setdefault(part, []).append(100 * spent[part] / work)
            rest = work - sum(spent[part] for part in named)
            shares.setdefault("engine", []).append(100 * rest / work)
        rows.append(
            {
                "% of": said,
                **{p: median(shares.get(p, [])) for p in (*PARTS[1:], "engine")},
                "engine, each round": shares["engine"],
            }
        )
    return rows


def measure_engine(
    bundle: Path, corpus: Corpus, rounds: int, work: Path
) -> list[Mapping[str, Mapping[str, float]]]:
    """Run one worker with its parts timed, some rounds."""
    found = []
    for index in range(rounds):
        folder = work / f"engine-{index}"
        command = python(
            "benchmarks.engine_parts",
            wav_scp=corpus.wav_scp,
            tokenizer=bundle,
            output_dir=folder,
        )
        children.measure(command, folder.with_suffix(".log"))
        found.append(json.loads((folder / "parts.json").read_text()))
    return found


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = make_parser("workers", __doc__ or "", rounds=3)
    add = parser.add_argument
    add("--wav_scp", type=Path, help="audio to use; none: made up")
    add("--audio_sec", type=float, default=480.0, help="how much to make up")
    add("--model", choices=CASES, default="hubert_base", help="architecture")
    add("--nclusters", type=int, default=2000, help="K, the number of units")
    add("--workers", nargs="+", type=int, default=[1, 2], help="numbers to compare")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args: argparse.Namespace = get_parser().parse_args(cmd)
    facts = machine_facts(threads=1)
    with work_folder(args.work_dir) as work:
        whole = (
            formatted(args.wav_scp, work / "formatted")
            if args.wav_scp
            else made_up(work / f"made_up_{args.audio_sec:.0f}", args.audio_sec)
        )
        corpora = {"empty": near_empty(work / "empty"), "whole": whole}
        case = CASES[args.model]
        checkpoint = save_checkpoint(case, work)
        bundle = train_bundle(case, checkpoint, args.nclusters, whole, threads=1)
        with run_folder(work) as folder:
            commands = commands_of(bundle, corpora, args.workers)
            runs = alternate(commands, args.rounds, folder, threads=1)
            parts = measure_engine(bundle, whole, args.rounds, folder)
    tables = {
        "Workers, one thread each": worker_rows(runs),
        "Where one worker's time goes, start-up off": engine_rows(parts),
    }
    details = {"runs": {k: v.to_json() for k, v in runs.items()}, "parts": parts}
    publish(args.output, args, facts, tables, details)


if __name__ == "__main__":
    run(main)
