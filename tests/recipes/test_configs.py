"""Every training config of conf/asr and of the recipes trains; decoding configs parse.

Sizes are those of the file, but for the number of blocks, which is cut: what is tested
is whether ESPnet accepts the file and can train with it, not how long that takes.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.asr_experiment import chdir, prepare
from tests.recipes.harness import ROOT

SMALL = "--ngpu 0 --max_epoch 1 --accum_grad 1 --num_workers 0 --num_att_plot 0"
SMALL += " --use_matplotlib false --use_tensorboard false"


def read(path: Path) -> dict[str, Any]:
    """Read a config."""
    return yaml.safe_load(path.read_text())


def configs(*keys: str) -> list[str]:
    """All configs with one of these keys, each once: recipes link to shared ones."""
    found = {path.resolve() for path in (ROOT / "conf/asr").glob("*.yaml")}
    found |= {path.resolve() for path in ROOT.glob("egs2/*/asr2/conf/**/*.yaml")}
    fitting = (path for path in sorted(found) if any(key in read(path) for key in keys))
    return [str(path.relative_to(ROOT)) for path in fitting]


ASR = configs("encoder")
LM = configs("lm")
DECODING = configs("beam_size")


def test_configs_are_found() -> None:
    every = [*ASR, *LM, *DECODING]
    assert len(every) == len(set(every)) > 20
    assert "conf/asr/fsdd_unit.yaml" in ASR and "conf/asr/lm_debug.yaml" in LM
    assert sorted(every) == configs("optim", "beam_size")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six utterances: waveforms, text, units, a bundle with unit pieces."""
    folder = tmp_path_factory.mktemp("data")
    prepare(folder)
    shapes = (f"utt{i} {16000 * n}\n" for i, n in enumerate((1, 1, 2, 1, 2, 1)))
    (folder / "data/speech_shape").write_text("".join(shapes))
    return folder


def shorten(name: str, folder: Path) -> Path:
    """Write a copy of the config with as few blocks as it allows."""
    config = read(ROOT / name)
    for part in ("encoder_conf", "decoder_conf", "lm_conf"):
        conf = config.get(part, {})
        for key in {"num_blocks", "layer", "nlayers"} & conf.keys():
            conf[key] = max(conf.get("interctc_layer_idx") or [0]) + 1
    path = folder / f"{Path(name).stem}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def options(name: str, folder: Path, *sources: str) -> list[str]:
    """Give the options of a training on ``sources``: "path,name,type shape_file"."""
    words = ["--config", str(shorten(name, folder)), *SMALL.split()]
    words += ["--token_list", "data/tokens.txt", "--token_type", "word"]
    words += ["--output_dir", str(folder / "exp")]
    for source in sources:
        triple, shapes = source.split()
        for part in ("train", "valid"):
            words += [f"--{part}_data_path_and_name_and_type", triple]
            words += [f"--{part}_shape_file", shapes]
        words += ["--fold_length", "800"]
    return words


def check_trained(folder: Path, name: str) -> None:
    """Make sure that the loss is finite and that averaged checkpoints are there."""
    reporter = torch.load(folder / "exp/checkpoint.pth", weights_only=False)["reporter"]
    assert math.isfinite(reporter["stats"][1]["train"]["loss"])
    asked = read(ROOT / name).get("best_model_criterion", [["valid", "loss", "min"]])
    for phase, criterion, _ in asked:
        assert list((folder / "exp").glob(f"{phase}.{criterion}.ave*.pth"))


@pytest.mark.parametrize("name", ASR)
def test_asr_config_trains(name: str, data: Path, tmp_path: Path) -> None:
    from espnet_dsu.tasks.asr import UnitASRTask

    if read(ROOT / name).get("frontend") == "discrete_unit":
        speech = "dump/units/units.scp,speech,dsu_unit dump/units/utt2num_frames"
        more = ["--frontend_conf", "tokenizer=exp/bundle/config.yaml"]
    else:
        speech = "data/wav.scp,speech,sound data/speech_shape"
        more = ["--frontend_conf", "fs=16k"]
    text = "data/text,text,text data/text_shape"
    with chdir(data):
        UnitASRTask.main(cmd=[*options(name, tmp_path, speech, text), *more])
    check_trained(tmp_path, name)


@pytest.mark.parametrize("name", LM)
def test_lm_config_trains(name: str, data: Path, tmp_path: Path) -> None:
    from espnet2.tasks.lm import LMTask

    text = "data/text,text,text data/text_shape"
    with chdir(data):
        LMTask.main(cmd=options(name, tmp_path, text))
    check_trained(tmp_path, name)


@pytest.mark.parametrize("name", DECODING)
def test_decoding_config_has_known_options_only(name: str) -> None:
    from espnet2.bin.asr_inference import get_parser

    data = ["--data_path_and_name_and_type", "a,speech,sound", "--output_dir", "exp"]
    words = ["--config", str(ROOT / name), *data]
    args = vars(get_parser().parse_args(words))
    assert {key: args[key] for key in read(ROOT / name)} == read(ROOT / name)
