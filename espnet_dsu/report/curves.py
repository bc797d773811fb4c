"""Training curves, from the lines that ESPnet's trainer writes after each epoch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# name -> train or valid -> epoch -> value
Series = dict[str, dict[str, dict[int, float]]]

WIDTH, HEIGHT = 300.0, 110.0
_RESULT = re.compile(r"INFO: (\d+)epoch results: (.*)")
_VALUE = re.compile(r"(\w+)=(-?\d[\d.]*(?:e[-+]?\d+)?)(?=,|$)")
# What says how fast and by what means it learned, not how well.
_TECHNICAL = re.compile(
    r"\w*time|total_count|\w*clip|loss_scale|\w*grad_norm|optim\d+_lr\d+|gpu_\w+"
)


@dataclass(frozen=True)
class Line:
    """A curve: SVG points, where it ends, and its first and last value."""

    split: str
    points: str
    end: tuple[float, float]
    first: float
    last: float


@dataclass(frozen=True)
class Chart:
    """The curves of one figure over epochs, in a box of ``WIDTH`` x ``HEIGHT``."""

    name: str
    lines: list[Line]
    low: float
    high: float
    epochs: tuple[int, int]


def read_charts(log: Path) -> list[Chart]:
    """Read the charts of ``train.log``, losses first; none where there is no log."""
    if not log.is_file():
        return []
    series = parse_log(log.read_text(encoding="utf-8", errors="replace"))
    names = sorted(series, key=lambda name: (_rank(name), name))
    return [_chart(name, series[name]) for name in names]


def parse_log(text: str) -> Series:
    """Return every finite figure that is not technical; of repeated epochs the last."""
    series: Series = {}
    for epoch, results in _RESULT.findall(text):
        # "[train] a=1, b=2, [valid] a=3" -> "", train, "a=1, b=2, ", valid, "a=3"
        parts = re.split(r"\[(\w+)\] ", results)
        for split, values in zip(parts[1::2], parts[2::2]):
            for name, value in _VALUE.findall(values.rstrip(" ,")):
                if not _TECHNICAL.fullmatch(name) and math.isfinite(float(value)):
                    curves = series.setdefault(name, {})
                    curves.setdefault(split, {})[int(epoch)] = float(value)
    return series


def _rank(name: str) -> int:
    """Sort what is validated by, the mel loss and the totals, to the front."""
    return 0 if "mel" in name else 1 if name.count("_") < 2 else 2


def _chart(name: str, curves: Mapping[str, Mapping[int, float]]) -> Chart:
    values = [value for curve in curves.values() for value in curve.values()]
    epochs = [epoch for curve in curves.values() for epoch in curve]
    low, high = min(values), max(values)
    box = (min(epochs), max(epochs)), (low, high)
    lines = [_line(split, curve, *box) for split, curve in curves.items()]
    return Chart(name, lines, low, high, box[0])


def _line(
    split: str,
    curve: Mapping[int, float],
    epochs: tuple[int, int],
    values: tuple[float, float],
) -> Line:
    points = [
        (_place(epoch, *epochs) * WIDTH, (1 - _place(value, *values)) * HEIGHT)
        for epoch, value in sorted(curve.items())
    ]
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    end = (round(points[-1][0], 1), round(points[-1][1], 1))
    return Line(split, text, end, curve[min(curve)], curve[max(curve)])


def _place(value: float, low: float, high: float) -> float:
    """Return where ``value`` lies from ``low`` (0) to ``high`` (1)."""
    return (value - low) / (high - low) if high > low else 0.5
