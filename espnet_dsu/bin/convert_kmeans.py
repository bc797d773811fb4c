"""Convert k-means between bundles and the files of ESPnet, fairseq and scikit-learn."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet2.utils.types import str2bool

from espnet_dsu.bin.cli import run, typed_values
from espnet_dsu.errors import DSUError
from espnet_dsu.foreign.kmeans_bundle import export_kmeans, import_kmeans


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=f"{__doc__} Nothing in a file that is read is executed.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    way = parser.add_mutually_exclusive_group(required=True)
    text = "file to import: joblib, pickle, .npy, torch (.pt) or .safetensors"
    way.add_argument("--kmeans", help=text)
    way.add_argument("--tokenizer", help="bundle to export: folder or hub id")
    add = parser.add_argument
    text = "bundle to write, or file: .npy, any other suffix is joblib (scikit-learn)"
    add("--output", required=True, help=text)
    text = "whose frames the k-means was trained on: family:checkpoint@layer"
    add("--upstream", help=text)
    add(
        "--upstream_conf",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of the upstream family; may be given again",
    )
    add("--key", help="name of the centroids, where a file holds several arrays")
    text = "copy the upstream's weights into the bundle"
    add("--embed_upstream", type=str2bool, default=False, help=text)
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    if args.tokenizer:
        export_kmeans(args.tokenizer, args.output)
        return
    if not args.upstream:
        raise DSUError("--kmeans needs --upstream: a bundle holds both")
    conf = typed_values(args.upstream_conf)
    how = (conf, args.key, args.embed_upstream)
    import_kmeans(args.kmeans, args.upstream, args.output, *how)


if __name__ == "__main__":
    run(main)
