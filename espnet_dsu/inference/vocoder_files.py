"""Where the files of a vocoder are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from espnet_dsu.bundle_location import VOCODER
from espnet_dsu.errors import DSUError
from espnet_dsu.hub.portable import read_config

CONFIG = "config.yaml"


def only_checkpoint(folder: Path) -> Path:
    """Find the checkpoint of a folder that holds one, beside its ``config.yaml``.

    Raises:
        DSUError: there is no config, or not one checkpoint.
    """
    found = sorted(folder.glob("*.pth"))
    if not (folder / CONFIG).is_file():
        raise DSUError(f"{folder} holds no {CONFIG}, so it is no vocoder")
    if len(found) != 1:
        raise DSUError(
            f"{folder} holds {len(found)} checkpoints (*.pth), expected one; keep one, "
            "or name it as model_file"
        )
    return found[0]


def checkpoint_of_bundle(bundle: Path | None) -> Path:
    """Find the checkpoint in ``<bundle>/vocoder/`` or ``<bundle>/../vocoder/``.

    Raises:
        DSUError: there is none.
    """
    if bundle is None:
        raise DSUError(
            "this tokenizer was not loaded from a bundle, so no vocoder lies beside "
            "it; save it and load it from there, or use Units2Speech"
        )
    places = (bundle / VOCODER, bundle.absolute().parent / VOCODER)
    for place in places:
        if place.is_dir():
            return only_checkpoint(place)
    raise DSUError(
        f"{bundle} has no vocoder: expected {CONFIG} and one checkpoint of a unit "
        f"vocoder in {places[0]} or {places[1]}; copy them there, or use Units2Speech"
    )


@contextmanager
def naming(config: str | Path, tokenizer: str | Path | None) -> Iterator[str | Path]:
    """Give a training config that names ``tokenizer``; None leaves it as it is."""
    if tokenizer is None:
        yield config
        return
    values = {**read_config(config), "tokenizer": str(tokenizer)}
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / CONFIG
        changed.write_text(yaml.safe_dump(values), encoding="utf-8")
        yield changed
