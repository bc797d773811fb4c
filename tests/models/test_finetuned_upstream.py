import pytest
import torch

from espnet_dsu import UnitTokenizer
from espnet_dsu.errors import DSUError
from espnet_dsu.models.finetuned_upstream import FinetunedUpstream, collapse_runs
from tests.speech import train_bundle, voice
from tests.upstream.tiny_checkpoints import name_of, save_checkpoint

K, DIM = 6, 4
WAVS = [torch.from_numpy(voice(s, i)) for i, s in enumerate([0.3, 0.2])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("upstream")
    save_checkpoint(folder / "tiny", "hubert_layer")
    wavs = [voice(0.5, i) for i in range(4)]
    for name, case, nclusters in (("one", "2", K), ("two", "1+3", (K, 4))):
        upstream = name_of(folder / "tiny", "hubert_layer", case)
        made = UnitTokenizer.train(wavs, 16000, upstream, nclusters)
        made.save_pretrained(folder / name)
    return folder


def make(folder, name="one", **options):
    tokenizer = UnitTokenizer.from_pretrained(folder / name)
    return tokenizer, FinetunedUpstream(tokenizer, **options)


def tables(tokenizer):
    generator = torch.Generator().manual_seed(0)
    sizes = tokenizer.spec.vocab_sizes
    return [torch.randn(k, DIM, generator=generator) for k in sizes]


@pytest.mark.parametrize("name", ["one", "two"])
def test_units_are_those_of_the_frozen_upstream(folder, name):
    tokenizer, finetuned = make(folder, name)
    frozen = UnitTokenizer.from_pretrained(folder / name)
    streams = tokenizer.spec.num_streams
    for (units, surrogates), wav in zip(finetuned(WAVS, 16000, tables(frozen)), WAVS):
        expected = torch.from_numpy(frozen.encode(wav, 16000).units)
        assert torch.equal(units, expected.long().reshape(-1, streams))
        assert surrogates.shape == (len(units), streams, DIM)


def test_surrogate_is_the_mean_under_a_softmax_over_negative_distances(folder):
    tokenizer, finetuned = make(folder, temperature=0.5)
    (table,) = tables(tokenizer)
    centroids = tokenizer.quantizer.centroids
    frames, counts = finetuned.upstream.frames(WAVS[0][None], torch.tensor([4800]))
    distances = torch.cdist(frames[0].double(), centroids.double()).square()
    between = torch.cdist(centroids.double(), centroids.double()).square()
    scale = (between + torch.eye(K) * 1e9).min(dim=1).values.mean()
    expected = (-distances / (0.5 * scale)).softmax(dim=1) @ table.double()
    (_, surrogates), _ = finetuned(WAVS, 16000, [table])
    assert torch.allclose(surrogates[:, 0].double(), expected, atol=1e-4)


def test_low_temperature_makes_surrogates_the_embeddings_of_the_units(folder):
    tokenizer, finetuned = make(folder, temperature=1e-6)
    (table,) = tables(tokenizer)
    (units, surrogates), _ = finetuned(WAVS, 16000, [table])
    close = torch.isclose(surrogates[:, 0], table[units[:, 0]], atol=1e-3).all(dim=1)
    assert close.float().mean() > 0.9


@pytest.mark.parametrize("name", ["one", "two"])
def test_every_weight_that_requires_a_gradient_gets_one(folder, name):
    tokenizer, finetuned = make(folder, name)
    pairs = finetuned(WAVS, 16000, tables(tokenizer))
    sum(s.square().sum() for _, s in pairs).backward()
    named = dict(finetuned.named_parameters())
    learning = {n for n, p in named.items() if p.requires_grad}
    assert all(named[name].grad.abs().sum() > 0 for name in learning)
    # The last layer norm comes after the layer whose output the frames are.
    assert {n.rpartition(".")[0] for n in set(named) - learning} <= {
        "upstream.model",
        "upstream.model.encoder.layer_norm",
        "upstream.model.encoder.layers.2",
    }
    assert len(learning) > 20


def test_tables_get_no_gradient_here(folder):
    tokenizer, finetuned = make(folder)
    (table,) = tables(tokenizer)
    table.requires_grad_()
    finetuned(WAVS, 16000, [table])[0][1].sum().backward()
    assert table.grad is None


def test_weights_stay_float32_bit_for_bit_whatever_the_model_is_cast_to(folder):
    _, finetuned = make(folder)
    before = {k: v.clone() for k, v in finetuned.state_dict().items()}
    module = torch.nn.Sequential(finetuned)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        module.to(dtype)
        for name, value in finetuned.state_dict().items():
            assert value.dtype == before[name].dtype
            assert torch.equal(value, before[name])


def test_autocast_changes_neither_units_nor_surrogates(folder):
    tokenizer, finetuned = make(folder)
    expected = finetuned(WAVS, 16000, tables(tokenizer))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = finetuned(WAVS, 16000, tables(tokenizer))
    for (units, soft), (more_units, more_soft) in zip(expected, found):
        assert torch.equal(units, more_units)
        assert torch.equal(soft, more_soft)


def test_state_holds_the_upstream_and_nothing_else(folder):
    _, finetuned = make(folder)
    assert all(name.startswith("upstream.") for name in finetuned.state_dict())


def test_reload_gives_the_bundles_weights_back(folder):
    _, finetuned = make(folder)
    before = {k: v.clone() for k, v in finetuned.state_dict().items()}
    with torch.no_grad():
        for weight in finetuned.parameters():
            weight.zero_()
    finetuned.reload()
    for name, value in finetuned.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_collapsed_runs_share_the_gradient_over_all_their_frames():
    units = torch.tensor([[1, 0], [1, 0], [1, 2], [3, 2], [1, 0]])
    surrogates = torch.randn(5, 2, DIM, requires_grad=True)
    runs, means = collapse_runs(units, surrogates)
    assert runs.tolist() == [[1, 0], [1, 2], [3, 2], [1, 0]]
    assert torch.allclose(means[0], surrogates[:2].mean(dim=0))
    assert torch.equal(means[1:], surrogates[2:])
    means[0].sum().backward()
    assert (surrogates.grad[:2] == 0.5).all() and not surrogates.grad[2:].any()


def test_upstream_without_weights_is_an_error(tmp_path):
    with pytest.raises(DSUError, match="mfcc has no weights to train"):
        FinetunedUpstream(train_bundle(tmp_path / "mfcc"))


def test_temperature_not_above_zero_is_an_error(folder):
    with pytest.raises(DSUError, match="temperature is 0"):
        make(folder, temperature=0)


def test_waveform_too_short_is_an_error(folder):
    tokenizer, finetuned = make(folder)
    with pytest.raises(DSUError, match="shorter than one frame"):
        finetuned([WAVS[0], WAVS[0][:3]], 16000, tables(tokenizer))
