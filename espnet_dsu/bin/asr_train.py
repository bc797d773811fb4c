"""Train unit ASR: the options of ``espnet2.bin.asr_train``."""

from __future__ import annotations

from collections.abc import Sequence

from espnet_dsu.bin.cli import run
from espnet_dsu.tasks.asr import UnitASRTask


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    UnitASRTask.main(cmd=cmd)


if __name__ == "__main__":
    run(main)
