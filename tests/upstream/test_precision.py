import pytest
import torch

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream import build_upstream
from tests.upstream.tiny_checkpoints import NUM_LAYERS, name_of

CASES = ["hubert_group", "wavlm_layer", "wav2vec2_bert", "ta_wav2vec2_layer"]


def wave(samples=4000):
    return torch.randn(1, samples, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("case", [*CASES, "ta_wavlm_group"])
@torch.inference_mode()
def test_layers_from_one_pass_are_those_of_each_layer_alone(checkpoint, case):
    wav, lengths = wave(), torch.tensor([4000])
    top = build_upstream(name_of(checkpoint(case), case, NUM_LAYERS))
    layers = [2, 0, NUM_LAYERS]
    found, counts = top.layer_frames(wav, lengths, layers)
    for layer, frames in zip(layers, found):
        one = build_upstream(name_of(checkpoint(case), case, layer))
        expected, expected_counts = one.frames(wav, lengths)
        assert torch.equal(counts, expected_counts)
        assert torch.allclose(frames, expected, atol=1e-5)


def test_layers_beyond_the_built_one_are_one_clear_error(checkpoint):
    upstream = build_upstream(name_of(checkpoint("hubert_group"), "hubert_group", 1))
    with pytest.raises(DSUError, match=r"layers \[2\] wanted, expected some of 0 to 1"):
        upstream.layer_frames(wave(), torch.tensor([4000]), [2])


def test_layers_of_a_family_without_layers_are_one_clear_error():
    with pytest.raises(DSUError, match="has no layers to choose from"):
        build_upstream("mfcc").layer_frames(wave(), torch.tensor([4000]), [1])


@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
def test_half_precision_only_when_asked_and_close(checkpoint, case):
    wav, lengths = wave(), torch.tensor([4000])
    upstream = build_upstream(name_of(checkpoint(case), case, 1))
    full, _ = upstream.frames(wav, lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(upstream.frames(wav, lengths)[0], full)
    upstream.dtype = torch.bfloat16
    half, _ = upstream.frames(wav, lengths)
    assert half.dtype == torch.float32
    assert 0 < (half - full).norm() / full.norm() < 0.1


@torch.inference_mode()
def test_compiled_layers_give_the_same_frames(checkpoint):
    upstream = build_upstream(name_of(checkpoint("hubert_group"), "hubert_group", 2))
    wav, lengths = wave(), torch.tensor([4000])
    plain, _ = upstream.frames(wav, lengths)
    torch._dynamo.reset()
    # The eager backend needs no compiler and traces all the same.
    upstream.compile(backend="eager")
    compiled, _ = upstream.frames(wav, lengths)
    assert torch.allclose(plain, compiled, atol=1e-5)


def test_compile_of_a_family_without_layers_is_one_clear_error():
    with pytest.raises(DSUError, match="no layers to compile"):
        build_upstream("mfcc").compile()


@pytest.mark.parametrize("case", ["hubert_group", "wav2vec2_bert", "ta_wavlm_group"])
@torch.inference_mode()
def test_statistics_from_blocks_equal_those_of_the_whole(checkpoint, case):
    upstream = build_upstream(name_of(checkpoint(case), case, 2))
    wav = 0.1 * wave(9001)[0]
    lengths = torch.tensor([len(wav)])
    blocks = upstream.statistics(wav.split(1234))
    whole, _ = upstream.frames(wav[None], lengths)
    given, _ = upstream.frames(wav[None], lengths, [blocks])
    assert torch.allclose(whole, given, atol=1e-5)
    other = upstream.statistics([wav[:1000] * 3])
    differs, _ = upstream.frames(wav[None], lengths, [other])
    assert not torch.allclose(whole, differs, atol=1e-3)
