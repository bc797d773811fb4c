"""``metrics.json`` as a table: figures down, decodings across."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from espnet_dsu.metrics.store import KINDS, other_metrics, read_metrics


class Figure(NamedTuple):
    """How the page writes a figure: its name, unit, decimals and meaning."""

    title: str
    unit: str
    digits: int
    note: str


# What the name of a speaker model follows.
_SIMILARITY = "spk_sim_"

FIGURES = {
    "wer": Figure("Word errors", "%", 2, "WER with its 95 % interval; less is better"),
    "cer": Figure("Character errors", "%", 2, "CER with its 95 % interval"),
    "ter": Figure("Token errors", "%", 2, "TER with its 95 % interval"),
    "mcd_dtw": Figure("MCD, aligned", "dB", 2, "mel-cepstral distortion after DTW"),
    "mcd": Figure("MCD", "dB", 2, "mel-cepstral distortion, frame by frame"),
    "mel_distance": Figure("Mel distance", "", 3, "of log-mel spectra"),
    "log_f0_rmse": Figure("log F0 error", "", 3, "RMSE where both are voiced"),
    "f0_rmse_cents": Figure("F0 error", "cents", 0, "RMSE where both are voiced"),
    "voicing_error": Figure("Voicing errors", "%", 2, "frames voiced in one only"),
    _SIMILARITY: Figure("Speaker similarity", "", 3, "cosine, by "),
    "closer_to_target": Figure("Closer to target", "%", 1, "voice; more is better"),
    "duration_error": Figure("Duration error", "frames", 2, "mean per unit run"),
    "length_ratio": Figure("Length", "×", 3, "spoken over original"),
    "clipping": Figure("Clipped", "%", 3, "samples at full scale"),
    "silence": Figure("Silence", "%", 1, "frames without sound"),
    "rtf": Figure("Real-time factor", "", 4, "computing time over audio time"),
    "bitrate": Figure("Bitrate", "bit/s", 1, "of the units"),
}


@dataclass(frozen=True)
class Row:
    """One figure of every decoding; ``cells`` hold (value, interval), or blanks."""

    figure: Figure
    cells: list[tuple[str, str]]


@dataclass(frozen=True)
class Scores:
    """A table; ``heads`` hold (decoding, set, number of utterances)."""

    heads: list[tuple[str, str, str]]
    rows: list[Row]


def read_scores(path: Path) -> Scores | None:
    """Read ``metrics.json``; None where nothing is scored yet.

    Raises:
        DSUError: the file is damaged.
    """
    if not path.exists():
        return None
    metrics = read_metrics(path)
    found = dict.fromkeys(name for entry in metrics.values() for name in _names(entry))
    # In the order of FIGURES; what is not there stays last, in the order found.
    order = {name: place for place, name in enumerate(FIGURES)}
    names = sorted(found, key=lambda name: order.get(_family(name), len(order)))
    rows = [
        Row(_figure(name), [_cell(name, entry) for entry in metrics.values()])
        for name in names
    ]
    return Scores([_head(key, entry) for key, entry in metrics.items()], rows)


def _names(entry: Mapping[str, Any]) -> list[str]:
    return [kind for kind in KINDS if kind in entry] + list(other_metrics(entry))


def _family(name: str) -> str:
    return _SIMILARITY if name.startswith(_SIMILARITY) else name


def _figure(name: str) -> Figure:
    figure = FIGURES.get(_family(name), Figure(name, "", 3, ""))
    if figure is FIGURES[_SIMILARITY]:
        return figure._replace(note=figure.note + name.removeprefix(_SIMILARITY))
    return figure


def _cell(name: str, entry: Mapping[str, Any]) -> tuple[str, str]:
    value = entry.get(name)
    if value is None:
        return "–", ""
    if not isinstance(value, (int, float)):
        return str(value), ""
    digits = _figure(name).digits
    interval = ""
    if f"{name}_ci" in entry:
        low, high = entry[f"{name}_ci"]
        interval = f"{low:.{digits}f} – {high:.{digits}f}"
    return f"{value:.{digits}f}".replace("-", "−"), interval


def _head(key: str, entry: Mapping[str, Any]) -> tuple[str, str, str]:
    decode = str(entry.get("decode", ""))
    name = key.removeprefix(f"{decode}/")
    return decode or name, name, str(entry.get("num_utts", ""))
