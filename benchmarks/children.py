"""Commands run as processes of their own, measured from outside as wholes."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from espnet_dsu.errors import DSUError

ROOT = Path(__file__).resolve().parents[1]
_SAMPLE_EVERY_SEC = 0.1


@dataclass(frozen=True)
class Usage:
    """What a process and all its descendants used.

    Attributes:
        wall_sec: from start to end.
        cpu_sec: user and system time of the process and every descendant that ended.
        peak_bytes: most resident memory, of one process at any time or of all together
            when sampled; pages that processes share count once for each of them.
        peak_private_bytes: sampled, without pages of mapped files (libraries, weights
            or frames read through mmap), which the kernel can drop at any time.
        timed_out: whether it was stopped at its time limit.
    """

    wall_sec: float
    cpu_sec: float
    peak_bytes: int
    peak_private_bytes: int
    timed_out: bool = False


@dataclass
class Runs:
    """Repeated measurements of one command, on a near-empty input and on the whole."""

    startups: list[Usage] = field(default_factory=list)
    wholes: list[Usage] = field(default_factory=list)

    def startup(self, what: str) -> float:
        """Median of ``cpu_sec``, ``wall_sec``... on the near-empty input."""
        return statistics.median(getattr(u, what) for u in self.startups)

    def net(self, what: str) -> list[float]:
        """Each round's measure of the whole less the median start-up."""
        start = self.startup(what)
        return [getattr(u, what) - start for u in self.wholes]

    def peak(self, what: str = "peak_bytes") -> float:
        """Median peak memory of the whole, in MiB."""
        return statistics.median(getattr(u, what) for u in self.wholes) / 2**20

    def to_json(self) -> dict[str, Any]:
        """Every single measurement."""
        return {
            "startup": [asdict(u) for u in self.startups],
            "whole": [asdict(u) for u in self.wholes],
        }


def ratios(slow: Runs, fast: Runs, what: str) -> list[float | None]:
    """How many times more ``slow`` used than ``fast``, start-up off, pair by pair.

    None where the input was so small that it drowned in the noise of the start-up.
    """
    pairs = zip(slow.net(what), fast.net(what))
    return [a / b if a > 0 and b > 0 else None for a, b in pairs]


def median(values: Sequence[float | None]) -> float | None:
    """Median of the values that are there; None if none is."""
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None


def python(module: str, **options: object) -> list[str]:
    """Command line of ``python -m module``; an option of None is left out."""
    command = [sys.executable, "-m", module]
    for name, value in options.items():
        if value is not None:
            command += [f"--{name}", str(value)]
    return command


def measure(
    command: Sequence[str],
    log: Path,
    threads: int = 1,
    timeout_sec: float | None = None,
) -> Usage:
    """Run a command to its end and measure its whole process tree.

    Args:
        command: program and arguments.
        log: where its output goes.
        threads: for OpenMP and BLAS in every process of it.
        timeout_sec: after so long it is stopped, and ``timed_out`` is set.

    Raises:
        DSUError: it failed; the message ends with the last lines of the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    child = _start(command, log, threads)
    watch = _Watch(child.pid, timeout_sec)
    watch.start()
    try:
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    finally:
        watch.end()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode and not watch.timed_out:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        raise DSUError(f"{' '.join(command)} exited with {child.returncode}:\n{tail}")
    cpu = used.ru_utime + used.ru_stime
    return Usage(wall, cpu, watch.peak, watch.peak_private, watch.timed_out)


def _start(command: Sequence[str], log: Path, threads: int) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, by which its descendants are known."""
    with open(log, "wb") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=_environment(threads),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class _Watch(threading.Thread):
    """Samples the memory of a session of processes, and ends it when time is up."""

    def __init__(self, session: int, timeout_sec: float | None) -> None:
        super().__init__(daemon=True)
        self.session, self.timeout_sec = session, timeout_sec
        self.peak = self.peak_private = 0
        self.timed_out = False
        self._ended = threading.Event()
        self._members, self._others = {session}, set[int]()

    def run(self) -> None:
        start = time.monotonic()
        while not self._ended.wait(_SAMPLE_EVERY_SEC):
            self._find_members()
            now = [memory_of(pid) for pid in self._members]
            # Samples miss a short peak, but the kernel notes that of each process. (It
            # also reports one at the end, ru_maxrss, which starts with the parent's.)
            highest = max(memory.highest for memory in now)
            self.peak = max(self.peak, highest, sum(m.resident for m in now))
            self.peak_private = max(self.peak_private, sum(m.private for m in now))
            late = self.timeout_sec and time.monotonic() - start > self.timeout_sec
            if late and not self.timed_out:
                self.timed_out = True
                os.killpg(self.session, signal.SIGKILL)

    def _find_members(self) -> None:
        """Look at processes not seen before: all of /proc would cost 4 % of a core."""
        present = {int(entry) for entry in os.listdir("/proc") if entry.isdigit()}
        for pid in present - self._members - self._others:
            mine = _session_of(pid) == self.session
            (self._members if mine else self._others).add(pid)

    def end(self) -> None:
        self._ended.set()
        self.join()


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


@dataclass(frozen=True)
class Memory:
    """Of a process, in bytes: resident, of it not pages of files, and highest ever."""

    resident: int = 0
    private: int = 0
    highest: int = 0


def memory_of(pid: int | str = "self") -> Memory:
    """Ask the kernel; zeros if the process has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return Memory()
    lines = (line.split() for line in text.splitlines() if line.endswith(" kB"))
    size = {name[:-1]: int(value) * 1024 for name, value, _ in lines}
    return Memory(
        size.get("VmRSS", 0),
        size.get("RssAnon", 0) + size.get("RssShmem", 0),
        size.get("VmHWM", 0),
    )


def _environment(threads: int) -> Mapping[str, str]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        **{name: str(threads) for name in names},
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": path,
    }
