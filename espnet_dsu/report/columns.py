"""Which recordings stand side by side: columns of clips, and utterances chosen."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from espnet_dsu.errors import DSUError
from espnet_dsu.scp import Table, read_scp


@dataclass(frozen=True)
class Column:
    """One version of the utterances.

    Attributes:
        name: as the page shows it.
        wavs: ``wav.scp``, utterance -> recording.
        speakers: who speaks, where ``utt2spk`` lies beside ``wav.scp``; else empty.
    """

    name: str
    wavs: Table
    speakers: Table


def read_columns(sources: Mapping[str, str | Path]) -> list[Column]:
    """Read name -> ``wav.scp`` as columns.

    Raises:
        DSUError: no column, a column without a name or recordings, or a bad table.
    """
    if not sources:
        raise DSUError("no --clips; expected at least one, --clips name=<wav.scp>")
    return [_read_column(name, Path(scp)) for name, scp in sources.items()]


def _read_column(name: str, scp: Path) -> Column:
    if not name.strip():
        raise DSUError(f"--clips ={scp} has no name, expected name=<wav.scp>")
    wavs = read_scp(scp)
    if not wavs:
        raise DSUError(f"{scp} lists no recording, expected `id path` lines")
    utt2spk = scp.with_name("utt2spk")
    return Column(name, wavs, read_scp(utt2spk) if utt2spk.exists() else {})


def choose_utterances(columns: Sequence[Column], number: int, seed: int) -> list[str]:
    """Draw ``number`` utterances of the first column, in its order.

    Those that every column has come before those that some column lacks.

    Raises:
        DSUError: ``number`` is not positive.
    """
    if number < 1:
        raise DSUError(f"--num_utts {number}, expected 1 or more")
    names = list(columns[0].wavs)
    drawn = random.Random(seed).sample(names, len(names))
    drawn.sort(key=lambda name: sum(name not in column.wavs for column in columns))
    wanted = set(drawn[:number])
    return [name for name in names if name in wanted]


def check_utterances(columns: Sequence[Column], names: Sequence[str]) -> list[str]:
    """Return ``names`` without repeats.

    Raises:
        DSUError: one of them is in no column.
    """
    for name in names:
        if not any(name in column.wavs for column in columns):
            raise DSUError(
                f"--utts {name}: no column of --clips has this utterance; give ids of "
                "the wav.scp files"
            )
    return list(dict.fromkeys(names))
