import multiprocessing
import pickle
import shutil

import pytest
import soundfile
import torch
import yaml

from espnet_dsu import DSUError, plugin
from espnet_dsu.tasks.checkpoint import check_arrived, read_checkpoint
from espnet_dsu.units import UnitReader
from tests.asr_experiment import LENGTHS_SEC, train, training_options
from tests.speech import train_bundle

MODEL = "exp/asr/valid.acc.ave.pth"


@pytest.fixture
def copy(experiment, tmp_path, monkeypatch):
    folder = shutil.copytree(experiment, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(folder)
    return folder


def build(model_file=MODEL):
    from espnet_dsu import UnitASRTask

    return UnitASRTask.build_model_from_file("exp/asr/config.yaml", model_file)[0]


def test_training_leaves_espnets_files(experiment):
    names = {p.name for p in (experiment / "exp" / "asr").iterdir()}
    assert {"config.yaml", "checkpoint.pth", "2epoch.pth", "images"} <= names
    assert (experiment / MODEL).exists()


def test_training_config_names_the_bundle_for_the_preprocessor_too(experiment):
    config = yaml.safe_load((experiment / "exp/asr/config.yaml").read_text())
    assert config["preprocessor_conf"]["tokenizer"] == "exp/bundle/config.yaml"


def test_checkpoint_holds_no_upstream_or_quantizer_weights(experiment):
    state = read_checkpoint(experiment / MODEL)
    frontend = {k for k in state if k.startswith("frontend.")}
    assert frontend == {"frontend.embedding.weight", "frontend.fingerprint"}


def test_build_model_from_file_gets_every_weight(copy):
    model = build()
    for name, value in read_checkpoint(MODEL).items():
        assert torch.equal(model.state_dict()[name], value), name


@pytest.mark.parametrize("name", ["encoder.after_norm.weight", "ctc.ctc_lo.weight"])
def test_build_model_missing_weight_is_an_error_naming_it(copy, name):
    state = dict(read_checkpoint(MODEL))
    name = name if name in state else next(k for k in state if k.startswith("encoder."))
    del state[name]
    torch.save(state, "exp/asr/short.pth")
    with pytest.raises(DSUError, match=name):
        build("exp/asr/short.pth")


def test_build_model_of_another_bundle_is_refused_naming_both(copy):
    ours = yaml.safe_load((copy / "exp/bundle/config.yaml").read_text())
    other = train_bundle(copy / "exp" / "bundle", seed=5)
    with pytest.raises(DSUError) as error:
        build()
    assert other.fingerprint in str(error.value)
    assert ours["spec"]["fingerprint"] in str(error.value)


def test_training_on_units_of_another_bundle_is_refused(copy):
    train_bundle(copy / "exp" / "bundle", seed=5)
    with pytest.raises(DSUError, match="tokenize again"):
        train(copy, "--output_dir", "exp/new")


def test_training_on_units_read_as_floats_is_refused(copy):
    data = "--train_data_path_and_name_and_type"
    options = [data, "dump/units/units.scp,speech2,kaldi_ark"]
    with pytest.raises(DSUError, match="units.scp,speech2,dsu_unit"):
        train(copy, *options, "--output_dir", "exp/new")


def test_training_without_a_bundle_says_what_to_give(copy):
    from espnet_dsu.bin import asr_train

    options = ["--frontend", "discrete_unit", "--token_list", "data/tokens.txt"]
    options += ["--output_dir", "exp/new", "--max_epoch", "1"]
    with pytest.raises(DSUError, match="tokenizer=<bundle>/config.yaml"):
        asr_train.main(options)


def test_training_from_waveforms_and_from_units_gives_the_same_loss(copy):
    model = build().eval()
    units = UnitReader("dump/units/units.scp")
    text, text_lengths = torch.tensor([[2, 3]]), torch.tensor([2])
    for index in range(len(LENGTHS_SEC)):
        samples, _ = soundfile.read(f"data/utt{index}.wav", dtype="float32")
        wav = torch.from_numpy(samples)
        cached = torch.from_numpy(units[f"utt{index}"]).long()
        losses = [
            model(x.unsqueeze(0), torch.tensor([len(x)]), text, text_lengths)[0]
            for x in (wav, cached)
        ]
        assert torch.equal(losses[0], losses[1])


def test_resume_goes_on_from_the_checkpoint(copy):
    train(copy, "--max_epoch", "3", "--resume", "true")
    assert (copy / "exp/asr/3epoch.pth").exists()


def test_registration_again_changes_nothing(experiment):
    plugin.register.cache_clear()
    plugin.register()


def test_read_checkpoint_that_would_run_code_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    path = tmp_path / "evil.pth"
    torch.save({"a": Evil()}, path)
    with pytest.raises(DSUError, match="no plain checkpoint"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DSUError, match="no plain checkpoint"):
        read_checkpoint(path)
    assert not (tmp_path / "pwned").exists()


def test_read_checkpoint_missing_or_no_state_dict_is_an_error(tmp_path):
    with pytest.raises(DSUError, match="is missing"):
        read_checkpoint(tmp_path / "none.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(DSUError, match="holds list"):
        read_checkpoint(tmp_path / "list.pth")


def test_check_arrived_unknown_weight_is_an_error():
    model = torch.nn.Linear(2, 2)
    check_arrived(model, model.state_dict(), "x.pth")
    with pytest.raises(DSUError, match="has, unknown to the model"):
        check_arrived(model, {**model.state_dict(), "more": torch.ones(1)}, "x.pth")


@pytest.mark.recipe
def test_training_in_a_spawned_process_knows_the_plugin(copy):
    # As ESPnet starts the workers of multi-GPU training.
    from espnet_dsu import UnitASRTask

    options = [*training_options("exp/spawned"), "--max_epoch", "1"]
    args = UnitASRTask.get_parser().parse_args(options)
    args.version, args.distributed = "test", False
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=UnitASRTask.main_worker, args=(args,))
    process.start()
    process.join(300)
    assert process.exitcode == 0
    assert (copy / "exp/spawned/1epoch.pth").exists()
