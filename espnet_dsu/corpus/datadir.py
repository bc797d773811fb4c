"""Kaldi-style data directories: tables of ``id value`` lines, checked and mended.

A directory holds ``wav.scp``, and as the task needs ``text``, ``utt2spk``, ``spk2utt``,
``segments`` (``utterance recording start_sec end_sec``) and ``utt2num_samples``. Tables
are sorted by id in C order, which for UTF-8 is the order of Python's strings.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from espnet_dsu.errors import DSUError
from espnet_dsu.scp import Table, read_lines, read_scp, write_scp, write_tsv

# Written in this order: wav.scp comes last, so that where it is, the rest is too.
TABLES = ("text", "segments", "utt2num_samples", "utt2spk", "wav.scp")

# Kind of problem -> the ids it concerns, in the order found.
Problems = dict[str, list[str]]


def spk2utt(utt2spk: Mapping[str, str]) -> Table:
    """Turn ``utt2spk`` around: speaker -> utterance ids, all sorted."""
    speakers: dict[str, list[str]] = {}
    for utterance in sorted(utt2spk):
        speakers.setdefault(utt2spk[utterance], []).append(utterance)
    return {speaker: " ".join(speakers[speaker]) for speaker in sorted(speakers)}


def read_tables(directory: str | Path) -> dict[str, Table]:
    """Read every known table that ``directory`` has.

    ``utt2spk`` is always there: where the file is missing, every utterance is its own
    speaker, as in Kaldi.

    Raises:
        DSUError: there is no ``wav.scp``, or a table cannot be read.
    """
    directory = Path(directory)
    names = [n for n in TABLES if n == "wav.scp" or (directory / n).exists()]
    tables = {n: read_scp(directory / n, allow_empty=n == "text") for n in names}
    audio = tables.get("segments", tables["wav.scp"])
    tables.setdefault("utt2spk", {utterance: utterance for utterance in audio})
    return tables


def write_tables(
    directory: str | Path, tables: Mapping[str, Mapping[str, str]]
) -> None:
    """Write ``tables`` sorted, each atomically, with ``spk2utt``; ``wav.scp`` last."""
    directory = Path(directory)
    for name in (n for n in TABLES if n in tables):
        if name == "utt2spk":
            write_scp(directory / "spk2utt", spk2utt(tables[name]))
        write_scp(directory / name, dict(sorted(tables[name].items())))


def begin_output(output_dir: str | Path, data_dir: str | Path | None = None) -> None:
    """Mark ``output_dir`` as unfinished: it has no ``wav.scp`` until all is written.

    Raises:
        DSUError: it is ``data_dir``, which is read.
    """
    if data_dir and Path(data_dir).resolve() == Path(output_dir).resolve():
        raise DSUError(f"{output_dir}: input and output are the same directory")
    (Path(output_dir) / "wav.scp").unlink(missing_ok=True)


def mismatches(tables: Mapping[str, Table]) -> Problems:
    """Name the utterances that some table lacks, by kind of problem."""
    segments = tables.get("segments")
    audio = tables["wav.scp"] if segments is None else segments
    found: Problems = {}
    if segments is not None:
        recordings = {utt: value.split()[0] for utt, value in segments.items()}
        found["segment of an unknown recording"] = [
            utt for utt, name in recordings.items() if name not in tables["wav.scp"]
        ]
    for name in ("text", "utt2spk", "utt2num_samples"):
        if name in tables:
            found[f"audio without {name}"] = [u for u in audio if u not in tables[name]]
            found[f"{name} without audio"] = [u for u in tables[name] if u not in audio]
    return {kind: ids for kind, ids in found.items() if ids}


def restrict(tables: Mapping[str, Table], keep: Iterable[str]) -> dict[str, Table]:
    """Return ``tables`` with the utterances ``keep`` only."""
    wanted = set(keep)
    recordings = wanted
    if "segments" in tables:
        segments = tables["segments"]
        recordings = {segments[utt].split()[0] for utt in wanted if utt in segments}
    return {
        name: {
            key: value
            for key, value in table.items()
            if key in (recordings if name == "wav.scp" else wanted)
        }
        for name, table in tables.items()
    }


def _scan(directory: Path) -> tuple[dict[str, Table], Problems]:
    """Read what can be read of a directory; return it with every problem found."""
    tables: dict[str, Table] = {}
    found: Problems = {}
    for name in TABLES:
        if not (directory / name).exists():
            continue
        table = tables.setdefault(name, {})
        order = []
        for number, key, value in read_lines(directory / name):
            if not key or (not value and name != "text"):
                where = f"{key or 'empty line'} (line {number})"
                found.setdefault(f"no value in {name}", []).append(where)
            elif key in table:
                found.setdefault(f"duplicate id in {name}", []).append(key)
            else:
                table[key] = value
                order.append(key)
        late = [b for a, b in zip(order, order[1:]) if b < a]
        if late:
            found[f"unsorted {name} (C order)"] = late
    if "wav.scp" in tables:
        found.update(mismatches(tables))
    return tables, found


def validate(
    directory: str | Path, require: Iterable[str] = ("wav.scp", "text")
) -> None:
    """Check a data directory.

    Raises:
        DSUError: one message that lists each kind of problem with its count and the
            first ids: missing files, duplicates, lines without a value, unsorted
            tables, and utterances that one table has and another lacks.
    """
    directory = Path(directory)
    _, found = _scan(directory)
    missing = [n for n in (*require, "utt2spk") if not (directory / n).exists()]
    if missing:
        found = {"missing file": missing, **found}
    if not found:
        return
    lines = [
        f"  {kind}: {len(ids)} ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})"
        for kind, ids in found.items()
    ]
    raise DSUError(
        f"{directory}: not a valid data directory\n" + "\n".join(lines) + "\n"
        "Correct the files, or call espnet_dsu.corpus.datadir.fix to keep the "
        "utterances that every table has."
    )


def fix(directory: str | Path) -> int:
    """Keep, sorted, the utterances that every table has; return how many they are.

    Of duplicates the first stays; a missing ``utt2spk`` makes every utterance its own
    speaker. What was dropped is counted in the log and named in ``dropped.tsv``
    (id, reason).

    Raises:
        DSUError: no ``wav.scp``, undecodable text, or nothing would be left.
    """
    directory = Path(directory)
    tables, found = _scan(directory)
    if "wav.scp" not in tables:
        raise DSUError(f"{directory}/wav.scp: not found; nothing can be mended")
    audio = tables.get("segments", tables["wav.scp"])
    tables.setdefault("utt2spk", {utterance: utterance for utterance in audio})
    dropped = [
        (key, kind)
        for kind, keys in found.items()
        if not kind.startswith("unsorted")
        for key in keys
    ]
    keep = set(audio).difference(*(ids for ids in mismatches(tables).values()))
    if not keep:
        raise DSUError(f"{directory}: no utterance has an entry in {', '.join(tables)}")
    write_tables(directory, restrict(tables, keep))
    if dropped:
        write_tsv(directory / "dropped.tsv", dropped)
        logging.warning(
            f"{directory}: kept {len(keep)} utterances, dropped {len(dropped)} entries "
            f"(see {directory}/dropped.tsv)"
        )
    return len(keep)
