"""Show the scores of several experiments in one table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_dsu.bin.cli import run
from espnet_dsu.metrics.report import compare_experiments
from espnet_dsu.units.files import atomic_path


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description="Print one Markdown table of error rates, intervals and bitrates.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("exp_dirs", nargs="+", help="directories with a metrics.json")
    parser.add_argument("--output", help="file to write the table to, too")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command line."""
    args = get_parser().parse_args(cmd)
    table = compare_experiments(args.exp_dirs)
    print(table)
    if args.output:
        with atomic_path(Path(args.output)) as temporary:
            temporary.write_text(f"# RESULTS\n\n{table}\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
