"""voc1.sh as a whole with a python that only pretends: what runs, and why."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.recipes.dry_recipe import Recipe

DATA = ["format_data", "filter_data"]
UNITS = ["train_tokenizer", "tokenize"]
MODEL = ["vocoder_train", "aggregate_stats_dirs"]
SPEECH = ["vocoder_inference", "score_speech", "make_report"]
EXP = "exp/voc_train_vocoder_mfcc_km500_sid"
ASR = ("--score_asr_config", "other/exp/asr/config.yaml", "--score_asr_fs", "16k")
ASR += ("--score_asr_file", "other/exp/asr/model.pth")
CONVERT = ("--convert", "speaker prosody both")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A recipe that has run with its defaults; to be copied, not changed."""
    recipe = Recipe(tmp_path_factory.mktemp("once") / "recipe", "voc1")
    recipe.write("other/exp/asr/config.yaml", "")
    recipe.write("other/exp/asr/model.pth", "")
    recipe.calls = recipe.modules()
    return recipe


@pytest.fixture
def recipe(once: Recipe, tmp_path: Path) -> Recipe:
    """A recipe of the test's own that has run with its defaults."""
    copied = copy.copy(once)
    copied.folder = tmp_path / "recipe"
    copied.calls_file = copied.folder / "calls.jsonl"
    shutil.copytree(once.folder, copied.folder, symlinks=True)
    return copied


def options_of(calls: list[dict[str, Any]], module: str) -> list[dict[str, list[str]]]:
    """Return the options of each call of a program."""
    return [c["options"] for c in calls if c["module"].endswith(f".{module}")]


def metrics(recipe: Recipe) -> dict[str, dict[str, float]]:
    return json.loads((recipe.folder / EXP / "metrics.json").read_text())


def test_run_from_nothing_calls_every_program_once_in_order(recipe: Recipe) -> None:
    assert recipe.calls == [*DATA, *UNITS, *MODEL, *SPEECH]
    expected = {"resynth/test": {"mcd": 1.0}, "resynth_predicted/test": {"mcd": 1.0}}
    assert metrics(recipe) == expected
    assert (recipe.folder / EXP / "report.html").exists()
    spoken = (recipe.folder / EXP / "resynth/test/wav.scp").read_text()
    assert len(spoken.splitlines()) == 5


def test_rerun_does_nothing_and_says_so(recipe: Recipe) -> None:
    assert recipe.modules() == []
    assert "Nothing to do: everything is up to date" in recipe.output
    assert "redoing" not in recipe.output and "going on" not in recipe.output


def test_everything_at_once_runs_and_reruns(recipe: Recipe) -> None:
    everything = [*ASR, *CONVERT, "--use_f0", "true", "--use_spembs", "true"]
    everything += ["--use_styles", "true", "--skip_packing", "false"]
    modules = recipe.modules(*everything)
    assert {"extract_f0", "extract_spembs", "make_conversion_pairs"} < set(modules)
    assert {"asr_inference", "score", "score_speech"} < set(modules)
    assert modules[-1] == "pack"
    model = (
        recipe.folder / "exp/voc_train_vocoder_mfcc_km500_sid_mfcc_statistics_styles_f0"
    )
    assert (model / f"{model.name}_valid.mel_loss.ave.zip").exists()
    scored = json.loads((model / "metrics.json").read_text())
    assert set(scored) == {
        f"{decoding}/test"
        for decoding in ("original", "resynth", "resynth_predicted")
        + ("convert_speaker", "convert_prosody", "convert_both")
    }
    assert scored["original/test"] == {"wer": 0.0}
    assert scored["convert_both/test"] == {"wer": 0.0, "mcd": 1.0}
    assert recipe.modules(*everything) == []


def test_training_gets_what_the_options_name_and_nothing_else(recipe: Recipe) -> None:
    (options,) = [
        o
        for o in options_of(recipe.run("--vocoder_tag", "again"), "vocoder_train")
        if "collect_stats" not in o
    ]
    assert options["train_data_path_and_name_and_type"] == [
        "dump/units/mfcc_km500/train/units.scp,units,dsu_unit",
        "dump/raw/train/wav.scp,speech,sound",
        "dump/speakers/train/utt2sid,sids,text_int",
    ]
    assert options["tokenizer"] == ["exp/tokenizer/mfcc_km500/config.yaml"]
    assert options["fs"] == ["8k"]
    assert options["spk2sid"] == ["dump/speakers/spk2sid"]
    assert "style2id" not in options
    assert options["train_shape_file"] == ["exp/voc_stats_again/train/units_shape"]
    more = ["--use_sid", "false", "--use_spembs", "true", "--use_styles", "true"]
    calls = recipe.run(
        *more, "--use_f0", "true", "--spembs_dir", "mine", "--stop_stage", "7"
    )
    assert options_of(calls, "extract_spembs") == []
    recipe.write("mine/train/spembs.scp", "")
    recipe.write("mine/valid/spembs.scp", "")
    alone = [
        "--use_f0",
        "true",
        "--spembs_dir",
        "mine",
        "--stage",
        "8",
        "--stop_stage",
        "9",
    ]
    options = options_of(recipe.run(*more, *alone), "vocoder_train")[-1]
    assert options["valid_data_path_and_name_and_type"][2:] == [
        "dump/speakers/valid/utt2style,styles,text_int",
        "mine/valid/spembs.scp,spembs,kaldi_ark",
        "dump/f0/mfcc_km500/valid/f0.scp,f0,kaldi_ark",
    ]
    assert "spk2sid" not in options


def test_speakers_are_numbered_from_one_as_by_espnet(recipe: Recipe) -> None:
    speakers = recipe.folder / "dump/speakers"
    assert (speakers / "spk2sid").read_text() == "<unk> 0\nspk0 1\nspk1 2\n"
    assert (speakers / "test/utt2sid").read_text().splitlines()[:2] == [
        "test-1 2",
        "test-2 1",
    ]


def test_speaker_whom_training_lacks_is_an_error_by_name(recipe: Recipe) -> None:
    table = recipe.folder / "data/test/utt2spk"
    table.write_text(table.read_text().replace("spk0", "eve"))
    recipe.run(code=1)
    assert "test-2 is of eve, which the training set does not have" in recipe.output
    assert "Error: stage 3 (prepare_speakers) failed" in recipe.output
    # by embeddings, anyone can speak
    recipe.run("--use_sid", "false", "--use_spembs", "true")


def test_bundle_made_elsewhere_is_used_as_it_is(recipe: Recipe) -> None:
    recipe.write("elsewhere/km9/config.yaml", "")
    calls = recipe.run("--tokenizer_dir", "elsewhere/km9")
    assert options_of(calls, "train_tokenizer") == []
    assert {o["tokenizer"][0] for o in options_of(calls, "tokenize")} == {
        "elsewhere/km9"
    }
    training = options_of(calls, "vocoder_train")[-1]
    assert training["tokenizer"] == ["elsewhere/km9/config.yaml"]
    assert (recipe.folder / "dump/units/km9/test/units.scp").exists()
    recipe.run("--tokenizer_dir", "nowhere", code=2)
    assert "error: --tokenizer_dir nowhere: no bundle there" in recipe.output


def test_predicted_decoding_is_given_nothing_but_units_and_speaker(
    recipe: Recipe,
) -> None:
    calls = recipe.run("--use_f0", "true")
    given, predicted = (
        [
            o
            for o in options_of(calls, "vocoder_inference")
            if o["predict_durations"] == [p]
        ]
        for p in ("false", "true")
    )
    assert len(given) == len(predicted) == 3  # --inference_nj
    names = ["units", "sids", "f0"]
    for options, expected in ((given[0], names), (predicted[0], names[:2])):
        data = options["data_path_and_name_and_type"]
        assert [triple.split(",")[1] for triple in data] == expected
    assert predicted[0]["predict_f0"] == ["true"]


def test_conversion_speaks_the_pairs_alone_and_is_scored_against_them(
    recipe: Recipe,
) -> None:
    calls = recipe.run(*CONVERT, "--use_f0", "true")
    pairs = "exp/voc_train_vocoder_mfcc_km500_sid_f0/convert_both/test/pairs"
    (both,) = [
        options
        for options in options_of(calls, "vocoder_inference")
        if options.get("utt2ref") == [f"{pairs}/utt2ref"] and "/parts/1" in str(options)
    ]
    assert both["data_path_and_name_and_type"] == [
        "dump/units/mfcc_km500/test/units.scp,units,dsu_unit",
        f"{pairs}/utt2sid,sids,text_int",
    ]
    assert both["ref_units_scp"] == ["dump/units/mfcc_km500/test/units.scp"]
    assert both["ref_f0_scp"] == ["dump/f0/mfcc_km500/test/f0.scp"]
    spoken = (recipe.folder / pairs).parent / "wav.scp"
    assert [line.split()[0] for line in spoken.read_text().splitlines()] == [
        f"test-{n}" for n in (2, 3, 4, 5)
    ]
    scored = {o["decode_name"][0]: o for o in options_of(calls, "score_speech")}
    assert scored["convert_both"]["utt2spk"] == [f"{pairs}/utt2spk"]
    assert scored["resynth"]["utt2spk"] == ["dump/raw/test/utt2spk"]
    for options in scored.values():
        assert options["ref_utt2spk"] == ["dump/raw/test/utt2spk"]
    assert "gen_durations" in scored["resynth"]
    assert "gen_durations" not in scored["convert_both"]


def test_converted_embedding_is_that_of_the_target(recipe: Recipe) -> None:
    recipe.run("--convert", "speaker", "--use_spembs", "true")
    (found,) = recipe.folder.glob("exp/voc_*/convert_speaker/test/pairs/spembs.scp")
    targets = found.with_name("utt2spk").read_text().splitlines()
    place = {"spk0": "spk_spembs.ark:0", "spk1": "spk_spembs.ark:1"}
    expected = [f"{utt} {place[speaker]}" for utt, speaker in map(str.split, targets)]
    assert found.read_text().splitlines() == expected


def test_recogniser_hears_originals_and_speech_in_its_own_folder(
    recipe: Recipe,
) -> None:
    calls = recipe.run(*ASR)
    heard = [c for c in calls if c["module"].endswith("asr_inference")]
    assert len(heard) == 3 * 3  # decodings, jobs
    folder = recipe.folder.resolve()
    for call in heard:
        assert call["folder"] == str(folder / "other")
        for name in ("config.yaml", "model.pth"):
            assert str(folder / "other/exp/asr" / name) in call["words"]
        (data,) = call["options"]["data_path_and_name_and_type"]
        assert data.startswith(f"{folder}/{EXP}/")
    formatted = options_of(calls, "format_data")
    assert {o["fs"][0] for o in formatted} == {"16k"}
    audio = (recipe.folder / EXP / "resynth/test/asr/data/wav.scp").read_text()
    assert all(line.split()[1].startswith("/") for line in audio.splitlines())
    assert metrics(recipe)["resynth/test"] == {"mcd": 1.0, "wer": 0.0}
    bits = {o["decode_name"][0]: o.get("collapse") for o in options_of(calls, "score")}
    assert bits == {
        "original": None,
        "resynth": ["false"],
        "resynth_predicted": ["true"],
    }


def test_packed_recogniser_needs_no_folder(recipe: Recipe) -> None:
    calls = recipe.run("--score_asr_tag", "me/asr")
    heard = [c for c in calls if c["module"].endswith("asr_inference")]
    assert {c["options"]["model_tag"][0] for c in heard} == {"me/asr"}
    assert {c["folder"] for c in heard} == {str(recipe.folder.resolve())}


def test_missing_recogniser_is_missed_before_anything_runs(recipe: Recipe) -> None:
    (recipe.folder / "other/exp/asr/model.pth").unlink()
    assert recipe.run(*ASR, code=2) == []
    assert "error: other/exp/asr/model.pth: no such file" in recipe.output
    recipe.run(*ASR, "--stop_stage", "11")
    recipe.run(*ASR, "--skip_eval", "true")
    recipe.run("--score_asr_config", "", "--score_asr_file", "")


def test_other_inference_options_have_rows_of_their_own(recipe: Recipe) -> None:
    faster = ("--inference_args", "--length_scale 0.8")
    assert recipe.modules(*faster) == SPEECH
    assert {"resynth/test", "resynth_length_scale0.8/test"} < set(metrics(recipe))
    recipe.run("--inference_vocoder", "train.loss.ave.pth")
    assert "resynth_train.loss.ave/test" in metrics(recipe)
    # there is one page, of what was run last
    assert recipe.modules() == ["make_report"]


def test_new_model_is_spoken_and_scored_again(recipe: Recipe) -> None:
    model = recipe.folder / EXP / "valid.mel_loss.ave.pth"
    model.write_text("another")
    assert recipe.modules() == SPEECH


def test_each_stage_runs_alone_in_a_fresh_shell(tmp_path: Path) -> None:
    """A stage that read what only an earlier stage sets would stop here (set -u)."""
    recipe = Recipe(tmp_path / "recipe", "voc1")
    recipe.write("other/exp/asr/config.yaml", "")
    recipe.write("other/exp/asr/model.pth", "")
    options = [*ASR, *CONVERT, "--use_f0", "true", "--use_spembs", "true"]
    options += ["--skip_packing", "false"]
    ran: list[str] = []
    for number in range(1, 15):
        alone = ["--stage", str(number), "--stop_stage", str(number)]
        ran += recipe.modules(*options, *alone)
    assert ran[-1] == "pack"
    assert recipe.modules(*options) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--use_sid", "false", "--convert", "both"], "--convert needs speakers"),
        (["--convert", "voice"], "--convert 'voice': expected some of: speaker"),
        (["--durations", "true"], "--durations 'true': expected some of: given"),
        (["--test_sets", "train"], "--train_set train is a test set, too"),
        (["--f0_method", "yin"], "--f0_method 'yin': expected one of: pyworld librosa"),
        (
            ["--score_asr_config", "other/exp/asr/config.yaml"],
            "--score_asr_file is req",
        ),
    ],
)
def test_wrong_option_ends_the_run_with_one_line(
    recipe: Recipe, options: list[str], message: str
) -> None:
    assert recipe.run(*options, code=2) == []
    assert recipe.output.startswith(f"voc1.sh: error: {message}")
    assert recipe.output.count("\n") == 1
