"""What every benchmark shares: options, facts of the machine, tables, results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks import children
from benchmarks.children import ROOT, Runs
from espnet_dsu.errors import DSUError

RESULTS = Path(__file__).parent / "results"
_LIBRARIES = ("torch", "transformers", "numpy", "scikit-learn", "soundfile")

Row = Mapping[str, object]
# Gives the command line for an input ("empty" or "whole") and a fresh output folder.
Command = Callable[[str, Path], Sequence[str]]


def make_parser(
    name: str,
    description: str,
    rounds: int | None = None,
    threads: int | None = None,
    device: str | None = None,
) -> argparse.ArgumentParser:
    """Make a parser with the options of every benchmark.

    Of ``--rounds``, ``--threads`` and ``--device`` it has those with a default here.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--work_dir", type=Path, help="models and audio are kept here for the next run")
    add("--output", type=Path, default=RESULTS / f"{name}.json", help="results, JSON")
    if rounds:
        add("--rounds", type=int, default=rounds, help="paired rounds: A B, A B...")
    if threads:
        add("--threads", type=int, default=threads, help="threads of each process")
    if device:
        devices = ("cpu", "cuda")
        add("--device", choices=devices, default=device, help="where to compute")
    return parser


def check_device(device: str) -> None:
    """Refuse a GPU that is not there.

    Raises:
        DSUError: no CUDA device is found.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise DSUError(
            "--device cuda: this machine has no CUDA device that torch "
            f"{torch.__version__} can use; run on one that has, or with --device cpu"
        )


@contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """Yield the folder given, made if missing, or one that is removed at the end."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="espnet_dsu_benchmark_") as folder:
        yield Path(folder)


@contextmanager
def run_folder(work: Path) -> Iterator[Path]:
    """Yield a fresh folder for outputs, removed at the end: none is ever resumed."""
    with tempfile.TemporaryDirectory(prefix="runs_", dir=work) as folder:
        yield Path(folder)


def alternate(
    commands: Mapping[str, Command], rounds: int, work: Path, threads: int
) -> dict[str, Runs]:
    """Measure commands in turn, A B A B, each on the near-empty input and the whole.

    What the machine does beside them, and its clock, so meets both alike. The output
    of the last round stays in ``<work>/<name>/whole-<round>``.
    """
    runs = {name: Runs() for name in commands}
    for index in range(rounds):
        for name, command in commands.items():
            for kind, into in (
                ("empty", runs[name].startups),
                ("whole", runs[name].wholes),
            ):
                folder = work / name / f"{kind}-{index}"
                log = folder.with_suffix(".log")
                into.append(children.measure(command(kind, folder), log, threads))
                say(f"{name}, {kind}, round {index + 1}: {into[-1].cpu_sec:.1f} CPU s")
    return runs


def clock(device: str, threads: int) -> Callable[[], float]:
    """Give the clock for a computation, in seconds.

    One thread on a CPU is timed by the time that it has the CPU, so that others on the
    machine do not count; anything else by the wall clock, once the GPU is done.
    """
    if device == "cpu":
        return time.process_time if threads == 1 else time.perf_counter

    def now() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return now


def gemm_rate(
    threads: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    size: int = 2048,
) -> float:
    """Measure what a large matrix product reaches, in FLOP/s; float32 without TF32."""
    before, tf32 = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    size, now, times = size if device == "cpu" else 4 * size, clock(device, threads), []
    try:
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        for _ in range(6):
            start = now()
            a @ b
            times.append(now() - start)
    finally:
        torch.set_num_threads(before)
        torch.backends.cuda.matmul.allow_tf32 = tf32
    # The first one also makes threads and memory.
    return 2 * size**3 / statistics.median(times[1:])


def machine_facts(threads: int, device: str = "cpu") -> dict[str, Any]:
    """Say what the numbers were measured on, and how busy it was.

    Raises:
        DSUError: the device is not there.
    """
    check_device(device)
    cpu = {
        key.strip(): value.strip()
        for key, _, value in (
            line.partition(":")
            for line in Path("/proc/cpuinfo").read_text().splitlines()
        )
    }
    facts: dict[str, Any] = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu.get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": _total_memory() / 2**30,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "threads": threads,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "load_average_at_start": os.getloadavg()[0],
        "gemm_float32_gflops": gemm_rate(threads, device) / 1e9,
        **{name: _version(name) for name in _LIBRARIES},
    }
    if device != "cpu":
        facts["gpu"] = torch.cuda.get_device_name(0)
        facts["cuda"] = torch.version.cuda
    return facts


def _total_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


def say(text: str) -> None:
    """Tell how far a long benchmark is."""
    print(f"# {time.strftime('%H:%M:%S')} {text}", flush=True)


def markdown(rows: Sequence[Row]) -> str:
    """Write rows, all with the keys of the first, as a Markdown table."""
    names = list(rows[0])
    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(_cell(row[name]) for name in names) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_cell, value))
    return "-" if value is None else str(value)


def publish(
    output: Path,
    args: argparse.Namespace,
    facts: Mapping[str, Any],
    tables: Mapping[str, Sequence[Row]],
    details: Mapping[str, Any] | None = None,
) -> None:
    """Print the tables and write them, with facts, options and details, as JSON."""
    result = {
        "machine": {**facts, "load_average_at_end": os.getloadavg()[0]},
        "options": {name: str(value) for name, value in vars(args).items()},
        "tables": tables,
        "details": details or {},
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\n{markdown([{'fact': k, 'value': v} for k, v in facts.items()])}")
    for title, rows in tables.items():
        if rows:
            print(f"\n{title}\n\n{markdown(rows)}")
    shown = output.relative_to(ROOT) if output.is_relative_to(ROOT) else output
    print(f"\nwritten to {shown}")
