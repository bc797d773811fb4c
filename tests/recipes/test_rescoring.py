"""egs2/digits/asr2 with all that a large recipe adds: parts, rescoring, subwords."""

from __future__ import annotations

import pytest

from tests.recipes.harness import (
    copy_recipe,
    find_experiment,
    read_metrics,
    run_recipe,
)

pytestmark = pytest.mark.recipe
OPTIONS = (
    *("--local_data_opts", "--num_train 24 --num_valid 6 --num_test 6"),
    *("--asr_config", "conf/train_asr_debug.yaml", "--nclusters", "20"),
    *("--lm_config", "conf/train_lm_debug.yaml", "--use_lm", "false"),
    *("--tgt_token_type", "bpe", "--tgt_nbpe", "22"),
    *("--num_splits_asr", "2", "--num_splits_lm", "2"),
    *("--use_rescoring", "true", "--rescore_nbest", "3"),
    *("--inference_args", "--beam_size 3 --maxlenratio -6"),
)


def test_recipe_trains_in_parts_rescores_and_counts_subwords(tmp_path):
    pytest.importorskip("espeakng_loader")
    folder = copy_recipe(tmp_path, "digits/asr2")
    run_recipe(folder, *OPTIONS)
    experiment = find_experiment(folder)
    metrics = read_metrics(experiment)
    assert set(metrics) == {"valid", "test", "valid_rescored", "test_rescored"}
    for entry in metrics.values():
        assert entry["num_tokens"] > 0 and "ter" in entry
        assert entry["oracle_wer"] <= entry["wer"]
    # The weights were chosen on this set, and 0 was among them.
    assert metrics["valid_rescored"]["wer"] <= metrics["valid"]["wer"]
    results = (experiment / "RESULTS.md").read_text()
    assert "### TER" in results and "_rescored_lm_" in results
    (parts,) = (folder / "exp").glob("asr_stats_*/splits2/units.scp")
    lines = [(parts / f"split.{n}").read_text().splitlines() for n in range(2)]
    assert list(map(len, lines)) == [12, 12]
    assert "Nothing to do" in run_recipe(folder, *OPTIONS)
