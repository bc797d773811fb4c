"""egs2/mini_an4/asr2, stages 1 to 17 on a miniature, and on the real archive."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from espnet_dsu.units.files import UnitReader
from tests.hub_server import HubServer
from tests.recipes.an4_corpus import make_an4
from tests.recipes.harness import (
    ROOT,
    copy_recipe,
    find_experiment,
    read_metrics,
    run_recipe,
    tiny_upstream,
    transcribe,
)

pytestmark = pytest.mark.recipe
UPLOAD = (
    *("--stage", "1", "--stop_stage", "17", "--skip_packing", "false"),
    *("--skip_upload_hf", "false", "--hf_repo", "me/an4", "--embed_upstream", "true"),
)
BESIDE_CHECKOUT = ROOT.parent / "shared/data/mini_an4.tar.gz"


def real_archive() -> Path:
    """Find ESPnet's mini AN4, or skip the test."""
    path = Path(os.environ.get("MINI_AN4") or BESIDE_CHECKOUT).absolute()
    if not path.exists():
        pytest.skip("MINI_AN4 names no corpus")
    return path


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, hub: HubServer) -> Path:
    """The recipe after a run with the tiny HuBERT."""
    root = tmp_path_factory.mktemp("an4")
    folder = copy_recipe(root, "mini_an4/asr2")
    env = {"MINI_AN4": str(make_an4(root / "corpus")), **hub.environment}
    run_recipe(folder, *UPLOAD, "--upstream", tiny_upstream(root / "hubert"), env=env)
    return folder


def test_an4_reports_every_set(recipe: Path) -> None:
    experiment = find_experiment(recipe)
    metrics = read_metrics(experiment)
    assert metrics.keys() == {"train_dev", "test", "test_seg"}
    assert all(m["bitrate"] > 0 and m["num_utts"] for m in metrics.values())
    assert "_hubert_2_km20_bpe_unigram40_rm_en_char" in experiment.name


def test_an4_segments_give_the_units_and_text_of_whole_recordings(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(recipe)  # units.scp names its ark from there
    (units,) = (recipe / "dump/units").iterdir()
    whole = dict(UnitReader(units / "test/units.scp").items())
    cut = dict(UnitReader(units / "test_seg/units.scp").items())
    assert whole.keys() == cut.keys() and len(whole) == 2
    assert all(np.array_equal(whole[utt], cut[utt]) for utt in whole)
    texts = [
        (decoded / "text").read_text()
        for decoded in find_experiment(recipe).glob("decode*/test*")
    ]
    assert len(texts) == 2 and len(set(texts)) == 1


def test_an4_uploaded_model_transcribes_sphere_file_elsewhere(
    recipe: Path, hub: HubServer, tmp_path: Path
) -> None:
    assert {"README.md"} < hub.files("me/an4").keys()
    wav = next((recipe.parents[2] / "corpus").rglob("*mmxg*.sph"))
    shutil.copy(wav, tmp_path / "said.sph")
    transcribe("me/an4", tmp_path / "said.sph", tmp_path, hub.environment)


def test_an4_real_archive_runs_through_stage_17(tmp_path: Path, hub: HubServer) -> None:
    """With the recipe's own settings: MFCC units."""
    folder = copy_recipe(tmp_path, "mini_an4/asr2")
    env = {"MINI_AN4": str(real_archive()), **hub.environment}
    run_recipe(folder, *UPLOAD, "--hf_repo", "me/real_an4", env=env)
    experiment = find_experiment(folder)
    metrics = read_metrics(experiment)
    sizes = {name: entry["num_words"] for name, entry in metrics.items()}
    assert sizes == {"train_dev": 1, "test": 10, "test_seg": 10}
    assert "mfcc" in experiment.name and hub.files("me/real_an4")
