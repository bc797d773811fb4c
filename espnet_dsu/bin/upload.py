"""Upload a packed model to the Hugging Face hub."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_dsu.bin.cli import run
from espnet_dsu.hub import upload


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description="Upload a packed model to the Hugging Face hub. Log in before with "
        "'hf auth login'.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--pack", required=True, help="zip made by the pack command")
    parser.add_argument("--hf_repo", required=True, help="<user>/<name> on the hub")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    print(upload(args.pack, args.hf_repo))


if __name__ == "__main__":
    run(main)
