"""The benchmark of unit ASR: what it reads and computes; the recipe runs elsewhere."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks import unit_asr
from benchmarks.unit_asr import LINES, Recipe, difference_row, epoch_seconds, find_bins

RECIPE = Path(__file__).parents[2] / "egs2" / "fsdd" / "asr2"
LOG = (
    "(asr:523) INFO:     Number of trainable parameters: 712.83 K (100.0%)\n"
    "(abs_task:1885) INFO: [train] Batch sampler: NumElementsBatchSampler(N-batch=50, "
    "batch_bins=3000)\n"
    "(trainer:394) INFO: 1epoch results: [train] loss=9.7, time=5 minutes and 34.5 "
    "seconds, total_count=50, [valid] loss=0.7, time=2.45 seconds, total_count=12\n"
    "(trainer:394) INFO: 2epoch results: [train] loss=1.2, time=58.5 seconds, "
    "total_count=100, [valid] loss=0.2, time=2.4 seconds, total_count=24\n"
)


@pytest.mark.parametrize("line", LINES)
def test_line_is_made_of_options_that_the_recipe_has(line: str) -> None:
    command = ["./run.sh", *LINES[line].options, "--asr_args", LINES[line].asr_args]
    done = subprocess.run([*command, "--help"], cwd=RECIPE, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_epoch_seconds_are_those_of_training_alone() -> None:
    assert epoch_seconds(LOG) == [334.5, 58.5]


def test_find_bins_gives_no_more_batches_than_asked_and_no_larger_ones(
    tmp_path: Path,
) -> None:
    from espnet2.samplers.num_elements_batch_sampler import NumElementsBatchSampler

    rng = np.random.default_rng(0)
    shapes = []
    for name, dim in (("speech", ""), ("text", ",13")):
        lines = (f"utt{i} {rng.integers(5, 90)}{dim}\n" for i in range(200))
        path = tmp_path / name
        path.write_text("".join(lines))
        shapes.append(str(path))
    bins = find_bins(shapes, 20)
    assert len(NumElementsBatchSampler(bins, shapes)) <= 20
    assert len(NumElementsBatchSampler(bins - 1, shapes)) > 20


def test_score_row_pools_the_seeds_and_difference_pairs_the_strings(
    tmp_path: Path,
) -> None:
    recipe = Recipe.__new__(Recipe)
    recipe.folder, recipe.args = tmp_path, argparse.Namespace()
    raw = tmp_path / "dump" / "raw" / "test"
    raw.mkdir(parents=True)
    (raw / "text").write_text("a one two\nb three four\n")
    texts = {"fbank": ("one two", "three"), "units": ("one two", "three four")}
    errors, experiments = {}, {}
    for line, (first, second) in texts.items():
        experiment = tmp_path / line
        (experiment / "decode" / "test").mkdir(parents=True)
        (experiment / "decode" / "test" / "text").write_text(f"a {first}\nb {second}\n")
        (experiment / "train.log").write_text(LOG)
        metrics = {"test": {"bitrate": 322.0}}
        (experiment / "metrics.json").write_text(json.dumps(metrics))
        experiments[line] = experiment
    seeds = {1: experiments["fbank"], 2: experiments["units"]}
    row, errors["fbank"], words = unit_asr.score_row("fbank", recipe, seeds)
    assert row["WER % by seed"] == [25.0, 0.0] and row["steps"] == 100
    assert str(row["WER %"]).startswith("12.50 [")
    assert errors["fbank"].tolist() == [0, 1] and words.tolist() == [4, 4]
    seeds = {1: experiments["units"], 2: experiments["units"]}
    _, errors["units"], _ = unit_asr.score_row("units", recipe, seeds)
    shown = difference_row("units", errors, words)["WER % above fbank"]
    assert str(shown).startswith("-12.50 [")
