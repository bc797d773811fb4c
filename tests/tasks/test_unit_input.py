"""One config, waveforms or cached units; and training with what the frontend can do."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from espnet_dsu import DSUError, UnitTokenizer
from espnet_dsu.corpus.tokenizing import tokenize_corpus
from espnet_dsu.tasks.checkpoint import read_checkpoint
from tests.asr_experiment import CONFIG, chdir, prepare, training_options
from tests.speech import voice
from tests.upstream.tiny_checkpoints import name_of, save_checkpoint

UNITS, WAVS = "dump/units/units.scp,speech,dsu_unit", "data/wav.scp,speech,sound"
VARIANTS = ["units", "pieces", "streams", "encoder"]


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Return a function that makes a folder with data, bundle and units."""
    made: dict[str, Path] = {}

    def get(variant):
        if variant not in made:
            folder = made[variant] = tmp_path_factory.mktemp(variant)
            prepare(folder, with_pieces=variant == "pieces")
            if variant in ("streams", "encoder"):
                with chdir(folder):
                    replace_bundle(variant)
        return made[variant]

    return get


def replace_bundle(variant):
    upstream, nclusters = "mfcc", (20, 7)
    if variant == "encoder":
        save_checkpoint(Path("tiny"), "hubert_layer")
        upstream, nclusters = name_of(Path("tiny").absolute(), "hubert_layer", 2), 12
    wavs = [voice(0.7, i) for i in range(4)]
    made = UnitTokenizer.train(wavs, 16000, upstream, nclusters)
    shutil.rmtree("exp/bundle")
    made.save_pretrained("exp/bundle")
    shutil.rmtree("dump/units")
    tokenize_corpus("data/wav.scp", "exp/bundle", "dump/units")


def train(folder, data, output_dir, *more, **frontend_conf):
    """Train in ``folder`` with the debug config and these options of the frontend."""
    from espnet_dsu.bin import asr_train

    config = yaml.safe_load(CONFIG.read_text())
    config["frontend_conf"].update(frontend_conf)
    config["max_epoch"] = 1
    with chdir(folder):
        Path(f"{output_dir}.yaml").write_text(yaml.safe_dump(config))
        options = [*training_options(output_dir), "--config", f"{output_dir}.yaml"]
        options = [data if option == UNITS else option for option in options]
        asr_train.main([*options, *more])
        return read_checkpoint(f"{output_dir}/1epoch.pth")


def batch(folder, config, data, train):
    """Make a batch as ESPnet's data loader does."""
    from espnet2.train.dataset import ESPnetDataset

    from espnet_dsu import UnitASRTask

    path, name, kind = data.split(",")
    with chdir(folder):
        model, args = UnitASRTask.build_model_from_file(config)
        dataset = ESPnetDataset(
            [(path, name, kind), ("data/text", "text", "text")],
            preprocess=UnitASRTask.build_preprocess_fn(args, train),
        )
        collate = UnitASRTask.build_collate_fn(args, train)
        return model, collate([dataset[f"utt{i}"] for i in range(4)])[1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_config_trains_alike_from_waveforms_and_from_cached_units(make, variant):
    folder = make(variant)
    conf = {"fusion": "attention", "embedding_init": "centroids"}
    states = [train(folder, d, f"exp/{d[:3]}", **conf) for d in (UNITS, WAVS)]
    for name, value in states[0].items():
        assert torch.allclose(value, states[1][name], atol=1e-6), name
    for mode in (False, True):
        losses = []
        for data in (UNITS, WAVS):
            model, inputs = batch(folder, "exp/dum/config.yaml", data, mode)
            model.load_state_dict(states[0])
            torch.manual_seed(0)  # of the decoder's dropout
            losses.append(model.train(mode)(**inputs)[0])
        assert inputs["speech"].is_floating_point()
        assert torch.equal(losses[0], losses[1])


STRONG = {"duration_jitter": 0.5, "time_warp": 0.3, "substitution": 0.2}


@pytest.mark.parametrize("data", [UNITS, WAVS], ids=["units", "wavs"])
def test_training_with_augmentation_differs_and_can_be_repeated(make, data):
    folder = make("pieces")
    conf = {"augment": STRONG}
    plain = train(folder, data, "exp/plain")
    varied = [train(folder, data, f"exp/varied{i}", **conf) for i in range(2)]
    name = "frontend.embedding.weight"
    assert torch.equal(varied[0][name], varied[1][name])
    assert not torch.equal(varied[0][name], plain[name])
    config = yaml.safe_load((folder / "exp/varied0/config.yaml").read_text())
    assert config["preprocessor_conf"]["augment"] == STRONG


def test_training_with_frozen_centroids_leaves_them(make):
    folder = make("units")
    conf = {"embedding_init": "centroids", "freeze_embedding": True}
    state = train(folder, UNITS, "exp/frozen", "--init", "xavier_uniform", **conf)
    frontend = batch(folder, "exp/frozen/config.yaml", UNITS, False)[0].frontend
    name = "frontend.embedding.weight"
    assert torch.equal(state[name], frontend.embedding.weight)
    assert state["frontend.embedding.projections.0.weight"].shape == (16, 39)


@pytest.fixture(scope="module")
def tuned(make):
    folder = make("encoder")
    # Kinds of init that would make noise of the upstream.
    options = ["--init", "chainer", "--optim_conf", "lr=0.0005"]
    train(folder, WAVS, "exp/tuned", *options, finetune_upstream=True)
    return folder


def test_training_with_a_finetuned_upstream_changes_it(tuned):
    state = read_checkpoint(tuned / "exp/tuned/1epoch.pth")
    with chdir(tuned):
        first = UnitTokenizer.from_pretrained("exp/bundle").upstream.state_dict()
    prefix = "frontend.finetuned.upstream."
    found = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    assert set(found) == set(first)
    shifts = {name: float((found[name] - first[name]).abs().max()) for name in first}
    assert shifts["model.encoder.layers.1.attention.k_proj.weight"] > 0
    # Three batches of Adam: near where it began, not drawn anew.
    assert max(shifts.values()) < 0.01


def test_finetuned_model_transcribes_waveforms_with_its_own_upstream(tuned):
    from espnet_dsu import Speech2Text
    from espnet_dsu.tasks.asr import UnitASRTask

    wav, _ = soundfile.read(tuned / "data/utt1.wav", dtype="float32")
    with chdir(tuned):
        config, checkpoint = "exp/tuned/config.yaml", "exp/tuned/1epoch.pth"
        speech2text = Speech2Text(config, checkpoint, beam_size=1, maxlenratio=-3)
        state = read_checkpoint(checkpoint)
        loaded = speech2text.asr_model.state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in state.items())
        assert speech2text(wav)
        model, _ = UnitASRTask.build_model_from_file(config, checkpoint)
        cached = np.zeros(100, np.int32)
        with pytest.raises(DSUError, match="give waveforms"):
            speech2text(cached)
        name = next(n for n in state if ".finetuned." in n)
        torch.save({k: v for k, v in state.items() if k != name}, "short.pth")
        with pytest.raises(DSUError, match=f"lacks {name}"):
            Speech2Text(config, "short.pth")


def test_training_a_finetuned_upstream_on_cached_units_is_refused(make):
    with pytest.raises(DSUError, match="wav.scp,speech,sound"):
        train(make("encoder"), UNITS, "exp/no", finetune_upstream=True)


def test_training_on_cached_units_that_nobody_would_augment_is_refused(make):
    options = ["--preprocessor", "default"]
    with pytest.raises(DSUError, match="set preprocessor: discrete_unit"):
        train(make("units"), UNITS, "exp/no", *options, augment=STRONG)
