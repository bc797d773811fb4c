"""Make report.html of an experiment: clips to listen to, scores, training curves."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_dsu.bin.cli import key_values, run
from espnet_dsu.errors import DSUError
from espnet_dsu.report import ReportOptions, make_report


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--exp_dir", required=True, help="experiment; gets report.html and report/")
    add(
        "--clips",
        action="append",
        required=True,
        metavar="NAME=WAV_SCP",
        help="a column of recordings; give again for the next. Others are measured "
        "against the first; utt2spk beside a wav.scp names the voices",
    )
    add("--title", default="", help="of the page; else the experiment's name")
    add("--text", help="transcripts (utt-id words)")
    add("--units_scp", help="frame units of the utterances, to draw")
    add("--num_utts", type=int, default=6, help="utterances to draw by lot")
    add("--utts", nargs="+", default=[], help="ids of the utterances, instead of a lot")
    add("--seed", type=int, default=0, help="of the lot")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command line."""
    args = vars(get_parser().parse_args(cmd))
    pairs = args.pop("clips")
    clips = key_values(pairs)
    if len(clips) < len(pairs):
        names = [pair.split("=", 1)[0] for pair in pairs]
        raise DSUError(f"--clips: a name comes twice in {names}; name each column once")
    make_report(ReportOptions(clips=clips, **args))


if __name__ == "__main__":
    run(main)
