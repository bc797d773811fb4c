import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_dsu import DSUError, UnitTokenizer
from espnet_dsu.frontend import DiscreteUnitFrontend
from espnet_dsu.units import collapse_units
from espnet_dsu.units.pieces import UnitPieces
from tests.speech import train_bundle, voice

K = 20
WAVS = [voice(s, i) for i, s in enumerate([0.4, 1.1, 0.7])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    tokenizer = train_bundle(folder / "plain", K)
    runs = [u.collapse().units for u in tokenizer.encode_batch(WAVS, 16000)]
    pieces = UnitPieces.train(runs, K, 40)
    tokenizer.with_pieces(pieces).save_pretrained(folder / "pieces")
    train_bundle(folder / "other", K, seed=1)
    two = UnitTokenizer.train(WAVS, 16000, nclusters=(K, 7))
    two.save_pretrained(folder / "two")
    return folder


def make(folder, name="plain", **conf):
    conf = {"embed_dim": 8, **conf}
    return DiscreteUnitFrontend(str(folder / name / "config.yaml"), **conf).eval()


def batch(sequences, value):
    tensors = [torch.as_tensor(s) for s in sequences]
    lengths = torch.tensor([len(t) for t in tensors])
    return pad_sequence(tensors, batch_first=True, padding_value=value), lengths


def cached_units(frontend):
    sequences = frontend.tokenizer.encode_batch(WAVS, 16000)
    return [s.units.astype(np.int64) for s in sequences]


@pytest.mark.parametrize("name", ["plain", "pieces", "two"])
def test_frontend_waveforms_and_cached_units_give_the_same_output(folder, name):
    frontend = make(folder, name)
    from_wavs = frontend(*batch(WAVS, 0.0))
    from_units = frontend(*batch(cached_units(frontend), -1))
    assert torch.equal(from_wavs[0], from_units[0])
    assert torch.equal(from_wavs[1], from_units[1])


@pytest.mark.parametrize("name", ["plain", "pieces", "two"])
def test_frontend_padding_and_neighbours_do_not_matter(folder, name):
    frontend = make(folder, name)
    units = cached_units(frontend)
    together, lengths = frontend(*batch(units, -1))
    for row, length, one in zip(together, lengths, units):
        alone, _ = frontend(*batch([one], -1))
        assert torch.equal(row[:length], alone[0])
        assert (row[length:] == 0).all()


def test_frontend_collapsed_output_has_one_embedding_per_run(folder):
    frontend = make(folder)
    units = cached_units(frontend)
    _, lengths = frontend(*batch(units, -1))
    assert lengths.tolist() == [len(collapse_units(u)[0]) for u in units]
    keep = make(folder, collapse=False)
    assert keep(*batch(units, -1))[1].tolist() == [len(u) for u in units]


@pytest.mark.parametrize("fusion", ["sum", "concat", "attention"])
@pytest.mark.parametrize("init", ["random", "centroids"])
def test_frontend_of_two_streams_has_one_embedding_per_run_of_pairs(
    folder, fusion, init
):
    frontend = make(folder, "two", fusion=fusion, embedding_init=init)
    units = cached_units(frontend)
    output, lengths = frontend(*batch(units, -1))
    runs = [torch.from_numpy(collapse_units(u)[0]) for u in units]
    assert lengths.tolist() == [len(r) for r in runs]
    for row, one in zip(output, runs):
        expected = frontend.embedding(one[None])[0]
        assert torch.allclose(row[: len(one)], expected, atol=1e-6)


def test_frontend_frames_of_two_streams_stay_without_collapsing(folder):
    frontend = make(folder, "two", collapse=False)
    units = cached_units(frontend)
    assert frontend(*batch(units, -1))[1].tolist() == [len(u) for u in units]


STRONG = {"duration_jitter": 1.0, "time_warp": 0.5, "substitution": 0.3}


@pytest.mark.parametrize("name", ["plain", "pieces", "two"])
def test_frontend_varies_the_units_of_waveforms_in_training_only(folder, name):
    frontend = make(folder, name, augment=STRONG)
    plain = make(folder, name)
    plain.load_state_dict(frontend.state_dict())
    expected = plain(*batch(WAVS, 0.0))[0]
    assert torch.equal(frontend(*batch(WAVS, 0.0))[0], expected)
    outputs = [frontend.train()(*batch(WAVS, 0.0)) for _ in range(3)]
    shapes = {(o.shape, float(o.detach().sum())) for o, _ in outputs}
    assert len(shapes) == 3
    assert all((n > 0).all() for _, n in outputs)


@pytest.mark.parametrize("name", ["plain", "pieces", "two"])
def test_frontend_leaves_cached_units_as_the_preprocessor_made_them(folder, name):
    frontend = make(folder, name, augment=STRONG, enable_sampling=True)
    units = batch(cached_units(frontend), -1)
    expected = frontend(*units)[0]
    assert torch.equal(frontend.train()(*units)[0], expected)


def test_frontend_samples_pieces_of_waveforms_in_training_only(folder):
    frontend = make(folder, "pieces", enable_sampling=True, alpha=0.1)
    best = frontend(*batch(WAVS, 0.0))[1]
    assert torch.equal(frontend(*batch(WAVS, 0.0))[1], best)
    drawn = [frontend.train()(*batch(WAVS, 0.0))[1].tolist() for _ in range(10)]
    assert len(set(map(tuple, drawn))) > 1


def test_frontend_begins_with_centroids_and_can_leave_them(folder):
    frontend = make(folder, embedding_init="centroids", freeze_embedding=True).train()
    assert frontend.embedding.embedding_dim == 39  # of MFCC
    assert frontend.output_size() == 8
    assert not frontend.embedding.weight.requires_grad
    output, _ = frontend(*batch(WAVS, 0.0))
    output.sum().backward()
    assert frontend.embedding.projections[0].weight.grad.abs().sum() > 0


def test_frontend_unknown_beginning_is_an_error(folder):
    with pytest.raises(DSUError, match="'kmeans', expected random or centroids"):
        make(folder, embedding_init="kmeans")


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [("plain", (1, 4, 2), r"\(B, T\)"), ("two", (1, 4), r"\(B, T, 2\)")],
)
def test_frontend_other_number_of_streams_is_an_error(folder, name, shape, expected):
    with pytest.raises(DSUError, match=expected):
        make(folder, name)(torch.zeros(shape).long(), torch.tensor([4]))


def test_frontend_unit_outside_its_own_stream_is_an_error(folder):
    units = torch.tensor([[[K - 1, 6], [0, 7]]])
    with pytest.raises(DSUError, match="from 6 to 7, expected 0..6"):
        make(folder, "two")(units, torch.tensor([2]))


def test_frontend_unit_is_the_row_of_its_embedding(folder):
    # Not the rank in a token list that is sorted by frequency, as in ESPnet's s2st1.
    frontend = make(folder)
    every = torch.arange(K)
    output, _ = frontend(every.unsqueeze(0), torch.tensor([K]))
    assert torch.equal(output[0], frontend.embedding.weight[every])


def test_frontend_unit_zero_is_a_unit_and_learns(folder):
    frontend = make(folder)
    units, lengths = batch([[0, 0, 0], [0, 3]], -1)
    output, output_lengths = frontend(units, lengths)
    assert output_lengths.tolist() == [1, 2]
    assert torch.equal(output[0, 0], frontend.embedding.weight[0])
    output.sum().backward()
    assert (frontend.embedding.weight.grad[0] == 2).all()
    assert (frontend.embedding.weight.grad[1] == 0).all()


def test_frontend_pieces_from_a_preprocessor_equal_its_own(folder):
    frontend = make(folder, "pieces")
    units = cached_units(frontend)
    pieces = [torch.as_tensor(frontend.splitter(u)) for u in units]
    expected = frontend(*batch(units, -1))
    assert torch.equal(frontend(*batch(pieces, -1))[0], expected[0])


def test_frontend_waveforms_train_the_embeddings(folder):
    frontend = make(folder).train()
    output, _ = frontend(*batch(WAVS, 0.0))
    output.sum().backward()
    assert frontend.embedding.weight.grad.abs().sum() > 0


def test_frontend_rate_is_that_of_the_bundle_unless_told(folder):
    assert make(folder).fs == 16000
    assert make(folder, fs="8k").fs == make(folder, fs=8000).fs == 8000


def test_frontend_other_rate_is_resampled(folder):
    frontend = make(folder, fs="8k")
    wavs = [voice(1.0, 0, fs=8000)]
    _, lengths = frontend(*batch(wavs, 0.0))
    assert lengths.tolist() == [
        len(frontend.tokenizer.encode(wavs[0], 8000).collapse())
    ]


@pytest.mark.parametrize(
    ("name", "units"),
    [("plain", [0, K]), ("plain", [K + 1, K]), ("pieces", [0, K]), ("plain", [-1, 2])],
)
def test_frontend_unit_outside_is_an_error_naming_it(folder, name, units):
    with pytest.raises(DSUError, match="expected 0..19"):
        make(folder, name)(torch.tensor([units]), torch.tensor([2]))


def test_frontend_empty_utterance_is_an_error(folder):
    with pytest.raises(DSUError, match="no units"):
        make(folder)(torch.tensor([[1], [-1]]), torch.tensor([1, 0]))


def test_frontend_pieces_without_collapsing_are_refused(folder):
    with pytest.raises(DSUError, match="collapse: true"):
        make(folder, "pieces", collapse=False)


def test_checkpoint_has_no_frozen_weights_but_the_fingerprint(folder):
    frontend = make(folder)
    assert set(frontend.state_dict()) == {"embedding.weight", "fingerprint"}


@pytest.mark.parametrize("other", ["other", "pieces"])
def test_checkpoint_of_another_bundle_is_refused_naming_both(folder, other):
    ours, theirs = make(folder), make(folder, other)
    with pytest.raises(DSUError) as error:
        ours.load_state_dict(theirs.state_dict(), strict=False)
    assert ours.spec.fingerprint in str(error.value)
    assert theirs.spec.fingerprint in str(error.value)


@pytest.mark.parametrize("missing", ["embedding.weight", "fingerprint"])
def test_checkpoint_without_a_weight_is_refused_though_not_strict(folder, missing):
    state = make(folder).state_dict()
    del state[missing]
    with pytest.raises(DSUError, match=f"lacks {missing}"):
        make(folder).load_state_dict(state, strict=False)


@pytest.mark.parametrize("number", [2, 3, 10])
def test_checkpoint_averaged_as_espnet_does_keeps_the_fingerprint(folder, number):
    states = [make(folder).state_dict() for _ in range(number)]
    average = {k: sum(s[k] for s in states) / number for k in states[0]}
    make(folder).load_state_dict(average)


def test_checkpoint_in_half_precision_keeps_the_fingerprint(folder):
    for dtype in (torch.float16, torch.bfloat16):
        make(folder).load_state_dict(make(folder).to(dtype).state_dict())
