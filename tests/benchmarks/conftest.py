"""Benchmarks in the test process: their commands are called, not started."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import children
from benchmarks.children import Usage


def call(
    command: Sequence[str],
    log: Path,
    threads: int = 1,
    timeout_sec: float | None = None,
) -> Usage:
    """Do what ``python -m module options`` does, without starting python."""
    _, dash_m, module, *options = command
    assert dash_m == "-m"
    log.parent.mkdir(parents=True, exist_ok=True)
    wall, cpu = time.perf_counter(), time.process_time()
    importlib.import_module(module).main(options)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    memory = children.memory_of()
    return Usage(wall, cpu, memory.highest, memory.private)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let benchmarks measure calls: loading torch in every child takes seconds."""
    monkeypatch.setattr(children, "measure", call)
