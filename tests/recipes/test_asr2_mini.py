"""egs2/digits/asr2 end to end, on a few strings and with the debug config."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.recipe
OPTIONS = [
    "--local_data_opts",
    "--num_train 24 --num_valid 6 --num_test 6",
    "--asr_config",
    "conf/train_asr_debug.yaml",
    "--nclusters",
    "20",
    "--nj",
    "2",
    "--inference_nj",
    "2",
    "--ngpu",
    "0",
]


def run_recipe(folder, *options):
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
    }
    done = subprocess.run(
        ["./run.sh", *OPTIONS, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-5000:]
    return output


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    pytest.importorskip("espeakng_loader")
    root = tmp_path_factory.mktemp("recipe")
    for name in ("egs2", "conf"):
        ignore = shutil.ignore_patterns("data", "dump", "exp", "downloads", ".stamps")
        shutil.copytree(ROOT / name, root / name, symlinks=True, ignore=ignore)
    folder = root / "egs2" / "digits" / "asr2"
    run_recipe(folder, "--skip_packing", "false")
    return folder


@pytest.fixture(scope="module")
def experiment(recipe):
    (found,) = (recipe / "exp").glob("asr_train*km20_unit*")
    return found


def read_metrics(experiment):
    return json.loads((experiment / "metrics.json").read_text())


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
    code = (
        "import sys, soundfile\n"
        "from espnet_dsu import Speech2Text\n"
        "model = Speech2Text.from_pretrained(sys.argv[1], beam_size=3)\n"
        "print('heard', model(soundfile.read(sys.argv[2])[0])[0][0])\n"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(moved), str(wav)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert soundfile.info(wav).frames > 0
    assert done.returncode == 0 and "heard" in done.stdout, done.stderr[-3000:]


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
    (found,) = (recipe / "exp").glob("asr_train*bpe_unigram60*_sp")
    assert read_metrics(found)


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
