"""k-means of several processes is that of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer import KMeans

NUM_RANKS = 2


def frames(n: int = 4000, dim: int = 160) -> np.ndarray:
    rng = np.random.default_rng(0)
    middle = 2 * rng.standard_normal((30, dim))
    noise = rng.standard_normal((n, dim))
    return (middle[rng.integers(30, size=n)] + noise).astype(np.float32)


def far_start() -> torch.Tensor:
    start = torch.full((20, 160), 1e3)
    start[0] = 0
    return start


CASES: dict[str, dict] = {
    "minibatch": {"conf": {"batch_size": 700}},
    "lloyd": {"conf": {"algorithm": "lloyd", "init": "random", "max_iter": 10}},
    "reseeding": {"conf": {"batch_size": 700}, "start": far_start()},
}


def fit(case: str, part: np.ndarray) -> tuple[torch.Tensor, float, int]:
    model = KMeans(20, 160, **CASES[case]["conf"])
    (report,) = model.fit(part, start=CASES[case].get("start"))
    return model.centroids, report.inertia, report.num_frames


def run_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=NUM_RANKS
    )
    data = frames()
    # Parts of unlike size; the second rank may hold nothing of a small batch.
    part = data[:3500] if rank == 0 else data[3500:]
    found = {case: fit(case, part) for case in CASES}
    empty = data[:0] if rank else data
    found["one rank has all"] = fit("minibatch", empty)
    broken = part.copy()
    broken[0, 0] = np.nan if rank else 0
    with pytest.raises(DSUError, match="1 of 4000 frames hold NaN"):
        KMeans(20, 160).fit(broken)
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(run_rank, (str(folder),), NUM_RANKS)
    return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(NUM_RANKS)]


@pytest.mark.parametrize("case", [*CASES, "one rank has all"])
def test_fit_all_ranks_have_the_same_bits(ranks, case):
    first, second = (rank[case] for rank in ranks)
    assert torch.equal(first[0], second[0])
    assert first[1:] == second[1:]


@pytest.mark.parametrize("case", CASES)
def test_fit_several_ranks_reach_the_inertia_of_one(ranks, case):
    centroids, inertia, num_frames = fit(case, frames())
    assert ranks[0][case][1] == pytest.approx(inertia, rel=1e-5)
    assert ranks[0][case][2] == num_frames == 4000


def test_fit_a_rank_without_frames_takes_part(ranks):
    _, inertia, _ = fit("minibatch", frames())
    assert ranks[0]["one rank has all"][1] == pytest.approx(inertia, rel=1e-5)
