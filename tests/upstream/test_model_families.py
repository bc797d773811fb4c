"""What holds for every family with a model: invariance, layers, lengths, identity."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_checkpoints import (
    HF_CASES,
    NUM_LAYERS,
    TORCHAUDIO_CASES,
    load,
    name_of,
    save_checkpoint,
)

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream import Upstream, build_upstream
from espnet_dsu.upstream.masking import zero_padding

CASES = [*HF_CASES, *TORCHAUDIO_CASES]
SOME_CASES = ["hubert_group", "wav2vec2_adapter", "wav2vec2_bert", "ta_wavlm_layer"]
LENGTHS = [4000, 1800, 30, 2777, 7]


def build(checkpoint, case: str, layer: int = 2, **conf) -> Upstream:
    return build_upstream(name_of(checkpoint(case), case, layer), conf)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def alone(upstream: Upstream, wav: torch.Tensor) -> torch.Tensor:
    frames, _ = upstream.frames(wav[None], torch.tensor([len(wav)]))
    return frames[0]


@torch.no_grad()
@pytest.mark.parametrize(
    "layer, padding", [(NUM_LAYERS, 0.0), (0, 50.0), (1, float("nan"))]
)
@pytest.mark.parametrize("case", CASES)
def test_frames_of_a_batch_are_those_of_each_utterance_alone(
    checkpoint, case, layer, padding
):
    upstream = build(checkpoint, case, layer)
    wav = noise(len(LENGTHS), 4500)
    for row, n in zip(wav, LENGTHS):
        row[n:] *= padding
    frames, counts = upstream.frames(wav, torch.tensor(LENGTHS))
    assert frames.dtype == torch.float32
    assert frames.shape == (len(LENGTHS), int(counts.max()), upstream.dim)
    for row, n, batched, count in zip(wav, LENGTHS, frames, counts.tolist()):
        single = alone(upstream, row[:n])
        assert len(single) == count == upstream.num_frames(n)
        assert batched[count:].eq(0).all()
        if count:
            assert (batched[:count] - single).abs().max() <= 1e-4
    assert counts.min() == 0 < counts.max()


@torch.no_grad()
@pytest.mark.parametrize(
    "case", ["hubert_group", "hubert_batch_norm", "data2vec_audio"]
)
def test_without_masking_the_batch_would_change_the_frames(checkpoint, case):
    upstream = build(checkpoint, case, 0)
    wav, lengths = noise(2, 4000), torch.tensor([4000, 2000])
    right, counts = upstream.frames(wav, lengths)
    statistics = None
    if case == "hubert_group":
        padded = zero_padding(wav, lengths)
        statistics = [upstream.statistics([row]) for row in padded]
    else:
        for module in upstream.modules():
            module._forward_hooks.clear()
    wrong, _ = upstream.frames(wav, lengths, statistics)
    assert (right - wrong)[1, : counts[1]].abs().max() > 1e-2


def reference_layers(directory: Path, case: str, wav: torch.Tensor) -> list:
    """Frames of every layer of the whole model, by the library's own means."""
    model = load(directory, case)
    if case in TORCHAUDIO_CASES:
        normalized = torch.nn.functional.layer_norm(wav[None], (1, len(wav)))
        transformer = model.encoder.transformer
        first: list = []
        transformer.layers[0].register_forward_pre_hook(
            lambda _, args: first.append(args[0])
        )
        outputs, _ = model.extract_features(normalized)
        return [first[0], *outputs]
    import transformers

    extractor_class = (
        transformers.SeamlessM4TFeatureExtractor
        if case.startswith("wav2vec2_bert")
        else transformers.Wav2Vec2FeatureExtractor
    )
    extractor = extractor_class.from_pretrained(directory)
    inputs = extractor(wav.numpy(), sampling_rate=16000, return_tensors="pt")
    last: list = []
    model.encoder.layers[-1].register_forward_hook(
        lambda _, args, output: last.append(
            output[0] if isinstance(output, tuple) else output
        )
    )
    states = model(**inputs, output_hidden_states=True).hidden_states
    return [*states[:NUM_LAYERS], last[0]]


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_frames_of_layer_k_are_the_hidden_states_of_the_whole_model(checkpoint, case):
    wav = noise(4080, seed=1)  # an even number of filter banks for wav2vec2_bert
    references = reference_layers(checkpoint(case), case, wav)
    assert len(references) == NUM_LAYERS + 1
    for layer, reference in enumerate(references):
        frames = alone(build(checkpoint, case, layer), wav)
        torch.testing.assert_close(frames, reference[0], atol=2e-5, rtol=1e-5)
    assert (references[1] - references[0]).abs().max() > 0.1


@pytest.mark.parametrize("case", SOME_CASES)
@pytest.mark.parametrize("layer", [NUM_LAYERS + 1, 99])
def test_layer_out_of_range_names_the_valid_range(checkpoint, case, layer):
    with pytest.raises(DSUError, match=f"no layer {layer}.*layers 0 .* to 3"):
        build(checkpoint, case, layer)


@torch.no_grad()
@pytest.mark.parametrize("case", SOME_CASES)
def test_num_frames_is_the_actual_count_for_every_length(checkpoint, case):
    upstream = build(checkpoint, case, 0)
    step = 37 if upstream.frame_shift > 100 else 11
    lengths = [*range(60), *range(540, 900, step), *range(901, 2000, step)]
    for start in range(0, len(lengths), 40):
        some = lengths[start : start + 40]
        frames, counts = upstream.frames(noise(len(some), 2000), torch.tensor(some))
        assert counts.tolist() == [upstream.num_frames(n) for n in some]
        for row, count in zip(frames, counts.tolist()):
            assert row[:count].ne(0).any(dim=1).all()
    assert upstream.num_frames(0) == 0
    assert alone(upstream, noise(2000)).shape == (upstream.num_frames(2000), 16)


@torch.no_grad()
def test_frames_of_only_too_short_utterances_are_empty(checkpoint):
    upstream = build(checkpoint, "hubert_group")
    frames, counts = upstream.frames(noise(2, 20), torch.tensor([20, 0]))
    assert frames.shape == (2, 0, 16) and counts.tolist() == [0, 0]


@pytest.mark.parametrize("do_normalize", [True, False])
@pytest.mark.parametrize("case", ["hubert_layer", "wavlm_layer", "ta_wav2vec2_layer"])
def test_scaling_the_waveform_changes_nothing_iff_it_is_normalized(
    tmp_path, case, do_normalize
):
    save_checkpoint(tmp_path / "m", case, do_normalize=do_normalize)
    upstream = build_upstream(name_of(tmp_path / "m", case, 0))
    wav = noise(3000)
    same = torch.allclose(alone(upstream, wav), alone(upstream, 3 * wav), atol=1e-3)
    assert same is do_normalize


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_frames_of_several_layers_lie_side_by_side_and_take_one_pass(
    checkpoint, case, monkeypatch
):
    name = name_of(checkpoint(case), case, 0) + f"+1+{NUM_LAYERS}"
    upstream = build_upstream(name)
    passes = []
    real = upstream._frames
    monkeypatch.setattr(upstream, "_frames", lambda *a: passes.append(1) or real(*a))
    wav, lengths = noise(2, 3000), torch.tensor([3000, 2100])
    frames, counts = upstream.frames(wav, lengths)
    assert len(passes) == 1
    assert frames.shape[-1] == upstream.dim == 3 * upstream.layer_dim
    for number, layer in enumerate((0, 1, NUM_LAYERS)):
        alone, expected = build(checkpoint, case, layer).frames(wav, lengths)
        part = frames[..., 16 * number : 16 * (number + 1)]
        assert torch.equal(part, alone) and torch.equal(counts, expected)
    assert upstream.tag == f"{case}_0+1+{NUM_LAYERS}"
    again = build_upstream(upstream.config()["name"], upstream.config()["conf"])
    assert again.identity() == upstream.identity()
    assert build(checkpoint, case, NUM_LAYERS).identity() != upstream.identity()


@torch.no_grad()
@pytest.mark.parametrize("case", SOME_CASES)
def test_layers_after_the_wanted_one_are_dropped_and_never_run(
    checkpoint, case, tmp_path
):
    shutil.copytree(checkpoint(case), tmp_path / "m")
    poison(tmp_path / "m", lambda name: ".layers.1." in name or ".layers.2." in name)
    upstream = build_upstream(name_of(tmp_path / "m", case, 1))
    assert upstream.num_layers == NUM_LAYERS and upstream.layer == 1
    assert not any(".layers.1." in name for name in upstream.state_dict())
    expected = alone(build(checkpoint, case, 1), noise(3000))
    assert torch.equal(alone(upstream, noise(3000)), expected)
    poisoned = build_upstream(name_of(tmp_path / "m", case, 2))
    assert alone(poisoned, noise(3000)).isnan().any()


def poison(directory: Path, where, value: float = float("nan")) -> None:
    """Overwrite the weights that ``where`` picks by name."""
    weights = load_file(directory / "model.safetensors")
    picked = [name for name in weights if where(name)]
    assert picked
    for name in picked:
        weights[name] = torch.full_like(weights[name], value)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("case", SOME_CASES)
def test_identity_tells_weights_and_layers_apart_but_not_folders(
    checkpoint, case, tmp_path
):
    identity = build(checkpoint, case).identity()
    assert json.loads(json.dumps(identity)) == identity
    assert str(checkpoint(case).parent) not in json.dumps(identity)
    assert build(checkpoint, case, 1).identity() != identity

    copy = tmp_path / "elsewhere"
    shutil.copytree(checkpoint(case), copy)
    assert build_upstream(name_of(copy, case, 2)).identity() == identity
    poison(copy, lambda name: ".layers.2." in name, 1.0)
    assert build_upstream(name_of(copy, case, 2)).identity() == identity
    poison(copy, lambda name: ".layers.1." in name and name.endswith("bias"), 1.0)
    assert build_upstream(name_of(copy, case, 2)).identity() != identity


@pytest.mark.parametrize("case", ["hubert_layer", "ta_wavlm_group"])
def test_identity_depends_on_the_normalization_of_waveforms(tmp_path, case):
    identities = []
    for do_normalize in (True, False):
        directory = tmp_path / str(do_normalize)
        save_checkpoint(directory, case, do_normalize=do_normalize)
        identities.append(build_upstream(name_of(directory, case, 1)).identity())
    assert identities[0] != identities[1]
    assert identities[0]["weights"] == identities[1]["weights"]


@torch.no_grad()
@pytest.mark.parametrize("layer", [0, 1, NUM_LAYERS])
@pytest.mark.parametrize("case", CASES)
def test_saved_weights_load_as_the_same_upstream(checkpoint, case, layer, tmp_path):
    upstream = build(checkpoint, case, layer)
    upstream.save_weights(tmp_path / "upstream")
    again = build_upstream(name_of(tmp_path / "upstream", case, layer))
    assert again.identity() == upstream.identity()
    wav = noise(3000)
    assert torch.equal(alone(again, wav), alone(upstream, wav))
    suffixes = {path.suffix for path in (tmp_path / "upstream").iterdir()}
    assert suffixes <= {".safetensors", ".json", ".yaml"}
    with pytest.raises(DSUError, match="no layer"):
        build_upstream(name_of(tmp_path / "upstream", case, NUM_LAYERS + 1))


@pytest.mark.parametrize("case", SOME_CASES)
def test_config_rebuilds_the_same_upstream(checkpoint, case):
    upstream = build(checkpoint, case)
    config = json.loads(json.dumps(upstream.config()))
    again = build_upstream(config["name"], config["conf"])
    assert again.identity() == upstream.identity()
    assert again.config() == upstream.config()
    assert again.tag == upstream.tag == f"{case}_2"


@pytest.mark.parametrize("case", SOME_CASES)
def test_train_mode_changes_nothing(checkpoint, case):
    upstream = build(checkpoint, case)
    expected = alone(upstream, noise(3000))
    upstream.train()
    assert not any(module.training for module in upstream.modules())
    assert torch.equal(alone(upstream, noise(3000)), expected)


@pytest.mark.parametrize("case", ["hubert_group", "data2vec_audio", "ta_wavlm_group"])
def test_frames_let_gradients_through_and_leave_that_to_the_caller(checkpoint, case):
    upstream = build(checkpoint, case)
    wav = noise(2, 3000).requires_grad_()
    frames, _ = upstream.frames(wav, torch.tensor([3000, 2000]))
    frames.sum().backward()
    assert wav.grad[0].abs().sum() > 0
    assert wav.grad[1, :2000].abs().sum() > 0 == wav.grad[1, 2000:].abs().sum()


@torch.no_grad()
def test_frames_stay_float32_under_autocast(checkpoint):
    upstream = build(checkpoint, "hubert_group")
    expected = alone(upstream, noise(3000))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(alone(upstream, noise(3000)), expected)


@pytest.mark.parametrize("case", ["hubert_layer", "ta_wav2vec2_group"])
def test_missing_weights_are_named(checkpoint, case, tmp_path):
    shutil.copytree(checkpoint(case), tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    weights = load_file(path)
    dropped = sorted(name for name in weights if ".layers.0.attention.k_proj" in name)
    for name in dropped:
        del weights[name]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(DSUError, match="lacks 2 weights: .*layers.0.attention.k_proj"):
        build_upstream(name_of(tmp_path / "m", case, 1))


@pytest.mark.parametrize("case", ["hubert_layer", "ta_wav2vec2_group"])
def test_damaged_weight_file_is_one_clear_error(checkpoint, case, tmp_path):
    shutil.copytree(checkpoint(case), tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DSUError, match="cannot (load|read)"):
        build_upstream(name_of(tmp_path / "m", case, 1))
