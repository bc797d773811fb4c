"""RESULTS.md of one experiment, and one table of several, from ``metrics.json``."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from espnet_dsu.metrics.store import KINDS, other_metrics, rate_keys, read_metrics
from espnet_dsu.units.files import atomic_path
from espnet_dsu.version import __version__

_COLUMNS = ("dataset", "Snt", "Wrd", "Corr", "Sub", "Del", "Ins", "Err", "S.Err")


def write_results_md(exp_dir: str | Path) -> Path:
    """Write ``<exp_dir>/RESULTS.md`` from ``<exp_dir>/metrics.json``; return its path.

    The tables are ESPnet's, with the 95 % interval of ``Err`` as a last column.

    Raises:
        DSUError: ``metrics.json`` is missing or damaged.
    """
    exp_dir = Path(exp_dir)
    metrics = read_metrics(exp_dir / "metrics.json")
    parts = ["# RESULTS", environment(exp_dir), f"## {exp_dir}"]
    for kind in KINDS:
        scored = [item for item in metrics.items() if kind in item[1]]
        if scored:
            rows = [_rate_row(kind, key, entry) for key, entry in scored]
            table = _table([*_COLUMNS, "Err 95 %"], rows)
            parts.append(f"### {kind.upper()}\n\n{table}")
    names = _other_names(metrics.values())
    if names:
        rows = [
            [_dataset(key, entry), *_other_cells(entry, names)]
            for key, entry in metrics.items()
            if other_metrics(entry)
        ]
        parts.append(f"### Other\n\n{_table(['dataset', *names], rows)}")
    with atomic_path(exp_dir / "RESULTS.md") as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return exp_dir / "RESULTS.md"


def compare_experiments(exp_dirs: Sequence[str | Path]) -> str:
    """Return one Markdown table of several experiments, grouped by set.

    Raises:
        DSUError: An experiment has no ``metrics.json``.
    """
    scores = [
        (key, str(exp_dir), entry)
        for exp_dir in exp_dirs
        for key, entry in read_metrics(Path(exp_dir) / "metrics.json").items()
    ]
    # The sort is stable: within a set, experiments stay in the order given.
    scores.sort(key=lambda score: score[0])
    kinds = [kind for kind in KINDS if any(kind in entry for *_, entry in scores)]
    names = _other_names(entry for *_, entry in scores)
    rows = [
        [key, exp, *(interval_text(kind, e) for kind in kinds), *_other_cells(e, names)]
        for key, exp, e in scores
    ]
    heads = [f"{kind.upper()} % [95 %]" for kind in kinds]
    return _table(["dataset", "experiment", *heads, *names], rows)


def interval_text(kind: str, entry: Mapping[str, Any]) -> str:
    """Return a rate and its interval, ``1.20 [0.90, 1.50]``, or ``-`` without one."""
    if kind not in entry:
        return "-"
    low, high = entry[f"{kind}_ci"]
    return f"{entry[kind]:.2f} [{low:.2f}, {high:.2f}]"


def environment(directory: Path) -> str:
    """Return ESPnet's block of versions, with the git hash of ``directory``, if any."""
    lines = [
        f"- date: `{time.strftime('%a %b %d %H:%M:%S %Z %Y')}`",
        f"- python version: `{' '.join(sys.version.split())}`",
        f"- espnet version: `espnet {_version('espnet')}`",
        f"- espnet_dsu version: `espnet_dsu {__version__}`",
        f"- pytorch version: `pytorch {_version('torch')}`",
    ]
    commit = _git(directory, "rev-parse", "HEAD")
    if commit:
        lines.append(f"- Git hash: `{commit}`")
        lines.append(
            f"  - Commit date: `{_git(directory, 'log', '-1', '--format=%cd')}`"
        )
    return "\n".join(["## Environments", *lines])


def _rate_row(kind: str, key: str, entry: Mapping[str, Any]) -> list[str]:
    figures = {figure: entry[name] for figure, name in rate_keys(kind).items()}
    total = figures["total"]
    correct = total - figures["sub"] - figures["del"]
    counts = (correct, figures["sub"], figures["del"], figures["ins"])
    shares = [100 * count / total for count in counts]
    cells = [f"{x:.1f}" for x in (*shares, figures["rate"], figures["ser"])]
    low, high = figures["ci"]
    sizes = [str(entry["num_utts"]), str(total)]
    return [_dataset(key, entry), *sizes, *cells, f"[{low:.2f}, {high:.2f}]"]


def _dataset(key: str, entry: Mapping[str, Any]) -> str:
    """Return ESPnet's ``<decode>/<set>``."""
    decode = f"{entry['decode']}/" if "decode" in entry else ""
    return key if key.startswith(decode) else decode + key


def _other_names(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(
        dict.fromkeys(name for entry in entries for name in other_metrics(entry))
    )


def _other_cells(entry: Mapping[str, Any], names: list[str]) -> list[str]:
    return [f"{entry[name]:.6g}" if name in entry else "-" for name in names]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("|" + "|".join(line) + "|" for line in lines)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _git(directory: Path, *arguments: str) -> str:
    """Return what git says of ``directory``; nothing without git or a repository."""
    try:
        command = ["git", "-C", str(directory), *arguments]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ""
