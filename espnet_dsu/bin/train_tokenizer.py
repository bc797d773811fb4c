"""Train a tokenizer: wav.scp in, bundle out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import yaml
from espnet2.utils.types import str2bool

from espnet_dsu.bin.cli import run
from espnet_dsu.errors import DSUError
from espnet_dsu.tokenizer import DEFAULT_MAX_FRAMES, UnitTokenizer, plan_tag


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description="Train a unit tokenizer (upstream + k-means) and write its bundle.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--wav_scp", help="utterance ids and their audio files")
    add("--output_dir", help="bundle to write")
    add(
        "--upstream",
        default="mfcc",
        help="family:checkpoint@layer, e.g. mfcc or " "hf:facebook/hubert-base-ls960@6",
    )
    add(
        "--upstream_conf",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of the upstream family; may be given again",
    )
    add("--nclusters", type=int, default=500, help="K, the number of units")
    add(
        "--quantizer_conf",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="further option of k-means, e.g. max_iter=50; may be given again",
    )
    add("--portion", type=float, default=1.0, help="share of the utterances to use")
    add(
        "--max_frames",
        type=int,
        default=DEFAULT_MAX_FRAMES,
        help="frames to keep at most; bounds the memory",
    )
    add("--seed", type=int, default=0, help="random seed")
    add("--ngpu", type=int, default=0, help="0 is CPU, 1 is one GPU")
    add(
        "--embed_upstream",
        type=str2bool,
        default=False,
        help="copy the upstream's weights into the bundle",
    )
    add(
        "--print_tag",
        action="store_true",
        help="only print the tag of the bundle that these options make",
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    conf = _parse_conf(args.upstream_conf)
    if args.print_tag:
        print(plan_tag(args.upstream, conf, args.nclusters))
        return
    if not args.wav_scp or not args.output_dir:
        raise DSUError("--wav_scp and --output_dir are needed to train a tokenizer")
    tokenizer = UnitTokenizer.train(
        args.wav_scp,
        upstream=args.upstream,
        nclusters=args.nclusters,
        seed=args.seed,
        upstream_conf=conf,
        quantizer_conf=_parse_conf(args.quantizer_conf),
        portion=args.portion,
        max_frames=args.max_frames,
        device="cuda" if args.ngpu else "cpu",
    )
    tokenizer.save_pretrained(args.output_dir, args.embed_upstream)


def _parse_conf(pairs: Sequence[str]) -> dict[str, object]:
    if bad := [pair for pair in pairs if "=" not in pair]:
        raise DSUError(f"{bad[0]!r} is no option, expected key=value")
    return {k: yaml.safe_load(v) for k, _, v in (pair.partition("=") for pair in pairs)}


if __name__ == "__main__":
    run(main)
