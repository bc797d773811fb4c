"""egs2/digits/asr2 end to end, on a few strings and with the debug config."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recipes import harness
from tests.recipes.harness import copy_recipe, find_experiment, read_metrics

pytestmark = pytest.mark.recipe
OPTIONS = [
    *("--local_data_opts", "--num_train 24 --num_valid 6 --num_test 6"),
    *("--asr_config", "conf/train_asr_debug.yaml", "--nclusters", "20"),
]


def run_recipe(folder: Path, *options: str) -> str:
    return harness.run_recipe(folder, *OPTIONS, *options)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    pytest.importorskip("espeakng_loader")
    folder = copy_recipe(tmp_path_factory.mktemp("recipe"), "digits/asr2")
    run_recipe(folder, "--skip_packing", "false")
    return folder


@pytest.fixture(scope="module")
def experiment(recipe):
    return find_experiment(recipe, "asr_train*km20_unit*")


def test_recipe_leaves_scores_in_espnets_form(experiment):
    (entry,) = read_metrics(experiment).values()
    assert (
        entry["wer"] >= 0 and entry["wer_ci"][0] <= entry["wer"] <= entry["wer_ci"][1]
    )
    assert entry["bitrate"] > 0
    results = (experiment / "RESULTS.md").read_text()
    assert "|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|" in results


def test_recipe_again_does_nothing_and_says_so(recipe):
    output = run_recipe(recipe, "--skip_packing", "false")
    assert "Nothing to do: everything is up to date" in output


def test_recipe_decoding_waveforms_gives_the_very_scores_of_units(recipe, experiment):
    run_recipe(recipe, "--decode_input", "wav")
    metrics = read_metrics(experiment)
    by_units, by_wav = metrics["test"], metrics["test_wav"]
    for key in ("wer", "cer", "sub", "del", "ins"):
        assert by_units[key] == by_wav[key]


def test_recipe_packed_model_moves_and_transcribes(recipe, experiment, tmp_path):
    (archive,) = experiment.glob("*.zip")
    moved = shutil.copy(archive, tmp_path / "model.zip")
    wav = next((recipe / "downloads").rglob("*test*.wav"))
    assert harness.transcribe(moved, wav, tmp_path) is not None


def test_recipe_other_number_of_units_redoes_what_depends_on_it(recipe):
    output = run_recipe(recipe, "--nclusters", "30", "--stop_stage", "7")
    assert "Stage 3 (train): up to date, skipping" in output
    assert "Stage 7 (text): up to date, skipping" in output
    assert (recipe / "exp" / "tokenizer" / "mfcc_km30" / "config.yaml").exists()
    assert (recipe / "dump" / "units" / "mfcc_km30" / "test" / "units.scp").exists()
    assert (recipe / "exp" / "tokenizer" / "mfcc_km20" / "config.yaml").exists()


def test_recipe_with_pieces_subword_sampling_lm_and_speeds_runs(recipe):
    run_recipe(
        recipe,
        *("--src_token_type", "bpe", "--src_nbpe", "60"),
        *("--speed_perturb_factors", "0.9 1.0 1.1"),
        *("--use_lm", "true", "--lm_config", "conf/train_lm_debug.yaml"),
        *("--tgt_token_type", "char", "--inference_args", "--lm_weight 0.1"),
        *("--asr_args", "--preprocessor_conf enable_sampling=true --max_epoch 1"),
    )
    assert read_metrics(find_experiment(recipe, "asr_train*bpe_unigram60*_sp"))


def test_recipe_fbank_baseline_and_one_table_beside_units(recipe, experiment):
    run_recipe(
        recipe,
        *("--input", "fbank", "--asr_config", "conf/train_asr_fbank.yaml"),
        *("--asr_args", "--max_epoch 1 --batch_type sorted --batch_size 8"),
    )
    (fbank,) = (recipe / "exp").glob("asr_train_asr_fbank*")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "espnet_dsu.bin.compare_results"),
            *(str(experiment), str(fbank)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert experiment.name in done.stdout and fbank.name in done.stdout


def test_recipe_with_its_published_model_scores_as_its_own(recipe, experiment):
    (archive,) = experiment.glob("*.zip")
    run_recipe(recipe, "--download_model", str(archive))
    published = find_experiment(recipe, "asr_*zip")
    scores, expected = read_metrics(published)["test"], read_metrics(experiment)["test"]
    for key in ("wer", "cer", "sub", "del", "ins", "bitrate"):
        assert scores[key] == expected[key]
