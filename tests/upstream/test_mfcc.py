"""MFCC frames."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream import build_upstream


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=15)
@given(lengths=st.lists(st.integers(0, 4000), min_size=1, max_size=5))
def test_frames_of_a_batch_are_bitwise_those_of_each_alone(lengths):
    upstream = build_upstream("mfcc")
    wav = noise(len(lengths), 4100)
    frames, counts = upstream.frames(wav, torch.tensor(lengths))
    for row, n, batched, count in zip(wav, lengths, frames, counts):
        alone, _ = upstream.frames(row[None, :n], torch.tensor([n]))
        assert count == alone.shape[1] == upstream.num_frames(n)
        assert torch.equal(batched[:count], alone[0])
        assert batched[count:].eq(0).all()


def test_frames_ignore_nan_in_the_padding():
    upstream = build_upstream("mfcc")
    wav, lengths = noise(2, 2000), torch.tensor([2000, 1234])
    expected, _ = upstream.frames(wav, lengths)
    wav[1, 1234:] = float("nan")
    assert torch.equal(upstream.frames(wav, lengths)[0], expected)


def test_frames_with_utterance_cmvn_have_zero_mean_and_unit_variance():
    frames, _ = build_upstream("mfcc").frames(noise(1, 16000), torch.tensor([16000]))
    torch.testing.assert_close(frames[0].mean(0), torch.zeros(39), atol=1e-5, rtol=0)
    variance = frames[0].var(0, unbiased=False)
    torch.testing.assert_close(variance, torch.ones(39), atol=1e-4, rtol=0)


def test_cmvn_takes_a_channel_gain_out_and_none_leaves_it_in():
    wav, lengths = noise(1, 8000), torch.tensor([8000])
    for cmvn, same in (("utterance", True), ("none", False)):
        upstream = build_upstream("mfcc", {"cmvn": cmvn})
        loud, quiet = (
            upstream.frames(wav, lengths)[0],
            upstream.frames(wav / 4, lengths)[0],
        )
        assert torch.allclose(loud, quiet, atol=1e-3) is same


def test_frames_without_cmvn_are_kaldi_cepstra_and_their_deltas():
    from torchaudio.compliance.kaldi import mfcc
    from torchaudio.functional import compute_deltas

    wav = noise(1, 4000)
    cepstra = mfcc(wav, use_energy=False).T
    deltas = compute_deltas(cepstra)
    expected = torch.cat([cepstra, deltas, compute_deltas(deltas)]).T
    upstream = build_upstream("mfcc", {"cmvn": "none"})
    frames, _ = upstream.frames(wav, torch.tensor([4000]))
    assert frames.dtype == torch.float32
    torch.testing.assert_close(frames[0], expected, atol=1e-2, rtol=1e-3)


def test_frames_every_20_ms_are_every_second_cepstrum_with_deltas_of_its_own():
    wav, lengths = noise(1, 8000), torch.tensor([8000])
    conf = {"cmvn": "none", "sample_rate": 8000}
    fine, _ = build_upstream("mfcc", conf).frames(wav, lengths)
    coarse, _ = build_upstream("mfcc", {**conf, "frame_shift": 20}).frames(wav, lengths)
    assert torch.equal(coarse[0, :, :13], fine[0, ::2, :13])
    assert not torch.allclose(coarse[0, :, 13:], fine[0, ::2, 13:], atol=0.1)


@pytest.mark.parametrize("shift", [10, 20, 25])
@pytest.mark.parametrize("first, last", [(0, 1), (4, 5), (17, 30)])
def test_frame_window_holds_all_that_frames_are_made_from(shift, first, last):
    conf = {"cmvn": "none", "frame_shift": shift}
    upstream, wav = build_upstream("mfcc", conf), noise(1, 16000)
    whole, _ = upstream.frames(wav, torch.tensor([16000]))
    start, stop = upstream.frame_window(first, last)
    part, _ = upstream.frames(wav[:, start:stop], torch.tensor([stop - start]))
    skip = first - start // upstream.frame_shift
    assert torch.equal(part[0, skip : skip + last - first], whole[0, first:last])
    assert stop - start <= upstream.receptive_field + (last - first - 1) * (
        upstream.frame_shift
    )


def test_frames_of_the_default_shift_are_those_of_10_ms_to_the_bit():
    wav, lengths = noise(1, 8000), torch.tensor([8000])
    default, named = build_upstream("mfcc"), build_upstream("mfcc", {"frame_shift": 10})
    assert torch.equal(default.frames(wav, lengths)[0], named.frames(wav, lengths)[0])
    assert default.identity() == named.identity() and default.tag == named.tag


def test_frames_of_digital_silence_are_finite_and_near_zero():
    frames, _ = build_upstream("mfcc").frames(
        torch.zeros(1, 8000), torch.tensor([8000])
    )
    assert frames.abs().max() < 1e-3


@pytest.mark.parametrize(
    "fs, milliseconds, shift",
    [
        (8000, 10, 80),
        (16000, 10, 160),
        (22050, 10, 220),
        (8000, 20, 160),
        (16000, 12.5, 200),
        (16000, 25, 400),
    ],
)
def test_num_frames_is_the_actual_count_at_every_rate(fs, milliseconds, shift):
    conf = {"sample_rate": fs, "frame_shift": milliseconds}
    upstream = build_upstream("mfcc", conf)
    assert upstream.frame_shift == shift and upstream.dim == 39
    for n in [0, 1, fs // 40 - 1, fs // 40, fs // 40 + shift, 1777]:
        frames, counts = upstream.frames(noise(1, max(n, 1)), torch.tensor([n]))
        assert counts[0] == frames.shape[1] == upstream.num_frames(n)
    assert upstream.num_frames(fs // 40 - 1) == 0


def test_frames_at_8_khz_have_no_empty_mel_band():
    upstream = build_upstream("mfcc", {"sample_rate": 8000, "cmvn": "none"})
    frames, _ = upstream.frames(noise(1, 8000), torch.tensor([8000]))
    assert frames[0, :, :13].std(dim=0).min() > 0.1


@pytest.mark.parametrize(
    "conf, tag",
    [
        ({}, "mfcc"),
        ({"cmvn": "none"}, "mfcc_nocmvn"),
        ({"sample_rate": 8000}, "mfcc_8k"),
        ({"sample_rate": 8000, "frame_shift": 20}, "mfcc_8k_20ms"),
        ({"frame_shift": 12.5, "cmvn": "none"}, "mfcc_12p5ms_nocmvn"),
        ({"sample_rate": 22050, "cmvn": "none"}, "mfcc_22050hz_nocmvn"),
    ],
)
def test_tag_shows_what_is_not_default_and_config_rebuilds(conf, tag):
    upstream = build_upstream("mfcc", conf)
    assert upstream.tag == tag
    config = upstream.config()
    again = build_upstream(config["name"], config["conf"])
    assert again.identity() == upstream.identity()
    assert (upstream.identity() == build_upstream("mfcc").identity()) is (not conf)
    assert (upstream.layer, upstream.num_layers) == (None, 0)


def test_save_weights_writes_nothing(tmp_path):
    build_upstream("mfcc").save_weights(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name, conf, message",
    [
        ("mfcc", {"cmvn": "speaker"}, "cmvn 'speaker'.*utterance, none"),
        ("mfcc", {"sample_rate": 4000}, "sample_rate 4000"),
        ("mfcc", {"sample_rate": 16000.0}, "sample_rate 16000.0"),
        ("mfcc", {"frame_shift": 0.5}, "frame_shift 0.5.*milliseconds from 1 to 25"),
        ("mfcc", {"frame_shift": 160}, "frame_shift 160.*milliseconds from 1 to 25"),
        ("mfcc", {"frame_shift": "20ms"}, "frame_shift '20ms'"),
        ("mfcc:x", {}, "mfcc has no checkpoint"),
    ],
)
def test_build_with_an_impossible_option_is_refused(name, conf, message):
    with pytest.raises(DSUError, match=message):
        build_upstream(name, conf)
