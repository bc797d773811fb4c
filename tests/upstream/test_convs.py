import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream import convs
from espnet_dsu.upstream.convs import ConvFrontEnd
from espnet_dsu.upstream.wave_statistics import WaveStatistics


class Layer(nn.Module):
    def __init__(self, inputs, kernel, stride, norm=None, bias=False):
        super().__init__()
        self.conv = nn.Conv1d(inputs, 8, kernel, stride, bias=bias)
        self.layer_norm = norm

    def forward(self, x):
        x = self.conv(x)
        return nn.functional.gelu(x if self.layer_norm is None else self.layer_norm(x))


def front(norm=None, wave_eps=None, bias=False):
    torch.manual_seed(0)
    if norm is not None:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    layers = [Layer(1, 10, 5, norm, bias), Layer(8, 3, 2), Layer(8, 2, 2)]
    return ConvFrontEnd(nn.ModuleList(layers), nn.functional.gelu, wave_eps)


def plainly(model, wav):
    """The same in one piece, with the norms as torch computes them."""
    if model.wave_eps is not None:
        wav = nn.functional.layer_norm(wav, (len(wav),), eps=model.wave_eps)
    x = wav[None, None]
    for layer in model.conv_layers:
        x = layer(x)
    return x[0]


def run(model, wavs):
    lengths = torch.tensor([len(wav) for wav in wavs])
    model.prepare(lengths, [model.statistics([wav]) for wav in wavs])
    return model(nn.utils.rnn.pad_sequence(wavs, batch_first=True))


@pytest.mark.parametrize("wave_eps", [None, 1e-5])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [None, 1, 2, 8])
@torch.no_grad()
def test_slices_with_folded_norms_equal_the_plain_layers(
    groups, bias, wave_eps, monkeypatch
):
    monkeypatch.setitem(convs._SLICE_FRAMES, "cpu", 7)
    norm = None if groups is None else nn.GroupNorm(groups, 8)
    model = front(norm, wave_eps, bias).requires_grad_(False)
    wavs = [0.3 * torch.randn(n) + 0.1 for n in (1000, 30, 577)]
    out = run(model, wavs)
    for row, wav in zip(out, wavs):
        expected = plainly(model, wav)
        assert expected.shape[1] == model.num_frames(len(wav))
        assert torch.allclose(row[:, : expected.shape[1]], expected, atol=2e-5)
        assert not row[:, expected.shape[1] :].any()


@torch.no_grad()
def test_an_utterance_is_the_same_bit_for_bit_in_any_batch():
    model = front(nn.GroupNorm(8, 8), 1e-5).requires_grad_(False)
    wavs = [torch.randn(n) for n in (900, 400, 1200)]
    for row, wav in zip(run(model, wavs), wavs):
        alone = run(model, [wav])[0]
        assert torch.equal(row[:, : alone.shape[1]], alone)


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 500), max_size=8),
    length=st.integers(10, 500),
)
def test_statistics_do_not_depend_on_how_the_waveform_is_cut(cuts, length):
    wav = torch.randn(length, generator=torch.Generator().manual_seed(length))
    edges = [0, *sorted(min(cut, length) for cut in cuts), length]
    blocks = [wav[a:b] for a, b in zip(edges, edges[1:])]
    whole = WaveStatistics.gather([wav], 10, 5)
    parts = WaveStatistics.gather(blocks, 10, 5)
    for name in ("mean", "variance", "patch_mean", "patch_covariance"):
        assert torch.allclose(getattr(whole, name), getattr(parts, name), atol=1e-12)
    assert torch.allclose(whole.variance, wav.double().var(correction=0), atol=1e-12)


def test_gradients_pass_through_the_folded_norm():
    model = front(nn.GroupNorm(8, 8), 1e-5)
    wav = torch.randn(500)
    run(model, [wav]).square().sum().backward()
    got = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    plainly(model, wav).square().sum().backward()
    for ours, p in zip(got, model.parameters()):
        assert torch.allclose(ours, p.grad, rtol=1e-3, atol=1e-4)


def test_front_end_with_a_later_group_norm_is_refused():
    layers = [Layer(1, 10, 5), Layer(8, 3, 2, nn.GroupNorm(8, 8))]
    with pytest.raises(DSUError, match="group norm after"):
        ConvFrontEnd(nn.ModuleList(layers), torch.relu, None)


def test_statistics_of_too_few_samples_are_one_clear_error():
    with pytest.raises(DSUError, match="too few samples"):
        WaveStatistics.gather([torch.zeros(4), torch.zeros(5)], 10, 5)
