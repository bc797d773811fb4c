"""How a corpus is cut into shards, and a shard into batches."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from espnet_dsu.audio import AudioError, audio_info


@dataclass(frozen=True)
class Utterance:
    """One line of ``wav.scp`` with what the audio's header says (0 if unreadable)."""

    name: str
    source: str
    num_samples: int
    fs: int

    @property
    def duration_sec(self) -> float:
        """Length in seconds; 0 where the header could not be read."""
        return self.num_samples / self.fs if self.fs else 0.0


@dataclass(frozen=True)
class Shard:
    """Utterances that follow each other in ``wav.scp``."""

    index: int
    utterances: tuple[Utterance, ...]


def inspect(entries: Mapping[str, str]) -> Iterator[Utterance]:
    """Read the headers; what is wrong with a file is told when its audio is read."""
    for name, source in entries.items():
        try:
            num_samples, fs, _ = audio_info(source)
        except AudioError:
            num_samples, fs = 0, 0
        yield Utterance(name, source, num_samples, fs)


def cut_shards(utterances: Iterable[Utterance], shard_sec: float) -> list[Shard]:
    """Cut a corpus into shards of about ``shard_sec`` seconds.

    The cut depends on the corpus alone, not on the number of workers, so that a rerun
    with another number finds the shards of the first.
    """
    shards: list[Shard] = []
    part: list[Utterance] = []
    seconds = 0.0
    for utterance in utterances:
        part.append(utterance)
        seconds += utterance.duration_sec
        if seconds >= shard_sec:
            shards.append(Shard(len(shards), tuple(part)))
            part, seconds = [], 0.0
    if part:
        shards.append(Shard(len(shards), tuple(part)))
    return shards


def cut_batches(shard: Shard, batch_sec: float) -> Iterator[list[Utterance]]:
    """Cut a shard into batches of like length, at most ``batch_sec`` with padding.

    Utterances of one batch have one sampling rate. A longer utterance is a batch of
    its own.
    """
    batch: list[Utterance] = []
    for utterance in sorted(shard.utterances, key=lambda u: (u.fs, u.num_samples)):
        padded_sec = (len(batch) + 1) * utterance.duration_sec
        if batch and (utterance.fs != batch[0].fs or padded_sec > batch_sec):
            yield batch
            batch = []
        batch.append(utterance)
    if batch:
        yield batch


def plan_hash(fingerprint: str, shards: Iterable[Shard]) -> str:
    """Hash the work: the bundle, and each file with its size and time of change."""
    digest = hashlib.sha256(fingerprint.encode())
    for shard in shards:
        for utterance in shard.utterances:
            path = utterance.source
            stat = os.stat(path) if os.path.exists(path) else None
            seen = (stat.st_size, stat.st_mtime_ns) if stat else None
            digest.update(json.dumps([utterance.name, path, seen]).encode())
    return digest.hexdigest()[:16]
