"""Each encoder and decoder of ESPnet over units: trained, loaded, decoded."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import soundfile
import torch
import yaml

from espnet_dsu import DSUError
from espnet_dsu.tasks.checkpoint import read_checkpoint
from espnet_dsu.units import UnitReader
from tests.asr_experiment import LENGTHS_SEC, TOKENS, train, training_options

CONF = Path(__file__).parents[2] / "conf" / "asr"
DEBUG = ("transducer", "sc_ctc", "conformer", "transformer", "branchformer")
WITH_INTERCTC = ("sc_ctc", "conformer", "transformer")


@pytest.fixture(scope="module")
def folder(experiment, tmp_path_factory):
    target = tmp_path_factory.mktemp("architectures") / "copy"
    return shutil.copytree(experiment, target, symlinks=True)


@pytest.fixture
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def trained(folder):
    """Give the folder of a debug config's model, trained for an epoch at first use."""

    @functools.cache
    def train_once(name: str) -> Path:
        config = ["--config", str(CONF / f"{name}_debug.yaml"), "--max_epoch", "1"]
        train(folder, *config, "--output_dir", f"exp/{name}")
        return folder / "exp" / name

    return train_once


def first_results(results):
    """Drop what the intermediate layers say."""
    return results[0] if isinstance(results, tuple) else results


def tokens(results):
    return [(r[2], float(r[3].score)) for r in first_results(results)]


@pytest.mark.parametrize("name", DEBUG)
def test_debug_config_trains_loads_and_decodes(trained, inside, name):
    from espnet2.bin.asr_inference import Speech2Text as Stock

    from espnet_dsu import Speech2Text, UnitASRTask

    exp = trained(name)
    files = (exp / "config.yaml", exp / "1epoch.pth")
    model, _ = UnitASRTask.build_model_from_file(*files)
    for key, value in read_checkpoint(files[1]).items():
        assert torch.equal(model.state_dict()[key], value), key
    ours = Speech2Text(*files, beam_size=3)
    options = {"ctc_weight": 1.0} if name == "sc_ctc" else {}
    stock = Stock(*map(str, files), beam_size=3, **options)
    units = UnitReader("dump/units/units.scp")
    for index in range(len(LENGTHS_SEC)):
        wav = soundfile.read(f"data/utt{index}.wav")[0]
        heard = ours(wav)
        assert tokens(heard) == tokens(stock(wav))
        assert tokens(ours(units[f"utt{index}"])) == tokens(heard)
        assert isinstance(heard, tuple) == (name in WITH_INTERCTC)


@pytest.mark.parametrize("name", WITH_INTERCTC)
def test_intermediate_ctc_has_losses_and_predictions_of_its_own(trained, inside, name):
    from espnet_dsu import Speech2Text

    exp = trained(name)
    state = torch.load(exp / "checkpoint.pth", weights_only=False)
    keys = state["reporter"]["stats"][1]["train"]
    assert "loss_interctc_layer1" in keys
    model = Speech2Text(asr_model_file=exp / "1epoch.pth", beam_size=2)
    _, intermediate = model(soundfile.read("data/utt0.wav")[0])
    assert set(intermediate) == {1} and set(intermediate[1]) <= set(TOKENS)
    conditioning = model.asr_model.encoder.conditioning_layer
    assert (conditioning is None) == (name == "conformer")


DECODERS = {
    "rnn": {"hidden_size": 16},
    "transformer": {"linear_units": 16, "num_blocks": 1},
}


@pytest.mark.parametrize("ctc_weight", [0.0, 0.3])
@pytest.mark.parametrize("decoder", DECODERS)
def test_attention_with_and_without_ctc_trains_and_decodes(
    folder, inside, tmp_path, decoder, ctc_weight
):
    from espnet_dsu import Speech2Text

    values = yaml.safe_load((CONF / "unit_debug.yaml").read_text())
    values |= {"decoder": decoder, "decoder_conf": DECODERS[decoder], "max_epoch": 1}
    values["model_conf"] = {"ctc_weight": ctc_weight}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(values))
    train(folder, "--config", str(config), "--output_dir", str(tmp_path / "exp"))
    model = Speech2Text(asr_model_file=tmp_path / "exp" / "1epoch.pth", beam_size=3)
    assert (model.asr_model.ctc is None) == (ctc_weight == 0)
    wav = soundfile.read("data/utt0.wav")[0]
    assert tokens(model(wav)) == tokens(
        model(UnitReader("dump/units/units.scp")["utt0"])
    )
    if ctc_weight == 0:
        with pytest.raises(DSUError, match="ctc_weight 0.0"):
            Speech2Text(asr_model_file=tmp_path / "exp" / "1epoch.pth", ctc_weight=0.5)


@pytest.mark.skipif(find_spec("warprnnt_pytorch") is not None, reason="ESPnet's works")
def test_transducer_of_espnet_without_its_loss_says_what_to_set(folder, inside):
    config = ["--config", str(CONF / "transducer_debug.yaml"), "--model", "espnet"]
    with pytest.raises(DSUError, match="set model: torchaudio_transducer"):
        train(folder, *config, "--output_dir", "exp/none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--decoder", "rnn"], "set decoder: transducer"),
        (["--model_conf", "transducer_multi_blank_durations=[2]"], "model: espnet"),
    ],
)
def test_transducer_options_that_do_not_fit_are_refused(
    folder, inside, options, message
):
    config = ["--config", str(CONF / "transducer_debug.yaml"), *options]
    if "rnn" in options:
        config += ["--decoder_conf", "{}"]
    with pytest.raises(DSUError, match=message):
        train(folder, *config, "--output_dir", "exp/none")


def test_preencoder_of_another_size_than_the_embeddings_says_which(folder, inside):
    config = ["--config", str(CONF / "conformer_debug.yaml")]
    config += ["--frontend_conf", "embed_dim=24", "--output_dir", "exp/none"]
    with pytest.raises(DSUError, match="set it to 24"):
        train(folder, *config)


@pytest.mark.parametrize(
    "conf",
    [
        {"search_type": "default"},
        {"search_type": "tsd"},
        {"search_type": "alsd"},
        {"search_type": "nsc"},
        {"search_type": "maes", "expansion_beta": 1},
    ],
)
def test_transducer_decodes_with_each_search_of_espnet(trained, inside, conf):
    """Stock and ours; what nbest asks for is what the search gives."""
    from espnet2.bin.asr_inference import Speech2Text as Stock

    from espnet_dsu import Speech2Text

    exp = trained("transducer")
    files = (str(exp / "config.yaml"), str(exp / "1epoch.pth"))
    options = {"beam_size": 3, "nbest": 2}
    stock = Stock(*files, **options, transducer_conf={**conf, "nbest": 2})
    ours = Speech2Text(*files, **options, transducer_conf=conf)
    wav = soundfile.read("data/utt4.wav")[0]
    assert tokens(ours(wav)) == tokens(stock(wav))
    assert len(ours(wav)) == 2


@pytest.mark.parametrize(
    ("keep", "names"),
    [
        (["3"], {"ave_3best", "ave"}),
        (["1", "2", "3"], {"ave_1best", "ave_2best", "ave_3best", "ave"}),
    ],
)
def test_averaged_checkpoints_of_any_number_load_and_decode(
    folder, inside, tmp_path, keep, names
):
    from espnet_dsu import Speech2Text, UnitASRTask

    config = ["--config", str(CONF / "conformer_debug.yaml"), "--max_epoch", "3"]
    config += ["--keep_nbest_models", *keep, "--batch_size", "2"]
    train(folder, *config, "--output_dir", str(tmp_path))
    found = {p.name for p in tmp_path.glob("valid.acc.ave*.pth")}
    assert found == {f"valid.acc.{name}.pth" for name in names}
    for name in sorted(found) + ["valid.acc.best.pth"]:
        UnitASRTask.build_model_from_file(tmp_path / "config.yaml", tmp_path / name)
        model = Speech2Text(asr_model_file=tmp_path / name, beam_size=2)
        assert model(soundfile.read("data/utt0.wav")[0])
    if len(keep) > 1:
        # ESPnet 202511 averages into the first checkpoint that it has read, so that a
        # second average of the same run weighs the epochs unequally.
        return
    states = [read_checkpoint(tmp_path / f"{n}epoch.pth") for n in (1, 2, 3)]
    averaged = read_checkpoint(tmp_path / "valid.acc.ave_3best.pth")
    counted = [k for k, v in averaged.items() if not v.is_floating_point()]
    assert counted  # of the convolution modules: batches, which are no weights
    for key in averaged.keys() - counted:
        mean = torch.stack([s[key] for s in states]).mean(dim=0)
        torch.testing.assert_close(averaged[key], mean)


@pytest.mark.recipe
def test_two_processes_train_the_weights_that_one_does(folder, inside, tmp_path):
    """torch.distributed by gloo on the CPU, started as on several machines."""
    config = ["--config", str(CONF / "transformer_debug.yaml"), "--max_epoch", "1"]
    # Nothing random, and no Adam, which makes whole steps of gradients of almost 0.
    config += ["--optim", "sgd", "--optim_conf", "lr=0.01"]
    for kind in ("dropout_rate", "positional_dropout_rate"):
        config += ["--decoder_conf", f"{kind}=0.0"]
    train(folder, *config, "--output_dir", str(tmp_path / "one"))
    options = [*training_options(str(tmp_path / "two")), *config]
    options += ["--multiprocessing_distributed", "false", "--dist_world_size", "2"]
    options += ["--dist_backend", "gloo", "--dist_init_method"]
    options += [f"file://{tmp_path}/meeting"]
    command = [sys.executable, "-m", "espnet_dsu.bin.asr_train", *options]
    ranks = [subprocess.Popen([*command, "--dist_rank", str(r)]) for r in range(2)]
    try:
        assert [rank.wait(500) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
    one, two = (read_checkpoint(tmp_path / n / "1epoch.pth") for n in ("one", "two"))
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, atol=1e-4, rtol=1e-3, msg=key)
