"""asr2.sh as a whole with a python that only pretends: what runs, and why."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.recipes.dry_recipe import DATA_SH, Recipe

DATA = ["format_data", "filter_data"]
UNITS = ["train_tokenizer", "tokenize"]
MODEL = ["asr_train", "aggregate_stats_dirs", "asr_inference", "score"]


def test_run_from_nothing_calls_every_program_once_in_order(recipe: Recipe) -> None:
    assert recipe.calls == [*DATA, *UNITS, "make_token_list", *MODEL]
    results = recipe.folder / "exp/asr_train_asr_mfcc_km500_unit_rm_en_word"
    assert json.loads((results / "metrics.json").read_text()) == {"test": {"wer": 0.0}}
    texts = list(results.glob("*/test/text"))
    assert [len(t.read_text().splitlines()) for t in texts] == [5]


def test_rerun_does_nothing_and_says_so(recipe: Recipe) -> None:
    assert recipe.modules() == []
    assert "Nothing to do: everything is up to date" in recipe.output
    assert "Stage 5: up to date, skipping" in recipe.output
    assert "redoing" not in recipe.output and "going on" not in recipe.output


def test_more_clusters_redo_exactly_what_depends_on_them(recipe: Recipe) -> None:
    old = {p: p.stat().st_mtime_ns for p in recipe.folder.glob("exp/**/*.pth")}
    assert recipe.modules("--nclusters", "100") == [*UNITS, *MODEL]
    assert "Stage 1: up to date, skipping" in recipe.output
    assert "Stage 4 (train): up to date, skipping" in recipe.output
    assert {p: p.stat().st_mtime_ns for p in old} == old
    assert recipe.modules() == []
    assert recipe.modules("--nclusters", "100") == []


def test_same_directory_with_other_units_is_redone(recipe: Recipe) -> None:
    """K is enlarged under a name given by hand: nothing may keep the old units."""
    recipe.run("--tokenizer_tag", "mine")
    redone = recipe.modules("--tokenizer_tag", "mine", "--nclusters", "1000")
    assert redone == [*UNITS, *MODEL[:-1]]  # the fake hypotheses come out alike
    assert "Stage 5: redoing (nclusters: 500 -> 1000)" in recipe.output
    assert "units.scp" in recipe.output
    asr_exp = recipe.folder / "exp/asr_train_asr_mine_unit_rm_en_word"
    assert (asr_exp / "superseded/checkpoint.pth").exists()


def test_changed_transcript_redoes_its_set_and_says_which(recipe: Recipe) -> None:
    text = recipe.folder / "data/test/text"
    text.write_text(text.read_text().replace("two", "three"))
    assert recipe.modules() == ["format_data", "score"]
    assert "Stage 3 (test): redoing (input changed: data/test/text)" in recipe.output


def test_data_made_again_alike_redoes_nothing_else(recipe: Recipe) -> None:
    recipe.write("local/data.sh", DATA_SH + "# a comment\n").chmod(0o755)
    assert recipe.modules() == []
    assert "input changed: local/data.sh" in recipe.output


def test_removed_output_is_made_again(recipe: Recipe) -> None:
    (recipe.folder / "dump/units/mfcc_km500/test/units.scp").unlink()
    assert recipe.modules() == ["tokenize"]
    assert "Stage 6 (test): going on (output missing: dump/units/" in recipe.output


def test_removed_model_is_made_and_scored_again(recipe: Recipe) -> None:
    model = next(recipe.folder.glob("exp/asr_train_asr_*"))
    shutil.rmtree(model)
    recipe.run("--decode_input", "wav")
    assert recipe.modules() == ["asr_inference", "score"]
    metrics = json.loads((model / "metrics.json").read_text())
    assert set(metrics) == {"test", "test_wav"}


def test_new_asr_args_train_another_model_only(recipe: Recipe) -> None:
    assert recipe.modules("--asr_args", "--max_epoch 3") == MODEL
    assert recipe.folder.joinpath(
        "exp/asr_train_asr_mfcc_km500_unit_rm_en_word_max_epoch3"
    ).is_dir()


def test_decoding_waveforms_stands_beside_decoding_units(recipe: Recipe) -> None:
    calls = recipe.run("--decode_input", "wav")
    assert {c["module"] for c in calls} == {
        "espnet_dsu.bin.asr_inference",
        "espnet_dsu.bin.score",
    }
    data = calls[0]["options"]["data_path_and_name_and_type"]
    assert data == ["dump/raw/test/wav.scp,speech,sound"]
    metrics = next(recipe.folder.glob("exp/asr_*/metrics.json")).read_text()
    assert set(json.loads(metrics)) == {"test", "test_wav"}


def test_fbank_baseline_shares_the_data_and_needs_no_units(recipe: Recipe) -> None:
    calls = recipe.run("--input", "fbank")
    assert [c["module"].rsplit(".", 1)[1] for c in calls][0] == "asr_train"
    training = [c for c in calls if "train_shape_file" in c["options"]][-1]
    assert training["options"]["frontend"] == ["default"]
    assert "conf/train_asr_fbank.yaml" in training["words"]
    stats = "exp/asr_stats_train_asr_fbank_raw_en_word/train/feats_stats.npz"
    assert f"stats_file={stats}" in training["words"]
    assert recipe.modules() == []


def test_launcher_and_its_options_reach_what_goes_through_a_corpus(
    new_recipe: Recipe,
) -> None:
    conf = "cluster=slurm  mem=8G job_extra=--qos=high;-x"
    launcher = ("--launcher", "dask", "--launcher_conf", conf, "--stop_stage", "6")
    calls = new_recipe.run(*launcher)
    for module in UNITS:
        options, *_ = [c["options"] for c in calls if c["module"].endswith(module)]
        assert options["launcher"] == ["dask"] and options["nj"] == ["2"]
        assert options["launcher_conf"] == conf.split()
    # Where it ran does not count: the result is the same.
    assert new_recipe.modules("--stop_stage", "6") == []
    assert new_recipe.run("--launcher", "spark", code=2) == []
    assert "--launcher 'spark': expected one of: local dask" in new_recipe.output


def test_memory_and_embedding_belong_to_the_tokenizer(recipe: Recipe) -> None:
    (options,) = [
        call["options"]
        for call in recipe.run("--max_memory", "1GiB", "--embed_upstream", "true")
        if call["module"].endswith("train_tokenizer")
    ]
    assert options["max_memory"] == ["1GiB"] and options["embed_upstream"] == ["true"]
    assert options["launcher"] == ["local"] and "launcher_conf" not in options
    changes = "embed_upstream: false -> true; max_memory: 2GiB -> 1GiB"
    assert f"Stage 5: redoing ({changes})" in recipe.output


def test_frontend_is_told_the_bundle_and_whether_to_collapse(
    recipe: Recipe,
) -> None:
    for case, collapse in (("rm", "true"), ("ts", "false")):
        calls = recipe.run("--src_case", case, "--asr_tag", case)
        training = [c for c in calls if c["module"].endswith("asr_train")][-1]
        conf = training["options"]["frontend_conf"]
        bundle = "exp/tokenizer/mfcc_km500/config.yaml"
        assert conf == ["fs=16k", f"tokenizer={bundle}", f"collapse={collapse}"]
        assert "dump/units/mfcc_km500/train/units.scp,speech,dsu_unit" in str(training)


def test_unit_pieces_make_a_bundle_of_their_own(recipe: Recipe) -> None:
    bpe = ("--src_token_type", "bpe", "--src_nbpe", "600")
    calls = recipe.run(*bpe)
    assert "train_unit_bpe" in {c["module"].rsplit(".", 1)[1] for c in calls}
    training = [c for c in calls if c["module"].endswith("asr_train")][-1]
    bundle = "exp/tokenizer/mfcc_km500_bpe_unigram600/config.yaml"
    assert f"tokenizer={bundle}" in training["options"]["frontend_conf"]
    assert recipe.modules(*bpe) == []


def test_language_model_perturbation_and_pack_run_and_rerun(recipe: Recipe) -> None:
    options = ["--use_lm", "true", "--speed_perturb_factors", "0.9 1.0 1.1"]
    options += ["--tgt_token_type", "bpe", "--skip_packing", "false"]
    modules = recipe.modules(*options)
    assert modules[0] == "perturb_speed" and modules[-1] == "pack"
    assert {"lm_train", "lm_calc_perplexity"} < set(modules)
    assert next(recipe.folder.glob("exp/asr_*_sp/asr_*_sp_valid.acc.ave.zip"))
    assert recipe.modules(*options) == []


def test_each_stage_runs_alone_in_a_fresh_shell(new_recipe: Recipe) -> None:
    """A stage that read what only an earlier stage sets would stop here (set -u)."""
    options = ["--use_lm", "true", "--src_token_type", "bpe", "--src_nbpe", "600"]
    options += ["--tgt_token_type", "bpe", "--skip_packing", "false"]
    options += ["--speed_perturb_factors", "0.9 1.0 1.1"]
    ran: list[str] = []
    for number in range(1, 17):
        alone = ["--stage", str(number), "--stop_stage", str(number)]
        ran += new_recipe.modules(*options, *alone)
    assert ran[-1] == "pack"
    assert new_recipe.modules(*options) == []


def test_failing_program_stops_the_run_and_leaves_no_marker(new_recipe: Recipe) -> None:
    new_recipe.run(code=3, failure="tokenize")
    assert "Error: stage 6 (tokenize) failed with exit code 3" in new_recipe.output
    markers = new_recipe.folder / ".stamps/dump/units/mfcc_km500/train"
    assert [p.name for p in markers.iterdir()] == ["tokenize.train.begun"]
    assert new_recipe.modules()[0] == "tokenize"
    assert (
        "Stage 6 (train): going on (an earlier run did not finish)" in new_recipe.output
    )


def test_failing_jobs_are_named_with_the_end_of_their_logs(new_recipe: Recipe) -> None:
    new_recipe.run(code=1, failure="asr_inference")
    assert "Error: 3 of 3 jobs failed: " in new_recipe.output
    assert "asr_inference.2.log" in new_recipe.output
    assert "asr_inference fell over" in new_recipe.output
    assert "Error: stage 14 (decode) failed with exit code 1" in new_recipe.output
    markers = new_recipe.folder.glob(".stamps/exp/asr_*/inference*/test/*")
    assert [p.name for p in markers] == ["decode.test.begun"]


def test_failed_training_shows_the_end_of_its_log(new_recipe: Recipe) -> None:
    new_recipe.run("--stop_stage", "12")
    new_recipe.run(code=1, failure="asr_train")
    assert "Error: 1 of 1 jobs failed: exp/asr_train_asr" in new_recipe.output
    assert "asr_train fell over" in new_recipe.output


def test_parallel_jobs_get_one_thread_each_and_training_all(new_recipe: Recipe) -> None:
    calls = new_recipe.run()
    decoding = [c for c in calls if c["module"].endswith("asr_inference")]
    training = [c for c in calls if "train_shape_file" in c["options"]][-1]
    assert {c["threads"] for c in decoding} == {"1"} and len(decoding) == 3
    assert training["threads"] == ""


def test_stage_whose_input_is_missing_says_what_to_do(new_recipe: Recipe) -> None:
    new_recipe.run("--stage", "14", code=1)
    assert "input missing: exp/asr_train_asr" in new_recipe.output
    assert "an earlier --stage" in new_recipe.output


def test_user_text_reaches_the_program_verbatim_in_words(recipe: Recipe) -> None:
    args = "--x $(touch pwned) --y * --z `touch pwned` --q 'a;touch${IFS}pwned"
    calls = recipe.run("--asr_args", args)
    training = [c for c in calls if c["module"].endswith("asr_train")][-1]
    assert training["words"][-len(args.split()) :] == args.split()
    assert not (recipe.folder / "pwned").exists()
    recipe.run("--local_data_opts", "$(touch pwned) *", "--stop_stage", "1")
    assert (recipe.folder / "data_opts").read_text() == "$(touch pwned) *\n"
    assert not (recipe.folder / "pwned").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train_set", ""], "--train_set is required"),
        (["--test_sets", " "], "--test_sets is required"),
        (["--input", "raw"], "--input 'raw': expected one of: units fbank"),
        (["--test_sets", "test train"], "--train_set train is a test set, too"),
        (
            ["--nclusters", "100+500", "--src_token_type", "bpe"],
            "--src_token_type bpe makes pieces of one stream of units, and --upstream "
            "mfcc --nclusters 100+500 are several; give --src_token_type unit",
        ),
        (
            ["--upstream", "hf:a+b/c@6+12", "--src_token_type", "bpe"],
            "--src_token_type bpe makes pieces of one stream of units, and --upstream "
            "hf:a+b/c@6+12 --nclusters 500 are several; give --src_token_type unit",
        ),
        (
            ["--nclusters", "100+"],
            "--nclusters '100+': expected an integer, or one for each stream: 500+2000",
        ),
        (
            ["--input", "fbank", "--decode_input", "units"],
            "--decode_input 'units': expected one of: wav",
        ),
    ],
)
def test_wrong_option_ends_the_run_with_one_line(
    recipe: Recipe, options: list[str], message: str
) -> None:
    assert recipe.run(*options, code=2) == []
    assert recipe.output == f"asr2.sh: error: {message}\n"


def test_upload_without_a_repository_is_an_error(recipe: Recipe) -> None:
    recipe.run("--skip_packing", "false")
    upload = ["--skip_packing", "false", "--skip_upload_hf", "false"]
    recipe.run(*upload, code=2)
    assert "error: --hf_repo is required" in recipe.output
    assert recipe.modules(*upload, "--hf_repo", "me/model") == ["upload"]
