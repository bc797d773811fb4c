import numpy as np
import pytest
import soundfile
import torch
import yaml

from espnet_dsu import DSUError, UnitTokenizer
from espnet_dsu.units import UnitReader
from tests.asr_experiment import CONFIG, LENGTHS_SEC, training_options
from tests.speech import train_bundle, voice

OPTIONS = {"beam_size": 3, "ctc_weight": 0.5}
OPTIONS_TRAIN = training_options()
FILES = ("exp/asr/config.yaml", "exp/asr/valid.acc.ave.pth")


@pytest.fixture(autouse=True)
def inside(experiment, monkeypatch):
    monkeypatch.chdir(experiment)


@pytest.fixture
def speech2text():
    from espnet_dsu import Speech2Text

    return Speech2Text(*FILES, **OPTIONS)


def wavs():
    for index in range(len(LENGTHS_SEC)):
        yield f"utt{index}", soundfile.read(f"data/utt{index}.wav")[0]


def tokens(results):
    return [r[2] for r in results], [float(r[3].score) for r in results]


def test_stock_class_and_ours_give_the_same_from_waveforms_and_units(speech2text):
    from espnet2.bin.asr_inference import Speech2Text as Stock

    stock = Stock(*FILES, **OPTIONS)
    units = UnitReader("dump/units/units.scp")
    tokenizer = UnitTokenizer.from_pretrained("exp/bundle")
    for name, wav in wavs():
        expected = tokens(stock(wav))
        assert tokens(speech2text(wav)) == expected
        assert tokens(speech2text(torch.from_numpy(wav))) == expected
        assert tokens(speech2text(units[name])) == expected
        sequence = tokenizer.encode(wav, 16000)
        assert tokens(speech2text(sequence)) == expected
        assert tokens(speech2text(sequence.collapse())) == expected


def test_units_of_another_bundle_are_refused_naming_both(speech2text, tmp_path):
    other = train_bundle(tmp_path / "other", seed=9)
    sequence = other.encode(voice(1.0, 0), 16000)
    with pytest.raises(DSUError, match=f"{other.fingerprint}.*was trained with"):
        speech2text(sequence)


def test_incomplete_checkpoint_is_refused(tmp_path):
    from espnet_dsu import Speech2Text

    state = torch.load(FILES[1], weights_only=True)
    state.pop("ctc.ctc_lo.weight")
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(DSUError, match="ctc.ctc_lo.weight"):
        Speech2Text(FILES[0], tmp_path / "short.pth")


def test_config_beside_the_checkpoint_is_found():
    from espnet_dsu import Speech2Text

    model = Speech2Text(asr_model_file=FILES[1], **OPTIONS)
    assert model(next(wavs())[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({}, "expected a checkpoint"), ({"beam": 3}, "no option beam")],
)
def test_wrong_arguments_are_one_clear_error(arguments, message):
    from espnet_dsu import Speech2Text

    with pytest.raises(DSUError, match=message):
        Speech2Text(FILES[0], FILES[1] if arguments else None, **arguments)


def test_model_of_ctc_alone_is_decoded_by_ctc_alone(tmp_path):
    from espnet_dsu import Speech2Text
    from espnet_dsu.bin import asr_train

    config = yaml.safe_load(CONFIG.read_text())
    config.pop("decoder"), config.pop("decoder_conf")
    config.update(model_conf={"ctc_weight": 1.0}, max_epoch=1)
    config["best_model_criterion"] = [["valid", "loss", "min"]]
    (tmp_path / "ctc.yaml").write_text(yaml.safe_dump(config))
    options = [*OPTIONS_TRAIN, "--config", str(tmp_path / "ctc.yaml")]
    asr_train.main([*options, "--output_dir", str(tmp_path / "ctc")])
    model_file = tmp_path / "ctc" / "1epoch.pth"
    wav = next(wavs())[1]
    explicit = Speech2Text(asr_model_file=model_file, beam_size=3, ctc_weight=1.0)
    implied = Speech2Text(asr_model_file=model_file, beam_size=3)
    assert tokens(implied(wav)) == tokens(explicit(wav))
    with pytest.raises(DSUError, match="ctc_weight 1.0"):
        Speech2Text(asr_model_file=model_file, beam_size=3, ctc_weight=0.5)


def decode(output_dir, data, *more):
    from espnet_dsu.bin import asr_inference

    options = ["--asr_train_config", FILES[0], "--asr_model_file", FILES[1]]
    options += ["--output_dir", str(output_dir), "--beam_size", "3"]
    options += ["--data_path_and_name_and_type", data]
    asr_inference.main([*options, *more])
    return (output_dir / "1best_recog" / "text").read_text()


def test_command_from_units_and_from_waveforms_writes_the_same_text(tmp_path):
    from_units = decode(tmp_path / "u", "dump/units/units.scp,speech,dsu_unit")
    from_wavs = decode(tmp_path / "w", "data/wav.scp,speech,sound")
    assert from_units == from_wavs
    assert len(from_units.splitlines()) == len(LENGTHS_SEC)


def test_command_key_file_selects_utterances(tmp_path):
    (tmp_path / "keys").write_text("utt1\nutt4\n")
    data = "dump/units/units.scp,speech,dsu_unit"
    text = decode(tmp_path / "o", data, "--key_file", str(tmp_path / "keys"))
    assert [line.split()[0] for line in text.splitlines()] == ["utt1", "utt4"]


def test_command_utterance_too_short_for_the_encoder_is_empty_and_named(
    tmp_path, caplog
):
    soundfile.write(tmp_path / "a.wav", voice(0.03, 0), 16000)
    (tmp_path / "wav.scp").write_text(f"short {tmp_path / 'a.wav'}\n")
    text = decode(tmp_path / "o", f"{tmp_path / 'wav.scp'},speech,sound")
    assert text.split() == ["short"]
    assert "short has an empty transcript" in caplog.text


def test_command_units_read_as_floats_are_refused(tmp_path):
    with pytest.raises(DSUError, match="would be read as 'kaldi_ark'"):
        decode(tmp_path, "dump/units/units.scp,speech,kaldi_ark")


def test_command_more_gpus_than_one_is_refused(tmp_path):
    with pytest.raises(DSUError, match="inference_nj"):
        decode(tmp_path, "data/wav.scp,speech,sound", "--ngpu", "2")


def test_model_of_waveforms_refuses_units(tmp_path):
    from espnet_dsu import Speech2Text
    from espnet_dsu.bin import asr_train

    config = yaml.safe_load(CONFIG.read_text())
    config.update(frontend="default", frontend_conf={}, preprocessor="default")
    (tmp_path / "fbank.yaml").write_text(yaml.safe_dump(config))
    options = [o.replace("dump/units/units.scp", "data/wav.scp") for o in OPTIONS_TRAIN]
    options = [o.replace("dsu_unit", "sound") for o in options]
    options[options.index("tokenizer=exp/bundle/config.yaml")] = "n_fft=256"
    options += ["--config", str(tmp_path / "fbank.yaml"), "--max_epoch", "1"]
    asr_train.main([*options, "--output_dir", str(tmp_path / "fbank")])
    model = Speech2Text(asr_model_file=tmp_path / "fbank" / "1epoch.pth", **OPTIONS)
    with pytest.raises(DSUError, match="takes waveforms"):
        model(np.array([1, 2, 3]))
    assert model(voice(1.0, 0))
