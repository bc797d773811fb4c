"""What may befall a run: each fault is tried for real, then the command is run again.

A fault does its harm, writes down what happened, and gives the options of the rerun.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from espnet_dsu.corpus import engine, local, tokenizing
from espnet_dsu.corpus.engine import Finished
from tests.corpus import harms
from tests.corpus.fault_lab import (
    DISK_KB,
    Lab,
    Row,
    content,
    ids,
    is_alive,
    slow,
    workers_of,
)

DASK = ("--launcher", "dask", "--launcher_conf", "cluster=local", "--nj", "2")


class NotPossible(Exception):
    """This machine does not allow to try a fault; the message says why."""


Fault = Callable[[Lab, Row], list[str]]


def tried(name: str, folder: Path, bundle: Path) -> Row:
    """Try a fault in a folder of its own, run again, and compare with no fault."""
    row, fault = Row(name), FAULTS[name]
    with Lab(folder, bundle) as lab:
        options = fault(lab, row)
        before = content(lab.out) if (lab.out / "units.scp").exists() else {}
        rerun = lab.run(*options)
        assert rerun.code == 0, rerun.log
        row.note(lab, rerun)
        undisturbed = lab.undisturbed()
        expected = content(undisturbed)
        # Hidden files, such as the lock of the killed run, are no results.
        final = {n: h for n, h in before.items() if "/" not in n and n[0] != "."}
        row.whole = all(expected.get(n) == h for n, h in final.items())
        found, wanted = Counter(ids(lab.out)), ids(undisturbed)
        row.lost = len(set(wanted) - set(found))
        row.doubled = found.total() - len(found)
        row.equal = content(lab.out) == expected
    return row


def kill_main(low: float, high: float, number: int = signal.SIGKILL) -> Fault:
    """Send a signal to the command at a random moment, in seconds after its start."""

    def fault(lab: Lab, row: Row) -> list[str]:
        running = lab.start(hook=slow(0.02))
        moment = random.uniform(low, high)
        time.sleep(moment)
        os.kill(running.pid, number)
        row.happened.append(f"after {moment:.2f} s")
        row.note(lab, running.wait())
        return []

    return fault


def kill_while_merging(lab: Lab, row: Row) -> list[str]:
    """Kill the command when it has written half of the ark."""

    def hook() -> None:
        real = tokenizing.read_shards_units

        def half(*args: object) -> Iterator[tuple[str, np.ndarray]]:
            for index, item in enumerate(real(*args)):  # type: ignore[arg-type]
                if index == 12:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield item

        tokenizing.read_shards_units = half

    row.note(lab, lab.run(hook=hook))
    return []


def kill_worker(lab: Lab, row: Row) -> list[str]:
    """Kill one of two workers in mid-run, which goes on by itself."""
    running = lab.start("--nj", "2")
    lab.wait_for(lambda: len(lab.shards()) >= 1)
    os.kill(workers_of(running.pid)[0], signal.SIGKILL)
    ended = running.wait()
    assert ended.code == 0, ended.log
    row.note(lab, ended)
    return []


def kill_main_of_workers(lab: Lab, row: Row) -> list[str]:
    """Kill the command that has two workers at work; they end as well."""
    running = lab.start("--nj", "2")
    lab.wait_for(lambda: len(lab.shards()) >= 1)
    workers = workers_of(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    row.note(lab, running.wait())
    lab.wait_for(lambda: not any(is_alive(worker) for worker in workers))
    row.happened.append(f"{len(workers)} workers ended by themselves")
    return []


def disk_full(where: str) -> Fault:
    """Let the disk be full when ``a shard`` or ``the merge`` is being written."""

    def fault(lab: Lab, row: Row) -> list[str]:
        fill = partial(_fill, lab.out if lab.own_disk() else None)

        def hook() -> None:
            if where == "a shard":
                local.run_shard = _before(local.run_shard, 4, fill)
            else:
                tokenizing._merge = _before(tokenizing._merge, 1, fill)

        ended = lab.run(hook=hook)
        assert ended.code == 1, ended.log
        row.note(lab, ended)
        (lab.out / "filler").unlink(missing_ok=True)
        return []

    return fault


def _before(real: Callable, number: int, action: Callable[[], None]) -> Callable:
    """Wrap ``real`` so that ``action`` goes before the call of that number."""
    calls = itertools.count(1)

    def wrapped(*args):
        if next(calls) == number:
            action()
        return real(*args)

    return wrapped


def _fill(disk: Path | None) -> None:
    """Fill a disk; without one, let this process write no file to speak of."""
    if disk is None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        return
    with open(disk / "filler", "wb", buffering=0) as f, suppress(OSError):
        for _ in range(DISK_KB):
            f.write(bytes(1024))


def spoil(harm: Callable[[Lab], None], *options: str) -> Fault:
    """Kill the command after four shards, do some harm, and run again."""

    def fault(lab: Lab, row: Row) -> list[str]:
        row.note(lab, lab.interrupt())
        harm(lab)
        return list(options)

    return fault


def vanish(lab: Lab, row: Row) -> list[str]:
    """Take a recording away after planning; bring it back after a kill."""
    path, away = lab.folder / "wav" / "utt3.wav", lab.folder / "away"

    def merge(finished: Finished, *args: object) -> None:
        logging.info(f"again missing: {finished.failures}")
        os.kill(os.getpid(), signal.SIGKILL)

    def hook() -> None:
        engine.cut_shards = _before(engine.cut_shards, 1, lambda: os.rename(path, away))
        tokenizing._merge = merge

    ended = lab.run(hook=hook)
    assert "name='utt3'" in ended.log, ended.log
    row.happened.append("the others done, utt3: not found; killed; utt3 is back")
    os.rename(away, path)
    return []


def two_runs(lab: Lab, row: Row) -> list[str]:
    """Start a second run into the directory of one that is at work."""
    first = lab.start(hook=slow(0.03))
    lab.wait_for(lambda: len(lab.shards()) > 1)
    second = lab.run()
    assert second.code == 1, second.log
    row.note(lab, second)
    ended = first.wait()
    assert ended.code == 0, ended.log
    return []


def read_only(lab: Lab, row: Row) -> list[str]:
    """Make the output directory read-only after some shards."""
    if not (disk := lab.own_disk()) and os.geteuid() == 0:
        raise NotPossible("root may write where permissions forbid it")
    lab.interrupt()
    change = ["mount", "-o", "remount,{}"] if disk else ["chmod", "-R", "{}"]
    ended = None
    for mode in ("ro", "rw") if disk else ("u-w", "u+w"):
        words = [word.format(mode) for word in change]
        subprocess.run([*words, str(lab.out)], check=True)
        ended = ended or lab.run()
    assert ended is not None and ended.code == 1, ended
    row.note(lab, ended)
    return []


FAULTS: dict[str, Fault] = {
    "kill -9 while it starts": kill_main(0.0, 0.1),
    "kill -9 early": kill_main(0.1, 0.4),
    "kill -9 in mid-run": kill_main(0.4, 0.6),
    "kill -9 late": kill_main(0.6, 0.9),
    "kill -9 while merging": kill_while_merging,
    "SIGTERM": kill_main(0.2, 0.6, signal.SIGTERM),
    "SIGINT (Ctrl-C)": kill_main(0.2, 0.6, signal.SIGINT),
    "kill -9 of a worker (of 2)": kill_worker,
    "kill -9 of the main process of 2 workers": kill_main_of_workers,
    "disk full while writing a shard": disk_full("a shard"),
    "disk full while merging": disk_full("the merge"),
    "truncated file of a shard": spoil(harms.truncate_shard),
    "deleted folder of a shard": spoil(harms.delete_shard),
    "corrupted manifest": spoil(harms.corrupt_manifest),
    "corrupted seal of a shard": spoil(harms.corrupt_seal),
    "half-written ark": spoil(harms.half_ark),
    "rerun with --nj 2 after --nj 1": spoil(harms.nothing, "--nj", "2"),
    "rerun with --launcher dask": spoil(harms.nothing, *DASK),
    "rerun with other batches": spoil(harms.nothing, "--batch_sec", "1"),
    "rerun with other shards": spoil(harms.nothing, "--shard_sec", "3"),
    "audio vanished between planning and reading": vanish,
    "audio changed between runs": spoil(harms.change_audio),
    "bundle changed between runs": spoil(harms.change_bundle),
    "two runs at once": two_runs,
    "output directory read-only": read_only,
}
