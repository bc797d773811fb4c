"""The record of a fit on disk, in the places of an ESPnet experiment folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from espnet_dsu.quantizer.fit_report import FitPass, FitReport
from espnet_dsu.units.files import atomic_path

# What is drawn of each pass: attribute, caption.
_CURVES = {
    "inertia": "inertia per frame",
    "empty_units": "empty units",
    "perplexity": "perplexity of unit usage",
}
_COLOURS = {"sample": "tab:gray", "mini-batch": "tab:orange", "lloyd": "tab:blue"}


def write_fit_record(reports: Sequence[FitReport], directory: Path) -> None:
    """Write ``fit_report.json``, ``images/fit.png`` and ``tensorboard/``.

    Each replaces what an earlier fit has left; none is ever there in part. Several
    streams have folders of their own, ``stream0`` and so on.
    """
    for number, report in enumerate(reports):
        own = f"stream{number}" if len(reports) > 1 else ""
        _write_report(report, Path(directory) / own)


def _write_report(report: FitReport, directory: Path) -> None:
    with atomic_path(directory / "fit_report.json") as path:
        path.write_text(json.dumps(report.to_dict(), indent=1) + "\n", "utf-8")
    with atomic_path(directory / "images" / "fit.png") as path:
        _draw(report.passes, path)
    with _atomic_folder(directory / "tensorboard") as folder:
        _write_events(report.passes, folder)


def _draw(passes: tuple[FitPass, ...], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(_CURVES), sharex=True)
    numbers = range(1, len(passes) + 1)
    for axis, (name, caption) in zip(axes, _CURVES.items()):
        axis.plot(numbers, [getattr(p, name) for p in passes], color="lightgray")
        for phase, colour in _COLOURS.items():
            points = [(n, p) for n, p in zip(numbers, passes) if p.phase == phase]
            values = [getattr(p, name) for _, p in points]
            axis.plot([n for n, _ in points], values, "o", color=colour, label=phase)
        axis.set_ylabel(caption)
        axis.grid(alpha=0.3)
    axes[0].legend()
    axes[-1].set_xlabel("pass")
    figure.savefig(path, format="png", dpi=120)


def _write_events(passes: tuple[FitPass, ...], folder: Path) -> None:
    # Slow to import, and needed by nothing else.
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for number, done in enumerate(passes, 1):
            for name in _CURVES:
                writer.add_scalar(f"kmeans/{name}", getattr(done, name), number)


@contextmanager
def _atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that takes its place in the end."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
