"""The data of a set that is to be spoken, read utterance by utterance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.inference.request import Request
from espnet_dsu.plugin import DATA_TYPE
from espnet_dsu.scp import read_scp
from espnet_dsu.units import files
from espnet_dsu.units.files import UnitReader
from espnet_dsu.units.spec import UnitSpec

Finish = Callable[[str, np.ndarray, Request], Request]


class VectorReader:
    """Float vectors by utterance id, of a Kaldi scp; pipes are never run."""

    def __init__(self, scp: str | Path) -> None:
        self._entries = read_scp(scp)

    def __getitem__(self, name: str) -> np.ndarray:
        vector = files.read_entry(self._entries[name])
        return np.asarray(vector, np.float32).reshape(-1)


class NumpyReader:
    """Float vectors by utterance id, of an scp of ``.npy`` files; never of pickles."""

    def __init__(self, scp: str | Path) -> None:
        self._entries = read_scp(scp)

    def __getitem__(self, name: str) -> np.ndarray:
        vector = np.load(self._entries[name], allow_pickle=False)
        return np.asarray(vector, np.float32).reshape(-1)


class IdReader:
    """Ids by utterance, of ``utt2sid`` and the like."""

    def __init__(self, path: str | Path) -> None:
        self._entries = read_scp(path)

    def __getitem__(self, name: str) -> int:
        text = self._entries[name]
        if not text.isdigit():
            raise DSUError(f"{text!r} is no id, expected a whole number from 0 up")
        return int(text)


_VECTORS = {"kaldi_ark": VectorReader, "npy": NumpyReader}
# Name of the data -> the types that it may have, and what reads them.
_KINDS: dict[str, Mapping[str, Callable[[str], Any]]] = {
    "units": {DATA_TYPE: UnitReader},
    "sids": {"text_int": IdReader},
    "styles": {"text_int": IdReader},
    "spembs": _VECTORS,
    "f0": _VECTORS,
}


class VocoderInputs:
    """The requests of a set, by utterance id.

    Attributes:
        names: what kinds of data there are, such as ``units`` and ``sids``.
    """

    def __init__(
        self,
        data: Iterable[Sequence[str]],
        spec: UnitSpec,
        finish: Finish | None = None,
    ) -> None:
        """Open the files.

        Args:
            data: (path, name, type), as of ``--data_path_and_name_and_type``.
            spec: of the vocoder's units.
            finish: changes a request, given its utterance id and units.

        Raises:
            DSUError: an unknown name or type, no units, or those of another bundle.
        """
        self._readers: dict[str, Any] = {}
        self._paths: dict[str, str] = {}
        for path, name, kind in data:
            reader = _KINDS.get(name, {}).get(kind)
            if reader is None:
                known = ", ".join(
                    f"<path>,{n},{k}" for n, kinds in _KINDS.items() for k in kinds
                )
                raise DSUError(f"data {path},{name},{kind}: expected one of {known}")
            self._readers[name], self._paths[name] = reader(path), path
        if "units" not in self._readers:
            raise DSUError(
                f"there are no units to speak; give <dir>/units.scp,units,{DATA_TYPE}"
            )
        self.units_path = self._paths["units"]
        spec.require_same(self._readers["units"].spec, self.units_path)
        self._finish = finish

    @property
    def names(self) -> set[str]:
        """What kinds of data there are."""
        return set(self._readers)

    def __getitem__(self, utterance: str) -> Request:
        """Read what there is of an utterance.

        Raises:
            DSUError: something of it is missing or damaged.
        """
        found = {name: self._read(name, utterance) for name in self._readers}
        units = found.pop("units")
        request = Request(
            units, found.get("sids"), found.get("styles"), found.get("spembs"),
            found.get("f0"),
        )  # fmt: skip
        return (
            request if self._finish is None else self._finish(utterance, units, request)
        )

    def _read(self, name: str, utterance: str) -> Any:
        return read_entry(self._readers[name], self._paths[name], utterance)


def read_entry(reader: Any, path: str | Path, utterance: str) -> Any:
    """Read an entry of a file, and name the file where that fails.

    Raises:
        DSUError: there is no such entry, or it is damaged.
    """
    try:
        return reader[utterance]
    except KeyError:
        raise DSUError(f"{path} has no {utterance}") from None
    except (OSError, EOFError, ValueError) as error:
        raise DSUError(f"{path}: {error}") from error


def check_names(inputs: Mapping[str, bool], names: set[str]) -> None:
    """Compare the data that there is with what a vocoder takes.

    Args:
        inputs: name of the data -> whether the vocoder was trained with it.
        names: those that are given.

    Raises:
        DSUError: some is missing, or cannot be used.
    """
    for name, taken in inputs.items():
        if taken and name not in names:
            kind = next(iter(_KINDS[name]))
            hint = ", or --predict_f0 true" if name == "f0" else ""
            raise DSUError(
                f"the vocoder was trained with {name} and the data has none; give "
                f"<path>,{name},{kind}{hint}"
            )
        if name in names and not taken:
            raise DSUError(
                f"the data has {name}, but the vocoder was trained without; leave them "
                "out"
            )
