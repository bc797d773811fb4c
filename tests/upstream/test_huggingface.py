"""Hub ids, revisions, feature extractors and safe loading of transformers models."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from tiny_checkpoints import edit_json, load, save_hf

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream import build_upstream

OLD, NEW = "1" * 40, "2" * 40


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An offline cache in the hub's layout: org/Tiny-Base with two commits."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repo = tmp_path / "models--org--Tiny-Base"
    for seed, commit in enumerate((OLD, NEW)):
        save_hf(repo / "snapshots" / commit, "hubert_group", seed=seed)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(OLD)
    (repo / "refs" / "v2").write_text(NEW)
    return repo


def test_hub_id_is_pinned_to_the_commit_it_was_built_from(hub_cache):
    upstream = build_upstream("hf:org/Tiny-Base@2")
    config = upstream.config()
    assert config == {
        "name": "hf:org/Tiny-Base@2",
        "conf": {"revision": OLD, "do_normalize": True},
    }
    assert upstream.tag == "tiny_base_2"
    (hub_cache / "refs" / "main").write_text(NEW)  # the author pushes
    moved = build_upstream("hf:org/Tiny-Base@2")
    assert moved.config()["conf"]["revision"] == NEW
    assert moved.identity() != upstream.identity()
    pinned = build_upstream(config["name"], config["conf"])
    assert pinned.identity() == upstream.identity()
    assert pinned.config() == config


def test_revision_by_name_is_resolved_to_its_commit(hub_cache):
    upstream = build_upstream("hf:org/Tiny-Base@2", {"revision": "v2"})
    assert upstream.config()["conf"]["revision"] == NEW


def test_identity_is_the_same_from_the_hub_and_from_a_folder(hub_cache):
    local = build_upstream(f"hf:{hub_cache / 'snapshots' / NEW}@2")
    hub = build_upstream("hf:org/Tiny-Base@2", {"revision": NEW})
    assert hub.identity() == local.identity()


@pytest.mark.parametrize(
    "name, conf",
    [
        ("hf:org/not-cached@2", {}),
        ("hf:org/Tiny-Base@2", {"revision": "nosuch"}),
        ("hf:org/Tiny-Base@2", {"revision": "3" * 40}),
    ],
)
def test_hub_id_out_of_reach_is_one_clear_error(hub_cache, name, conf):
    with pytest.raises(DSUError, match="cannot get org/.*check the name and the netw"):
        build_upstream(name, conf)


def test_snapshot_without_weights_is_one_clear_error(hub_cache):
    (hub_cache / "snapshots" / OLD / "model.safetensors").unlink()
    with pytest.raises(DSUError, match="cannot load the model"):
        build_upstream("hf:org/Tiny-Base@2")


def test_revision_of_a_local_directory_is_refused(checkpoint):
    with pytest.raises(DSUError, match="local directory; option revision='main'"):
        build_upstream(f"hf:{checkpoint('hubert_group')}@1", {"revision": "main"})


def test_path_that_does_not_exist_is_not_taken_for_a_hub_id(tmp_path):
    with pytest.raises(DSUError, match="no such directory"):
        build_upstream(f"hf:{tmp_path}/nothing@1")


@pytest.mark.parametrize("from_hub", [True, False])
def test_torch_weights_load_as_the_same_upstream(hub_cache, from_hub):
    name = "hf:org/Tiny-Base@2" if from_hub else f"hf:{hub_cache}/snapshots/{OLD}@2"
    expected = build_upstream(name).identity()
    snapshot = hub_cache / "snapshots" / OLD
    weights = load(snapshot, "hubert_group").state_dict()
    (snapshot / "model.safetensors").unlink()
    torch.save(weights, snapshot / "pytorch_model.bin")
    assert build_upstream(name).identity() == expected


class Bomb:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_code_in_torch_weights_is_not_executed(checkpoint, tmp_path):
    shutil.copytree(checkpoint("hubert_group"), tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save({"x": Bomb(tmp_path / "boom")}, tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(DSUError, match="cannot load the model"):
        build_upstream(f"hf:{tmp_path}/m@1")
    assert not (tmp_path / "boom").exists()


def test_code_that_comes_with_a_checkpoint_is_not_executed(checkpoint, tmp_path):
    shutil.copytree(checkpoint("hubert_group"), tmp_path / "m")
    edit_json(tmp_path / "m" / "config.json", auto_map={"AutoModel": "evil.Evil"})
    boom = tmp_path / "boom"
    (tmp_path / "m" / "evil.py").write_text(f"open({str(boom)!r}, 'w')")
    build_upstream(f"hf:{tmp_path}/m@1")
    assert not boom.exists()


def test_unsupported_model_type_lists_the_supported(checkpoint, tmp_path):
    shutil.copytree(checkpoint("hubert_group"), tmp_path / "m")
    edit_json(tmp_path / "m" / "config.json", model_type="whisper")
    with pytest.raises(DSUError, match="'whisper' is not supported.*hubert.*wavlm"):
        build_upstream(f"hf:{tmp_path}/m@1")


def test_directory_without_config_is_one_clear_error(tmp_path):
    with pytest.raises(DSUError, match="cannot read .*config.json"):
        build_upstream(f"hf:{tmp_path}@1")


def test_normalization_is_asked_for_only_where_the_checkpoint_is_silent(
    checkpoint, tmp_path
):
    shutil.copytree(checkpoint("hubert_group"), tmp_path / "m")
    name = f"hf:{tmp_path}/m@1"
    assert build_upstream(name, {"do_normalize": True}).extractor.do_normalize
    with pytest.raises(DSUError, match="do_normalize=False contradicts"):
        build_upstream(name, {"do_normalize": False})
    (tmp_path / "m" / "preprocessor_config.json").unlink()
    with pytest.raises(DSUError, match="set do_normalize to true or false"):
        build_upstream(name)
    (tmp_path / "m" / "processor_config.json").write_text('{"processor_class": "X"}')
    for choice in (True, False):
        upstream = build_upstream(name, {"do_normalize": choice})
        assert upstream.config()["conf"] == {"do_normalize": choice}


def test_normalization_is_found_inside_a_processor_config(checkpoint, tmp_path):
    shutil.copytree(checkpoint("hubert_group"), tmp_path / "m")
    old = tmp_path / "m" / "preprocessor_config.json"
    extractor = {**json.loads(old.read_text()), "do_normalize": False}
    new = tmp_path / "m" / "processor_config.json"
    new.write_text(json.dumps({"feature_extractor": extractor}))
    old.unlink()
    upstream = build_upstream(f"hf:{tmp_path}/m@1")
    assert upstream.config()["conf"] == {"do_normalize": False}


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("content", ["{", "[]"])
def test_damaged_json_is_one_clear_error(checkpoint, tmp_path, file, content):
    shutil.copytree(checkpoint("hubert_group"), tmp_path / "m")
    (tmp_path / "m" / file).write_text(content)
    with pytest.raises(DSUError, match=r"cannot read|expected a JSON object"):
        build_upstream(f"hf:{tmp_path}/m@1")


def test_wav2vec2_bert_needs_its_feature_extractor(checkpoint, tmp_path):
    shutil.copytree(checkpoint("wav2vec2_bert"), tmp_path / "m")
    with pytest.raises(DSUError, match="has no option do_normalize"):
        build_upstream(f"hf:{tmp_path}/m@1", {"do_normalize": True})
    (tmp_path / "m" / "preprocessor_config.json").unlink()
    with pytest.raises(DSUError, match="needs its preprocessor_config.json"):
        build_upstream(f"hf:{tmp_path}/m@1")


def test_wav2vec2_bert_has_a_frame_every_20_ms(checkpoint):
    upstream = build_upstream(f"hf:{checkpoint('wav2vec2_bert')}@1")
    assert upstream.frame_shift == 320 and upstream.sample_rate == 16000


def test_half_precision_weights_give_float32_frames(checkpoint, tmp_path):
    model = load(checkpoint("hubert_group"), "hubert_group").half()
    shutil.copytree(checkpoint("hubert_group"), tmp_path / "m")
    model.save_pretrained(tmp_path / "m")
    upstream = build_upstream(f"hf:{tmp_path}/m@2")
    assert {p.dtype for p in upstream.parameters()} == {torch.float32}
    frames, _ = upstream.frames(torch.randn(1, 3000), torch.tensor([3000]))
    assert frames.dtype == torch.float32
    upstream.save_weights(tmp_path / "saved")
    again = build_upstream(f"hf:{tmp_path}/saved@2")
    assert again.identity() == upstream.identity()


def test_missing_transformers_says_how_to_install_it(monkeypatch, checkpoint):
    directory = checkpoint("hubert_group")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DSUError, match=r"pip install 'espnet_dsu\[hf\]'"):
        build_upstream(f"hf:{directory}@1")
