"""Lay a packed or published model out for a recipe, as training would have left it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_dsu.bin.cli import run
from espnet_dsu.hub import install_model


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description="Lay a packed or published model out for a recipe.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--model_tag", required=True, help="<user>/<name>[@revision], zip or folder")
    add("--asr_exp", required=True, help="where config.yaml, model.pth, lm/, ngram/ go")
    add("--tokenizer_dir", required=True, help="where the tokenizer bundle goes")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    install_model(**vars(get_parser().parse_args(cmd)))


if __name__ == "__main__":
    run(main)
