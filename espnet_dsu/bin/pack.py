"""Pack a trained model, its tokenizer bundle and a model card into one archive."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_dsu.bin.cli import run
from espnet_dsu.hub import pack_asr, pack_voc


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
    add("--ngram_file", help="n-gram model")
    add("--inference_config", help="decoding options that the model starts from")
    add("--inference_args", default="", help="further ones: '--beam_size 5'")
    voc = tasks.add_parser(
        "voc",
        help="unit vocoder",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    voc.add_argument("--outpath", required=True, help="zip to write")
    voc.add_argument(
        "--train_config", required=True, help="config.yaml of the training"
    )
    voc.add_argument("--model_file", required=True, help="checkpoint")
    for task in (asr, voc):
        add = task.add_argument
        add("--option", action="append", default=[], help="further file; repeatable")
        add("--license", default="cc-by-4.0", help="licence, as the hub names it")
        add("--lang", default="noinfo", help="ISO 639 codes of the languages: en,es")
        add("--corpus", default="", help="name of the training data")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = vars(get_parser().parse_args(cmd))
    if args.pop("task") == "voc":
        pack_voc(**args)
    else:
        pack_asr(**args)


if __name__ == "__main__":
    run(main)
