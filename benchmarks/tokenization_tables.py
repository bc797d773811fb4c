"""The tables of the tokenization benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.children import Runs, median, ratios
from benchmarks.common import Row
from benchmarks.corpora import Corpus
from benchmarks.flops import PARTS

LOOP, OURS = "plain loop", "espnet_dsu"


@dataclass(frozen=True)
class Result:
    """What comparing the two programs with one model gave.

    Attributes:
        model: architecture and layer.
        runs: measurements by program.
        profile: written by ``benchmarks.forward_profile``.
        num_frames: of the corpus.
        num_differing: frames to which the two programs give different units.
    """

    model: str
    runs: Mapping[str, Runs]
    profile: Mapping[str, Any]
    num_frames: int
    num_differing: int


def usage_rows(result: Result, corpus: Corpus) -> list[Row]:
    """One row for each program: what it used, start-up off."""
    rows: list[Row] = []
    for program, runs in result.runs.items():
        cpu, wall = (median(runs.net(what)) for what in ("cpu_sec", "wall_sec"))
        rows.append(
            {
                "model": result.model,
                "program": program,
                "audio s": corpus.audio_sec,
                "start-up CPU s": runs.startup("cpu_sec"),
                "start-up wall s": runs.startup("wall_sec"),
                "CPU s": cpu,
                "wall s": wall,
                "CPU s per audio hour": cpu and cpu / corpus.audio_hours,
                "peak MiB": runs.peak(),
            }
        )
    return rows


def ratio_row(result: Result) -> Row:
    """How many times less espnet_dsu used, and whether the units agree."""
    loop, ours = result.runs[LOOP], result.runs[OURS]
    cpu, wall = (ratios(loop, ours, what) for what in ("cpu_sec", "wall_sec"))
    return {
        "model": result.model,
        "CPU time": median(cpu),
        "each pair": cpu,
        "wall time": median(wall),
        "wall, each pair": wall,
        "frames": result.num_frames,
        "differing frames": result.num_differing,
        "% differing": 100 * result.num_differing / result.num_frames,
    }


def forward_row(result: Result, program: str) -> Row:
    """Which share of the machine's matrix-product rate the forward pass reaches.

    At least: the time of the positional convolution counts, its operations do not,
    since one program may get by with an FFT.
    """
    forward = result.profile[program]
    seconds, flops = (sum(forward[key].values()) for key in ("seconds", "flops"))
    flops -= forward["flops"]["positions"]
    hours = forward["audio_sec"] / 3600
    peak = result.profile["gemm_flops"]
    return {
        "model": result.model,
        "program": program,
        "part": "all",
        **_rate(seconds, flops, hours, seconds, peak),
    }


def part_rows(result: Result, program: str) -> list[Row]:
    """Where the forward pass spends its time, part by part."""
    forward, peak = result.profile[program], result.profile["gemm_flops"]
    hours, whole = forward["audio_sec"] / 3600, sum(forward["seconds"].values())
    return [
        {
            "model": result.model,
            "program": program,
            "part": part,
            **_rate(
                forward["seconds"][part], forward["flops"][part], hours, whole, peak
            ),
        }
        for part in PARTS
    ]


def _rate(
    seconds: float, flops: float, hours: float, whole: float, peak: float
) -> dict[str, object]:
    reached = flops / seconds if seconds else 0.0
    return {
        "s per audio hour": seconds / hours,
        "% of time": 100 * seconds / whole,
        "TFLOP per audio hour": flops / hours / 1e12,
        "GFLOP/s": reached / 1e9,
        "% of matrix product": 100 * reached / peak,
    }
