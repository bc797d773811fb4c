"""One fit of one k-means on one file of frames, in a process of its own."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.children import memory_of
from espnet_dsu.bin.cli import run

# What learn_kmeans.py of ESPnet and of fairseq's HuBERT gives to scikit-learn.
ESPNET = {
    "init": "k-means++",
    "max_iter": 100,
    "batch_size": 10000,
    "compute_labels": False,
    "tol": 0.0,
    "max_no_improvement": 100,
    "init_size": None,
    "reassignment_ratio": 0.0,
}
# By method: options of KMeans, or n_init for scikit-learn.
OURS: dict[str, dict[str, Any]] = {
    "espnet_dsu": {},
    "espnet_dsu lloyd": {"algorithm": "lloyd"},
}
THEIRS = {"scikit-learn": 20, "scikit-learn n_init 1": 1}
METHODS = (*OURS, *THEIRS)


def fit_ours(
    conf: dict[str, Any], frames: np.ndarray, nclusters: int, seed: int, device: str
) -> np.ndarray:
    """Fit espnet_dsu's k-means; return the centroids (K, D)."""
    from espnet_dsu.quantizer import build_quantizer

    conf = {"nclusters": nclusters, "dim": frames.shape[1], "seed": seed, **conf}
    model = build_quantizer("kmeans", conf).to(device)
    model.fit(frames)
    return model.tensors()["centroids"].numpy()


def fit_theirs(
    n_init: int, frames: np.ndarray, nclusters: int, seed: int
) -> np.ndarray:
    """Fit scikit-learn's with the settings of ESPnet; return the centroids (K, D)."""
    from sklearn.cluster import MiniBatchKMeans

    options = {**ESPNET, "n_init": n_init, "random_state": seed}
    return MiniBatchKMeans(nclusters, **options).fit(frames).cluster_centers_


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kmeans_fit", description=__doc__
    )
    add = parser.add_argument
    add("--frames", type=Path, required=True, help=".npy file, (N, D) float32")
    add("--method", choices=METHODS, required=True, help="which k-means")
    add("--nclusters", type=int, required=True, help="K")
    add("--seed", type=int, default=0, help="random seed")
    add("--device", default="cpu", help="of torch, for espnet_dsu")
    add("--output", type=Path, required=True, help="folder for the result")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    frames = np.load(args.frames)
    args.output.mkdir(parents=True, exist_ok=True)
    # Frames, interpreter and the libraries of either, before anything is fitted.
    import sklearn.cluster  # noqa: F401

    import espnet_dsu.quantizer  # noqa: F401

    before = memory_of().resident
    wall, cpu = time.perf_counter(), time.process_time()
    if args.method in OURS:
        conf = OURS[args.method]
        centroids = fit_ours(conf, frames, args.nclusters, args.seed, args.device)
    else:
        n_init = THEIRS[args.method]
        centroids = fit_theirs(n_init, frames, args.nclusters, args.seed)
    facts = {
        "wall_sec": time.perf_counter() - wall,
        "cpu_sec": time.process_time() - cpu,
        "bytes_before": before,
    }
    np.save(args.output / "centroids.npy", centroids)
    (args.output / "fit.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    run(main)
