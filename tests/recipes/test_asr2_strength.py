"""asr2.sh with a python that only pretends: rescoring, GPUs, large training sets."""

from __future__ import annotations

import json
import os

import pytest

from tests.recipes.dry_recipe import Recipe

RESCORING = ["--use_rescoring", "true", "--rescore_nbest", "2"]


def test_rescoring_tunes_on_the_validation_set_and_scores_both(recipe: Recipe) -> None:
    calls = recipe.run(*RESCORING, "--rescore_args", "--length_bonuses 0 1")
    modules = [c["module"].rsplit(".", 1)[1] for c in calls]
    assert "lm_train" in modules  # without --use_lm: it takes no part in the search
    decoding = [c for c in calls if c["module"].endswith("asr_inference")]
    assert all(c["options"]["nbest"] == ["2"] for c in decoding)
    assert not any("lm_file" in c["options"] for c in decoding)
    valid, test = [c["options"] for c in calls if c["module"].endswith("rescore")]
    assert valid["tune_ref"] == ["dump/raw/valid/text"] and "weights" not in valid
    assert test["weights"] == [f"{valid['output_dir'][0]}/weights.json"]
    assert test["length_bonuses"] == ["0", "1"]
    model = next(recipe.folder.glob("exp/asr_*"))
    metrics = json.loads((model / "metrics.json").read_text())
    assert set(metrics) == {"valid", "test", "valid_rescored", "test_rescored"}
    for name, rank in (("inference_asr_model_valid.acc.ave", 1), ("*_rescored_*", 2)):
        (text,) = model.glob(f"{name}/test/text")
        lines = text.read_text().splitlines()
        assert lines == [f"test-{n} one {rank}" for n in range(1, 6)]
    assert recipe.modules(*RESCORING, "--rescore_args", "--length_bonuses 0 1") == []
    assert set(recipe.modules(*RESCORING)) == {"rescore"}  # its results came out alike


def test_validation_set_is_evaluated_too_where_asked_even_without_training(
    recipe: Recipe,
) -> None:
    calls = recipe.run("--eval_valid_set", "true", "--skip_train", "true")
    scored = [c["options"]["set_name"] for c in calls if c["module"].endswith("score")]
    assert scored == [["valid"]]
    recipe.run(
        "--eval_valid_set", "true", "--skip_train", "true", "--valid_set", "", code=2
    )
    assert "--valid_set is required" in recipe.output


def test_subwords_of_the_text_give_a_token_error_rate(recipe: Recipe) -> None:
    def score_options(*options: str) -> dict:
        calls = recipe.run(*options)
        (found,) = [c["options"] for c in calls if c["module"].endswith("score")]
        return found

    found = score_options("--tgt_token_type", "bpe", "--tgt_nbpe", "20")
    assert found["bpemodel"] == ["data/en_token_list/bpe_unigram20/bpe.model"]
    assert found["nbest_dir"][0].endswith("/test/nbest")
    assert "bpemodel" not in score_options("--tgt_token_type", "char")


def test_jobs_of_decoding_share_the_gpus_in_turn(
    new_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-7")
    calls = new_recipe.run("--gpu_inference", "true")
    decoding = [c for c in calls if c["module"].endswith("asr_inference")]
    assert all(c["options"]["ngpu"] == ["1"] for c in decoding)
    assert sorted(c["gpu"] for c in decoding) == ["3", "3", "GPU-7"]
    assert {c["gpu"] for c in calls if c["module"].endswith("score")} == {"3,GPU-7"}


def test_gpus_that_the_driver_lists_are_numbered(
    new_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    listing = "#!/bin/sh\necho 'GPU 0: x'\necho 'GPU 1: y'\n"
    new_recipe.write("bin/nvidia-smi", listing).chmod(0o755)
    monkeypatch.setenv("PATH", f"{new_recipe.folder}/bin:{os.environ['PATH']}")
    calls = new_recipe.run("--gpu_inference", "true", "--ngpu", "0")
    decoding = [c for c in calls if c["module"].endswith("asr_inference")]
    assert sorted(c["gpu"] for c in decoding) == ["0", "0", "1"]


def test_decoding_on_gpus_where_none_is_says_so(
    new_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    new_recipe.run("--gpu_inference", "true", code=2)
    assert "--gpu_inference true, but no GPU is found" in new_recipe.output


def test_training_set_in_parts_holds_every_utterance_once(recipe: Recipe) -> None:
    text = recipe.folder / "dump/raw/train/text"
    text.write_text("train-0 of another set\n" + text.read_text())
    options = ["--num_splits_asr", "2", "--num_splits_lm", "3", "--use_lm", "true"]
    calls = recipe.run(*options)
    training = [c for c in calls if "train_shape_file" in c["options"]]
    training = [c for c in training if c["options"].get("multiple_iterator")]
    assert [c["module"].rsplit(".", 1)[1] for c in training] == [
        "lm_train",
        "asr_train",
    ]
    # The LM has the transcript of an utterance that has no units.
    for call, parts, first in zip(training, (3, 2), (0, 1)):
        shapes = call["options"]["train_shape_file"]
        data = call["options"]["train_data_path_and_name_and_type"]
        for path in [*shapes, *(d.split(",")[0] for d in data)]:
            folder = recipe.folder / path
            assert (folder / "num_splits").read_text() == f"{parts}\n"
            pieces = [(folder / f"split.{n}").read_text() for n in range(parts)]
            ids = [[line.split()[0] for line in p.splitlines()] for p in pieces]
            assert [i[0] for i in ids] == [f"train-{first + n}" for n in range(parts)]
            assert sorted(sum(ids, [])) == [f"train-{n}" for n in range(first, 6)]
    assert (
        (recipe.folder / shapes[0])
        .with_name("units.scp")
        .joinpath("units.yaml")
        .exists()
    )
    assert recipe.modules(*options) == []


def test_more_parts_than_utterances_are_refused(recipe: Recipe) -> None:
    recipe.run("--num_splits_asr", "9", code=2)
    assert "fewer lines than the 9 parts of --num_splits" in recipe.output


def test_published_model_decodes_and_scores_without_training(
    new_recipe: Recipe,
) -> None:
    options = ["--download_model", "me/model@v1", "--use_lm", "true"]
    calls = new_recipe.run(*options, "--src_token_type", "bpe", "--train_set", "")
    by_name = {call["module"].rsplit(".", 1)[1]: call["options"] for call in calls}
    expected = ["download_model", "format_data", "tokenize", "asr_inference", "score"]
    assert list(by_name) == expected
    assert by_name["download_model"]["model_tag"] == ["me/model@v1"]
    tokenizer = "exp/tokenizer/me_model_v1"
    assert by_name["tokenize"]["tokenizer"] == [tokenizer]
    assert by_name["tokenize"]["output_dir"] == ["dump/units/me_model_v1/test"]
    decoding = by_name["asr_inference"]
    assert decoding["asr_model_file"] == ["exp/asr_me_model_v1/model.pth"]
    assert "lm_file" not in decoding
    assert by_name["score"]["unit_pieces"] == [f"{tokenizer}/bpe.model"]
    again = new_recipe.modules(*options, "--src_token_type", "bpe", "--train_set", "")
    assert again == ["download_model"]


def test_ngram_counts_the_tokens_that_the_recogniser_writes(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe.write("bin/lmplz", "#!/bin/sh\ncat\n").chmod(0o755)
    recipe.write("bin/build_binary", "#!/bin/sh\ncp $2 $3\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{recipe.folder}/bin:{os.environ['PATH']}")
    options = ["--use_ngram", "true", "--tgt_token_type", "bpe", "--tgt_nbpe", "20"]
    calls = recipe.run(*options)
    (call,) = [c["options"] for c in calls if c["module"].endswith("tokenize_text")]
    assert call["token_type"] == ["bpe"] and call["field"] == ["2-"]
    assert call["bpemodel"] == ["data/en_token_list/bpe_unigram20/bpe.model"]
    decoding = [c["options"] for c in calls if c["module"].endswith("asr_inference")]
    model = recipe.folder / decoding[0]["ngram_file"][0]
    assert model.read_text() == (model.parent / "tokens.txt").read_text() != ""
    assert recipe.modules(*options) == []
