"""Where the time of one tokenization run goes: load, decode, forward, assign, write.

Runs the tokenize command in this process, with one worker, and adds up the time inside
the functions that do the work. What is left is the engine's own. CPU time is that of
the thread that calls, so run it with one thread. Writes JSON.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from espnet_dsu.bin import tokenize
from espnet_dsu.bin.cli import run
from espnet_dsu.bundle import UpstreamRef
from espnet_dsu.corpus import tokenizing
from espnet_dsu.corpus.decoding import Decoder
from espnet_dsu.quantizer import KMeans
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.upstream import Upstream

PARTS = ("load", "decode", "forward", "assign", "write")


class Account:
    """CPU and wall seconds by part."""

    def __init__(self) -> None:
        self.cpu = dict.fromkeys(PARTS, 0.0)
        self.wall = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def watch(self, owner: Any, name: str, part: str) -> Iterator[None]:
        """Time every call of ``owner.name`` as ``part``."""
        original = owner.__dict__[name]
        if isinstance(original, classmethod):
            timed: Any = classmethod(self._timed(original.__func__, part))
        else:
            timed = self._timed(original, part)
        setattr(owner, name, timed)
        try:
            yield
        finally:
            setattr(owner, name, original)

    def _timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            cpu, wall = time.thread_time(), time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.cpu[part] += time.thread_time() - cpu
                self.wall[part] += time.perf_counter() - wall

        return timed


# Everything in the tokenize command that is not the engine's own; none calls another.
_WORK: tuple[tuple[Any, str, str], ...] = (
    (UnitTokenizer, "from_pretrained", "load"),
    (UpstreamRef, "load", "load"),
    (Decoder, "_decode", "decode"),
    (Upstream, "frames", "forward"),
    (KMeans, "assign", "assign"),
    (tokenizing, "write_shard_units", "write"),
    (tokenizing, "write_units", "write"),
)


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine_parts", description=__doc__
    )
    add = parser.add_argument
    add("--wav_scp", required=True, help="audio files")
    add("--tokenizer", required=True, help="bundle")
    add("--output_dir", type=Path, required=True, help="units, and parts.json")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    options = [[f"--{name}", str(value)] for name, value in vars(args).items()]
    account = Account()
    with ExitStack() as stack:
        for work in _WORK:
            stack.enter_context(account.watch(*work))
        cpu, wall = time.process_time(), time.perf_counter()
        tokenize.main(sum(options, []))
        total = {
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - wall,
        }
    result = {"total": total, "cpu": account.cpu, "wall": account.wall}
    (args.output_dir / "parts.json").write_text(json.dumps(result))


if __name__ == "__main__":
    run(main)
