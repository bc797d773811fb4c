"""Products with packed weights, once those weights may change."""

import pytest
import torch
from tiny_checkpoints import GROUP, HF_CASES, LAYER, name_of, save_checkpoint

from espnet_dsu.upstream import build_upstream, onednn
from espnet_dsu.upstream.fft_conv import FFTConv
from espnet_dsu.upstream.onednn import PackedLinear

# Long enough for the positional convolution by FFT.
LONG = {"num_conv_pos_embeddings": 64}
CASES = {
    "hubert_long_group": ("Hubert", {**GROUP, **LONG}),
    "hubert_long_layer": ("Hubert", {**LAYER, **LONG}),
}
CASE_NAMES = [*CASES, "ta_wavlm_layer"]
needs_packing = pytest.mark.skipif(
    not onednn.is_available(), reason="this torch has no packed products"
)


@pytest.fixture(params=CASE_NAMES)
def upstream(request, tmp_path, monkeypatch):
    for name, case in CASES.items():
        monkeypatch.setitem(HF_CASES, name, case)
    directory = tmp_path / request.param
    save_checkpoint(directory, request.param)
    return build_upstream(name_of(directory, request.param, 2))


def frames(upstream):
    wav = torch.linspace(0, 60, 3000).sin()[None]
    return upstream.frames(wav, torch.tensor([3000]))[0].detach()


def plain(upstream):
    """While gradients are recorded nothing is packed."""
    with torch.enable_grad():
        return frames(upstream)


def change(upstream):
    with torch.no_grad():
        for weight in upstream.parameters():
            weight.add_(0.05 * torch.randn_like(weight))


def packed(upstream):
    """Say which kinds of packed weights there are."""
    forwards = [getattr(m, "forward", None) for m in upstream.modules()]
    kinds = {
        "linear": any(isinstance(f, PackedLinear) and f._packed for f in forwards),
        "fft": any(isinstance(f, FFTConv) and f.spectrum is not None for f in forwards),
        "convs": any(getattr(m, "_packed", None) for m in upstream.modules()),
    }
    return {kind for kind, there in kinds.items() if there}


@needs_packing
@torch.no_grad()
def test_weights_are_frozen_and_packed_until_they_may_change(upstream):
    assert not any(w.requires_grad for w in upstream.parameters())
    before = frames(upstream)
    has_fft = any(isinstance(m.forward, FFTConv) for m in upstream.modules())
    assert packed(upstream) == {"linear", "convs"} | ({"fft"} if has_fft else set())
    upstream.requires_grad_(True)
    assert torch.allclose(frames(upstream), before, atol=1e-4)
    assert packed(upstream) == set()


@torch.no_grad()
def test_trained_weights_are_seen_without_gradients_too(upstream):
    upstream.requires_grad_(True)
    before = frames(upstream)
    for _ in range(2):
        change(upstream)
        after = frames(upstream)
        assert torch.allclose(after, plain(upstream), atol=1e-4)
        assert not torch.allclose(after, before, atol=1e-2)
        before = after


@torch.no_grad()
def test_weights_frozen_again_after_training_are_packed_anew(upstream):
    frames(upstream)
    upstream.requires_grad_(True)
    frames(upstream)
    change(upstream)
    upstream.requires_grad_(False)
    assert torch.allclose(frames(upstream), plain(upstream), atol=1e-4)
