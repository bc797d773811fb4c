"""egs2/interspeech2024_dsu_challenge/asr2, stages 1 to 17 on miniatures."""

from __future__ import annotations

from pathlib import Path

import pytest

from espnet_dsu.units.files import UnitReader
from tests.hub_server import HubServer
from tests.recipes.harness import (
    copy_recipe,
    find_experiment,
    read_metrics,
    run_recipe,
    tiny_upstream,
    transcribe,
)
from tests.recipes.librispeech_corpus import make_librispeech
from tests.recipes.ml_superb_corpus import make_ml_superb

pytestmark = pytest.mark.recipe
OPTIONS = (
    *("--stage", "1", "--stop_stage", "17", "--local_data_opts", "--partial true"),
    *("--nclusters", "20", "--src_nbpe", "40", "--tgt_nbpe", "90"),
    *("--test_sets", "test_clean test_1h", "--embed_upstream", "true"),
    *("--asr_config", "conf/train_asr_debug.yaml"),
    *("--inference_config", "conf/decode_asr_debug.yaml"),
    *("--skip_packing", "false", "--skip_upload_hf", "false", "--hf_repo", "me/dsu"),
)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, hub: HubServer) -> Path:
    """The recipe after its run."""
    root = tmp_path_factory.mktemp("challenge")
    folder = copy_recipe(root, "interspeech2024_dsu_challenge/asr2")
    corpora = {
        "LIBRISPEECH": str(make_librispeech(root / "libri")),
        "MLSUPERB": str(make_ml_superb(root / "ml_superb")),
    }
    upstream = ("--upstream", tiny_upstream(root / "hubert"))
    run_recipe(folder, *OPTIONS, *upstream, env={**corpora, **hub.environment})
    return folder


def test_challenge_trains_on_both_corpora(recipe: Path) -> None:
    (units,) = (recipe / "dump/units").iterdir()
    utterances = list(UnitReader(units / "train/units.scp"))
    assert len(utterances) == 6 + 18
    assert {utt.partition("-")[0] for utt in utterances} == {"librispeech", "ml_superb"}


def test_challenge_table_holds_the_scores_of_metrics_json(recipe: Path) -> None:
    experiment = find_experiment(recipe)
    metrics = read_metrics(experiment)
    assert metrics.keys() == {"test_clean", "test_1h"}
    *_, row = (experiment / "challenge.md").read_text().splitlines()
    decode, english, multilingual, bitrate = row.strip("|").split("|")
    assert decode == metrics["test_1h"]["decode"]
    # Two of its four sets were not scored.
    assert (english, bitrate) == ("-", "-")
    assert float(multilingual) == pytest.approx(metrics["test_1h"]["cer"], abs=0.01)


def test_challenge_uploads_what_transcribes_by_its_name(
    recipe: Path, hub: HubServer, tmp_path: Path
) -> None:
    assert "README.md" in hub.files("me/dsu")
    wav = next((recipe.parents[2] / "ml_superb").rglob("*.wav"))
    transcribe("me/dsu", wav, tmp_path, hub.environment)
