"""k-means of espnet_dsu and of scikit-learn on the same frames.

scikit-learn's MiniBatchKMeans has the settings of ESPnet's and fairseq's scripts
(k-means++, batches of 10,000, 100 epochs, 20 starts), and once more with one start.
Each fit is a process of its own; its time is that of the fit alone, its memory is the
peak beyond frames and libraries. One function computes the inertia of all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import children
from benchmarks.children import median, python
from benchmarks.common import (
    Row,
    machine_facts,
    make_parser,
    publish,
    say,
    work_folder,
)
from benchmarks.kmeans_fit import METHODS
from benchmarks.speech_frames import write_frames
from espnet_dsu.bin.cli import run

_CHUNK = 8192


@dataclass(frozen=True)
class Fit:
    """One fit; None where it did not end in time."""

    method: str
    nclusters: int
    seed: int
    wall_sec: float | None = None
    cpu_sec: float | None = None
    extra_bytes: float | None = None
    inertia: float | None = None


def inertia(frames: np.ndarray, centroids: np.ndarray) -> float:
    """Sum of squared distances of frames (N, D) to their nearest centroid (K, D).

    The nearest is looked for in float32, its distance is computed in float64.
    """
    columns = np.ascontiguousarray(centroids.T, dtype=np.float32)
    norms = (columns**2).sum(axis=0)
    exact = centroids.astype(np.float64)
    total = 0.0
    for first in range(0, len(frames), _CHUNK):
        part = np.asarray(frames[first : first + _CHUNK])
        nearest = (norms - 2 * part @ columns).argmin(axis=1)
        total += float(((part - exact[nearest]) ** 2).sum())
    return total


def fit(
    method: str, nclusters: int, seed: int, args: argparse.Namespace, work: Path
) -> Fit:
    """Run one fit and look at what it gave."""
    folder = work / f"{method.replace(' ', '_')}_{nclusters}_{seed}"
    command = python(
        "benchmarks.kmeans_fit",
        frames=args.frames,
        method=method,
        nclusters=nclusters,
        seed=seed,
        device=args.device,
        output=folder,
    )
    log = folder.with_suffix(".log")
    usage = children.measure(command, log, args.threads, args.timeout)
    if usage.timed_out:
        say(f"{method}, K={nclusters}: not done after {args.timeout:.0f} s")
        return Fit(method, nclusters, seed)
    facts = json.loads((folder / "fit.json").read_text())
    found = inertia(
        np.load(args.frames, mmap_mode="r"), np.load(folder / "centroids.npy")
    )
    say(f"{method}, K={nclusters}: {facts['wall_sec']:.1f} s, inertia {found:.6g}")
    return Fit(
        method,
        nclusters,
        seed,
        facts["wall_sec"],
        facts["cpu_sec"],
        usage.peak_bytes - facts["bytes_before"],
        found,
    )


def fit_all(nclusters: int, args: argparse.Namespace, work: Path) -> list[Fit]:
    """Fit by every method in turn, in every round with another seed."""
    fits = list[Fit]()
    for seed in range(args.rounds):
        for method in args.methods:
            late = any(f.method == method and f.wall_sec is None for f in fits)
            # What did not end once is not waited for again.
            if not late:
                fits.append(fit(method, nclusters, seed, args, work))
    return fits


def rows_of(fits: Sequence[Fit], args: argparse.Namespace) -> list[Row]:
    """One row for each method: medians, and ratios to the first method by pairs."""
    rows: list[Row] = []
    ours = {f.seed: f for f in fits if f.method == args.methods[0]}
    for method in args.methods:
        mine = [f for f in fits if f.method == method]
        late = any(f.wall_sec is None for f in mine)
        times = [
            _ratio(f.wall_sec or args.timeout, ours[f.seed].wall_sec) for f in mine
        ]
        cpu = [_ratio(f.cpu_sec, ours[f.seed].cpu_sec) for f in mine]
        worse = [_ratio(f.inertia, ours[f.seed].inertia) for f in mine]
        sign = "> " if late else ""
        wall = median([f.wall_sec for f in mine])
        extra = median([f.extra_bytes for f in mine])
        rows.append(
            {
                "K": mine[0].nclusters,
                "method": method,
                "wall s": f"> {args.timeout:.0f}" if late else wall,
                "CPU s": median([f.cpu_sec for f in mine]),
                "extra peak MiB": extra and extra / 2**20,
                "inertia": median([f.inertia for f in mine]),
                f"time : {args.methods[0]}": f"{sign}{median(times) or 0:.3g}",
                "each pair": times,
                f"CPU time : {args.methods[0]}": median(cpu),
                f"inertia : {args.methods[0]}": worse,
            }
        )
    return rows


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = make_parser("kmeans", __doc__ or "", 3, 1, "cpu")
    add = parser.add_argument
    add("--frames", type=Path, help=".npy file of frames (N, D); none: made")
    add("--wav_scp", type=Path, help="audio to make frames from; none: made up")
    add("--number", type=int, default=500_000, help="how many frames to make")
    add("--dim", type=int, default=768, help="size of the frames to make")
    add("--nclusters", nargs="+", type=int, default=[500, 2000], help="K, some")
    add("--methods", nargs="+", choices=METHODS, default=METHODS, help="first: ours")
    add("--timeout", type=float, default=3600.0, help="seconds that a fit may take")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    facts = machine_facts(args.threads, args.device)
    fits = list[Fit]()
    tables: dict[str, list[Row]] = {}
    with work_folder(args.work_dir) as work:
        if args.frames is None:
            args.frames = work / f"frames_{args.number}_{args.dim}.npy"
            if not args.frames.exists():
                write_frames(args.frames, args.number, args.dim, args.wav_scp)
        for nclusters in args.nclusters:
            some = fit_all(nclusters, args, work)
            tables[f"K = {nclusters}"] = rows_of(some, args)
            fits += some
        shape = np.load(args.frames, mmap_mode="r").shape
    details = {"frames": shape, "fits": [vars(f) for f in fits]}
    publish(args.output, args, facts, tables, details)


if __name__ == "__main__":
    run(main)
