"""How far units of half precision are those of float32: counted on some audio."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.files import atomic_path

AGREEMENT = "agreement.json"
# Of each shard so much audio is encoded a second time, but one utterance at least.
_SEC_PER_SHARD = 10.0


@dataclass
class Agreement:
    """Frames that were encoded in both precisions, and those with the same units."""

    frames: int = 0
    same: int = 0

    @property
    def percent(self) -> float:
        """Share of frames with the same units."""
        return 100 * self.same / self.frames

    def count(
        self, tokenizer: UnitTokenizer, wavs: Sequence[Tensor], units: Sequence[Tensor]
    ) -> None:
        """Compare some ``units`` of ``wavs``, at the upstream's rate, with float32."""
        fs, half = tokenizer.spec.sample_rate, tokenizer.upstream.dtype
        number, seconds = 1, len(wavs[0]) / fs
        while number < len(wavs) and seconds < _SEC_PER_SHARD:
            seconds += len(wavs[number]) / fs
            number += 1
        device = units[0].device
        expected = tokenizer.to(device, torch.float32).encode_tensors(wavs[:number], fs)
        tokenizer.to(device, half)
        for one, other in zip(units, expected):
            same = one.eq(other).reshape(len(one), -1).all(dim=1)
            self.frames += len(one)
            self.same += int(same.sum())

    def write(self, folder: Path) -> None:
        """Write ``agreement.json``."""
        content = {
            "frames": self.frames,
            "same_as_float32": self.same,
            "percent": round(self.percent, 3) if self.frames else None,
        }
        with atomic_path(folder / AGREEMENT) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def merge_agreements(folders: Iterable[Path], output_dir: Path, dtype: str) -> None:
    """Add the shards' counts up, write and log them; float32 has nothing to tell."""
    (output_dir / AGREEMENT).unlink(missing_ok=True)
    total = Agreement()
    for folder in folders:
        if (folder / AGREEMENT).exists():
            found = json.loads((folder / AGREEMENT).read_text("utf-8"))
            total.frames += found["frames"]
            total.same += found["same_as_float32"]
    if dtype == "float32":
        return
    total.write(output_dir)
    if not total.frames:
        logging.warning(
            f"{dtype}: no utterance was short enough to be encoded in float32 as well, "
            "so how many units differ is not known"
        )
    else:
        logging.info(
            f"{dtype}: {total.percent:.2f} % of {total.frames} frames have the units "
            f"of float32 (see {output_dir / AGREEMENT})"
        )
