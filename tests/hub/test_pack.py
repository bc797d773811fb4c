import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from espnet_dsu import DSUError, hub
from espnet_dsu.bin import pack
from tests.asr_experiment import chdir
from tests.hub.conftest import CONFIG, MODEL, pack_options, run

LOAD = """
import shutil, sys
import numpy as np
import espnet_dsu
archive, wav = sys.argv[1], np.load(sys.argv[2])
from espnet2.bin.asr_inference import Speech2Text as Stock
from espnet_dsu import Speech2Text
from espnet2.main_funcs.pack_funcs import unpack
ours = Speech2Text.from_pretrained(archive)
stock = Stock(**unpack(archive, "stock"), beam_size=3, ctc_weight=0.4)
shutil.unpack_archive(archive, "by_hand")
shutil.move("by_hand", "moved")
by_hand = Speech2Text.from_pretrained("moved")
for model in (ours, stock, by_hand):
    print("heard", model(wav)[0][2], float(model(wav)[0][3].score))
"""


@pytest.fixture
def copied(scored, tmp_path):
    """The experiment in a folder of the test's own."""
    folder = tmp_path / "recipe"
    shutil.copytree(scored, folder, symlinks=True)
    with chdir(folder):
        yield folder


def test_archive_survives_the_move_and_the_loss_of_its_experiment(
    copied, tmp_path, wav
):
    import numpy as np

    from espnet_dsu import Speech2Text

    model = Speech2Text(CONFIG, MODEL, beam_size=3, ctc_weight=0.4)
    expected = f"heard {model(wav)[0][2]} {float(model(wav)[0][3].score)}"
    pack.main(pack_options(tmp_path / "model.zip"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(tmp_path / "model.zip", elsewhere / "renamed.zip")
    shutil.rmtree(copied / "exp")
    np.save(elsewhere / "wav.npy", wav)
    done = run(elsewhere, "-c", LOAD, "renamed.zip", "wav.npy", env={})
    heard = [line for line in done.stdout.splitlines() if line.startswith("heard")]
    assert heard == [expected] * 3, done.stderr[-3000:]


def test_packed_files_are_the_model_its_bundle_and_its_scores(archive, scored):
    names = set(zipfile.ZipFile(archive).namelist())
    bundle = {f"exp/bundle/{p.name}" for p in (scored / "exp/bundle").iterdir()}
    scores = {"exp/asr/metrics.json", "exp/asr/RESULTS.md"}
    about = {"meta.yaml", "README.md", "espnet_dsu.yaml"}
    assert names == {CONFIG, MODEL, *about, *scores, *bundle}


def test_archive_holds_no_path_of_the_machine_that_packed(archive, scored):
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            content = opened.read(name)
            for path in (scored, Path.home(), Path(__file__).parents[2]):
                assert f"{path}/".encode() not in content, name


def test_pack_with_language_models_and_subwords_takes_all_along(copied):
    (copied / "exp/lm").mkdir()
    (copied / "exp/lm/config.yaml").write_text(
        "train_data_path_and_name_and_type: [[/data/text, text, text]]\nlm: seq_rnn\n"
    )
    for name in ("exp/lm/valid.loss.ave.pth", "exp/3gram.bin", "data/bpe.model"):
        (copied / name).write_text(name)
    config = yaml.safe_load((copied / CONFIG).read_text())
    config["bpemodel"] = "data/bpe.model"
    (copied / CONFIG).write_text(yaml.safe_dump(config))
    hub.pack_asr(
        "model.zip",
        CONFIG,
        MODEL,
        lm_train_config="exp/lm/config.yaml",
        lm_file="exp/lm/valid.loss.ave.pth",
        ngram_file="exp/3gram.bin",
    )
    arguments = hub.unpack_model("model.zip")
    read = {k: Path(arguments[k]).read_text() for k in ("lm_file", "ngram_file")}
    assert read == {
        "lm_file": "exp/lm/valid.loss.ave.pth",
        "ngram_file": "exp/3gram.bin",
    }
    assert "/data/text" not in Path(arguments["lm_train_config"]).read_text()
    unpacked = yaml.safe_load(Path(arguments["asr_train_config"]).read_text())
    assert Path(unpacked["bpemodel"]).read_text() == "data/bpe.model"


def test_pack_of_an_experiment_behind_links_can_be_loaded(copied, tmp_path):
    shutil.move(copied / "exp", tmp_path / "disk")
    (copied / "exp").symlink_to(tmp_path / "disk")
    pack.main(pack_options(tmp_path / "model.zip"))
    arguments = hub.unpack_model(tmp_path / "model.zip")
    config = yaml.safe_load(Path(arguments["asr_train_config"]).read_text())
    assert config["frontend_conf"]["tokenizer"].startswith(str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (MODEL, "valid.acc.ave.pth is missing"),
        (CONFIG, "config.yaml is missing, so the model"),
        ("exp/bundle/config.yaml", "exp/bundle/config.yaml is missing, the unit token"),
        ("exp/bundle/bpe.model", "bpe.model is missing from the bundle"),
    ],
)
def test_pack_without_a_piece_names_it_and_leaves_nothing(copied, missing, message):
    Path(missing).unlink()
    with pytest.raises(DSUError, match=message):
        hub.pack_asr("out/x.zip", CONFIG, MODEL)
    assert not any(Path("out").rglob("*"))


def test_pack_of_a_bundle_named_by_absolute_path_is_refused(copied):
    config = yaml.safe_load((copied / CONFIG).read_text())
    config["frontend_conf"]["tokenizer"] = str(copied / "exp/bundle/config.yaml")
    Path(CONFIG).write_text(yaml.safe_dump(config))
    with pytest.raises(DSUError, match="relative paths"):
        hub.pack_asr("x.zip", CONFIG, MODEL)


def test_pack_from_another_folder_is_refused(scored, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DSUError, match="run from the recipe"):
        hub.pack_asr("x.zip", scored / CONFIG, scored / MODEL)


def test_pack_with_half_a_language_model_is_refused(copied):
    with pytest.raises(DSUError, match="give both"):
        hub.pack_asr("x.zip", CONFIG, MODEL, lm_file=MODEL)
