import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu import DSUError, UnitTokenizer
from espnet_dsu.quantizer import KMeans
from espnet_dsu.stream_report import measure_stream
from espnet_dsu.upstream import build_upstream
from tests.speech import train_bundle, voice
from tests.upstream import tiny_checkpoints

WAV = voice(3.0, 5)
SHORT = {"hop_sec": 0.2, "context_sec": 0.3, "lookahead_sec": 0.1}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_bundle(tmp_path_factory.mktemp("t") / "bundle")


def run(stream, wav, sizes):
    """Feed ``wav`` in blocks of these sizes, over and over; give all units."""
    parts, start, number = [], 0, 0
    while start < len(wav):
        size = sizes[number % len(sizes)]
        parts.append(stream.feed(wav[start : start + size]).units)
        start, number = start + size, number + 1
    return np.concatenate([*parts, stream.finish().units])


@settings(deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 20000), min_size=1, max_size=5),
    fs=st.sampled_from([16000, 22050]),
)
def test_stream_units_do_not_depend_on_how_samples_are_fed(tokenizer, sizes, fs):
    wav = voice(1.3, 2, fs)
    at_once = run(tokenizer.stream(fs, **SHORT), wav, [len(wav)])
    assert np.array_equal(run(tokenizer.stream(fs, **SHORT), wav, sizes), at_once)


@settings(deadline=None, max_examples=25)
@given(
    num_samples=st.integers(1, 30000),
    fs=st.sampled_from([8000, 16000, 22050]),
    hop=st.floats(0.0, 0.5),
    lookahead=st.floats(0.0, 0.5),
)
def test_stream_gives_one_unit_per_frame(tokenizer, num_samples, fs, hop, lookahead):
    stream = tokenizer.stream(
        fs, hop_sec=max(hop, 0.05), context_sec=0.1, lookahead_sec=lookahead
    )
    wav = voice(30000 / fs, 1, fs)[:num_samples]
    resampled = -(-num_samples * 16000 // fs)
    expected = tokenizer.upstream.num_frames(resampled)
    assert len(run(stream, wav, [4000])) == expected


def test_stream_with_the_statistics_of_the_whole_is_exact_for_mfcc(tokenizer):
    # MFCC frames depend on their neighbours and on CMVN, and on nothing else.
    given_statistics = tokenizer.statistics(WAV, 16000)
    options = {"hop_sec": 0.1, "context_sec": 0, "lookahead_sec": 0}
    stream = tokenizer.stream(16000, statistics=given_statistics, **options)
    offline = tokenizer.encode(WAV, 16000).units
    assert np.array_equal(run(stream, WAV, [1600]), offline)
    running = run(tokenizer.stream(16000, **options), WAV, [1600])
    assert 0.5 < (running == offline).mean() < 1


def test_stream_gives_a_unit_within_its_latency_and_never_takes_it_back(tokenizer):
    stream = tokenizer.stream(16000, **SHORT)
    given_units = []
    for fed in range(160, len(WAV) + 1, 160):
        given_units.extend(stream.feed(WAV[fed - 160 : fed]).units)
        # A frame that began longer ago than the latency has its unit.
        begun = 1 + math.floor((fed / 16000 - stream.latency_sec) / 0.01 + 1e-6)
        assert len(given_units) >= begun
        # And not one before it can be known.
        assert len(given_units) <= tokenizer.upstream.num_frames(fed)
    late = stream.latency_sec
    assert late == pytest.approx(0.2 - 0.01 + 0.1 + 0.025 + 0.04)
    slower = tokenizer.stream(22050, **SHORT)
    assert late < slower.latency_sec < late + 0.05


def test_stream_units_are_those_of_the_prefix_heard_so_far(tokenizer):
    # What comes later cannot change what was given out.
    stream, cut = tokenizer.stream(16000, **SHORT), 20000
    before = stream.feed(WAV[:cut]).units
    other = tokenizer.stream(16000, **SHORT)
    assert np.array_equal(other.feed(WAV[:cut]).units, before)
    other.feed(np.zeros(16000, np.float32))
    assert stream.num_samples <= cut and len(before) > 50


def test_stream_sequences_carry_the_facts_of_the_tokenizer(tokenizer):
    stream = tokenizer.stream(16000)
    empty = stream.feed(WAV[:10])
    assert len(empty) == 0 and empty.fingerprint == tokenizer.fingerprint
    assert len(stream.feed(np.zeros(0, np.float32))) == 0
    assert stream.compute_sec == 0
    rest = stream.finish()
    assert len(rest) == 0 and rest.frame_shift == tokenizer.spec.frame_shift


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 10), np.float32), "shape"),
        (np.zeros(10, np.int16), "int16"),
        (np.full(10, np.nan, np.float32), "NaN"),
    ],
)
def test_stream_bad_samples_are_one_clear_error(tokenizer, samples, message):
    with pytest.raises(DSUError, match=message):
        tokenizer.stream(16000).feed(samples)


def test_stream_that_has_ended_takes_nothing_more(tokenizer):
    stream = tokenizer.stream(16000)
    stream.finish()
    with pytest.raises(DSUError, match="has ended"):
        stream.feed(WAV)
    with pytest.raises(DSUError, match="has ended"):
        stream.finish()


@pytest.mark.parametrize("option", ["hop_sec", "context_sec", "lookahead_sec"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_stream_impossible_times_are_refused(tokenizer, option, value):
    with pytest.raises(DSUError, match=f"{option} is"):
        tokenizer.stream(16000, **{option: value})


@pytest.mark.parametrize("case", ["hubert_group", "ta_wavlm_layer", "wav2vec2_bert"])
def test_stream_of_a_model_that_hears_all_first_is_the_whole(tmp_path, case):
    tiny_checkpoints.save_checkpoint(tmp_path / "m", case)
    upstream = build_upstream(tiny_checkpoints.name_of(tmp_path / "m", case, 1))
    wav = voice(1.0, 4)
    with torch.inference_mode():
        frames, _ = upstream.frames(torch.tensor(wav)[None], torch.tensor([len(wav)]))
    centroids = frames[0, :: len(frames[0]) // 12].clone()
    quantizer = KMeans.from_tensors(
        {"nclusters": len(centroids), "dim": upstream.dim}, {"centroids": centroids}
    )
    tokenizer = UnitTokenizer.join(upstream, quantizer)
    whole = tokenizer.encode(wav, 16000).units
    stream = tokenizer.stream(16000, lookahead_sec=2.0)
    assert np.array_equal(run(stream, wav, [1000]), whole)
    hasty = tokenizer.stream(16000, hop_sec=0.02, context_sec=0.1, lookahead_sec=0.0)
    assert len(run(hasty, wav, [1000])) == len(whole)


def test_report_of_a_stream_that_hears_everything_is_perfect(tokenizer):
    patient = measure_stream(tokenizer, WAV, 16000, lookahead_sec=3.0)
    assert patient.agreement == 1 and math.isnan(patient.prefix_stability)
    assert patient.num_frames == 298 and patient.real_time_factor > 0


def test_report_of_a_hasty_stream_says_what_haste_costs(tokenizer):
    hasty = measure_stream(tokenizer, WAV, 16000, 5, hop_sec=0.1, lookahead_sec=0.0)
    calm = measure_stream(tokenizer, WAV, 16000, 5, hop_sec=0.5, lookahead_sec=1.0)
    assert hasty.latency_sec < 0.2 < 1.5 < calm.latency_sec
    assert 0.3 < hasty.agreement < calm.agreement <= 1
    assert 0.3 < hasty.prefix_stability <= 1
    assert hasty.slowest_hop_sec > 0
    with pytest.raises(DSUError, match="num_prefixes is 0"):
        measure_stream(tokenizer, WAV, 16000, 0)
