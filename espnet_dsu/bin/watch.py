"""Show the progress of jobs that write one line for each item they have done."""

from __future__ import annotations

import argparse
import glob
import time
from collections.abc import Iterator, Sequence

from espnet_dsu.bin.cli import run
from espnet_dsu.progress import track
from espnet_dsu.units.files import count_lines

_POLL_SEC = 1.0


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description="Count the lines of files that are being written, until all are "
        "there: a bar on a terminal, lines elsewhere.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--what", required=True, help="what is going on")
    parser.add_argument("--total", type=int, required=True, help="lines to come")
    parser.add_argument("--files", required=True, help="the files, as a glob pattern")
    return parser


def new_lines(pattern: str, total: int) -> Iterator[int]:
    """Yield once for each line, as soon as it is seen."""
    seen = 0
    while seen < total:
        found = sum(count_lines(path) for path in glob.glob(pattern))
        for seen in range(seen + 1, min(found, total) + 1):
            yield seen
        if seen < total:
            time.sleep(_POLL_SEC)


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    for _ in track(new_lines(args.files, args.total), args.total, args.what):
        pass


if __name__ == "__main__":
    run(main)
