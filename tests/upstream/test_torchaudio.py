"""Bundles, weight files and local directories of torchaudio models."""

from __future__ import annotations

import shutil

import pytest
import torch
import torchaudio
import yaml
from test_huggingface import Bomb
from tiny_checkpoints import torchaudio_model, torchaudio_params

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream import build_upstream

CASE = "ta_wav2vec2_group"


@pytest.fixture
def tiny_bundle(monkeypatch):
    """A bundle TINY_BASE whose download is out of reach."""
    bundle = torchaudio.pipelines.Wav2Vec2Bundle(
        "tiny.pth", torchaudio_params(CASE), 16000, True, _model_type="Wav2Vec2"
    )
    monkeypatch.setattr(torchaudio.pipelines, "TINY_BASE", bundle, raising=False)

    def unreachable(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr(bundle, "_get_state_dict", unreachable)
    return bundle


def test_bundle_is_loaded_with_its_own_weights(tiny_bundle, monkeypatch, checkpoint):
    state = torchaudio_model(CASE).state_dict()
    asked = []
    monkeypatch.setattr(
        tiny_bundle, "_get_state_dict", lambda kwargs: asked.append(kwargs) or state
    )
    upstream = build_upstream("torchaudio:TINY_BASE@2")
    assert asked == [{"weights_only": True}]
    assert upstream.tag == "tiny_base_2"
    local = build_upstream(f"torchaudio:{checkpoint(CASE)}@2")
    assert upstream.identity() == local.identity()


def test_bundle_out_of_reach_is_one_clear_error(tiny_bundle):
    with pytest.raises(DSUError, match="cannot download .*no route.*option checkpoint"):
        build_upstream("torchaudio:TINY_BASE@2")


def test_weight_file_takes_the_place_of_the_download(tiny_bundle, tmp_path, checkpoint):
    path = tmp_path / "My hubert.pth"
    torch.save(torchaudio_model(CASE).state_dict(), path)
    upstream = build_upstream("torchaudio:TINY_BASE@2", {"checkpoint": str(path)})
    local = build_upstream(f"torchaudio:{checkpoint(CASE)}@2")
    assert upstream.identity() == local.identity()
    assert upstream.tag == "tiny_base_my_hubert_2"
    config = upstream.config()
    assert config["conf"] == {"checkpoint": str(path)}
    again = build_upstream(config["name"], config["conf"])
    assert again.identity() == upstream.identity()


def test_output_layer_of_a_fine_tuned_model_is_left_out(tiny_bundle, tmp_path):
    state = torchaudio_model(CASE).state_dict()
    torch.save(state, tmp_path / "a.pth")
    state["aux.weight"], state["aux.bias"] = torch.zeros(5, 16), torch.zeros(5)
    torch.save(state, tmp_path / "b.pth")
    tiny_bundle._params["aux_num_out"] = 5
    plain, tuned = (
        build_upstream("torchaudio:TINY_BASE@2", {"checkpoint": str(tmp_path / name)})
        for name in ("a.pth", "b.pth")
    )
    assert plain.identity() == tuned.identity()


@pytest.mark.parametrize(
    "content, message",
    [
        ({"surprise": torch.zeros(1)}, "lacks"),
        ([torch.zeros(1)], "expected a state dict"),
        ({"state": {"x": torch.zeros(1)}}, "expected a state dict"),
    ],
)
def test_weight_file_of_something_else_is_refused(
    tiny_bundle, tmp_path, content, message
):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(DSUError, match=message):
        build_upstream(
            "torchaudio:TINY_BASE@2", {"checkpoint": str(tmp_path / "x.pth")}
        )


def test_unexpected_weights_are_named(tiny_bundle, tmp_path):
    state = torchaudio_model(CASE).state_dict()
    torch.save({**state, "surprise": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(DSUError, match="unknown to the model, 1 weights: surprise"):
        build_upstream(
            "torchaudio:TINY_BASE@2", {"checkpoint": str(tmp_path / "x.pth")}
        )


def test_weights_of_another_size_are_refused(tiny_bundle, tmp_path, checkpoint):
    tiny_bundle._params["encoder_ff_interm_features"] = 30
    torch.save(torchaudio_model(CASE).state_dict(), tmp_path / "x.pth")
    with pytest.raises(DSUError, match="does not fit its model.*size mismatch"):
        build_upstream(
            "torchaudio:TINY_BASE@2", {"checkpoint": str(tmp_path / "x.pth")}
        )


def test_pickled_code_in_a_weight_file_is_not_executed(tiny_bundle, tmp_path):
    torch.save({"x": Bomb(tmp_path / "boom")}, tmp_path / "x.pth")
    with pytest.raises(DSUError, match="cannot read weights"):
        build_upstream(
            "torchaudio:TINY_BASE@2", {"checkpoint": str(tmp_path / "x.pth")}
        )
    assert not (tmp_path / "boom").exists()


def test_unknown_bundle_lists_the_known():
    with pytest.raises(DSUError, match="'HUBERT_TINY' is neither.*HUBERT_BASE.*WAVLM"):
        build_upstream("torchaudio:HUBERT_TINY@2")


def test_weight_file_beside_a_directory_is_refused(checkpoint):
    with pytest.raises(DSUError, match="option checkpoint is for bundles"):
        build_upstream(f"torchaudio:{checkpoint(CASE)}@1", {"checkpoint": "x.pth"})


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"model_type": "hubert"},
            "model_type 'hubert': expected one of wav2vec2, wavlm",
        ),
        ({"surprise": 1}, "exactly the keys model_type, params"),
        ({"params": {"surprise": 1}}, "does not fit its model"),
    ],
)
def test_directory_with_a_wrong_config_says_what_is_wrong(
    checkpoint, tmp_path, change, message
):
    shutil.copytree(checkpoint(CASE), tmp_path / "m")
    path = tmp_path / "m" / "config.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    with pytest.raises(DSUError, match=message):
        build_upstream(f"torchaudio:{tmp_path}/m@1")


def test_directory_without_config_is_one_clear_error(tmp_path):
    with pytest.raises(DSUError, match="cannot read .*config.yaml"):
        build_upstream(f"torchaudio:{tmp_path}@1")
