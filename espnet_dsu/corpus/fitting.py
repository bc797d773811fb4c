"""Fit a quantizer on a sample of frames, by one process or several."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from typing import Any

import torch
from torch import distributed, multiprocessing
from torch.multiprocessing import (
    ProcessContext,
    ProcessExitedException,
    ProcessRaisedException,
)

from espnet_dsu.corpus.launcher import num_cores
from espnet_dsu.corpus.sample_files import Layer, SampleFiles
from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer import FitReport, Quantizer, build_quantizer

Reports = tuple[FitReport, ...]
# What a rank sends: the outcome, or what the user did wrong.
_Result = tuple[dict[str, Any], Reports] | DSUError


@dataclass(frozen=True)
class Fit:
    """What to fit; small and picklable.

    Attributes:
        quantizer: its name.
        conf: its options.
        sample: where the frames are.
        layer: whose frames.
        num_frames: so many, of those with the smallest keys.
    """

    quantizer: str
    conf: Mapping[str, Any]
    sample: SampleFiles
    layer: Layer
    num_frames: int

    def run(
        self, device: str, part: int = 0, num_parts: int = 1
    ) -> tuple[Quantizer, Reports]:
        """Fit on one of several parts of the frames, in order of their keys."""
        model = build_quantizer(self.quantizer, self.conf).to(device)
        first, last = (self.num_frames * p // num_parts for p in (part, part + 1))
        reports = model.fit([self.sample.read(self.layer, model.dim, first, last)])
        return model, reports


def fit_quantizer(fit: Fit, num_processes: int, ngpu: int) -> tuple[Quantizer, Reports]:
    """Fit, sharing the frames among processes of one ``torch.distributed`` group.

    Several processes are for several GPUs: on a CPU, one with all threads is best.
    Their number may change the last bits of the result.

    Args:
        fit: what to fit.
        num_processes: how many share it.
        ngpu: number of GPUs they use; 0 is CPU.

    Raises:
        DSUError: as the quantizer's ``fit``.
    """
    if num_processes == 1:
        return fit.run("cuda" if ngpu else "cpu")
    results = multiprocessing.get_context("spawn").SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        arguments = (num_processes, ngpu, fit, f"file://{folder}/group", results)
        ranks = multiprocessing.spawn(_fit_rank, arguments, num_processes, join=False)
        result = _collect(ranks, results)
    if isinstance(result, DSUError):
        raise result
    arrays, reports = result
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    model = build_quantizer(fit.quantizer, fit.conf)
    return type(model).from_tensors(model.config()["conf"], tensors), reports


def _collect(ranks: ProcessContext, results: SimpleQueue[_Result]) -> _Result:
    found, death, running = list[_Result](), None, True
    while running:
        try:
            running = not ranks.join(0.5)
        except (ProcessExitedException, ProcessRaisedException) as error:
            death, running = error, False
        # Read while they run: a full pipe would hold them up.
        while not results.empty():
            found.append(results.get())
    if not found:
        raise DSUError(
            f"a process of the fit died (killed, or out of memory): {death}; bundles "
            "that are done are kept: run the command again"
        )
    return found[0]


def _fit_rank(
    rank: int,
    num_processes: int,
    ngpu: int,
    fit: Fit,
    meeting: str,
    results: SimpleQueue[_Result],
) -> None:
    if rank == 0:
        # What log lines look like is set by the program that began all this.
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    device = f"cuda:{rank % ngpu}" if ngpu else "cpu"
    if ngpu:
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(max(1, num_cores() // num_processes))
    # NCCL knows no two processes on one GPU.
    backend = "nccl" if ngpu >= num_processes else "gloo"
    distributed.init_process_group(
        backend, init_method=meeting, rank=rank, world_size=num_processes
    )
    try:
        model, reports = fit.run(device, rank, num_processes)
        if rank == 0:
            arrays = {name: t.numpy() for name, t in model.tensors().items()}
            results.put((arrays, reports))
    except DSUError as error:
        results.put(error)
        raise
    finally:
        distributed.destroy_process_group()
