"""Pack a trained model and its tokenizer bundle into one archive."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_dsu.bin.cli import run
from espnet_dsu.hub import pack_asr


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(description="Pack a model into a zip archive.")
    tasks = parser.add_subparsers(dest="task", required=True, help="kind of model")
    asr = tasks.add_parser(
        "asr",
        help="speech recognition",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = asr.add_argument
    add("--outpath", required=True, help="zip to write")
    add("--asr_train_config", required=True, help="config.yaml of the training")
    add("--asr_model_file", required=True, help="checkpoint")
    add("--lm_train_config", help="config.yaml of the language model's training")
    add("--lm_file", help="checkpoint of the language model")
    add("--option", action="append", default=[], help="further file; may be repeated")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = vars(get_parser().parse_args(cmd))
    args.pop("task")
    pack_asr(**args)


if __name__ == "__main__":
    run(main)
