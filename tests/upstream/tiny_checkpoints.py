"""Tiny random checkpoints in the real formats of every family."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

CONVS = {"conv_dim": (8, 8, 8), "conv_kernel": (10, 3, 2), "conv_stride": (5, 2, 2)}
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
POSITIONS = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
GROUP = {**SIZES, **CONVS, **POSITIONS, "feat_extract_norm": "group"}
LAYER = {
    **GROUP,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
}
HF_CASES: dict[str, tuple[str, dict]] = {
    "hubert_group": ("Hubert", GROUP),
    "hubert_layer": ("Hubert", LAYER),
    "hubert_batch_norm": ("Hubert", {**GROUP, "conv_pos_batch_norm": True}),
    "wav2vec2_group": ("Wav2Vec2", GROUP),
    "wav2vec2_adapter": ("Wav2Vec2", {**LAYER, "add_adapter": True}),
    "wavlm_group": ("WavLM", GROUP),
    "wavlm_layer": ("WavLM", LAYER),
    "unispeech_sat_group": ("UniSpeechSat", GROUP),
    "unispeech_sat_layer": ("UniSpeechSat", LAYER),
    "data2vec_audio": (
        "Data2VecAudio",
        {**SIZES, **CONVS, "conv_pos_kernel_size": 5, **POSITIONS},
    ),
    "wav2vec2_bert": ("Wav2Vec2Bert", {**SIZES, "feature_projection_input_dim": 160}),
    "wav2vec2_bert_rotary": (
        "Wav2Vec2Bert",
        {
            **SIZES,
            "feature_projection_input_dim": 160,
            "position_embeddings_type": "rotary",
        },
    ),
}
TORCHAUDIO_CASES = {
    "ta_wav2vec2_group": ("wav2vec2", "group_norm", False),
    "ta_wav2vec2_layer": ("wav2vec2", "layer_norm", True),
    "ta_wavlm_group": ("wavlm", "group_norm", False),
    "ta_wavlm_layer": ("wavlm", "layer_norm", True),
}
NUM_LAYERS = 3


def randomize(model: torch.nn.Module, seed: int) -> None:
    """Fill every weight with noise, so that no norm or bias is an identity."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in sorted(model.state_dict().items()):
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            positive = name.endswith(("running_var", "original0", "weight_g"))
            tensor.copy_(noise.abs() + 0.5 if positive else 0.4 * noise)


def save_hf(
    directory: Path, case: str, seed: int = 0, do_normalize: bool = True
) -> None:
    """Save a tiny transformers checkpoint."""
    transformers = pytest.importorskip("transformers")
    family, conf = HF_CASES[case]
    config = getattr(transformers, f"{family}Config")(**conf)
    model = getattr(transformers, f"{family}Model")(config)
    randomize(model, seed)
    model.save_pretrained(directory)
    if family == "Wav2Vec2Bert":
        transformers.SeamlessM4TFeatureExtractor().save_pretrained(directory)
    else:
        transformers.Wav2Vec2FeatureExtractor(
            do_normalize=do_normalize
        ).save_pretrained(directory)


def torchaudio_params(case: str) -> dict:
    """Return builder arguments of a tiny torchaudio model."""
    model_type, norm, first = TORCHAUDIO_CASES[case]
    params = {
        "extractor_mode": norm,
        "extractor_conv_layer_config": [[8, 10, 5], [8, 3, 2], [8, 2, 2]],
        "extractor_conv_bias": norm == "layer_norm",
        "encoder_embed_dim": 16,
        "encoder_projection_dropout": 0.1,
        "encoder_pos_conv_kernel": 8,
        "encoder_pos_conv_groups": 2,
        "encoder_num_layers": NUM_LAYERS,
        "encoder_num_heads": 2,
        "encoder_attention_dropout": 0.1,
        "encoder_ff_interm_features": 24,
        "encoder_ff_interm_dropout": 0.1,
        "encoder_dropout": 0.1,
        "encoder_layer_norm_first": first,
        "encoder_layer_drop": 0.1,
        "aux_num_out": None,
    }
    if model_type == "wavlm":
        params |= {"encoder_num_buckets": 16, "encoder_max_distance": 40}
    return params


def torchaudio_model(case: str, seed: int = 0) -> torch.nn.Module:
    """Build a tiny torchaudio model with random weights."""
    from torchaudio import models

    build = getattr(models, f"{TORCHAUDIO_CASES[case][0]}_model")
    model = build(**torchaudio_params(case)).eval()
    randomize(model, seed)
    return model


def save_torchaudio(
    directory: Path, case: str, seed: int = 0, do_normalize: bool = True
) -> None:
    """Save a tiny torchaudio checkpoint."""
    from safetensors.torch import save_file

    directory.mkdir(parents=True)
    config = {
        "model_type": TORCHAUDIO_CASES[case][0],
        "params": torchaudio_params(case),
        "sample_rate": 16000,
        "normalize_waveform": do_normalize,
    }
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    save_file(
        torchaudio_model(case, seed).state_dict(), directory / "model.safetensors"
    )


def save_checkpoint(directory: Path, case: str, **options) -> None:
    """Save a tiny checkpoint of either family."""
    save = save_torchaudio if case in TORCHAUDIO_CASES else save_hf
    save(directory, case, **options)


def name_of(directory: Path, case: str, layer: int) -> str:
    """Return the upstream name of a saved checkpoint."""
    family = "torchaudio" if case in TORCHAUDIO_CASES else "hf"
    return f"{family}:{directory}@{layer}"


def edit_json(path: Path, **changes) -> None:
    """Change some keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def load(directory: Path, case: str) -> torch.nn.Module:
    """Load the whole model with its own library, for comparison."""
    if case in TORCHAUDIO_CASES:
        return torchaudio_model(case)
    import transformers

    model = getattr(transformers, f"{HF_CASES[case][0]}Model")
    return model.from_pretrained(directory).eval()
