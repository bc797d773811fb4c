"""Cached units that a training reads must be those of its bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from espnet_dsu.errors import DSUError
from espnet_dsu.plugin import DATA_TYPE
from espnet_dsu.units.files import UnitReader, read_spec
from espnet_dsu.units.spec import UnitSpec


def check_units(spec: UnitSpec, data: Iterable[Sequence[str]]) -> None:
    """Make sure that cached units are read as units, and are of the space ``spec``.

    Args:
        spec: of the model's bundle.
        data: (path, name, type), as of ``--train_data_path_and_name_and_type``.

    Raises:
        DSUError: naming the file and what is wrong with it.
    """
    for path, name, data_type in data:
        if data_type == DATA_TYPE:
            # A folder holds the parts of a training set (--multiple_iterator).
            whole = not Path(path).is_dir()
            found = UnitReader(path).spec if whole else read_spec(path)
            spec.require_same(found, path)
        elif Path(path).name == "units.scp":
            # ESPnet's own types would read them as floats, which mean waveforms.
            raise DSUError(
                f"{path} holds units but would be read as {data_type!r}; write "
                f"{path},{name},{DATA_TYPE}"
            )
