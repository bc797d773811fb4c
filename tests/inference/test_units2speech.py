import shutil

import numpy as np
import pytest
import torch
import yaml

from espnet_dsu import DSUError, UnitSequence, UnitTokenizer
from espnet_dsu.inference.request import Request
from espnet_dsu.inference.speaking import cut_batches
from tests.inference.tiny_vocoder import write_vocoder
from tests.speech import train_bundle, voice

SPEAKERS = {"<unk>": 0, "ann": 1, "bob": 2}
STYLES = {"calm": 0, "loud": 1}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A bundle and vocoders of it, in a folder."""
    folder = tmp_path_factory.mktemp("units2speech")
    train_bundle(folder / "bundle")
    config = folder / "bundle" / "config.yaml"
    write_vocoder(folder / "plain", config)
    write_vocoder(folder / "hifigan", config, "hifigan")
    write_vocoder(folder / "still", config, predict_durations=False)
    rich = {"speakers": SPEAKERS, "styles": STYLES, "spk_embed_dim": 4}
    write_vocoder(folder / "rich", config, **rich, f0="continuous")
    return folder


@pytest.fixture(scope="module")
def tokenizer(lab):
    return UnitTokenizer.from_pretrained(lab / "bundle")


@pytest.fixture(scope="module")
def load(lab):
    from espnet_dsu import Units2Speech

    loaded = {}

    def get(name):
        if name not in loaded:
            loaded[name] = Units2Speech.from_pretrained(lab / name)
        return loaded[name]

    return get


@pytest.fixture(scope="module")
def sequences(tokenizer):
    return [tokenizer.encode(voice(s, i), 16000) for i, s in enumerate((0.5, 1.1, 0.8))]


def rich(units, **more):
    given = {"speaker": "ann", "style": "calm", "spemb": np.ones(4), **more}
    return Request(units, **given)


@pytest.mark.parametrize("name", ["plain", "hifigan"])
def test_waveform_lasts_as_long_as_the_units(load, sequences, name):
    for sequence in sequences:
        wav = load(name)(sequence)
        assert wav.dtype == np.float32 and np.isfinite(wav).all() and wav.any()
        assert len(wav) / load(name).fs == pytest.approx(sequence.duration_sec)


@pytest.mark.parametrize("name", ["plain", "hifigan"])
@pytest.mark.parametrize("durations", ["given", "predicted"])
@pytest.mark.parametrize("batch_sec", [0.1, 1.7, 60.0])
def test_batch_gives_the_same_as_one_by_one(
    load, sequences, name, durations, batch_sec
):
    requests = [Request(s) for s in sequences]
    together = load(name).batch(requests, durations=durations, batch_sec=batch_sec)
    for sequence, wav in zip(sequences, together):
        alone = load(name)(sequence, durations=durations)
        np.testing.assert_allclose(wav, alone, atol=1e-6)


def test_batch_of_given_and_predicted_f0_gives_the_same_as_one_by_one(load, sequences):
    model = load("rich")
    f0 = [
        np.full(s.num_frames, 100 + 10 * np.arange(s.num_frames) % 30)
        for s in sequences
    ]
    requests = [rich(sequences[0], f0=f0[0]), rich(sequences[1], speaker="bob")]
    requests.append(rich(sequences[2], style=1, f0=f0[2]))
    for request, wav in zip(requests, model.batch(requests)):
        alone = model(**vars(request))
        np.testing.assert_allclose(wav, alone, atol=1e-6)


def test_frames_runs_with_durations_and_arrays_are_spoken_alike(load, sequences):
    model, sequence = load("plain"), sequences[0]
    expected = model(sequence)
    for units in (
        sequence.collapse(),
        sequence.units,
        sequence.units.tolist(),
        torch.from_numpy(sequence.units),
    ):
        assert np.array_equal(model(units), expected)


def test_runs_without_durations_get_the_predicted_ones(load, sequences):
    model, runs = load("plain"), sequences[1].collapse()
    expected = model(sequences[1], durations="predicted")
    bare = UnitSequence.from_frames(
        runs.units, runs.frame_shift, runs.sample_rate, runs.fingerprint
    )
    assert np.array_equal(model(bare, units_are="runs"), expected)
    assert np.array_equal(model(runs.units, units_are="runs"), expected)
    assert np.array_equal(model(runs, units_are="runs"), model(sequences[1]))


@pytest.mark.parametrize("durations", ["given", "predicted"])
def test_length_scale_stretches_speech(load, sequences, durations):
    model, sequence = load("plain"), sequences[1]
    normal = len(model(sequence, durations=durations))
    slow = len(model(sequence, durations=durations, length_scale=1.3))
    assert slow / normal == pytest.approx(1.3, abs=0.02)


@pytest.mark.parametrize(
    "change",
    [{"speaker": "bob"}, {"style": "loud"}, {"spemb": [1, 0, 0, 0]}, {"f0": 1}],
)
def test_every_condition_is_heard(load, sequences, change):
    model, sequence = load("rich"), sequences[0]
    if "f0" in change:
        change = {"f0": np.where(np.arange(sequence.num_frames) % 9 > 3, 150, 0)}
    normal, other = (model(**vars(rich(sequence, **c))) for c in ({}, change))
    assert normal.shape == other.shape and np.abs(normal - other).max() > 1e-4


def test_f0_goes_along_with_durations_that_change(load, sequences):
    model, sequence = load("rich"), sequences[0].collapse()
    values = np.repeat(100.0 + np.arange(len(sequence)), sequence.durations)
    twice = UnitSequence(
        sequence.units,
        2 * sequence.durations,
        sequence.frame_shift,
        sequence.sample_rate,
        sequence.fingerprint,
    )
    slow = model(**vars(rich(sequence, f0=values)), length_scale=2.0)
    expected = model(**vars(rich(twice, f0=np.repeat(values, 2))))
    np.testing.assert_allclose(slow, expected, atol=1e-6)


def test_any_streams_speak_and_the_others_are_not_read(tmp_path):
    from espnet_dsu import Units2Speech

    wavs = [voice(1.0, i) for i in range(3)]
    tokenizer = UnitTokenizer.train(wavs, 16000, nclusters=(8, 12))
    tokenizer.save_pretrained(tmp_path / "bundle")
    write_vocoder(tmp_path / "voc", tmp_path / "bundle" / "config.yaml")
    model = Units2Speech.from_pretrained(tmp_path / "voc")
    units = tokenizer.encode(wavs[0], 16000).units
    garbled = units.copy()
    garbled[:, 1] = 10_000
    heard = [model(units, streams=s) for s in ([0], [1], [0, 1], None)]
    assert np.array_equal(heard[2], heard[3])
    assert all(np.abs(heard[i] - heard[3]).max() > 1e-5 for i in (0, 1))
    assert np.array_equal(model(garbled, streams=[0]), heard[0])
    for streams in ([], [2], [0, 0], [-1]):
        with pytest.raises(DSUError, match=r"of 0\.\.1"):
            model(units, streams=streams)
    with pytest.raises(DSUError, match="1 unit streams, expected 2"):
        model(units[:, 0])


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ([3, 20], r"unit 20 is outside 0\.\.19"),
        ([3, -1], "unit -1 is negative"),
        ([], "the unit sequence is empty"),
        ([0.5], "integers of shape"),
    ],
)
def test_units_that_are_none_are_refused(load, units, message):
    with pytest.raises(DSUError, match=message):
        load("plain")(units)


def test_units_of_another_bundle_are_refused_naming_both(load, sequences):
    own = sequences[0]
    other = UnitSequence.from_frames(own.units, own.frame_shift, 16000, "beef")
    with pytest.raises(DSUError, match=f"beef.*trained with {own.fingerprint}"):
        load("plain")(other)


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        ("rich", {"speaker": "eve"}, "speaker 'eve' is unknown.*one of ann, bob$"),
        ("rich", {"speaker": "<unk>"}, "unknown.*one of ann, bob$"),
        ("rich", {"speaker": 3}, "speaker 3 is unknown"),
        ("rich", {"speaker": None}, "speaker is missing; give one of ann, bob"),
        ("rich", {"style": None}, "style is missing; give one of calm, loud"),
        ("rich", {"spemb": None}, r"\(spemb\) is missing, expected 4"),
        ("rich", {"spemb": np.ones(3)}, r"\(spemb\) is of 3 values, expected 4"),
        ("rich", {"f0": np.ones(3)}, "f0 has 3 frames and the units 50"),
        ("rich", {"f0": -np.ones(50)}, "expected Hz from 0 up"),
        ("plain", {"speaker": "ann"}, "trained without; give none"),
        ("plain", {"spemb": np.ones(4)}, "trained without; leave it out"),
        ("plain", {"f0": np.ones(50)}, "trained without; leave it out"),
    ],
)
def test_condition_that_is_missing_or_does_not_fit_is_refused(
    load, model, given, message
):
    full = vars(rich(np.zeros(50, int))) if model == "rich" else {"units": [0] * 50}
    with pytest.raises(DSUError, match=message):
        load(model)(**{**full, **given})


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("plain", {"length_scale": 0.0}, "a factor above 0"),
        ("plain", {"durations": "mine"}, "given or predicted"),
        ("plain", {"units_are": "words"}, "frames or runs"),
        ("still", {"durations": "predicted"}, "without a duration predictor"),
        ("still", {"units_are": "runs"}, "without a duration predictor"),
    ],
)
def test_manner_that_there_is_not_is_refused(load, model, options, message):
    with pytest.raises(DSUError, match=message):
        load(model)([1, 2, 3], **options)


def test_f0_of_runs_without_durations_is_refused(load):
    with pytest.raises(DSUError, match="runs without durations"):
        load("rich")(**vars(rich([1, 2], f0=np.ones(2))), units_are="runs")


def test_bad_request_of_a_batch_is_named(load):
    with pytest.raises(DSUError, match="request 1: .*unit 99 is outside"):
        load("plain").batch([Request([1]), Request([99])])


def test_many_speakers_are_not_all_listed(lab, tmp_path):
    from espnet_dsu import Units2Speech

    many = {f"s{i}": i for i in range(500)}
    write_vocoder(tmp_path, lab / "bundle" / "config.yaml", speakers=many)
    with pytest.raises(DSUError, match=r"s8, s9, \.\.\. \(500 in all\)$"):
        Units2Speech.from_pretrained(tmp_path)([1])


def test_folder_with_two_checkpoints_or_none_is_refused(lab, tmp_path):
    from espnet_dsu import Units2Speech

    with pytest.raises(DSUError, match="holds no config.yaml"):
        Units2Speech.from_pretrained(tmp_path)
    shutil.copytree(lab / "plain", tmp_path / "two")
    shutil.copy(lab / "plain/valid.mel_loss.ave.pth", tmp_path / "two/1epoch.pth")
    with pytest.raises(DSUError, match="2 checkpoints.*expected one"):
        Units2Speech.from_pretrained(tmp_path / "two")


def test_checkpoint_of_another_bundle_is_refused(lab, tmp_path):
    from espnet_dsu import Units2Speech

    train_bundle(tmp_path / "other", seed=9)
    shutil.copytree(lab / "plain", tmp_path / "voc")
    config = yaml.safe_load((tmp_path / "voc/config.yaml").read_text())
    config["tokenizer"] = str(tmp_path / "other/config.yaml")
    (tmp_path / "voc/config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(DSUError):
        Units2Speech.from_pretrained(tmp_path / "voc")


def test_batches_hold_each_index_once_within_the_limit():
    lengths = {i: 1 + (i * 37) % 50 for i in range(60)}
    batches = list(cut_batches(lengths, 90))
    assert sorted(i for batch in batches for i in batch) == list(lengths)
    for batch in batches:
        assert len(batch) * max(lengths[i] for i in batch) <= 90
    assert list(cut_batches({4: 500}, 90)) == [[4]]
