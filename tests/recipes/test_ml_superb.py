"""egs2/ml_superb/asr2, stages 1 to 17 on a miniature."""

from __future__ import annotations

from pathlib import Path

import pytest

from espnet_dsu.scp import read_scp
from tests.hub_server import HubServer
from tests.recipes.harness import (
    copy_recipe,
    find_experiment,
    read_metrics,
    run_recipe,
    tiny_upstream,
    transcribe,
)
from tests.recipes.ml_superb_corpus import make_ml_superb

pytestmark = pytest.mark.recipe
OPTIONS = (
    *("--stage", "1", "--stop_stage", "17", "--nclusters", "20", "--src_nbpe", "40"),
    *("--test_sets", "test_10min", "--embed_upstream", "true"),
    *("--asr_config", "conf/train_asr_debug.yaml"),
    *("--inference_config", "conf/decode_asr_debug.yaml"),
    *("--skip_packing", "false", "--skip_upload_hf", "false", "--hf_repo", "me/many"),
)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, hub: HubServer) -> Path:
    """The recipe after its run."""
    root = tmp_path_factory.mktemp("ml_superb")
    folder = copy_recipe(root, "ml_superb/asr2")
    env = {"MLSUPERB": str(make_ml_superb(root / "corpus")), **hub.environment}
    run_recipe(folder, *OPTIONS, "--upstream", tiny_upstream(root / "hubert"), env=env)
    return folder


def test_ml_superb_languages_are_single_tokens(recipe: Path) -> None:
    tokens = recipe / "data/multilingual_10min_token_list/char/tokens.txt"
    symbols = {"[eng]", "[deu]", "[dan]", "[org_jpn]"}
    assert symbols < set(tokens.read_text().splitlines())
    assert not set("[]") & set(tokens.read_text().splitlines())


def test_ml_superb_scores_languages_beside_the_whole_set(recipe: Path) -> None:
    experiment = find_experiment(recipe, "10min/asr_train*")
    entry = read_metrics(experiment)["test_10min"]
    assert {"cer_macro", "cer_sd", "cer_normal", "cer_few_shot"} < entry.keys()
    assert 0 <= entry["lid"] <= 100 and 0 <= entry["lid_macro"] <= 100
    (table,) = experiment.glob("*/test_10min/languages.tsv")
    head, *rows = (line.split("\t") for line in table.read_text().splitlines())
    assert [row[0] for row in rows] == ["dan", "deu", "eng", "org_jpn"]
    assert sum(int(row[1]) for row in rows) == entry["num_utts"] == 10
    assert sum(int(row[2]) for row in rows) == entry["num_chars"]
    errors = sum(int(row[2]) * float(row[3]) / 100 for row in rows)
    assert errors == pytest.approx(
        entry["cer_sub"] + entry["cer_del"] + entry["cer_ins"], abs=0.1
    )
    assert "lid_macro" in (experiment / "RESULTS.md").read_text()


def test_ml_superb_again_does_nothing_but_upload(recipe: Path, hub: HubServer) -> None:
    """local/score.sh changes what the packed model holds; it must do so once."""
    corpus = recipe.parents[2] / "corpus"
    env = {"MLSUPERB": str(corpus), **hub.environment}
    upstream = ("--upstream", f"hf:{recipe.parents[2] / 'hubert'}@2")
    output = run_recipe(recipe, *OPTIONS, *upstream, env=env)
    assert "Stage 16: up to date, skipping" in output
    assert "redoing" not in output and "going on" not in output


def test_ml_superb_uploads_what_transcribes_by_its_name(
    recipe: Path, hub: HubServer, tmp_path: Path
) -> None:
    assert "README.md" in hub.files("me/many")
    wav = next((recipe.parents[2] / "corpus").rglob("*.wav"))
    transcribe("me/many", wav, tmp_path, hub.environment)
    assert read_scp(recipe / "data/test_10min/utt2lang")
