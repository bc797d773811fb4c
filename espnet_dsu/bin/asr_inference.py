"""Transcribe waveforms or units: the options of ``espnet2.bin.asr_inference``."""

from __future__ import annotations

from collections.abc import Sequence

from espnet2.bin.asr_inference import get_parser

from espnet_dsu.bin.cli import run
from espnet_dsu.inference.recognize import recognize


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    recognize(get_parser().parse_args(cmd))


if __name__ == "__main__":
    run(main)
