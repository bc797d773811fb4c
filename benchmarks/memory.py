"""Peak memory beyond the model's and the libraries' own, at two corpus sizes.

Trains a tokenizer, and tokenizes, on a corpus and on one ten times as long, and
tokenizes one file and one ten times as long. What the same command needs for a few
seconds of audio is taken off. Resident memory of the whole process tree.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import children
from benchmarks.children import Usage, python
from benchmarks.common import (
    Row,
    machine_facts,
    make_parser,
    publish,
    run_folder,
    say,
    work_folder,
)
from benchmarks.corpora import Corpus, made_up, near_empty, one_file
from benchmarks.models import CASES, save_checkpoint, train_bundle
from espnet_dsu.bin.cli import run

# Command line for a corpus and an output folder.
Job = Callable[[Corpus, Path], list[str]]


def jobs_of(
    checkpoint: Path, bundle: Path, args: argparse.Namespace
) -> dict[str, tuple[Job, Callable[[Path, float], Corpus]]]:
    """Give, by name, what is measured: a command and the kind of corpus it gets."""
    ngpu = int(args.device == "cuda")

    def train(corpus: Corpus, folder: Path) -> list[str]:
        return python(
            "espnet_dsu.bin.train_tokenizer",
            wav_scp=corpus.wav_scp,
            upstream=f"hf:{checkpoint}@{CASES[args.model].layer}",
            nclusters=args.nclusters,
            max_memory=args.max_memory,
            output_dir=folder,
            ngpu=ngpu,
        )

    def tokenize(corpus: Corpus, folder: Path) -> list[str]:
        return python(
            "espnet_dsu.bin.tokenize",
            wav_scp=corpus.wav_scp,
            tokenizer=bundle,
            output_dir=folder,
            ngpu=ngpu,
        )

    return {
        f"training, --max_memory {args.max_memory}": (train, made_up),
        "tokenization": (tokenize, made_up),
        "tokenization of one file": (tokenize, one_file),
    }


def measure_sizes(
    name: str,
    job: Job,
    make: Callable[[Path, float], Corpus],
    args: argparse.Namespace,
    work: Path,
) -> list[Row]:
    """Measure one command on a near-empty corpus and on every size."""
    corpora = [near_empty(work / "empty", args.empty_sec)]
    for minutes in args.minutes:
        folder = work / f"{make.__name__}_{minutes:g}"
        corpora.append(make(folder, 60 * minutes))
    usages = list[Usage]()
    with run_folder(work) as folder:
        for index, corpus in enumerate(corpora):
            output = folder / f"run-{index}"
            log = output.with_suffix(".log")
            usages.append(children.measure(job(corpus, output), log, args.threads))
            mib = usages[-1].peak_bytes / 2**20
            say(f"{name}, {corpus.audio_sec / 60:.1f} min: {mib:.0f} MiB")
    return [_row(name, *each, usages[0]) for each in zip(corpora, usages)]


def _row(name: str, corpus: Corpus, usage: Usage, base: Usage) -> Row:
    return {
        "command": name,
        "audio min": corpus.audio_sec / 60,
        "peak MiB": usage.peak_bytes / 2**20,
        "beyond near-empty MiB": (usage.peak_bytes - base.peak_bytes) / 2**20,
        "without files' pages MiB": usage.peak_private_bytes / 2**20,
        "beyond near-empty, without files' pages MiB": (
            usage.peak_private_bytes - base.peak_private_bytes
        )
        / 2**20,
        "wall s": usage.wall_sec,
        "CPU s": usage.cpu_sec,
    }


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = make_parser("memory", __doc__ or "", threads=1, device="cpu")
    add = parser.add_argument
    add("--minutes", nargs="+", type=float, default=[6.0, 60.0], help="corpus sizes")
    add("--empty_sec", type=float, default=3.0, help="of each file of the near-empty")
    add("--model", choices=CASES, default="hubert_base", help="architecture")
    add("--nclusters", type=int, default=100, help="K, the number of units")
    add("--max_memory", default="128MiB", help="of train_tokenizer")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    facts = machine_facts(args.threads, args.device)
    rows: list[Row] = []
    with work_folder(args.work_dir) as work:
        case = CASES[args.model]
        checkpoint = save_checkpoint(case, work)
        corpus = made_up(work / "made_up_train", 60.0)
        bundle = train_bundle(
            case, checkpoint, args.nclusters, corpus, args.threads, args.device
        )
        for name, (job, make) in jobs_of(checkpoint, bundle, args).items():
            rows += measure_sizes(name, job, make, args, work)
    publish(args.output, args, facts, {"Peak memory": rows})


if __name__ == "__main__":
    run(main)
