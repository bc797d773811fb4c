"""Unit directories from and to the unit files of other toolkits.

A file holds frame units (``ts``) or runs, repeats removed (``rm``): the words of
ESPnet's asr2. Runs without durations have lost the time, and nothing brings it back;
see :func:`import_units` for what can be done with such a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.units.files import UnitReader, write_units
from espnet_dsu.units.formats import FORMATS, Record
from espnet_dsu.units.sequence import collapse_units, expand_runs
from espnet_dsu.units.spec import UnitSpec
from espnet_dsu.units.unit_file import UnitFile, at

CASES = ("ts", "rm")


def import_units(
    source: UnitFile,
    directory: str | Path,
    spec: UnitSpec,
    case: str | None = None,
    one_frame_runs: bool = False,
) -> int:
    """Write a unit directory from a file of another toolkit.

    Args:
        source: the file.
        directory: made if missing; its unit files are replaced.
        spec: the unit space that the file's units are of.
        case: what units without durations are; ``ts`` or ``rm``.
        one_frame_runs: write runs without durations as if each lasted one frame. Good
            for models that collapse repeats (ASR), wrong for all that measures time
            (TTS, vocoder, bitrate), so the tag of the directory ends in ``_rm``.

    Returns:
        the number of utterances.

    Raises:
        DSUError: naming file and line of what does not fit the format, the ``spec`` or
            the ``case``.
    """
    if case is not None:
        _check_case(case)
    if one_frame_runs and case != "rm":
        raise DSUError("one_frame_runs is for units with repeats removed: case rm")
    if one_frame_runs:
        spec = replace(spec, tag=f"{spec.tag}_rm")

    def items() -> Iterator[tuple[str, np.ndarray]]:
        for place, record in source.read():
            with at(place):
                spec.check_units(record.units, str(record.name))
                units = _frames(record, case, one_frame_runs)
            yield str(record.name), units

    return write_units(directory, items(), spec)


def export_units(directory: str | Path, target: UnitFile, case: str = "ts") -> int:
    """Write a unit directory as a file of another toolkit.

    ``rm`` removes repeats; their durations go where the format has a place for them,
    or to ``target.durations``, and are lost otherwise. A format without names takes
    the order of ``target.manifest``.

    Returns:
        the number of utterances.

    Raises:
        DSUError: the format cannot hold the units, or the manifest does not name the
            utterances of the directory.
    """
    _check_case(case)
    reader = UnitReader(Path(directory) / "units.scp")
    if reader.spec.num_streams > 1 and not target.form.streams:
        able = ", ".join(name for name, form in FORMATS.items() if form.streams)
        raise DSUError(
            f"{directory} holds {reader.spec.num_streams} streams and {target.format} "
            f"holds one; several streams go into: {able}"
        )
    names = list(reader) if target.form.names else _manifest_names(reader, target)
    target.write(_record(name, reader[name], case) for name in names)
    return len(names)


def _frames(record: Record, case: str | None, one_frame_runs: bool) -> np.ndarray:
    """Return the frame units of a record, (T,) or (T, S)."""
    units, durations = record.units, record.durations
    if not len(units):
        raise DSUError(f"{record.name} has no units; leave it out")
    if durations is not None:
        if one_frame_runs or len(durations) != len(units) or durations.min() < 1:
            wanted = "none" if one_frame_runs else f"{len(units)} of at least one frame"
            raise DSUError(
                f"{record.name} has {len(durations)} durations, expected {wanted}"
            )
        return expand_runs(units, durations)
    if case is None:
        raise DSUError(
            "nothing says how long units last; say --case ts where there is one per "
            "frame, --case rm where repeats are removed"
        )
    if case == "rm" and not one_frame_runs:
        raise DSUError(
            "repeats are removed (--case rm) and durations missing, so nothing says "
            "when the units were; give --durations, or, to train a model that removes "
            "repeats anyway, --one_frame_runs true"
        )
    if case == "rm" and len(collapse_units(units)[0]) != len(units):
        raise DSUError(f"{record.name} has repeats, so they are not removed: --case ts")
    return units


def _manifest_names(reader: UnitReader, target: UnitFile) -> list[str]:
    names = target.names()
    strangers = [name for name in names if name not in reader]
    left_out = reader.keys() - set(names)
    for what, some in (
        (f"{target.manifest} names utterances without units", strangers),
        (f"{target.manifest} leaves utterances out", sorted(left_out)),
    ):
        if some:
            raise DSUError(
                f"{what}: {', '.join(some[:5])} ({len(some)} in all); its file names "
                f"must be the utterances of {reader.path.parent}"
            )
    if len(set(names)) != len(names):
        raise DSUError(f"{target.manifest} names an utterance twice")
    return names


def _record(name: str, units: np.ndarray, case: str) -> Record:
    if not len(units):
        raise DSUError(f"utterance {name} has no units to write; leave it out")
    if case == "ts":
        return Record(name, units, np.ones(len(units), np.int32))
    return Record(name, *collapse_units(units))


def _check_case(case: str) -> None:
    if case not in CASES:
        raise DSUError(f"case {case!r}: expected one of {', '.join(CASES)}")
