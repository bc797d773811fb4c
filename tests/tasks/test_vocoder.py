from pathlib import Path

import pytest
import soundfile
import torch
import yaml

from espnet_dsu import DSUError, UnitTokenizer
from espnet_dsu.corpus.tokenizing import tokenize_corpus
from espnet_dsu.tasks.checkpoint import read_checkpoint
from tests.asr_experiment import chdir
from tests.speech import voice, write_corpus

CONFIGS = Path(__file__).parents[2] / "conf" / "vocoder"
LENGTHS_SEC = [0.8, 1.0, 1.2, 0.9]
CONF = {"sample_rate": 8000, "frame_shift": 20}


def make_bundle(path, seed=0, nclusters=12):
    wavs = [voice(1.5, i, 8000) for i in range(3)]
    made = UnitTokenizer.train(
        wavs, 8000, nclusters=nclusters, seed=seed, upstream_conf=CONF
    )
    made.save_pretrained(path)


def options(output_dir="exp/voc", units="units"):
    made = ["--config", str(CONFIGS / "debug.yaml"), "--output_dir", output_dir]
    made += ["--tokenizer", "exp/bundle/config.yaml", "--fs", "8k", "--ngpu", "0"]
    made += ["--use_tensorboard", "false", "--use_matplotlib", "false"]
    made += ["--spk2sid", "data/spk2sid"]
    for part in ("train", "valid"):
        for data in (f"{units}/units.scp,units,dsu_unit", "data/wav.scp,speech,sound"):
            made += [f"--{part}_data_path_and_name_and_type", data]
        data = "data/utt2sid,sids,text_int"
        made += [f"--{part}_data_path_and_name_and_type", data]
        made += [f"--{part}_shape_file", "units/utt2num_frames"]
    return made


def train(*more):
    from espnet_dsu.bin import vocoder_train

    vocoder_train.main([*options(), *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocoder")
    with chdir(folder):
        write_corpus(Path("data"), LENGTHS_SEC, 8000)
        Path("data/spk2sid").write_text("<unk> 0\nann 1\nben 2\n")
        lines = [f"utt{i} {i % 2 + 1}\n" for i in range(4)]
        Path("data/utt2sid").write_text("".join(lines))
        make_bundle(Path("exp/bundle"))
        tokenize_corpus("data/wav.scp", "exp/bundle", "units")
        train()
    return folder


@pytest.fixture
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def build(config="exp/voc/config.yaml", checkpoint="exp/voc/valid.mel_loss.best.pth"):
    from espnet_dsu.tasks.vocoder import UnitVocoderTask

    return UnitVocoderTask.build_model_from_file(config, checkpoint)


def test_training_leaves_espnets_files_and_a_portable_config(inside):
    names = {p.name for p in Path("exp/voc").iterdir()}
    assert {"config.yaml", "checkpoint.pth", "1epoch.pth"} <= names
    config = yaml.safe_load(Path("exp/voc/config.yaml").read_text())
    assert config["spk2sid"] == {"<unk>": 0, "ann": 1, "ben": 2}
    assert config["tokenizer"] == "exp/bundle/config.yaml"
    assert config["fs"] == 8000


def test_build_model_from_file_gets_every_weight(inside):
    model, args = build()
    for name, value in read_checkpoint("exp/voc/valid.mel_loss.best.pth").items():
        assert torch.equal(model.state_dict()[name], value), name
    assert model.generator.speakers == {"<unk>": 0, "ann": 1, "ben": 2}
    assert model.steps.item() == 2


def test_checkpoint_without_a_weight_is_refused(inside, tmp_path):
    state = dict(read_checkpoint("exp/voc/valid.mel_loss.best.pth"))
    del state["generator.durations.output.bias"]
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(DSUError, match="generator.durations.output.bias"):
        build(checkpoint=tmp_path / "short.pth")


def test_training_goes_on_from_its_checkpoint(inside):
    train("--output_dir", "exp/again", "--seed", "3")
    train("--output_dir", "exp/again", "--max_epoch", "2", "--resume", "true")
    state = read_checkpoint("exp/again/2epoch.pth")
    assert state["steps"].item() == 4


def test_units_of_another_bundle_are_refused_before_training(inside):
    make_bundle(Path("exp/other"), seed=5, nclusters=10)
    tokenize_corpus("data/wav.scp", "exp/other", "other_units")
    from espnet_dsu.bin import vocoder_train

    with pytest.raises(DSUError, match="other_units/units.scp holds units of"):
        vocoder_train.main(options("exp/bad", "other_units"))


def test_rate_that_gives_no_whole_frames_is_refused(inside):
    with pytest.raises(DSUError, match="at 11025 Hz a frame .* is 220.50 samples"):
        train("--output_dir", "exp/bad", "--fs", "11025")


def test_speakers_that_are_no_numbers_are_refused(inside):
    Path("bad_spk2sid").write_text("ann first\n")
    with pytest.raises(DSUError, match="--spk2sid bad_spk2sid: 'ann first'"):
        train("--output_dir", "exp/bad", "--spk2sid", "bad_spk2sid")


@pytest.mark.parametrize(
    "more, message",
    [
        (["--vocoder_conf", "f0=continuous"], "f0 is set, but the data has no f0"),
        (["--vocoder_conf", "spk_embed_dim=3"], "the data has no spembs"),
        (["--spk2sid", ""], "the data has sids, .* set --spk2sid"),
    ],
)
def test_data_that_does_not_go_with_the_options_is_refused(inside, more, message):
    with pytest.raises(DSUError, match=message):
        train("--output_dir", "exp/bad", *more)


def test_collect_stats_writes_shapes(inside):
    train("--output_dir", "stats", "--collect_stats", "true")
    shapes = Path("stats/train/units_shape").read_text().split()
    frames = Path("units/utt2num_frames").read_text().split()
    assert sorted(shapes) == sorted(frames)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.name)
def test_each_config_builds_and_gives_losses_with_small_sizes(inside, path):
    from espnet_dsu.tasks.vocoder import UnitVocoderTask

    parser = UnitVocoderTask.get_parser()
    cmd = ["--config", str(path), "--output_dir", "x", "--fs", "8k"]
    args = parser.parse_args([*cmd, "--tokenizer", "exp/bundle/config.yaml"])
    if args.generator == "hifigan":
        args.generator_conf = {**args.generator_conf, "channels": 64}
        small = {"channels": 16, "max_downsample_channels": 16, "max_groups": 4}
        args.discriminator_conf = {
            "scale_discriminator_params": small,
            "period_discriminator_params": {
                "channels": 4,
                "max_downsample_channels": 16,
            },
        }
    else:
        hop = {"hop_length": 80, "n_fft": 320}
        small = {"channels": 16, "hidden_channels": 16}
        args.generator_conf = {**args.generator_conf, **small, **hop}
    model = UnitVocoderTask.build_model(args)
    batch = {
        "units": torch.randint(12, (2, 80)),
        "units_lengths": torch.tensor([80, 70]),
        "speech": 0.1 * torch.randn(2, 80 * 160),
        "speech_lengths": torch.tensor([80, 70]) * 160,
        "f0": torch.full((2, 80), 110.0),
        "spembs": torch.randn(2, args.vocoder_conf.get("spk_embed_dim") or 1),
    }
    model.steps.fill_(1e6)
    for turn in (False, True):
        assert model(forward_generator=turn, **batch)["loss"].isfinite()
    optimizers = UnitVocoderTask.build_optimizers(args, model)
    assert len(optimizers) == 2


def test_vocoder_speaks_what_it_was_trained_on(inside):
    """A vocoder trained for a minute on one utterance gives its spectrum back."""
    from espnet_dsu.metrics.mel_distance import mel_distance
    from espnet_dsu.models.vocoder import Conditions
    from espnet_dsu.units.files import UnitReader

    conf = ["channels=32", "hidden_channels=64", "num_frame_blocks=1", "num_blocks=1"]
    more = [word for item in conf for word in ("--generator_conf", item)]
    more += ["--num_iters_per_epoch", "150", "--optim_conf", "lr=0.005"]
    more += ["--model_conf", "discriminator_start=100000"]
    train("--output_dir", "exp/learned", *more)
    untrained, _ = build()
    learned, _ = build("exp/learned/config.yaml", "exp/learned/1epoch.pth")
    units = UnitReader("units/units.scp")["utt0"]
    real, _ = soundfile.read("data/utt0.wav", dtype="float32")
    distances = []
    for model in (untrained.eval(), learned.eval()):
        with torch.no_grad():
            wav = model.generator(
                torch.as_tensor(units).long()[None],
                torch.tensor([len(units)]),
                Conditions(torch.tensor([1])),
            )[0].numpy()
        size = min(len(real), len(wav))
        distances.append(mel_distance(real[:size], wav[:size], 8000))
    assert distances[1] < 0.5 * distances[0]
