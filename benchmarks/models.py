"""Models of the real architectures with random weights, in the real format.

Speed and memory do not depend on what the weights are, and none need be downloaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks import children
from benchmarks.children import python
from benchmarks.common import say
from benchmarks.corpora import Corpus
from espnet_dsu.bundle import QUANTIZER

SEED = 0
# Frames to train a bundle on, for each of its units.
_FRAMES_PER_UNIT = 2.5
_FRAMES_PER_SEC = 50


@dataclass(frozen=True)
class ModelCase:
    """An architecture of transformers and the layer that is used of it."""

    name: str
    family: str
    layer: int
    conf: dict[str, Any]


_TINY: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
# facebook/hubert-base-ls960 is transformers' default; microsoft/wavlm-large is not.
CASES = {
    case.name: case
    for case in (
        ModelCase("hubert_base", "Hubert", 6, {}),
        ModelCase(
            "wavlm_large",
            "WavLM",
            21,
            {
                "hidden_size": 1024,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "intermediate_size": 4096,
                "feat_extract_norm": "layer",
                "do_stable_layer_norm": True,
            },
        ),
        ModelCase("tiny", "Hubert", 2, _TINY),
        ModelCase(
            "tiny_wavlm",
            "WavLM",
            2,
            {**_TINY, "feat_extract_norm": "layer", "do_stable_layer_norm": True},
        ),
    )
}


def save_checkpoint(case: ModelCase, folder: Path) -> Path:
    """Write ``folder/<name>`` as a checkpoint of the hub, unless it is there."""
    import transformers

    path = folder / case.name
    if (path / "preprocessor_config.json").exists():
        return path
    say(f"writing {case.name} with random weights")
    torch.manual_seed(SEED)
    config = getattr(transformers, f"{case.family}Config")(**case.conf)
    getattr(transformers, f"{case.family}Model")(config).save_pretrained(path)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    extractor.save_pretrained(path)
    return path


def train_bundle(
    case: ModelCase,
    checkpoint: Path,
    nclusters: int,
    corpus: Corpus,
    threads: int,
    device: str = "cpu",
) -> Path:
    """Train a tokenizer on the corpus's first utterances, unless it is there."""
    # What a bundle names is read through this path again, so both stay together.
    path = checkpoint.with_name(f"{case.name}_km{nclusters}")
    if (path / QUANTIZER).exists():
        return path
    say(f"training {nclusters} units of {case.name} layer {case.layer}")
    seconds = math.ceil(_FRAMES_PER_UNIT * nclusters / _FRAMES_PER_SEC) + 1
    options = {
        "wav_scp": corpus.head(f"train_{path.name}", seconds).wav_scp,
        "upstream": f"hf:{checkpoint}@{case.layer}",
        "nclusters": nclusters,
        "output_dir": path,
        "ngpu": int(device == "cuda"),
    }
    command = python("espnet_dsu.bin.train_tokenizer", **options)
    children.measure(command, path.with_suffix(".log"), threads)
    return path


def read_centroids(bundle: Path) -> np.ndarray:
    """Read the centroids (K, D) of a bundle."""
    return load_file(bundle / QUANTIZER)["centroids"].numpy()
