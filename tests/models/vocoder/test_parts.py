import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.models.vocoder.conditions import ConditionEncoder, Conditions
from espnet_dsu.models.vocoder.losses import MelLoss, duration_loss
from espnet_dsu.models.vocoder.masking import repeat_last
from espnet_dsu.models.vocoder.pitch import F0Track, PitchEncoder
from espnet_dsu.models.vocoder.runs import collapse_batch
from espnet_dsu.models.vocoder.segments import draw_segments
from espnet_dsu.models.vocoder.variance import VariancePredictor
from espnet_dsu.units.sequence import collapse_units


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), min_size=1))
def test_collapse_batch_agrees_with_each_sequence_alone(rows):
    lengths = torch.tensor([len(r) for r in rows])
    units = torch.full((len(rows), max(lengths)), -1)
    for number, row in enumerate(rows):
        units[number, : len(row)] = torch.tensor(row)
    runs, durations, counts = collapse_batch(units, lengths)
    for number, row in enumerate(rows):
        alone, frames = collapse_units(np.array(row))
        count = int(counts[number])
        assert runs[number, :count].tolist() == alone.tolist()
        assert durations[number, :count].tolist() == frames.tolist()
        assert durations[number, count:].eq(0).all()


def test_collapse_batch_of_some_streams_ignores_the_others():
    units = torch.tensor([[[0, 5], [0, 6], [1, 6], [1, 6]]])
    runs, durations, _ = collapse_batch(units, torch.tensor([4]), streams=[0])
    assert runs[0, :, 0].tolist() == [0, 1]
    assert durations.tolist() == [[2, 2]]
    _, durations, _ = collapse_batch(units, torch.tensor([4]))
    assert durations.tolist() == [[1, 1, 2]]


def test_repeat_last_goes_on_from_each_end():
    values = torch.arange(6.0).reshape(2, 3, 1)
    longer = repeat_last(values, torch.tensor([3, 1]), 2)[..., 0]
    assert longer.tolist() == [[0, 1, 2, 2, 2], [3, 3, 3, 3, 3]]


def test_variance_predictor_padding_does_not_change_values():
    predictor = VariancePredictor(4, 2).eval()
    embedded = torch.randn(2, 9, 4)
    alone = predictor(embedded[:1, :5], torch.tensor([5]))
    batched = predictor(embedded, torch.tensor([5, 9]))[:1, :5]
    assert torch.allclose(alone, batched, atol=1e-6)


def test_f0_track_does_not_depend_on_the_register():
    f0 = torch.tensor([[0.0, 100, 120, 0, 150]])
    lengths = torch.tensor([5])
    low, high = F0Track.of_hz(f0, lengths), F0Track.of_hz(1.7 * f0, lengths)
    assert torch.allclose(low.log_f0, high.log_f0, atol=1e-6)
    assert low.voiced.tolist() == [[0, 1, 1, 0, 1]]
    assert low.log_f0[0, 2] == 0  # the median
    assert low.log_f0[0, 1] == pytest.approx(np.log(100 / 120))


def test_f0_track_unvoiced_utterance_is_silent_not_nan():
    track = F0Track.of_hz(torch.zeros(1, 4), torch.tensor([4]))
    assert track.log_f0.eq(0).all() and track.voiced.eq(0).all()


@pytest.mark.parametrize("kind", ["continuous", "quantized"])
def test_pitch_encoder_melody_changes_embeddings_and_unvoiced_values_do_not(kind):
    torch.manual_seed(0)
    encoder = PitchEncoder(8, kind)
    voiced = torch.tensor([[1.0, 1, 0]])
    first = encoder(F0Track(torch.tensor([[0.0, 0.3, 0.0]]), voiced))
    second = encoder(F0Track(torch.tensor([[0.0, 0.3, 9.0]]), voiced))
    third = encoder(F0Track(torch.tensor([[0.0, -0.3, 0.0]]), voiced))
    assert torch.equal(first, second)
    assert not torch.allclose(first, third)


def test_pitch_encoder_learns_a_pitch_that_units_tell():
    torch.manual_seed(0)
    encoder = PitchEncoder(4, "continuous", predictor={"dropout_rate": 0.0})
    table = torch.randn(3, 4)
    units = torch.randint(3, (8, 20))
    lengths = torch.full((8,), 20)
    track = F0Track((units - 1) * 0.2, (units > 0).float())
    track = F0Track(track.log_f0 * track.voiced, track.voiced)
    optimizer = torch.optim.Adam(encoder.parameters(), 1e-2)
    for _ in range(200):
        loss, voicing = encoder.loss(table[units], lengths, track)
        optimizer.zero_grad()
        (loss + voicing).backward()
        optimizer.step()
    found = encoder.eval().predict(table[units], lengths)
    assert ((found.voiced > 0.5) == (track.voiced > 0.5)).float().mean() > 0.98
    assert (found.log_f0 - track.log_f0)[track.voiced > 0].abs().mean() < 0.05


def test_pitch_encoder_unknown_kind_is_refused():
    with pytest.raises(DSUError, match="f0 is 'vq', expected one of none, continuous"):
        PitchEncoder(8, "vq")


def test_conditions_missing_or_unknown_are_errors_that_name_them():
    encoder = ConditionEncoder(4, num_speakers=3, num_styles=2, spk_embed_dim=5)
    sids, styles, spembs = torch.tensor([2]), torch.tensor([0]), torch.ones(1, 5)
    assert encoder(Conditions(sids, styles, spembs)).shape == (1, 4)
    with pytest.raises(DSUError, match="trained with styles; give them"):
        encoder(Conditions(sids, None, spembs))
    with pytest.raises(DSUError, match=r"sids are \[3\], expected 0..2"):
        encoder(Conditions(torch.tensor([3]), styles, spembs))
    with pytest.raises(DSUError, match=r"are \(1, 4\), expected \(B, 5\)"):
        encoder(Conditions(sids, styles, torch.ones(1, 4)))
    with pytest.raises(DSUError, match="are None, expected"):
        encoder(Conditions(sids, styles))


def test_conditions_none_known_add_nothing():
    assert ConditionEncoder(4)(Conditions(sids=torch.tensor([1]))) == 0.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 12))
def test_segments_of_frames_and_samples_belong_together(lengths, frames):
    lengths = torch.tensor(lengths)
    upsample = 3
    time = torch.arange(int(lengths.max())).float()
    values = time.expand(len(lengths), -1).unsqueeze(-1)
    wav = time.repeat_interleave(upsample).expand(len(lengths), -1)
    segments = draw_segments(lengths, frames, random=True)
    cut = segments.of_frames(values)[..., 0]
    assert torch.equal(
        cut.repeat_interleave(upsample, dim=1), segments.of_samples(wav, upsample)
    )
    long = lengths >= segments.frames
    assert (segments.starts[long] + segments.frames <= lengths[long]).all()
    assert segments.starts[~long].eq(0).all()


def test_segments_without_chance_are_the_middle():
    segments = draw_segments(torch.tensor([10, 4]), 4, random=False)
    assert segments.starts.tolist() == [3, 0]


def test_duration_loss_is_zero_where_logs_are_right_and_ignores_padding():
    durations = torch.tensor([[1, 3, 0], [2, 2, 5]])
    lengths = torch.tensor([2, 3])
    logs = durations.float().log1p()
    logs[0, 2] = 100.0
    assert duration_loss(logs, durations, lengths) == 0
    assert duration_loss(logs + 0.5, durations, lengths) == pytest.approx(0.25)


def test_mel_loss_is_the_mean_of_espnets_losses():
    from espnet2.gan_tts.hifigan.loss import MelSpectrogramLoss

    torch.manual_seed(0)
    one, other = torch.randn(2, 1, 4000), torch.randn(2, 1, 4000)
    sizes = ((256, 20), (512, 40))
    loss = MelLoss(8000, [{"n_fft": n, "n_mels": m} for n, m in sizes])
    expected = [
        MelSpectrogramLoss(fs=8000, n_fft=n, hop_length=n // 4, n_mels=m)(one, other)
        for n, m in sizes
    ]
    assert loss(one, other) == pytest.approx(float(sum(expected)) / 2)
    assert loss(one, one) == 0
