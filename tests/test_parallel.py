"""Work in processes: the same results in the same order, whatever their number."""

from __future__ import annotations

import os

import pytest

from espnet_dsu.errors import DSUError
from espnet_dsu.parallel import in_processes


def die(item: int) -> int:
    os._exit(1)


def test_in_processes_keeps_the_order_for_any_number_of_processes():
    words = [f"w{i}" * i for i in range(40)]
    assert list(in_processes(len, words, 2)) == list(map(len, words))
    assert list(in_processes(len, words, 1)) == list(map(len, words))


def test_in_processes_a_dead_worker_is_one_error():
    with pytest.raises(DSUError, match="worker process died"):
        list(in_processes(die, [1, 2], 2))


def test_in_processes_without_processes_is_refused():
    with pytest.raises(DSUError, match="nj is 0"):
        list(in_processes(len, [""], 0))
