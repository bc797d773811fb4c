"""What every command-line module shares: logging and the way it fails."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from espnet_dsu.errors import DSUError

if TYPE_CHECKING:
    from espnet_dsu.corpus.engine import Options

# YAML wants a dot in such numbers.
_EXPONENT = re.compile(r"[-+]?\d+[eE][-+]?\d+")


def run(main: Callable[[Sequence[str] | None], None]) -> None:
    """Run ``main`` with ESPnet's log format; a user's mistake exits with one line."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s",
    )
    try:
        main(None)
    except DSUError as error:
        print(f"espnet_dsu: error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("espnet_dsu: interrupted", file=sys.stderr)
        sys.exit(130)


def key_values(pairs: Sequence[str]) -> dict[str, str]:
    """Read the values of a repeatable ``key=value`` option; the last of a key counts.

    Raises:
        DSUError: a value without ``=``.
    """
    if bad := [pair for pair in pairs if "=" not in pair]:
        raise DSUError(f"{bad[0]!r} is no option, expected key=value")
    return dict(pair.split("=", 1) for pair in pairs)


def typed_values(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs whose values are YAML; ``1e-4`` is a number here."""
    return {
        key: float(value) if _EXPONENT.fullmatch(value) else yaml.safe_load(value)
        for key, value in key_values(pairs).items()
    }


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that goes through a corpus by the engine."""
    from espnet2.utils.types import str2bool

    from espnet_dsu.corpus.engine import Options
    from espnet_dsu.corpus.launcher import LAUNCHERS
    from espnet_dsu.corpus.tokenizing import DEFAULT_BATCH_SEC

    add = parser.add_argument
    add("--nj", type=int, default=1, help="number of worker processes")
    add("--ngpu", type=int, default=0, help="number of GPUs; 0 is CPU")
    add(
        "--batch_sec",
        type=float,
        default=DEFAULT_BATCH_SEC,
        help="seconds of audio per batch, padding included; bounds the memory of a GPU "
        "(a CPU takes 20 at most: more is slower)",
    )
    add(
        "--shard_sec",
        type=float,
        default=Options.shard_sec,
        help="seconds of audio per shard; finished shards survive an interruption",
    )
    add("--strict", type=str2bool, default=False, help="the same as --max_failures 0")
    add("--max_failures", type=int, help="stop when more utterances than this fail")
    add("--launcher", choices=LAUNCHERS, default="local", help="where workers run")
    add(
        "--launcher_conf",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of the launcher; may be given again",
    )


def pop_engine_options(args: dict[str, Any]) -> Options:
    """Take the engine's options out of parsed ``args``; ``batch_sec`` stays."""
    from espnet_dsu.corpus.engine import Options

    names = ("nj", "ngpu", "shard_sec", "max_failures", "launcher")
    values = {name: args.pop(name) for name in names}
    if args.pop("strict"):
        values["max_failures"] = 0
    return Options(**values, launcher_conf=key_values(args.pop("launcher_conf")))


def stream_numbers(text: str) -> tuple[int | tuple[int, ...], ...]:
    """Read ``100,500+2000``, where ``+`` joins streams; a type for argparse."""
    return tuple(map(stream_sizes, text.split(",")))


def stream_sizes(text: str) -> int | tuple[int, ...]:
    """Read ``500``, or ``500+2000`` for several streams; a type for argparse."""
    sizes = tuple(map(int, text.split("+")))
    return sizes[0] if len(sizes) == 1 else sizes


def whole_numbers(text: str) -> tuple[int, ...]:
    """Read ``6,9,12``; a type for argparse."""
    return tuple(int(number) for number in text.split(","))
