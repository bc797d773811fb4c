"""Frames of long audio, window by window."""

from __future__ import annotations

import json

import pytest
import tiny_checkpoints
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer.base import build_quantizer
from espnet_dsu.upstream import build_upstream
from espnet_dsu.upstream.blocks import Waveform
from espnet_dsu.upstream.windows import (
    DEFAULT_WINDOWING,
    WindowCutter,
    Windowing,
    in_frames,
    recording_frames,
    recording_windows,
)
from tests.speech import voice


class Fake:
    """Frames that tell which samples they were made from; they see two neighbours."""

    sample_rate, frame_shift, size, reach = 100, 5, 12, 2

    def num_frames(self, num_samples):
        if num_samples < self.size:
            return 0
        return 1 + (num_samples - self.size) // self.frame_shift

    def frame_window(self, first, last):
        start = max(0, first - self.reach) * self.frame_shift
        return start, (last - 1 + self.reach) * self.frame_shift + self.size

    def statistics(self, blocks):
        return sum(float(block.sum()) for block in blocks)

    def frames(self, wav, lengths, statistics=None):
        known = [float(wav.sum())] if statistics is None else statistics
        own = wav[0].unfold(0, self.size, self.frame_shift)[:, [0, -1]]
        # As deltas do: at the edges the last frame stands in for its neighbour.
        padded = torch.cat([own[:1]] * 2 + [own] + [own[-1:]] * 2)
        around = [padded[k : k + len(own)] for k in (0, 4)]
        total = torch.full((len(own), 1), known[0])
        return torch.cat([own, *around, total], dim=1)[None], lengths


@settings(deadline=None, max_examples=150)
@given(
    num_samples=st.integers(12, 3000),
    window=st.floats(0.5, 8),
    share=st.floats(0, 0.49),
)
def test_windows_give_every_frame_exactly_once_at_any_length(
    num_samples, window, share
):
    upstream, wav = Fake(), torch.arange(1.0, num_samples + 1)
    whole, _ = upstream.frames(wav[None], torch.tensor([num_samples]))
    windowing = Windowing(window, share * window)
    parts = recording_frames(upstream, Waveform(wav, 100), windowing, "cpu")
    assert torch.equal(torch.cat([*parts]), whole[0])


@settings(deadline=None, max_examples=100)
@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=20),
    central=st.integers(1, 9),
    before=st.integers(0, 9),
    after=st.integers(0, 9),
)
def test_windows_have_their_context_and_bounded_size_however_samples_come(
    sizes, central, before, after
):
    upstream, wav = Fake(), torch.arange(float(sum(sizes)))
    cutter = WindowCutter(upstream, central, before, after)
    windows = [w for block in wav.split(sizes) for w in cutter.feed(block)]
    for number, window in enumerate(windows):
        assert window.first == number * central and window.count == central
        assert window.skip >= min(window.first, before)
        computed = upstream.num_frames(len(window.samples))
        assert computed >= window.skip + central + after
    last = cutter.finish()
    windows += [last] if last else []
    assert sum(w.count for w in windows) == upstream.num_frames(len(wav))
    most = before + central + after + 2 * upstream.reach + 2
    assert all(upstream.num_frames(len(w.samples)) <= most for w in windows)
    if windows:
        assert torch.equal(windows[-1].samples[-1], wav[len(wav) - 1])


@pytest.mark.parametrize("cmvn", ["utterance", "none"])
@pytest.mark.parametrize("windowing", [Windowing(2, 0.3), Windowing(0.5, 0)])
def test_mfcc_frames_by_windows_are_those_of_the_whole(cmvn, windowing):
    upstream = build_upstream("mfcc", {"cmvn": cmvn})
    wav = torch.from_numpy(voice(6.4, 0))
    whole, _ = upstream.frames(wav[None], torch.tensor([len(wav)]))
    parts = [*recording_frames(upstream, Waveform(wav, 16000), windowing, "cpu")]
    assert len(parts) > 3
    torch.testing.assert_close(torch.cat(parts), whole[0], atol=1e-6, rtol=0)


def agreement(upstream, wav, windowing, nclusters=50):
    """Share of the frames whose unit is the same by windows and whole."""
    with torch.inference_mode():
        whole, _ = upstream.frames(wav[None], torch.tensor([len(wav)]))
    quantizer = build_quantizer(
        "kmeans", {"nclusters": nclusters, "seed": 0, "dim": upstream.dim}
    )
    quantizer.fit([whole[0].clone()])
    parts = [*recording_frames(upstream, Waveform(wav, 16000), windowing, "cpu")]
    assert len(parts) > 1
    same = quantizer.assign(torch.cat(parts)) == quantizer.assign(whole[0])
    return same.float().mean().item()


def initialize(model, seed):
    """Give linear layers the gain that those of a new HuBERT-base have.

    Its attention is spread over the whole utterance, the hardest case for windows.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            std = 0.02 * (768 / module.in_features) ** 0.5
            torch.nn.init.normal_(module.weight, std=std, generator=generator)


@pytest.fixture
def hubert_clock(monkeypatch):
    """Tiny models with HuBERT's convolutions: a frame every 20 ms."""
    convs = [(16, 10, 5), *[(16, 3, 2)] * 4, *[(16, 2, 2)] * 2]
    sizes = dict(zip(("conv_dim", "conv_kernel", "conv_stride"), zip(*convs)))
    cases = {
        case: (family, {**conf, **sizes})
        for case, (family, conf) in tiny_checkpoints.HF_CASES.items()
    }
    params = tiny_checkpoints.torchaudio_params
    monkeypatch.setattr(tiny_checkpoints, "HF_CASES", cases)
    monkeypatch.setattr(
        tiny_checkpoints,
        "torchaudio_params",
        lambda case: {**params(case), "extractor_conv_layer_config": convs},
    )
    monkeypatch.setattr(tiny_checkpoints, "randomize", initialize)


@pytest.mark.parametrize("do_normalize", [True, False])
@pytest.mark.parametrize(
    "case", ["hubert_group", "hubert_layer", "ta_wav2vec2_group", "ta_wavlm_layer"]
)
def test_units_of_a_minute_by_windows_agree_with_whole_file_units(
    tmp_path, hubert_clock, case, do_normalize
):
    torch.manual_seed(0)
    tiny_checkpoints.save_checkpoint(tmp_path / "m", case, do_normalize=do_normalize)
    upstream = build_upstream(tiny_checkpoints.name_of(tmp_path / "m", case, 2))
    wav = torch.from_numpy(voice(60.0, 1))
    assert upstream.frame_shift == 320
    assert agreement(upstream, wav, DEFAULT_WINDOWING) >= 0.995


@pytest.mark.parametrize("case", ["hubert_group", "ta_wavlm_layer", "wav2vec2_bert"])
def test_without_the_statistics_of_the_whole_windows_would_disagree(checkpoint, case):
    upstream = build_upstream(tiny_checkpoints.name_of(checkpoint(case), case, 0))
    wav = torch.from_numpy(voice(2.0, 1)) * torch.linspace(0.1, 1, 32000)
    recording, windowing = Waveform(wav, 16000), Windowing(1.0, 0.1)
    right = torch.cat([*recording_frames(upstream, recording, windowing, "cpu")])
    with torch.inference_mode():
        whole, _ = upstream.frames(wav[None], torch.tensor([len(wav)]))
        wrong = torch.cat(
            [
                window.frames(upstream)
                for window, _ in recording_windows(
                    upstream, recording, windowing, "cpu"
                )
            ]
        )
    inner = slice(20, -20)  # layer 0 has the positional convolution in it
    error = (right - whole[0])[inner].abs().mean()
    assert error < 0.1 * (wrong - whole[0])[inner].abs().mean()


def test_layers_of_a_window_are_those_of_the_upstreams_of_each_layer(checkpoint):
    case = "hubert_group"
    names = [tiny_checkpoints.name_of(checkpoint(case), case, k) for k in (1, 2)]
    lower, upper = map(build_upstream, names)
    recording = Waveform(torch.from_numpy(voice(1.0, 1)), 16000)
    windows = recording_windows(upper, recording, Windowing(0.4, 0.1), "cpu")
    with torch.inference_mode():
        for window, statistics in windows:
            found = window.layer_frames(upper, [1, 2], statistics)
            for frames, upstream in zip(found, (lower, upper)):
                expected = window.frames(upstream, statistics)
                torch.testing.assert_close(frames, expected, atol=1e-5, rtol=0)


def test_short_recording_is_one_window_with_its_own_statistics(checkpoint):
    upstream = build_upstream("mfcc")
    recording = Waveform(torch.from_numpy(voice(1.0, 1)), 16000)
    ((window, statistics),) = recording_windows(
        upstream, recording, Windowing(1.0, 0.2), "cpu"
    )
    assert (window.first, window.skip, window.count) == (0, 0, 98)
    assert statistics is None


def test_in_frames_is_whole_frames_whatever_the_rounding():
    upstream = build_upstream("mfcc")
    assert [in_frames(s, upstream) for s in (0, 0.009, 0.01, 0.29, 5.0)] == [
        0,
        0,
        1,
        29,
        500,
    ]


@pytest.mark.parametrize(
    "seconds", [(0, 0), (1, 0.5), (1, -0.1), (float("nan"), 0), (float("inf"), 1)]
)
def test_windowing_without_central_frames_is_refused(seconds):
    with pytest.raises(DSUError, match="longer than both contexts"):
        Windowing(*seconds)


def test_windowing_survives_yaml_and_refuses_what_is_none():
    plain = json.loads(json.dumps(DEFAULT_WINDOWING.to_dict()))
    assert Windowing.from_dict(plain, "x") == DEFAULT_WINDOWING
    for values in (None, {"window_sec": 1}, {"window_sec": "1", "context_sec": 0}):
        with pytest.raises(DSUError, match="x: windowing is"):
            Windowing.from_dict(values, "x")
