"""Train tokenizers: wav.scp in, a bundle out, or several."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet2.utils.types import str2bool

from espnet_dsu.bin import cli
from espnet_dsu.corpus.tokenizing import DTYPES
from espnet_dsu.corpus.training import train_tokenizers
from espnet_dsu.corpus.training_plan import Training
from espnet_dsu.errors import DSUError

_HELP = {
    "wav_scp": "utterance ids and their audio files",
    "output_dir": "bundle to write; where --layers or --nclusters make several, a "
    "folder of bundles that are named by their tags",
    "upstream": "family:checkpoint@layer, e.g. mfcc or hf:facebook/hubert-base-ls960@6"
    "; layers @6+12 give one tokenizer with a stream of units of each",
    "layers": "of an --upstream that is named without @layer, e.g. 6,9,12",
    "upstream_conf": "option of the upstream family; may be given again",
    "nclusters": "K, the number of units; several, e.g. 100,500,2000, and several "
    "layers take one pass over the audio; 500+2000 are those of two streams of one "
    "tokenizer: of two layers, or of the same frames",
    "quantizer_conf": "further option of k-means, e.g. max_iter=50; may be given again",
    "portion": "share of the utterances to use, drawn at random",
    "max_frames": "frames to train on at most, drawn at random",
    "max_memory": "of frames and k-means, beside the upstream and the libraries; "
    "bounds the frames as --max_frames does",
    "seed": "of what is drawn at random, and of k-means",
    "dtype": "of the upstream; half precision is for GPUs",
    "fit_nj": "processes that share one k-means; without it, one per GPU",
    "embed_upstream": "copy the upstream's weights into the bundle",
    "print_tag": "only print the tag of each bundle that these options make",
}


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description="Train a unit tokenizer (upstream + k-means) and write its bundle. "
        "When it was interrupted, the command goes on where it was.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )

    def add(name: str, **options: object) -> None:
        parser.add_argument(f"--{name}", help=_HELP[name], **options)  # type: ignore

    pairs = {"action": "append", "default": [], "metavar": "KEY=VALUE"}
    add("wav_scp")
    add("output_dir")
    add("upstream", default=Training.upstream)
    add("layers", type=cli.whole_numbers, default=())
    add("upstream_conf", **pairs)
    add("nclusters", type=cli.stream_numbers, default="500")
    add("quantizer_conf", **pairs)
    add("portion", type=float, default=Training.portion)
    add("max_frames", type=int, default=Training.max_frames)
    add("max_memory", default=Training.max_memory)
    add("seed", type=int, default=Training.seed)
    add("dtype", choices=DTYPES, default=Training.dtype)
    cli.add_engine_options(parser)
    add("fit_nj", type=int)
    add("embed_upstream", type=str2bool, default=False)
    add("print_tag", action="store_true")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = vars(get_parser().parse_args(cmd))
    options = cli.pop_engine_options(args)
    wav_scp, output_dir = args.pop("wav_scp"), args.pop("output_dir")
    how = {name: args.pop(name) for name in ("batch_sec", "fit_nj")}
    for name in ("upstream_conf", "quantizer_conf"):
        args[name] = cli.typed_values(args[name])
    print_tag = args.pop("print_tag")
    training = Training(**args)
    if print_tag:
        print("\n".join(training.tags()))
    elif not wav_scp or not output_dir:
        raise DSUError("--wav_scp and --output_dir are needed to train a tokenizer")
    else:
        train_tokenizers(wav_scp, output_dir, training, options, **how)


if __name__ == "__main__":
    cli.run(main)
