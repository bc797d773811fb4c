import pytest
import torch
from espnet2.gan_tts.hifigan import HiFiGANMultiPeriodDiscriminator

from espnet_dsu.errors import DSUError
from espnet_dsu.models.vocoder.gan import UnitVocoderModel, default_resolutions
from tests.models.vocoder.test_unit_vocoder import units_of, vocoder


def model_of(tokenizer, conf=None, **options):
    made = vocoder(tokenizer, **(conf or {}))
    judge = HiFiGANMultiPeriodDiscriminator(
        periods=[2], discriminator_params={"channels": 2, "max_downsample_channels": 4}
    )
    return UnitVocoderModel(made, judge, **{"segment_sec": 0.2, **options})


def batch_of(model, *lengths, **more):
    units = units_of(model.generator, *lengths)
    speech = 0.1 * torch.randn(len(lengths), 160 * max(lengths) + 50)
    counts = torch.tensor(lengths)
    return {
        "units": units,
        "units_lengths": counts,
        "speech": speech,
        "speech_lengths": 160 * counts + 50,
        **more,
    }


@pytest.fixture
def model(tokenizers):
    return model_of(tokenizers["one"])


def parts_with_gradient(model):
    return {
        name
        for name in ("generator", "discriminator")
        if any(
            p.grad is not None and p.grad.abs().sum() > 0
            for p in getattr(model, name).parameters()
        )
    }


@pytest.mark.parametrize("generator_first", [False, True])
def test_each_turn_trains_its_own_network(model, generator_first):
    model.train()
    batch = batch_of(model, 20, 12)
    for generator in (generator_first, not generator_first):
        made = model(forward_generator=generator, **batch)
        model.zero_grad()
        made["loss"].backward()
        own = "generator" if generator else "discriminator"
        assert made["optim_idx"] == (0 if generator else 1)
        assert own in parts_with_gradient(model)
        assert generator or parts_with_gradient(model) == {"discriminator"}


def test_both_turns_of_a_step_see_one_output(model, monkeypatch):
    calls = []
    speak = model._speak
    monkeypatch.setattr(model, "_speak", lambda *a: calls.append(1) or speak(*a))
    batch = batch_of(model, 20)
    for _ in range(3):
        model.train()(forward_generator=False, **batch)
        model(forward_generator=True, **batch)
    assert len(calls) == 3


def test_discriminator_takes_part_from_its_step_on(tokenizers):
    model = model_of(tokenizers["one"], discriminator_start=2).train()
    batch = batch_of(model, 20)
    seen = []
    for _ in range(3):
        judged = model(forward_generator=False, **batch)
        judged["loss"].backward()
        seen.append(float(judged["stats"]["discriminator_loss"]) > 0)
        spoken = model(forward_generator=True, **batch)
        assert ("adv_loss" in spoken["stats"]) == seen[-1]
    assert seen == [False, False, True]
    # A resumed training goes on counting.
    again = model_of(tokenizers["one"], discriminator_start=2)
    again.load_state_dict(model.state_dict())
    assert again.is_adversarial


def test_validation_is_repeatable(model):
    model.eval()
    batch = batch_of(model, 20, 25)
    first, second = (model(**batch)["stats"]["mel_loss"] for _ in range(2))
    assert first == second and not model.steps


def test_losses_of_a_pitch_vocoder_are_reported(tokenizers):
    model = model_of(tokenizers["one"], {"f0": "continuous"})
    f0 = torch.full((1, 19), 120.0)  # a frame short, as trackers may be
    stats = model(**batch_of(model, 20, f0=f0))["stats"]
    assert {"duration_loss", "f0_loss", "voicing_loss", "mel_loss"} <= stats.keys()
    with pytest.raises(DSUError, match="learns from F0 .* but the data has none"):
        model(**batch_of(model, 20))


def test_audio_of_another_rate_is_refused(model):
    batch = batch_of(model, 40)
    batch["speech"] = batch["speech"].repeat(1, 2)
    batch["speech_lengths"] = batch["speech_lengths"] * 2
    with pytest.raises(DSUError, match="40 units of 160 samples for 12900 .* --fs"):
        model(**batch)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_stream_dropout_always_leaves_a_stream_and_drops_each(tokenizers, share):
    model = model_of(tokenizers["three"], stream_dropout=share).train()
    torch.manual_seed(1)
    drawn = [model._draw_streams() for _ in range(300)]
    assert all(drawn)
    for stream in range(3):
        kept = sum(stream in d for d in drawn) / len(drawn)
        assert 0.1 < kept < 0.95
    assert model.eval()._draw_streams() is None
    with pytest.raises(DSUError, match="stream_dropout is 1.0"):
        model_of(tokenizers["three"], stream_dropout=1.0)


def test_training_brings_the_spectrum_nearer(tokenizers):
    torch.manual_seed(0)
    model = model_of(tokenizers["one"], discriminator_start=1000, lambda_mel=1.0)
    batch = batch_of(model, 30)
    optimizer = torch.optim.Adam(model.generator.parameters(), 5e-3)
    before = float(model.eval()(**batch)["stats"]["mel_loss"])
    model.train()
    for _ in range(40):
        optimizer.zero_grad()
        model(**batch)["loss"].backward()
        optimizer.step()
    after = float(model.eval()(**batch)["stats"]["mel_loss"])
    assert after < 0.7 * before


def test_default_resolutions_are_of_the_same_times_at_each_rate():
    assert [r["n_fft"] for r in default_resolutions(8000)] == [512, 256, 128]
    assert [r["n_fft"] for r in default_resolutions(24000)] == [2048, 1024, 512]


@pytest.fixture
def one_process_group():
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_turns_train_alike_in_distributed_training(tokenizers, one_process_group):
    """The generator's turn goes back through the output of the discriminator's."""
    gradients = []
    for wrap in (False, True):
        model = model_of(tokenizers["one"]).train()
        trained = model
        if wrap:
            trained = torch.nn.parallel.DistributedDataParallel(
                model, find_unused_parameters=True
            )
        torch.manual_seed(3)
        batch = batch_of(model, 20, 12)
        for _ in range(2):
            found = {}
            for generator in (False, True):
                model.zero_grad()
                made = trained(forward_generator=generator, **batch)
                made["loss"].backward()
                part = model.generator if generator else model.discriminator
                found.update(
                    {
                        (generator, name): p.grad.clone()
                        for name, p in part.named_parameters()
                        if p.grad is not None
                    }
                )
        gradients.append(found)
    alone, distributed = gradients
    assert alone.keys() == distributed.keys() and len(alone) > 20
    for name, gradient in alone.items():
        assert torch.allclose(gradient, distributed[name], atol=1e-6), name


@pytest.mark.parametrize("kind", ["istft", "hifigan"])
def test_losses_in_half_precision_are_near_those_of_full(tokenizers, kind):
    model = model_of(tokenizers["one"], {"kind": kind, "f0": "continuous"}).eval()
    batch = batch_of(model, 20, 12, f0=torch.full((2, 20), 120.0))
    for generator in (False, True):
        full = model(forward_generator=generator, **batch)["loss"].item()
        with torch.autocast("cpu", torch.bfloat16):
            half = model(forward_generator=generator, **batch)["loss"].item()
        assert half == pytest.approx(full, rel=0.05)
