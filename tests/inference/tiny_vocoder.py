"""A tiny unit vocoder in the files of a real one, trained for no step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

_ISTFT = {"channels": 16, "hidden_channels": 24, "num_frame_blocks": 1, "num_blocks": 1}
_HIFIGAN = {"channels": 32, "upsample_scales": [10, 8]}
_HIFIGAN |= {"resblock_kernel_sizes": [3], "resblock_dilations": [[1, 3]]}
_CONF = {"istft": _ISTFT, "hifigan": _HIFIGAN}
_DISCRIMINATOR = "hifigan_multi_period"
_SMALL = {
    "periods": [2],
    "discriminator_params": {"channels": 4, "max_downsample_channels": 8},
}


def write_vocoder(
    folder: Path,
    tokenizer: str | Path,
    generator: str = "istft",
    speakers: Mapping[str, int] | None = None,
    styles: Mapping[str, int] | None = None,
    fs: int = 8000,
    seed: int = 0,
    **vocoder_conf: Any,
) -> None:
    """Write ``config.yaml`` and ``valid.mel_loss.ave.pth`` of a vocoder.

    Args:
        folder: made if missing.
        tokenizer: ``config.yaml`` of the bundle, as the config will name it.
        generator: ``istft`` or ``hifigan``.
        speakers, styles: tables.
        fs: of the audio in Hz.
        seed: of the weights.
        vocoder_conf: options of the vocoder.
    """
    from espnet_dsu.tasks.vocoder import UnitVocoderTask

    parser = UnitVocoderTask.get_parser()
    args = parser.parse_args(
        ["--output_dir", str(folder), "--tokenizer", str(tokenizer)]
    )
    args.fs, args.generator, args.generator_conf = fs, generator, _CONF[generator]
    args.discriminator, args.discriminator_conf = _DISCRIMINATOR, _SMALL
    args.vocoder_conf = {"embed_dim": 16, **vocoder_conf}
    args.spk2sid, args.style2id = speakers, styles
    torch.manual_seed(seed)
    model = UnitVocoderTask.build_model(args)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "valid.mel_loss.ave.pth")
    (folder / "config.yaml").write_text(yaml.safe_dump(vars(args)), encoding="utf-8")
