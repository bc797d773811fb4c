import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from espnet_dsu import DSUError
from espnet_dsu.bin import pack
from espnet_dsu.hub.layout import CARD
from tests.asr_experiment import chdir
from tests.inference.tiny_vocoder import write_vocoder
from tests.speech import train_bundle

CONFIG, MODEL = "exp/voc/config.yaml", "exp/voc/valid.mel_loss.ave.pth"
SPEAKERS = {"<unk>": 0, **{f"speaker{i}": i for i in range(1, 13)}}


@pytest.fixture
def recipe(tmp_path):
    """A vocoder's experiment, in whose folder the test works."""
    folder = tmp_path / "recipe"
    folder.mkdir()
    with chdir(folder):
        train_bundle(Path("exp/bundle"))
        write_vocoder(Path("exp/voc"), "exp/bundle/config.yaml", speakers=SPEAKERS)
        metrics = {"test": {"wer": 2.5, "mcd": 6.125, "num_utts": 30}}
        Path("exp/voc/metrics.json").write_text(json.dumps(metrics))
        yield folder


def pack_voc(outpath, *more):
    options = ["--train_config", CONFIG, "--model_file", MODEL, "--corpus", "digits"]
    pack.main(["voc", "--outpath", str(outpath), "--lang", "en", *options, *more])


def test_packed_vocoder_speaks_elsewhere_as_before(recipe, tmp_path):
    from espnet_dsu import Units2Speech

    units = np.arange(15) // 2
    expected = Units2Speech(CONFIG, MODEL)(units, speaker="speaker3")
    pack_voc(tmp_path / "model.zip")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(tmp_path / "model.zip", elsewhere / "renamed.zip")
    shutil.rmtree(recipe / "exp")
    with chdir(elsewhere):
        shutil.unpack_archive("renamed.zip", "by_hand")
        for tag in ("renamed.zip", "by_hand"):
            model = Units2Speech.from_pretrained(tag)
            assert np.array_equal(model(units, speaker="speaker3"), expected)
            assert model.tokenizer.fingerprint == model.spec.fingerprint


def test_packed_vocoder_holds_bundle_and_scores_and_no_path_of_the_machine(recipe):
    pack_voc("model.zip")
    with zipfile.ZipFile("model.zip") as opened:
        contents = {name: opened.read(name) for name in opened.namelist()}
    bundle = {f"exp/bundle/{p.name}" for p in Path("exp/bundle").iterdir()}
    about = {"meta.yaml", CARD, "espnet_dsu.yaml", "exp/voc/metrics.json"}
    assert contents.keys() == {CONFIG, MODEL, *bundle, *about}
    for name, content in contents.items():
        assert f"{recipe}/".encode() not in content, name
    meta = yaml.safe_load(contents["meta.yaml"])
    assert meta["yaml_files"] == {"train_config": CONFIG}
    assert meta["files"] == {"model_file": MODEL}


def test_card_of_a_vocoder_shows_voice_use_and_scores(recipe):
    pack_voc("model.zip", "--license", "mit")
    text = zipfile.ZipFile("model.zip").read(CARD).decode()
    matter = yaml.safe_load(text.split("---\n")[1])
    assert matter["pipeline_tag"] == "audio-to-audio" and matter["license"] == "mit"
    assert "automatic-speech-recognition" not in text
    (result,) = matter["model-index"][0]["results"]
    found = {m["type"]: m["value"] for m in result["metrics"]}
    assert found == {"wer": 2.5, "mcd": 6.12}
    (code,) = text.split("```python\n")[1:]
    compile(code.split("```")[0], "card", "exec")
    assert "units2speech(units, speaker='speaker1')" in code
    for row in ("| sample rate | 8000 Hz |", "| generator | `istft` |", "| upstream |"):
        assert row in text
    assert "`speaker10`, ... (12 in all)" in text and "<unk>`" not in text
    assert "@inproceedings{polyak2021speech" in text


@pytest.mark.parametrize("missing", [MODEL, CONFIG, "exp/bundle/config.yaml"])
def test_pack_of_a_vocoder_without_a_piece_names_it(recipe, missing):
    Path(missing).unlink()
    with pytest.raises(DSUError, match=f"{missing} is missing"):
        pack_voc("out/model.zip")
    assert not any(Path("out").rglob("*"))


def test_vocoder_archive_with_executable_pickle_is_refused(recipe):
    import torch

    from espnet_dsu import Units2Speech

    torch.save({"weights": Path("x")}, MODEL)
    pack_voc("model.zip")
    with pytest.raises(DSUError, match="no plain checkpoint"):
        Units2Speech.from_pretrained("model.zip")


def test_archive_of_a_recogniser_is_no_vocoder(archive):
    from espnet_dsu import Units2Speech

    with pytest.raises(DSUError, match="another kind of model"):
        Units2Speech.from_pretrained(archive)
