"""How a corpus is cut into shards, and a shard into batches."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

from espnet_dsu.audio import AudioError, audio_info
from espnet_dsu.progress import track

# Headers are read while other headers are waited for: a network disk answers late.
_NUM_THREADS = 16
_IN_FLIGHT = 1024
# So many shards even out what workers have to do; below so many seconds shards cost
# more than they help.
_EVEN_SHARDS = 64
_SMALL_SHARD_SEC = 30.0


@dataclass(frozen=True)
class Utterance:
    """One line of ``wav.scp`` with what the audio's header says (0 if unreadable).

    Attributes:
        stamp: size and time of change (ns) of the file; None where there is none.
        problem: why the header could not be read.
    """

    name: str
    source: str
    num_samples: int
    fs: int
    stamp: tuple[int, int] | None = None
    problem: str = ""

    @property
    def duration_sec(self) -> float:
        """Length in seconds; 0 where the header could not be read."""
        return self.num_samples / self.fs if self.fs else 0.0


@dataclass(frozen=True)
class Shard:
    """Utterances of like length that one worker process goes through at a time."""

    index: int
    utterances: tuple[Utterance, ...]

    @property
    def duration_sec(self) -> float:
        """Sum of the utterances' lengths in seconds."""
        return sum(utterance.duration_sec for utterance in self.utterances)

    def state(self, fingerprint: str) -> str:
        """Hash a job's fingerprint and the audio as it was when it was planned."""
        facts = [[u.name, u.source, u.stamp] for u in self.utterances]
        text = json.dumps([fingerprint, facts])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def changed(self) -> list[Utterance]:
        """Return the utterances whose files are not what they were when planned."""
        return [u for u in self.utterances if file_stamp(u.source) != u.stamp]


def split_long(
    shard: Shard, is_long: Callable[[int, int], bool]
) -> tuple[list[Utterance], Shard]:
    """Part what is read by windows from the rest; ``is_long`` takes samples and fs."""
    long = [u for u in shard.utterances if is_long(u.num_samples, u.fs)]
    short = [u for u in shard.utterances if not is_long(u.num_samples, u.fs)]
    return long, replace(shard, utterances=tuple(short))


def file_stamp(source: str) -> tuple[int, int] | None:
    """Return size and time of change (ns) of the file of a ``wav.scp`` value."""
    for path in (source, source.rpartition(":")[0]):  # file.ark:offset
        try:
            stat = os.stat(path)
        except (OSError, ValueError):
            continue
        return stat.st_size, stat.st_mtime_ns
    return None


def inspect(entries: Mapping[str, str]) -> list[Utterance]:
    """Read the headers of ``wav.scp``'s files, many at a time."""
    items = iter(entries.items())
    found: list[Utterance] = []

    def planned() -> Iterator[Utterance]:
        # Not all at once: a corpus has millions of files, a pool no bound.
        while part := list(islice(items, _IN_FLIGHT)):
            yield from pool.map(lambda item: _inspect_one(*item), part)

    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        found.extend(track(planned(), len(entries), "planning"))
    return found


def _inspect_one(name: str, source: str) -> Utterance:
    stamp = file_stamp(source)
    try:
        num_samples, fs, _ = audio_info(source)
    except AudioError as error:
        return Utterance(name, source, 0, 0, stamp, str(error))
    return Utterance(name, source, num_samples, fs, stamp)


def even_shard_sec(utterances: Iterable[Utterance], shard_sec: float) -> float:
    """Halve ``shard_sec`` for a small corpus, until all of some workers have work.

    Halving, rather than dividing the corpus, keeps the cut as it is when a file comes
    or goes.
    """
    corpus_sec = sum(utterance.duration_sec for utterance in utterances)
    while shard_sec > max(corpus_sec / _EVEN_SHARDS, _SMALL_SHARD_SEC):
        shard_sec /= 2
    return shard_sec


def cut_shards(utterances: Iterable[Utterance], shard_sec: float) -> list[Shard]:
    """Cut a corpus into shards of about ``shard_sec`` seconds, longest audio first.

    The cut depends on the corpus alone, not on the number of workers, so that a rerun
    with another number finds the shards of the first. Where it falls is decided by
    the names near it as well as by the seconds before it, so that a file that comes,
    goes or changes its length moves the cuts near it and not all that follow.
    """
    shards: list[Shard] = []
    part: list[Utterance] = []
    seconds = 0.0
    for utterance in sorted(utterances, key=lambda u: (-u.fs, -u.num_samples, u.name)):
        part.append(utterance)
        seconds += utterance.duration_sec
        if _ends_shard(utterance, seconds, shard_sec):
            shards.append(Shard(len(shards), tuple(part)))
            part, seconds = [], 0.0
    if part:
        shards.append(Shard(len(shards), tuple(part)))
    return shards


def _ends_shard(last: Utterance, seconds: float, shard_sec: float) -> bool:
    """Say yes between 0.5 and 1.5 ``shard_sec``, 1 on average."""
    if seconds < 0.5 * shard_sec:
        return False
    lot = int.from_bytes(hashlib.sha256(last.name.encode()).digest()[:4], "big") / 2**32
    return lot * 0.5 * shard_sec < last.duration_sec or seconds >= 1.5 * shard_sec


def cut_batches(shard: Shard, batch_sec: float) -> Iterator[list[Utterance]]:
    """Cut a shard into batches of like length, at most ``batch_sec`` with padding.

    Utterances of one batch have one sampling rate. A longer utterance is a batch of
    its own.
    """
    batch: list[Utterance] = []
    for utterance in sorted(shard.utterances, key=lambda u: (-u.fs, -u.num_samples)):
        first = batch[0] if batch else utterance
        padded_sec = (len(batch) + 1) * first.duration_sec
        if batch and (utterance.fs != first.fs or padded_sec > batch_sec):
            yield batch
            batch = []
        batch.append(utterance)
    if batch:
        yield batch
