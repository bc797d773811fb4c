import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_dsu import DSUError, UnitTokenizer
from espnet_dsu.frontend import DiscreteUnitFrontend
from espnet_dsu.units import collapse_units
from espnet_dsu.units.pieces import UnitPieces
from tests.speech import voice
from tests.upstream.tiny_checkpoints import name_of, save_checkpoint

K = 12
WAVS = [voice(s, i) for i, s in enumerate([0.3, 0.5])]
NAMES = ["one", "two"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    save_checkpoint(folder / "tiny", "hubert_group")
    wavs = [voice(0.6, i) for i in range(4)]
    for name, layers, nclusters in (("one", "2", K), ("two", "1+2", (K, 5))):
        upstream = name_of(folder / "tiny", "hubert_group", layers)
        made = UnitTokenizer.train(wavs, 16000, upstream, nclusters)
        made.save_pretrained(folder / name)
    one = UnitTokenizer.from_pretrained(folder / "one")
    runs = [collapse_units(one.encode(w, 16000).units)[0] for w in wavs]
    pieces = one.with_pieces(UnitPieces.train(runs, K, 20))
    pieces.save_pretrained(folder / "pieces")
    return folder


def make(folder, name="one", finetune=True, **conf):
    path = str(folder / name / "config.yaml")
    torch.manual_seed(0)
    return DiscreteUnitFrontend(path, 8, finetune_upstream=finetune, **conf)


def wavs():
    tensors = [torch.from_numpy(w) for w in WAVS]
    return pad_sequence(tensors, batch_first=True), torch.tensor(
        [len(t) for t in tensors]
    )


def learn(frontend, steps=5):
    parameters = [p for p in frontend.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        frontend(*wavs())[0].square().sum().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()


@pytest.mark.parametrize("collapse", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_output_at_first_is_that_of_the_frozen_upstream_and_of_cached_units(
    folder, name, collapse
):
    frontend = make(folder, name, collapse=collapse)
    frozen = make(folder, name, finetune=False, collapse=collapse)
    frozen.load_state_dict(
        {**frozen.state_dict(), "embedding.weight": frontend.embedding.weight}
    )
    expected, lengths = frozen(*wavs())
    for mode in (True, False):
        output, found = frontend.train(mode)(*wavs())
        assert output.requires_grad
        assert torch.equal(found, lengths)
        assert torch.equal(output, expected)
    with torch.no_grad():
        assert torch.equal(frontend(*wavs())[0], expected)
    cached = [torch.from_numpy(frozen.tokenizer.encode(w, 16000).units) for w in WAVS]
    padded = pad_sequence(cached, batch_first=True, padding_value=-1).long()
    from_units = frozen(padded, torch.tensor([len(u) for u in cached]))[0]
    assert torch.equal(from_units, expected)


@pytest.mark.parametrize("collapse", [True, False])
def test_learning_moves_upstream_and_embeddings_and_leaves_centroids(folder, collapse):
    frontend = make(folder, collapse=collapse).train()
    before = {k: v.clone() for k, v in frontend.state_dict().items()}
    centroids = frontend.tokenizer.quantizer.centroids.clone()
    learn(frontend)
    moved = {n for n, p in frontend.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {n for n, p in frontend.named_parameters() if p.requires_grad}
    assert torch.equal(frontend.tokenizer.quantizer.centroids, centroids)


def test_learning_with_frozen_embeddings_moves_the_upstream(folder):
    frontend = make(folder, embedding_init="centroids", freeze_embedding=True).train()
    table = frontend.embedding.weight.clone()
    learn(frontend)
    assert torch.equal(frontend.embedding.weight, table)


@pytest.mark.parametrize("name", NAMES)
def test_tuned_weights_are_used_and_come_back_from_the_checkpoint(folder, name):
    frontend = make(folder, name).train()
    with torch.no_grad():
        before = frontend.eval()(*wavs())[0]
        for weight in frontend.finetuned.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
        expected = frontend(*wavs())[0]
    assert expected.shape != before.shape or not torch.allclose(expected, before)
    assert torch.equal(frontend(*wavs())[0], expected)  # with gradients
    again = make(folder, name).eval()
    again.load_state_dict(frontend.state_dict())
    with torch.no_grad():
        assert torch.equal(again(*wavs())[0], expected)


def test_checkpoint_and_config_that_differ_in_finetuning_are_refused(folder):
    tuned, frozen = make(folder), make(folder, finetune=False)
    with pytest.raises(DSUError, match="with the bundle .* and a fine-tuned upstream"):
        frozen.load_state_dict(tuned.state_dict(), strict=False)
    with pytest.raises(DSUError, match="config names .* and a fine-tuned upstream"):
        tuned.load_state_dict(frozen.state_dict(), strict=False)


def test_checkpoint_without_an_upstream_weight_is_refused_though_not_strict(folder):
    state = make(folder).state_dict()
    name = next(k for k in state if k.startswith("finetuned.upstream."))
    del state[name]
    with pytest.raises(DSUError, match=f"lacks {name}"):
        make(folder).load_state_dict(state, strict=False)


def test_frozen_upstream_stays_out_of_parameters_and_checkpoint(folder):
    frontend = make(folder, finetune=False)
    frontend(*wavs())  # loads it
    assert {n for n, _ in frontend.named_parameters()} == {"embedding.weight"}
    assert set(frontend.state_dict()) == {"embedding.weight", "fingerprint"}


def test_cached_units_are_refused_saying_why(folder):
    with pytest.raises(DSUError, match="which makes other units; give waveforms"):
        make(folder)(torch.tensor([[1, 2]]), torch.tensor([2]))


def test_pieces_and_augmentation_are_refused(folder):
    with pytest.raises(DSUError, match="not unit pieces; name the bundle"):
        make(folder, "pieces")
    with pytest.raises(DSUError, match="not augmented ones; leave augment out"):
        make(folder, augment={"time_warp": 0.1})


def test_model_in_half_precision_keeps_the_upstreams_units(folder):
    frontend = make(folder).eval()
    with torch.no_grad():
        expected = frontend(*wavs())
        half = frontend.to(torch.bfloat16)(*wavs())
    assert half[0].dtype == torch.bfloat16
    assert torch.equal(half[1], expected[1])
    assert torch.equal(half[0], expected[0].bfloat16())


def test_autocast_leaves_units_and_gradients_alone(folder):
    frontend = make(folder).train()
    expected = frontend(*wavs())[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = frontend(*wavs())[0]
    assert torch.equal(output, expected)
    output.sum().backward()
    weights = [p for p in frontend.finetuned.parameters() if p.requires_grad]
    assert all(torch.isfinite(p.grad).all() for p in weights)


@pytest.mark.parametrize("init", ["xavier_uniform", "normal"])
def test_espnets_init_leaves_the_upstream(folder, init):
    from espnet2.torch_utils.initialize import initialize

    frontend = make(folder)
    before = {k: v.clone() for k, v in frontend.finetuned.state_dict().items()}
    model = torch.nn.Module()
    model.frontend = frontend
    initialize(model, init)
    for name, value in frontend.finetuned.state_dict().items():
        assert torch.equal(value, before[name]), name
