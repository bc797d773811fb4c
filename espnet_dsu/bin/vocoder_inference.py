"""Speak the units of a set with a trained vocoder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet2.utils import config_argparse
from espnet2.utils.types import str2bool, str2triple_str, str_or_none

from espnet_dsu.bin.cli import run, whole_numbers


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = config_argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--output_dir", required=True, help="gets wav.scp, wav/, durations, speed, ...")
    add("--train_config", help="config.yaml of the training")
    add("--model_file", help="checkpoint")
    add("--model_tag", help="packed vocoder (zip, folder, hub id) instead of the two")
    add(
        "--data_path_and_name_and_type",
        type=str2triple_str,
        required=True,
        action="append",
        help="<dir>/units.scp,units,dsu_unit; as the vocoder needs them also "
        "<dir>/utt2sid,sids,text_int, styles,text_int, spembs,kaldi_ark, f0,kaldi_ark",
    )
    add("--key_file", type=str_or_none, help="utterances to speak; None is all")
    add("--predict_durations", type=str2bool, default=False, help="of the unit runs")
    add("--predict_f0", type=str2bool, default=False, help="rather than read f0")
    add("--streams", type=whole_numbers, help="unit streams to read: 0,2; None is all")
    add("--length_scale", type=float, default=1.0, help="above 1 is slower speech")
    add(
        "--utt2ref", type=str_or_none, help="utterances and those whose prosody to take"
    )
    add("--ref_units_scp", type=str_or_none, help="units of the references")
    add("--ref_f0_scp", type=str_or_none, help="F0 of the references")
    add("--batch_sec", type=float, default=60.0, help="seconds at a time, with padding")
    add("--ngpu", type=int, default=0, help="1 runs on a GPU, 0 on the CPU")
    add("--num_workers", type=int, default=1, help="processes that read the data")
    add("--seed", type=int, default=0, help="of random numbers")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    # Seconds of imports, which --help does not need.
    from espnet_dsu.inference.synthesize import synthesize

    synthesize(args)


if __name__ == "__main__":
    run(main)
