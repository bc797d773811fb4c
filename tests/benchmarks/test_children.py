"""Measuring processes, on processes whose use of the machine is known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.children import Runs, Usage, measure, median, ratios
from espnet_dsu.errors import DSUError

BURN = "import time\nwhile time.process_time() < {sec}: pass\n"
# A page of zeros that nobody writes to would not be resident.
HOLD = "import time; b = b'x' * ({mib} * 2**20); time.sleep({sec})"
PAIR = """
import subprocess, sys
pair = [subprocess.Popen([sys.executable, "-c", {code!r}]) for _ in range(2)]
[child.wait() for child in pair]
"""


def run(code: str, folder: Path, timeout_sec: float | None = None) -> Usage:
    command = [sys.executable, "-c", code]
    return measure(command, folder / "log", timeout_sec=timeout_sec)


def test_measure_grandchildren_counts_their_cpu_time(tmp_path: Path) -> None:
    usage = run(PAIR.format(code=BURN.format(sec=0.3)), tmp_path)
    assert 0.6 <= usage.cpu_sec < 3
    assert usage.wall_sec >= 0.3


def test_measure_grandchildren_adds_up_memory_held_at_once(tmp_path: Path) -> None:
    usage = run(PAIR.format(code=HOLD.format(mib=60, sec=1)), tmp_path)
    assert 120 * 2**20 <= usage.peak_private_bytes <= usage.peak_bytes < 200 * 2**20


def test_measure_one_process_has_its_short_peak(tmp_path: Path) -> None:
    usage = run(HOLD.format(mib=100, sec=0) + "; del b; time.sleep(0.5)", tmp_path)
    assert usage.peak_bytes >= 100 * 2**20


def test_measure_failure_shows_end_of_log(tmp_path: Path) -> None:
    with pytest.raises(DSUError, match="exited with 3:\nout of luck"):
        run("print('out of luck'); raise SystemExit(3)", tmp_path)


def test_measure_late_process_is_stopped_and_said_so(tmp_path: Path) -> None:
    usage = run("import time; time.sleep(60)", tmp_path, timeout_sec=0.3)
    assert usage.timed_out and usage.wall_sec < 30


def test_runs_net_takes_median_startup_off() -> None:
    runs = Runs(
        [Usage(wall, 0, 0, 0) for wall in (1.0, 9.0, 2.0)],
        [Usage(wall, 0, 0, 0) for wall in (5.0, 6.0, 1.0)],
    )
    assert runs.net("wall_sec") == [3.0, 4.0, -1.0]


def test_ratios_input_too_small_gives_none() -> None:
    def runs(whole: float) -> Runs:
        return Runs([Usage(1, 0, 0, 0)], [Usage(whole, 0, 0, 0)])

    assert ratios(runs(5), runs(3), "wall_sec") == [2.0]
    assert ratios(runs(5), runs(0.5), "wall_sec") == [None]
    assert median([None, 2.0, 4.0]) == 3.0 and median([None]) is None
