"""Units against filter banks, and what each choice of a unit recogniser is worth.

Each line is ``egs2/fsdd/asr2/run.sh`` with other options. All lines train for as many
steps of as many seconds of audio; ``--seeds`` trainings of each are scored on the same
test strings. ``--rounds`` then trains ``fbank`` and ``units`` for an epoch in turn, A B
A B, and gives the ratio of the times that ESPnet's trainer logs.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.children import ROOT
from benchmarks.common import Row, machine_facts, make_parser, publish, say, work_folder
from espnet_dsu.bin.cli import run
from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.bootstrap import bootstrap_interval
from espnet_dsu.metrics.error_rate import ErrorCounts, count_errors, word_tokenizer
from espnet_dsu.metrics.store import read_metrics
from espnet_dsu.scp import read_scp

_RECIPE = Path("egs2") / "fsdd" / "asr2"


@dataclass(frozen=True)
class Line:
    """What differs from the recipe's defaults.

    Attributes:
        options: of ``run.sh``.
        asr_args: of the training.
        passes: epochs that make one of the others, where there is less data.
    """

    options: Sequence[str] = ()
    asr_args: str = ""
    passes: int = 1


_PLAIN = "--frontend_conf augment={}"
_RANDOM = "--frontend_conf embedding_init=random"
LINES = {
    "fbank": Line(("--input", "fbank")),
    "units": Line(),
    "no augmentation": Line(asr_args=_PLAIN),
    "random embeddings": Line(asr_args=_RANDOM),
    "neither": Line(asr_args=f"{_PLAIN} {_RANDOM}"),
    "one speed": Line(("--speed_perturb_factors", ""), passes=3),
    "repeats kept": Line(("--src_case", "ts"), "--encoder_conf input_layer=conv1d3"),
    "K = 100": Line(("--nclusters", "100")),
    "K = 1000": Line(("--nclusters", "1000")),
    "BPE": Line(
        ("--src_token_type", "bpe", "--src_nbpe", "1000"),
        "--encoder_conf input_layer=conv1d1 --frontend_conf enable_sampling=true",
    ),
    "10 ms": Line(
        ("--upstream_conf", "sample_rate=8000"),
        "--encoder_conf input_layer=conv1d3",
    ),
}


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = make_parser("unit_asr", str(__doc__), rounds=3, threads=1)
    add = parser.add_argument
    add("--fsdd", required=True, help="the corpus: its folder or .tar.gz")
    add("--lines", nargs="+", choices=LINES, default=list(LINES), help="what to train")
    add("--seeds", nargs="+", type=int, default=[777, 1, 2], help="of the trainings")
    add("--max_epoch", type=int, default=4, help="epochs over three speeds")
    add("--steps", type=int, default=500, help="batches of an epoch, for every line")
    add("--num_train", type=int, default=3000, help="training strings")
    add("--num_test", type=int, default=1000, help="test strings")
    return parser


class Recipe:
    """A copy of the recipe; its data, tokenizers and statistics serve all lines."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self.folder, self.args = folder / _RECIPE, args
        ignore = shutil.ignore_patterns("data", "dump", "exp", "downloads", ".stamps")
        for name in ("egs2", "conf"):
            # A kept one goes on: its stages know what is done.
            if not (folder / name).exists():
                shutil.copytree(
                    ROOT / name, folder / name, symlinks=True, ignore=ignore
                )

    def run(self, tag: str, line: str, asr_args: str, *stages: str) -> Path:
        """Run stages of a line; give its experiment's folder."""
        options, more = LINES[line].options, LINES[line].asr_args
        sizes = f"--num_train {self.args.num_train} --num_test {self.args.num_test}"
        experiment = self.folder / "exp" / f"asr_{tag}"
        command = ["./run.sh", *options, "--asr_args", f"{more} {asr_args}".strip()]
        command += ["--asr_exp", f"exp/{experiment.name}", "--local_data_opts", sizes]
        command += ["--asr_stats_dir", f"exp/stats_{name_of(line)}", "--ngpu", "0"]
        jobs = str(1 if self.args.threads == 1 else 2)
        command += ["--nj", jobs, "--inference_nj", jobs, *stages]
        log = self.folder / f"{tag}.log"
        with open(log, "a") as output:
            done = subprocess.run(
                command, cwd=self.folder, env=self.environment(), stdout=output,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        if done.returncode:
            raise DSUError(f"{' '.join(command)} failed; see {log}")
        return experiment

    def environment(self) -> dict[str, str]:
        """Give what the recipe needs to know."""
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FSDD": str(Path(self.args.fsdd).resolve()),
            "OMP_NUM_THREADS": str(self.args.threads),
        }

    def batches(self, line: str) -> str:
        """Give the training argument that makes ``--steps`` batches of an epoch.

        All lines see the same audio, so their batches then last equally long.
        """
        self.run(f"{name_of(line)}_stats", line, "", "--stop_stage", "12")
        folder = self.folder / "exp" / f"stats_{name_of(line)}" / "train"
        shapes = [str(folder / "speech_shape"), str(folder / "text_shape.word")]
        return (
            f"--batch_bins {find_bins(shapes, self.args.steps // LINES[line].passes)}"
        )

    def train(self, line: str, seed: int, batches: str) -> Path:
        """Train, decode and score."""
        epochs = self.args.max_epoch * LINES[line].passes
        options = f"{batches} --seed {seed} --max_epoch {epochs}"
        say(f"{line}, seed {seed}")
        return self.run(f"{name_of(line)}_{seed}", line, options, "--stage", "13")

    def time_epoch(self, line: str, index: int, batches: str) -> float:
        """Train for an epoch; give the seconds that the trainer says it took."""
        tag, stages = f"{name_of(line)}_time{index}", ("--stage", "13")
        options = f"{batches} --max_epoch 1"
        experiment = self.run(tag, line, options, *stages, "--stop_stage", "13")
        seconds = epoch_seconds((experiment / "train.log").read_text())[0]
        say(f"{line}, epoch {index + 1}: {seconds:.1f} s")
        return seconds


def name_of(line: str) -> str:
    """Turn the title of a line into a part of file names."""
    return re.sub(r"\W+", "_", line.lower())


def find_bins(shapes: Sequence[str], steps: int) -> int:
    """Give the smallest ``batch_bins`` that make no more than ``steps`` batches."""
    from espnet2.samplers.num_elements_batch_sampler import NumElementsBatchSampler

    low, high = 1, 2**27
    while low < high:
        middle = (low + high) // 2
        if len(NumElementsBatchSampler(middle, list(shapes))) <= steps:
            high = middle
        else:
            low = middle + 1
    return low


def epoch_seconds(log: str) -> list[float]:
    """Read the training time of each epoch from a log of ESPnet's trainer."""
    units = {"hour": 3600.0, "minute": 60.0, "second": 1.0}
    found = re.findall(r"epoch results: \[train\].*? time=(.*?), total_count", log)
    return [
        sum(
            float(number) * units[unit]
            for number, unit in re.findall(r"([\d.]+) (hour|minute|second)", text)
        )
        for text in found
    ]


def errors_of(recipe: Recipe, experiment: Path) -> ErrorCounts:
    """Count the word errors of each test string."""
    (found,) = experiment.glob("*/test/text")
    refs = read_scp(str(recipe.folder / "dump" / "raw" / "test" / "text"))
    hyps = read_scp(str(found), allow_empty=True)
    return count_errors(refs, hyps, word_tokenizer([]))


def score_row(
    line: str, recipe: Recipe, experiments: Mapping[int, Path]
) -> tuple[Row, np.ndarray, np.ndarray]:
    """One row of a line, with the errors and words of each string over all seeds."""
    counts = [errors_of(recipe, experiment) for experiment in experiments.values()]
    errors = np.sum([c.errors for c in counts], axis=0)
    words = np.sum([c.tokens for c in counts], axis=0)
    first = next(iter(experiments.values()))
    metrics = read_metrics(first / "metrics.json")["test"]
    log = (first / "train.log").read_text()
    (size,) = re.findall(r"Number of trainable parameters: ([\d.]+ \w)", log)[:1]
    (batches,) = re.findall(r"\[train\] Batch sampler: \w+\(N-batch=(\d+)", log)[:1]
    low, high = bootstrap_interval(errors, words)
    return (
        {
            "line": line,
            "parameters": size,
            "steps": int(batches) * len(epoch_seconds(log)),
            "bits/s": metrics.get("bitrate"),
            "bits/s, pieces": metrics.get("bitrate_pieces"),
            "WER % by seed": [round(c.rate, 2) for c in counts],
            "WER %": f"{100 * errors.sum() / words.sum():.2f} [{low:.2f}, {high:.2f}]",
        },
        errors,
        words,
    )


def difference_row(
    line: str, errors: Mapping[str, np.ndarray], words: np.ndarray
) -> Row:
    """Compare a line with ``fbank``: difference of rates, strings drawn for both."""
    gap = errors[line] - errors["fbank"]
    low, high = bootstrap_interval(gap, words)
    value = 100 * gap.sum() / words.sum()
    return {"line": line, "WER % above fbank": f"{value:.2f} [{low:.2f}, {high:.2f}]"}


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    args = get_parser().parse_args(cmd)
    facts = machine_facts(args.threads)
    with work_folder(args.work_dir) as work:
        recipe = Recipe(work, args)
        batches = {line: recipe.batches(line) for line in args.lines}
        rows, errors, words = [], {}, np.zeros(0)
        for line in args.lines:
            done = {s: recipe.train(line, s, batches[line]) for s in args.seeds}
            row, errors[line], words = score_row(line, recipe, done)
            rows.append(row)
        tables: dict[str, Sequence[Row]] = {"Word error rates": rows}
        if "fbank" in errors:
            others = [line for line in errors if line != "fbank"]
            tables["Against filter banks"] = [
                difference_row(line, errors, words) for line in others
            ]
        if args.rounds and {"fbank", "units"} <= set(args.lines):
            tables["Epochs in turn"] = time_rows(recipe, batches, args.rounds)
        publish(args.output, args, facts, tables)


def time_rows(recipe: Recipe, batches: Mapping[str, str], rounds: int) -> list[Row]:
    """Time epochs of units and filter banks in turn."""
    times: dict[str, list[float]] = {"fbank": [], "units": []}
    for index in range(rounds):
        for line, into in times.items():
            into.append(recipe.time_epoch(line, index, batches[line]))
    pairs = [u / f for u, f in zip(times["units"], times["fbank"])]
    return [
        {
            "fbank, s": median(times["fbank"]),
            "units, s": median(times["units"]),
            "units : fbank": median(pairs),
            "each pair": pairs,
        }
    ]


if __name__ == "__main__":
    run(main)
