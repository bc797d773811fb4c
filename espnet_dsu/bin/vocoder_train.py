"""Train a unit vocoder: the options of every ESPnet training, and those of vocoders."""

from __future__ import annotations

from collections.abc import Sequence

from espnet_dsu.bin.cli import run
from espnet_dsu.tasks.vocoder import UnitVocoderTask


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    UnitVocoderTask.main(cmd=cmd)


if __name__ == "__main__":
    run(main)
