"""Units as values: sequences, their spec, their text form and their files.

Pure numpy; imports neither torch nor ESPnet.
"""

from espnet_dsu.units.files import UnitReader, atomic_path, read_spec, write_units
from espnet_dsu.units.sequence import UnitSequence, collapse_units, expand_runs
from espnet_dsu.units.spec import UnitSpec
from espnet_dsu.units.text import text_to_units, units_to_text

__all__ = [
    "UnitReader",
    "UnitSequence",
    "UnitSpec",
    "atomic_path",
    "collapse_units",
    "expand_runs",
    "read_spec",
    "text_to_units",
    "units_to_text",
    "write_units",
]
