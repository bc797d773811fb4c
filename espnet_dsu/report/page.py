"""The page: gather what an experiment left, and render it into one HTML file."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet_dsu.errors import DSUError
from espnet_dsu.progress import track
from espnet_dsu.report.assets import Assets
from espnet_dsu.report.columns import check_utterances, choose_utterances, read_columns
from espnet_dsu.report.curves import HEIGHT, WIDTH, read_charts
from espnet_dsu.report.rows import Row, make_row
from espnet_dsu.report.scores import read_scores
from espnet_dsu.scp import read_scp
from espnet_dsu.units.files import UnitReader, atomic_path
from espnet_dsu.version import __version__


@dataclass(frozen=True)
class ReportOptions:
    """What goes into a report.

    Attributes:
        exp_dir: gets ``report.html`` and ``report/``; its ``metrics.json`` and
            ``train.log`` are shown where they exist.
        clips: name of a column -> ``wav.scp``; the first is what others are measured
            against. ``utt2spk`` beside a ``wav.scp`` names the voices.
        title: of the page.
        text: ``utterance transcript`` lines.
        units_scp: frame units of the utterances, to draw.
        num_utts: how many utterances to draw by lot.
        utts: or which ones to show.
        seed: of the lot.
    """

    exp_dir: str
    clips: Mapping[str, str]
    title: str = ""
    text: str | None = None
    units_scp: str | None = None
    num_utts: int = 6
    utts: Sequence[str] = ()
    seed: int = 0


def make_report(options: ReportOptions) -> Path:
    """Write ``<exp_dir>/report.html`` and the files it shows; return its path.

    A page of an earlier call stays whole until the new one takes its place.

    Raises:
        DSUError: no such experiment, a bad table or option, or an unknown utterance.
    """
    exp_dir = Path(options.exp_dir)
    if not exp_dir.is_dir():
        raise DSUError(f"--exp_dir {exp_dir}: not found; expected a trained experiment")
    assets = Assets(exp_dir / "report")
    units = UnitReader(options.units_scp) if options.units_scp else None
    rows = _rows(options, units, assets)
    page = render(
        title=options.title or exp_dir.resolve().name,
        exp_dir=str(exp_dir),
        date=time.strftime("%Y-%m-%d"),
        version=__version__,
        spec=units.spec if units else None,
        rows=rows,
        scores=read_scores(exp_dir / "metrics.json"),
        charts=read_charts(exp_dir / "train.log"),
        box=(WIDTH, HEIGHT),
    )
    path = exp_dir / "report.html"
    with atomic_path(path) as temporary:
        # A path or title that is not UTF-8 must not stop the page.
        temporary.write_text(page, encoding="utf-8", errors="replace")
    assets.sweep()
    logging.info(f"{path}: {len(rows)} utterances, {len(options.clips)} columns")
    return path


def render(**values: Any) -> str:
    """Fill the template; every value is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("espnet_dsu.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(values)


def _rows(
    options: ReportOptions, units: UnitReader | None, assets: Assets
) -> list[Row]:
    columns = read_columns(options.clips)
    text = read_scp(options.text, allow_empty=True) if options.text else {}
    if options.utts:
        names = check_utterances(columns, options.utts)
    else:
        names = choose_utterances(columns, options.num_utts, options.seed)
    return [
        make_row(name, text.get(name, ""), columns, units, assets)
        for name in track(names, len(names), "report")
    ]
