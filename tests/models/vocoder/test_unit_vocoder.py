import pytest
import torch

from espnet_dsu import UnitTokenizer
from espnet_dsu.errors import DSUError
from espnet_dsu.models.vocoder import Conditions, UnitVocoder
from espnet_dsu.models.vocoder.hifigan import UnitHiFiGAN
from espnet_dsu.models.vocoder.istft import ISTFTGenerator
from espnet_dsu.models.vocoder.unit_vocoder import samples_of_a_frame
from espnet_dsu.units.spec import UnitSpec
from tests.speech import voice

SPEC = UnitSpec("mfcc_km9", (9,), 320, 16000, "0" * 16)
DIM = 12


def vocoder(tokenizer, kind="istft", **conf):
    torch.manual_seed(0)
    generator = (
        ISTFTGenerator(DIM, 160, 16, 32, num_frame_blocks=2, num_blocks=2)
        if kind == "istft"
        else UnitHiFiGAN(
            DIM,
            160,
            channels=16,
            upsample_scales=[16, 10],
            resblock_kernel_sizes=[3, 5],
            resblock_dilations=[[1, 3], [1, 3]],
        )
    )
    return UnitVocoder(tokenizer, 8000, generator, embed_dim=DIM, **conf).eval()


def units_of(model, *lengths):
    sizes = model.spec.vocab_sizes
    shape = (len(lengths), max(lengths), len(sizes))
    units = (torch.rand(shape) * torch.tensor(sizes)).long()
    for row, length in zip(units, lengths):
        row[length:] = -1
    return units if len(sizes) > 1 else units[..., 0]


@torch.no_grad()
@pytest.mark.parametrize("kind", ["istft", "hifigan"])
@pytest.mark.parametrize("f0", ["none", "continuous", "quantized"])
def test_forward_padding_and_neighbours_do_not_change_an_utterance(
    tokenizers, kind, f0
):
    model = vocoder(tokenizers["one"], kind, f0=f0, speakers={"a": 1, "b": 2})
    lengths = [4, 31, 17]
    units, sids = units_of(model, *lengths), torch.tensor([1, 2, 1])
    batched = model(units, torch.tensor(lengths), Conditions(sids))
    for row, (length, sid) in enumerate(zip(lengths, sids)):
        given = Conditions(sid[None])
        alone = model(units[row : row + 1, :length], torch.tensor([length]), given)
        assert alone.shape == (1, 160 * length)
        assert torch.allclose(batched[row, : 160 * length], alone[0], atol=1e-6)
        assert batched[row, 160 * length :].eq(0).all()


@torch.no_grad()
def test_forward_depends_on_speaker_style_and_pitch(tokenizers):
    model = vocoder(
        tokenizers["one"],
        f0="continuous",
        speakers={"<unk>": 0, "a": 1},
        styles={"calm": 0, "loud": 1},
    )
    units, lengths = units_of(model, 6), torch.tensor([6])
    zero, one = torch.tensor([0]), torch.tensor([1])
    f0 = torch.tensor([[100.0, 110, 120, 0, 0, 130]])
    first = model(units, lengths, Conditions(zero, zero, f0=f0))
    for other in (
        Conditions(one, zero, f0=f0),
        Conditions(zero, one, f0=f0),
        Conditions(zero, zero, f0=f0.flip(1)),
        Conditions(zero, zero),
    ):
        assert not torch.allclose(first, model(units, lengths, other), atol=1e-5)
    higher = model(units, lengths, Conditions(zero, zero, f0=2 * f0))
    assert torch.allclose(first, higher, atol=1e-5)  # the register is the speaker's


@torch.no_grad()
@pytest.mark.parametrize("fusion", ["sum", "attention"])
def test_any_subset_of_streams_decodes_and_ignores_the_others(tokenizers, fusion):
    model = vocoder(tokenizers["three"], fusion=fusion)
    units, lengths = units_of(model, 8), torch.tensor([8])
    everything = model(units, lengths, Conditions())
    for streams in ([0], [1], [2], [0, 2], [1, 2]):
        wav = model(units, lengths, Conditions(), streams)
        others = units.clone()
        for stream in set(range(3)) - set(streams):
            others[..., stream] = 0
        assert torch.equal(wav, model(others, lengths, Conditions(), streams))
        assert not torch.allclose(wav, everything, atol=1e-5)
    assert torch.allclose(
        everything, model(units, lengths, Conditions(), [0, 1, 2]), atol=1e-6
    )


def test_some_streams_of_concat_are_refused(tokenizers):
    model = vocoder(tokenizers["three"], fusion="concat")
    units, lengths = units_of(model, 3), torch.tensor([3])
    assert model(units, lengths, Conditions()).shape == (1, 480)
    with pytest.raises(DSUError, match=r"streams \[1\] of 3 .* concat needs all"):
        model(units, lengths, Conditions(), [1])


@torch.no_grad()
def test_durations_are_whole_at_least_one_and_zero_in_padding(tokenizers):
    model = vocoder(tokenizers["one"])
    units = units_of(model, 5, 9)
    durations = model.predict_durations(units, torch.tensor([5, 9]), Conditions())
    assert durations.dtype == torch.int64
    assert durations[0, :5].min() >= 1 and durations[1].min() >= 1
    assert durations[0, 5:].eq(0).all()


def test_durations_follow_the_predicted_logarithm(tokenizers):
    model = vocoder(tokenizers["one"])
    with torch.no_grad():
        model.durations.output.weight.zero_()
        for log, expected in ((0.0, 1), (0.9, 1), (1.1, 2), (2.0, 6)):
            model.durations.output.bias.fill_(log)
            found = model.predict_durations(
                units_of(model, 3), torch.tensor([3]), Conditions()
            )
            assert found.tolist() == [[expected] * 3]


def test_what_was_not_learned_is_an_error(tokenizers):
    model = vocoder(tokenizers["one"], predict_durations=False)
    units, lengths = units_of(model, 3), torch.tensor([3])
    assert not model.has_duration and not model.uses_f0
    with pytest.raises(DSUError, match="predict_durations: false"):
        model.predict_durations(units, lengths, Conditions())
    with pytest.raises(DSUError, match="f0: none"):
        model.predict_f0(units, lengths, Conditions())


def test_checkpoint_of_another_bundle_is_refused_naming_both(tokenizers):
    model = vocoder(tokenizers["one"])
    other = UnitTokenizer.train(
        [voice(1.5, 7, 8000)],
        8000,
        nclusters=9,
        upstream_conf={"sample_rate": 8000, "frame_shift": 20},
    )
    with pytest.raises(DSUError, match=tokenizers["one"].fingerprint) as caught:
        vocoder(other).load_state_dict(model.state_dict(), strict=False)
    assert other.fingerprint in str(caught.value)
    with pytest.raises(DSUError, match="lacks fingerprint"):
        model.load_state_dict({}, strict=False)


def test_upstream_and_quantizer_stay_out_of_the_checkpoint(tokenizers):
    parts = {name.split(".")[0] for name in vocoder(tokenizers["one"]).state_dict()}
    assert parts == {"embedding", "durations", "generator", "fingerprint"}


@pytest.mark.parametrize(
    "fs, samples", [(8000, 160), (16000, 320), (22050, 441), (24000, 480), (100, 2)]
)
def test_samples_of_a_frame_follow_from_shift_and_rates(fs, samples):
    assert samples_of_a_frame(SPEC, fs) == samples


@pytest.mark.parametrize("fs", [22051, 11025, 49])
def test_samples_of_a_frame_fraction_is_refused_with_rates_that_fit(fs):
    with pytest.raises(DSUError, match=f"at {fs} Hz .* choose fs among .8000, 16000"):
        samples_of_a_frame(SPEC, fs)


def test_embeddings_can_begin_at_the_centroids(tokenizers):
    model = vocoder(tokenizers["one"], embedding_init="centroids")
    rows = model.embedding.weight
    assert rows.shape == (9, tokenizers["one"].upstream.dim)
    assert torch.allclose(rows.mean(dim=0), torch.zeros(rows.shape[1]), atol=1e-5)
    with pytest.raises(DSUError, match="embedding_init is 'kmeans'"):
        vocoder(tokenizers["one"], embedding_init="kmeans")
