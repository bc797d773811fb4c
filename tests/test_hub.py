import shutil
import sys
import types
import zipfile
from pathlib import Path

import pytest
import yaml

from espnet_dsu import DSUError, hub
from espnet_dsu.bin import pack, upload
from tests.speech import voice

FILES = ("exp/asr/config.yaml", "exp/asr/valid.acc.ave.pth")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def archive(experiment, tmp_path_factory):
    path = tmp_path_factory.mktemp("pack") / "model.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(experiment)
        options = ["--asr_train_config", FILES[0], "--asr_model_file", FILES[1]]
        pack.main(["asr", "--outpath", str(path), *options])
    return path


def test_packed_model_transcribes_elsewhere_as_before(
    archive, experiment, tmp_path, monkeypatch
):
    from espnet_dsu import Speech2Text

    wav = voice(1.0, 77)
    monkeypatch.chdir(experiment)
    expected = Speech2Text(*FILES, beam_size=3)(wav)[0]
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # unpacked, then from the cache
        model = Speech2Text.from_pretrained(archive, beam_size=3)
        assert model(wav)[0][:3] == expected[:3]
    frontend = model.asr_train_args.frontend_conf["tokenizer"]
    assert frontend.startswith(str(tmp_path / "cache"))


def test_packed_model_unpacked_by_hand_is_loaded_from_its_folder(archive, tmp_path):
    arguments = hub.unpack_model(archive)
    folder = Path(arguments["asr_model_file"]).parents[2]
    assert hub.unpack_model(folder) == arguments


def test_pack_again_under_the_same_name_is_not_the_old_model(archive, tmp_path):
    path = tmp_path / "model.zip"
    shutil.copy(archive, path)
    first = hub.unpack_model(path)
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr("note.txt", "newer")
    assert hub.unpack_model(path) != first


def test_pack_missing_file_is_an_error_and_leaves_nothing(
    experiment, tmp_path, monkeypatch
):
    monkeypatch.chdir(experiment)
    with pytest.raises(DSUError, match="nothing.pth is missing"):
        hub.pack_asr(tmp_path / "x.zip", FILES[0], "nothing.pth")
    assert not list(tmp_path.glob("*.zip*"))


def test_pack_config_with_absolute_bundle_is_refused(experiment, tmp_path, monkeypatch):
    monkeypatch.chdir(experiment)
    config = yaml.safe_load(open(FILES[0]))
    config["frontend_conf"]["tokenizer"] = str(experiment / "exp/bundle/config.yaml")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(DSUError, match="relative path"):
        hub.pack_asr(tmp_path / "x.zip", path, FILES[1])


@pytest.mark.parametrize("name", ["../evil", "/evil"])
def test_archive_that_writes_outside_is_refused(tmp_path, name):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("meta.yaml", "{}")
        opened.writestr(name, "x")
    with pytest.raises(DSUError, match="outside the archive"):
        hub.unpack_model(path)


def test_archive_that_is_none_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    path.write_text("no zip")
    with pytest.raises(DSUError, match="no zip archive"):
        hub.unpack_model(path)
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("a", "b")
    with pytest.raises(DSUError, match="no meta.yaml"):
        hub.unpack_model(path)


def test_upload_sends_the_unpacked_model_to_the_repository(archive, monkeypatch):
    calls = {}

    class HfApi:
        def create_repo(self, repo, exist_ok):
            calls["repo"] = repo

        def upload_folder(self, repo_id, folder_path):
            calls["names"] = {p.name for p in folder_path.rglob("*")}
            return "commit"

    fake = types.SimpleNamespace(HfApi=HfApi)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    upload.main(["--pack", str(archive), "--hf_repo", "me/model"])
    assert calls["repo"] == "me/model"
    assert {"meta.yaml", "quantizer.safetensors", "bpe.model"} <= calls["names"]
    assert not list(archive.parent.glob("*.upload"))


def test_model_from_nowhere_says_so(monkeypatch):
    class ModelDownloader:
        def download_and_unpack(self, tag):
            raise OSError("no network")

    fake = types.SimpleNamespace(ModelDownloader=ModelDownloader)
    monkeypatch.setitem(sys.modules, "espnet_model_zoo.downloader", fake)
    monkeypatch.setitem(sys.modules, "espnet_model_zoo", types.SimpleNamespace())
    with pytest.raises(DSUError, match="someone/model.*no network"):
        hub.unpack_model("someone/model")


def test_packed_files_are_the_bundle_and_the_model(archive, experiment):
    names = set(zipfile.ZipFile(archive).namelist())
    bundle = {f"exp/bundle/{p.name}" for p in (experiment / "exp/bundle").iterdir()}
    assert names == {"meta.yaml", FILES[0], "exp/asr/valid.acc.ave_2best.pth", *bundle}
