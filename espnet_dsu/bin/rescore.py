"""Choose among n-best hypotheses: score + lm_weight * LM + length_bonus * tokens.

The weights are given, or tuned on a validation set and then read with --weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet2.utils.types import str_or_none

from espnet_dsu.bin.cli import run
from espnet_dsu.metrics.nbest import read_nbest


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--nbest_dir", required=True, help="holds {1..n}best_recog of a decoding")
    add("--output_dir", required=True, help="gets text, token, token_int, score")
    add("--lm_train_config", help="config of the LM; else that beside --lm_file")
    add("--lm_file", required=True, help="checkpoint of the LM")
    add("--nbest", type=int, help="choose among so many; else among all there are")
    add("--tune_ref", help="text of the set: take the weights of the fewest errors")
    add("--cleaner", type=str_or_none, help="ESPnet text cleaner of --tune_ref")
    add("--weights", help="weights.json of another set's rescoring, instead of a grid")
    for name, default in (
        ("--lm_weights", [0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]),
        ("--length_bonuses", [0.0, 0.5, 1.0, 2.0]),
    ):
        add(name, nargs="+", type=float, default=default, help="to try, or the one")
    add("--batch_size", type=int, default=64, help="hypotheses of a batch")
    add("--ngpu", type=int, default=0, help="1 runs the LM on a GPU")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command line."""
    args = get_parser().parse_args(cmd)
    # Seconds of imports, which --help does not need.
    from espnet_dsu.inference.rescore import LanguageModelScorer, find_weights, write

    lists = read_nbest(args.nbest_dir, args.nbest)
    device = "cuda" if args.ngpu else "cpu"
    scorer = LanguageModelScorer(args.lm_train_config, args.lm_file, device)
    scores = scorer.score_lists(lists, args.batch_size)
    weights = find_weights(lists, scores, args)
    write(args.output_dir, lists, scores, weights)


if __name__ == "__main__":
    run(main)
