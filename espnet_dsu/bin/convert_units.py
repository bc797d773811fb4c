"""Convert units between a unit directory and the files of other toolkits."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import Any

from espnet2.utils.types import str2bool

from espnet_dsu.bin.cli import run, stream_sizes
from espnet_dsu.errors import DSUError
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.convert import CASES, export_units, import_units
from espnet_dsu.units.formats import FORMATS
from espnet_dsu.units.spec import UnitSpec, foreign_spec
from espnet_dsu.units.unit_file import UnitFile

# What describes units without a bundle; all but the last are needed.
_FOREIGN = ("tag", "vocab_size", "frame_shift", "sample_rate", "num_streams")


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    way = parser.add_mutually_exclusive_group(required=True)
    formats = tuple(FORMATS)
    way.add_argument("--from", choices=formats, dest="source", help="format to import")
    way.add_argument("--to", choices=formats, dest="target", help="format to export")
    add = parser.add_argument
    add("--input", required=True, help="file, or unit directory, to read")
    add("--output", required=True, help="unit directory, or file, to write")
    add("--case", choices=CASES, help="one unit per frame (ts), or repeats removed")
    add("--durations", help="file of durations; its lines are like those of the units")
    add("--manifest", help="fairseq's .tsv, which names the lines of a km file")
    text = "import rm without durations; enough for ASR, but the time is lost"
    add("--one_frame_runs", type=str2bool, default=False, help=text)
    add("--tokenizer", help="bundle that made the units to import")
    add("--tag", help="without a bundle: name of the tokenizer, e.g. hubert_km500")
    text = "without a bundle: number of units, or of each stream: 500+2000"
    add("--vocab_size", type=stream_sizes, help=text)
    add("--frame_shift", type=int, help="without a bundle: samples between frames")
    add("--sample_rate", type=int, help="without a bundle: in Hz")
    add("--num_streams", type=int, help="without a bundle: units per frame, else 1")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    unit_file = UnitFile(
        args.input if args.source else args.output,
        args.source or args.target,
        args.durations,
        args.manifest,
    )
    described = {name: v for name in _FOREIGN if (v := getattr(args, name)) is not None}
    if args.source:
        spec = _spec(args.tokenizer, described)
        how = (args.case, args.one_frame_runs)
        count = import_units(unit_file, args.output, spec, *how)
    elif args.tokenizer or described or args.one_frame_runs:
        raise DSUError("--to takes what the unit directory says of its units")
    else:
        count = export_units(args.input, unit_file, args.case or "ts")
    logging.info("%d utterances written to %s", count, args.output)


def _spec(tokenizer: str | None, described: dict[str, Any]) -> UnitSpec:
    """Return the unit space of the units to import."""
    if tokenizer and not described:
        return UnitTokenizer.from_pretrained(tokenizer).spec
    if tokenizer or not described.keys() >= set(_FOREIGN[:4]):
        raise DSUError(
            "say what made the units: either --tokenizer, or all of "
            f"--{', --'.join(_FOREIGN[:4])}"
        )
    return foreign_spec(**described)


if __name__ == "__main__":
    run(main)
