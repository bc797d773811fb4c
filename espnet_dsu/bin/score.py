"""Score a decoded set: error rates to metrics.json beside RESULTS.md with tables."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from espnet2.utils.types import str2bool, str_or_none

from espnet_dsu.bin.cli import run
from espnet_dsu.metrics.scoring import ScoreOptions, score_set

_REQUIRED = {
    "ref": "reference text (utt-id words)",
    "hyp": "hypothesis text (utt-id words)",
    "output_dir": "gets score_wer/, score_cer/, score_ter/",
    "set_name": "name of the set in metrics.json",
    "metrics_json": "exp/<name>/metrics.json; the set is merged into it",
}
_OPTIONAL = {
    "decode_name": "name of the decoding; else of the folder above --output_dir",
    "bpemodel": "sentencepiece model of the text, for the TER",
    "nbest_dir": "{1..n}best_recog of the decoding, for the oracle WER",
    "utt2spk": "speakers, for sclite's rows by speaker",
    "nlsyms_txt": "symbols that do not count, one a line",
    "cleaner": "ESPnet text cleaner of the references",
    "hyp_cleaner": "ESPnet text cleaner of the hypotheses",
    "units": "unit directory of the set, for the bitrates",
    "unit_pieces": "bpe.model of the units, for the bitrate of the pieces",
}


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    for name, text in {**_REQUIRED, **_OPTIONAL}.items():
        add(f"--{name}", required=name in _REQUIRED, type=str_or_none, help=text)
    add("--collapse", type=str2bool, default=True, help="the model reads unit runs")
    add("--extra", nargs="*", default=[], help="further metrics, like bitrate=410.0")
    add("--use_sclite", type=str2bool, default=True, help="report by sclite, if found")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command line."""
    args = vars(get_parser().parse_args(cmd))
    for side, option in (("ref", "cleaner"), ("hyp", "hyp_cleaner")):
        if name := args.pop(option):
            # Two seconds of imports, for those who want it only.
            from espnet2.text.cleaner import TextCleaner

            args[f"clean_{side}"] = TextCleaner(name)
    logging.info(score_set(ScoreOptions(**args)))


if __name__ == "__main__":
    run(main)
