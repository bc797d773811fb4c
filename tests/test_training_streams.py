"""Which streams a tokenizer has, and units of several streams from end to end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from espnet_dsu import DSUError, UnitTokenizer
from espnet_dsu.stream_report import measure_stream
from espnet_dsu.tokenizer import plan_tag
from espnet_dsu.training_streams import plan_streams, vocab_sizes
from espnet_dsu.units.pieces import UnitPieces
from espnet_dsu.upstream import build_upstream
from espnet_dsu.upstream.windows import Windowing
from tests.speech import voice
from tests.upstream.tiny_checkpoints import name_of, save_checkpoint

WAVS = [voice(1.5, i) for i in range(3)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("m") / "tiny"
    save_checkpoint(folder, "hubert_layer")
    return folder


@pytest.fixture(scope="module")
def two(model):
    """Streams of layers 1 and 2 with K of their own."""
    name = f"hf:{model}@1+2"
    return UnitTokenizer.train(WAVS, 16000, upstream=name, nclusters=(10, 20))


@pytest.mark.parametrize(
    ("nclusters", "num_layers", "sizes"),
    [
        (500, 0, (500,)),
        (500, 1, (500,)),
        (500, 2, (500, 500)),
        ((500,), 3, (500, 500, 500)),
        ((500, 2000), 2, (500, 2000)),
        ((500, 500), 2, (500, 500)),
        ((100, 500), 0, (100, 500)),
        ((100, 500, 20), 1, (100, 500, 20)),
    ],
)
def test_vocab_sizes_are_one_for_each_stream(nclusters, num_layers, sizes):
    assert vocab_sizes(nclusters, num_layers) == sizes


@pytest.mark.parametrize(
    ("nclusters", "num_layers", "message"),
    [
        ((1, 2, 3), 2, r"1\+2\+3 are 3 numbers for 2 layers"),
        ((100, 100), 0, r"100\+100: .*same units twice"),
        ((5, 7, 5), 1, r"5\+7\+5: .*same units twice"),
    ],
)
def test_vocab_sizes_that_do_not_fit_are_refused(nclusters, num_layers, message):
    with pytest.raises(DSUError, match=message):
        vocab_sizes(nclusters, num_layers)


@pytest.mark.parametrize(
    ("upstream", "nclusters", "tag"),
    [
        ("hf:me/hubert_base@6+12", 500, "hubert_base_6+12_km500"),
        ("hf:me/hubert_base@6+12", (500, 500), "hubert_base_6+12_km500"),
        ("hf:me/hubert_base@6+12", (500, 2000), "hubert_base_6+12_km500+2000"),
        ("hf:me/hubert_base@6", (500, 2000), "hubert_base_6_km500+2000"),
        ("torchaudio:WAVLM_LARGE@6+21", 100, "wavlm_large_6+21_km100"),
        ("mfcc", (100, 500), "mfcc_km100+500"),
    ],
)
def test_plan_tag_names_layers_and_streams(upstream, nclusters, tag):
    assert plan_tag(upstream, {}, nclusters) == tag


def test_plan_streams_of_layers_read_their_slices(model):
    upstream = build_upstream(f"hf:{model}@0+1+3")
    assert (upstream.dim, upstream.layer_dim, upstream.layer) == (48, 16, 3)
    streams = plan_streams(upstream, (5, 6, 7), 100, "1GiB")
    found = [(s.layer, s.first, s.dim, s.nclusters) for s in streams]
    assert found == [(0, 0, 16, 5), (1, 16, 16, 6), (3, 32, 16, 7)]
    assert {(s.num_frames, s.bound) for s in streams} == {(100, "max_frames 100")}


def test_train_two_layers_gives_two_streams_that_come_back(two, tmp_path):
    assert two.spec.tag == "tiny_1+2_km10+20" and two.spec.vocab_sizes == (10, 20)
    assert [report.vocab_size for report in two.reports] == [10, 20]
    sequence = two.encode(WAVS[0], 16000)
    assert sequence.units.shape == (two.upstream.num_frames(len(WAVS[0])), 2)
    assert (sequence.units.max(axis=0) < [10, 20]).all()
    assert sequence.units.max() >= 10, "the second stream uses its own vocabulary"
    two.save_pretrained(tmp_path / "bundle")
    again = UnitTokenizer.from_pretrained(tmp_path / "bundle")
    assert again.spec == two.spec and again.fingerprint == two.fingerprint
    assert again.encode(WAVS[0], 16000) == sequence
    runs = sequence.collapse()
    assert len(runs) < len(sequence) and runs.expand() == sequence


def test_train_streams_equal_single_bundles_trained_alike(two, model):
    expected = [two.encode(wav, 16000).units for wav in WAVS]
    for stream, (layer, nclusters) in enumerate([(1, 10), (2, 20)]):
        name = f"hf:{model}@{layer}"
        alone = UnitTokenizer.train(WAVS, 16000, upstream=name, nclusters=nclusters)
        assert torch.equal(
            alone.quantizer.stream_centroids()[0],
            two.quantizer.stream_centroids()[stream],
        )
        for wav, units in zip(WAVS, expected):
            assert np.array_equal(alone.encode(wav, 16000).units, units[:, stream])


def test_train_streams_of_the_same_frames_equal_single_bundles():
    both = UnitTokenizer.train(WAVS, 16000, nclusters=(8, 20), max_frames=200)
    assert both.spec.tag == "mfcc_km8+20"
    units = both.encode(WAVS[0], 16000).units
    for stream, nclusters in enumerate((8, 20)):
        alone = UnitTokenizer.train(WAVS, 16000, nclusters=nclusters, max_frames=200)
        assert np.array_equal(alone.encode(WAVS[0], 16000).units, units[:, stream])


@pytest.mark.parametrize("case", ["wavlm_group", "ta_wav2vec2_layer", "wav2vec2_bert"])
def test_streams_of_any_family_do_not_depend_on_the_batch(tmp_path, case):
    save_checkpoint(tmp_path / "m", case)
    name = name_of(tmp_path / "m", case, 1) + "+3"
    tokenizer = UnitTokenizer.train(WAVS, 16000, upstream=name, nclusters=6)
    alone = [tokenizer.encode(wav[:n], 16000) for wav, n in zip(WAVS, (9000, 20000))]
    pair = [wav[:n] for wav, n in zip(WAVS, (9000, 20000))]
    assert tokenizer.encode_batch(pair, 16000) == alone
    assert alone[0].num_streams == 2


def test_embedded_upstream_keeps_the_layers_up_to_the_highest(two, tmp_path):
    two.save_pretrained(tmp_path / "bundle", embed_upstream=True)
    loaded = UnitTokenizer.from_pretrained(tmp_path / "bundle")
    assert loaded.upstream.num_layers == 2 and loaded.upstream.layers == (1, 2)
    assert loaded.encode(WAVS[1], 16000) == two.encode(WAVS[1], 16000)


def test_windows_of_long_audio_agree_with_the_whole(two):
    wav = np.concatenate(WAVS)
    whole = two.encode(wav, 16000).units
    cut = two.with_windowing(Windowing(window_sec=2.0, context_sec=0.5))
    units = cut.encode(wav, 16000).units
    assert units.shape == whole.shape and (units == whole).mean() > 0.9


def test_units_of_a_stream_of_audio_agree_with_the_whole(two):
    wav = np.concatenate(WAVS)
    given = two.statistics(wav, 16000)
    report = measure_stream(two, wav, 16000, num_prefixes=2, statistics=given)
    assert report.num_frames == len(two.encode(wav, 16000))
    assert report.agreement > 0.8


def test_pieces_of_several_streams_are_refused(two):
    pieces = UnitPieces.train([np.arange(20)] * 5, 20, 30)
    with pytest.raises(DSUError, match="2 unit streams, and unit pieces are made of"):
        two.with_pieces(pieces)


def test_join_one_quantizer_to_several_layers_is_refused(two):
    with pytest.raises(DSUError, match="2 layers and the quantizer 1 streams"):
        UnitTokenizer.join(two.upstream, two.quantizer.parts[0])
