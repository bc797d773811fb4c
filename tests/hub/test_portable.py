import shutil
from pathlib import Path

import pytest
import yaml

from espnet_dsu import DSUError
from espnet_dsu.hub import portable

BUNDLE = Path("exp/bundle/config.yaml")


@pytest.fixture
def inside(experiment, tmp_path, monkeypatch):
    """The experiment's bundle in a folder of the test's own."""
    shutil.copytree(experiment / "exp/bundle", tmp_path / "exp/bundle")
    monkeypatch.chdir(tmp_path)


def name_upstream(name, **conf):
    config = yaml.safe_load(BUNDLE.read_text())
    config["upstream"] |= {"name": name, "conf": conf}
    BUNDLE.write_text(yaml.safe_dump(config))


def test_portable_config_has_no_paths_of_training_and_keeps_the_rest(inside):
    config = {
        "train_data_path_and_name_and_type": [["/data/wav.scp", "speech", "sound"]],
        "config": "/home/me/train.yaml",
        "dist_init_method": "file:///home/me/.dist",
        "encoder_conf": {"output_size": 4},
        "token_list": ["/", "exp/bundle/config.yaml"],
    }
    kept = portable.portable(config, "config.yaml")
    assert "/home" not in str(kept) and "/data" not in str(kept)
    assert kept["encoder_conf"] == {"output_size": 4}
    assert kept["token_list"] == config["token_list"]
    assert portable.referenced_files(kept, "config.yaml") == []


@pytest.mark.parametrize("path", ["/data/extra.txt", "../beside.txt"])
def test_path_that_would_not_move_along_is_refused_by_name(inside, path):
    Path("../beside.txt").touch()
    with pytest.raises(DSUError, match=f"config.yaml names {path}, which lies outside"):
        portable.portable({"g2p_conf": {"file": path}}, "config.yaml")


def test_bundle_goes_along_with_all_its_files(inside):
    config = {"frontend_conf": {"tokenizer": str(BUNDLE)}}
    names = portable.referenced_files(config, "config.yaml")
    assert sorted(names) == sorted(map(str, BUNDLE.parent.iterdir()))


@pytest.mark.parametrize(
    ("name", "conf"),
    [("hf:/gone/hubert@6", {}), ("torchaudio:HUBERT_BASE@6", {"checkpoint": "/a.pt"})],
)
def test_bundle_that_names_weights_of_this_machine_is_refused(inside, name, conf):
    name_upstream(name, **conf)
    with pytest.raises(DSUError, match="--embed_upstream true"):
        portable.referenced_files({"frontend_conf": {"tokenizer": str(BUNDLE)}}, "x")


def test_bundle_that_names_a_hub_id_is_fine(inside):
    name_upstream("hf:facebook/hubert-base-ls960@6", revision="abc")
    config = {"frontend_conf": {"tokenizer": str(BUNDLE)}}
    assert portable.referenced_files(config, "x")


def test_embedded_upstream_keeps_its_name_but_not_its_folder():
    upstream = {"name": "hf:/home/me/hubert@6", "conf": {"do_normalize": True}}
    moved = portable.portable_bundle({"upstream": upstream, "files": {}})
    assert moved["upstream"]["name"] == "hf:hubert@6"
    assert moved["upstream"]["conf"] == {"do_normalize": True}


def test_paths_of_a_config_become_those_of_its_folder_but_never_leave_it(inside):
    Path("../beside.txt").touch()
    folder = Path.cwd()
    config = {"a": [str(BUNDLE), "adam", "../beside.txt"], "token_list": [str(BUNDLE)]}
    local = portable.localize(config, folder)
    assert local["a"] == [str(folder / BUNDLE), "adam", "../beside.txt"]
    assert local["token_list"] == [str(BUNDLE)]


def test_folder_without_the_subword_model_says_so(tmp_path):
    with pytest.raises(DSUError, match="lacks data/bpe.model, the text's subword"):
        portable.localize({"bpemodel": "data/bpe.model"}, tmp_path)
