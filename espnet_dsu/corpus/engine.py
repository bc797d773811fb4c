"""Run a job over a corpus: plan -> shards -> run -> (the caller's) merge.

Each shard gets a folder of its own, whole or not at all; a rerun keeps the finished
ones, and redoes those whose audio has changed. The result does not depend on the number
of workers, on the launcher, or on how often the work was interrupted.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from espnet_dsu.corpus import work_folder
from espnet_dsu.corpus.job import Failure, Job
from espnet_dsu.corpus.launcher import Launcher, ShardTask, make_launcher
from espnet_dsu.corpus.lock import DirectoryLock
from espnet_dsu.corpus.plan import Shard, Utterance, cut_shards, even_shard_sec, inspect
from espnet_dsu.corpus.seal import read_seal
from espnet_dsu.errors import DSUError
from espnet_dsu.progress import CorpusProgress
from espnet_dsu.scp import read_scp

# A corpus: the path of a wav.scp, its entries, or utterances already planned.
Corpus = str | Path | Mapping[str, str] | Sequence[Utterance]


@dataclass(frozen=True)
class Options:
    """How to run; nothing here changes the result.

    Attributes:
        nj: number of worker processes.
        ngpu: number of GPUs the workers share; 0 is CPU.
        shard_sec: seconds of audio per shard, the unit of resuming; less where the
            corpus is small.
        max_failures: stop when more utterances than this fail; None is any number.
        launcher: where the workers are: ``local`` or ``dask``.
        launcher_conf: options of the launcher.
    """

    nj: int = 1
    ngpu: int = 0
    shard_sec: float = 600.0
    max_failures: int | None = None
    launcher: str = "local"
    launcher_conf: Mapping[str, Any] = field(default_factory=dict)


class Finished:
    """Context manager that holds a job's finished shards, and their directory's lock.

    Leaving it without an error removes the shards: merge them inside.

    Attributes:
        entries: file of each utterance by id, in the order of the corpus.
        shards: all of them.
        failures: utterances that gave nothing, in the order of the corpus.
    """

    def __init__(
        self,
        job: Job,
        root: Path,
        utterances: Sequence[Utterance],
        tasks: Sequence[ShardTask],
        failures: Mapping[str, Failure],
        held: ExitStack,
    ) -> None:
        self.entries = {u.name: u.source for u in utterances}
        self.shards = [task.shard for task in tasks]
        self.failures = [failures[name] for name in self.entries if name in failures]
        self._folders = {task.shard.index: task.folder for task in tasks}
        self._job, self._root = job, root
        self._held = held

    def folder(self, shard: Shard) -> Path:
        """Return the folder with what the job's worker wrote for ``shard``."""
        return self._folders[shard.index]

    def remove(self) -> None:
        """Remove the shards and their logs, and let the directory go."""
        work_folder.remove(self._job, self._root)
        self._held.close()

    def __enter__(self) -> Finished:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.remove()
        self._held.close()
        if isinstance(error, OSError):
            raise _cannot_write(self._root, error) from error


def run_job(
    job: Job, corpus: Corpus, work_root: str | Path, options: Options
) -> Finished:
    """Run ``job`` over every utterance of ``corpus``; give the finished shards.

    ``with run_job(...) as finished:`` merges them. Until then they are kept below
    ``work_root``, and after an error or a kill the next call goes on from there.

    Raises:
        DSUError: all utterances fail, or more than the options allow; a shard fails
            as a whole; another run is at work in ``work_root``.
    """
    launcher = make_launcher(
        options.launcher, options.nj, options.ngpu, options.launcher_conf
    )
    root = Path(work_root).absolute()
    held = ExitStack()
    held.enter_context(DirectoryLock(root))
    try:
        utterances = _plan(corpus, options.max_failures)
        shard_sec = even_shard_sec(utterances, options.shard_sec)
        shards = cut_shards(utterances, shard_sec)
        tasks = work_folder.prepare(job, shards, root)
        failures = _Failures(len(utterances), options.max_failures)
        seconds = sum(shard.duration_sec for shard in shards)
        with CorpusProgress(job.name, len(utterances), seconds) as progress:
            todo = _keep_finished(job, tasks, failures, progress)
            _run(job, todo, launcher, failures, progress)
        failures.check_some_good()
        return Finished(job, root, utterances, tasks, failures.by_name, held)
    except BaseException as error:
        held.close()
        if isinstance(error, OSError):
            raise _cannot_write(root, error) from error
        raise


def _cannot_write(root: Path, error: OSError) -> DSUError:
    return DSUError(
        f"{root}: {error}; finished shards are kept: mend this and run again"
    )


class _Failures:
    """The utterances that gave nothing, and how many of them are accepted."""

    def __init__(self, total: int, allowed: int | None) -> None:
        self.by_name: dict[str, Failure] = {}
        self._total = total
        self._allowed = allowed

    def add(self, failures: Iterable[Failure]) -> None:
        """Count failures; raise DSUError where they are more than accepted."""
        self.by_name.update((failure.name, failure) for failure in failures)
        if self._allowed is not None and len(self.by_name) > self._allowed:
            last = list(self.by_name.values())[-1]
            raise DSUError(
                f"{last.name}: {last.source}: {last.reason} "
                f"({len(self.by_name)} failed, {self._allowed} allowed)"
            )

    def check_some_good(self) -> None:
        """Raise DSUError where nothing is left."""
        if len(self.by_name) == self._total:
            first = next(iter(self.by_name.values()))
            raise DSUError(
                f"none of {self._total} utterances could be used; the first, "
                f"{first.name}: {first.source}: {first.reason}"
            )


def _plan(corpus: Corpus, max_failures: int | None) -> list[Utterance]:
    if isinstance(corpus, (str, Path)):
        corpus = read_scp(corpus)
    utterances = list(inspect(corpus) if isinstance(corpus, Mapping) else corpus)
    if not utterances:
        raise DSUError("the corpus has no utterances; is wav.scp empty?")
    # What a header shows need not wait for its shard's turn.
    bad = (Failure(u.name, u.source, u.problem) for u in utterances if u.problem)
    _Failures(len(utterances), max_failures).add(bad)
    return utterances


def _keep_finished(
    job: Job,
    tasks: Sequence[ShardTask],
    failures: _Failures,
    progress: CorpusProgress,
) -> list[ShardTask]:
    """Count the shards that an earlier run has done; return the others."""
    todo = []
    for task in tasks:
        found = read_seal(task.folder, task.state)
        if found is None:
            shutil.rmtree(task.folder, ignore_errors=True)
            todo.append(task)
        else:
            progress.keep(len(task.shard.utterances), task.shard.duration_sec)
            failures.add(found)
    if len(todo) < len(tasks):
        kept = len(tasks) - len(todo)
        logging.info(f"{job.name}: resuming, {kept} of {len(tasks)} shards are done")
    return todo


def _run(
    job: Job,
    tasks: Sequence[ShardTask],
    launcher: Launcher,
    failures: _Failures,
    progress: CorpusProgress,
) -> None:
    """Do the shards, counting what their workers report and, in the end, the rest."""
    left = {
        task.shard.index: (len(task.shard.utterances), task.shard.duration_sec)
        for task in tasks
    }

    def report(index: int, utterances: int, seconds: float) -> None:
        left[index] = (left[index][0] - utterances, left[index][1] - seconds)
        progress.advance(utterances, seconds)

    if tasks:
        with closing(launcher.run(job, tasks, report)) as outcomes:
            for outcome in outcomes:
                progress.advance(*left.pop(outcome.index))
                failures.add(outcome.failures)
