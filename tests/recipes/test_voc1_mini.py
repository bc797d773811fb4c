"""egs2/digits/voc1 end to end, on a few strings and with the debug config."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.recipes import harness
from tests.recipes.harness import copy_recipe, find_experiment, read_metrics

pytestmark = pytest.mark.recipe
OPTIONS = [
    *("--local_data_opts", "--num_train 36 --num_valid 6 --num_test 6"),
    *("--vocoder_config", "conf/train_vocoder_debug.yaml", "--nclusters", "20"),
    *("--report_utts", "2", "--score_asr_args", "--beam_size 2"),
    *("--vocoder_args", "--vocoder_conf f0=continuous"),
]
SPEAK = """
import sys, soundfile
from espnet_dsu import Units2Speech
model = Units2Speech.from_pretrained(sys.argv[1])
wav = model([3, 3, 5, 5, 5, 1], speaker=model.speakers and sorted(model.speakers)[-1])
soundfile.write(sys.argv[2], wav, model.fs)
"""


@pytest.fixture(scope="module")
def options(experiment: Path) -> list[str]:
    """The options of the recipe, with a recogniser that another folder trained."""
    asr = experiment / "exp/asr"
    checkpoint = next(asr.glob("valid.*.ave.pth"))
    scoring = ["--score_asr_config", f"{asr}/config.yaml"]
    scoring += ["--score_asr_file", str(checkpoint), "--score_asr_fs", "16k"]
    return [*OPTIONS, *scoring]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, options: list[str]) -> Path:
    pytest.importorskip("espeakng_loader")
    folder = copy_recipe(tmp_path_factory.mktemp("recipe"), "digits/voc1")
    harness.run_recipe(folder, *options, "--skip_packing", "false")
    return folder


@pytest.fixture(scope="module")
def experiment_dir(recipe: Path) -> Path:
    return find_experiment(recipe, "voc_train_vocoder_debug*")


def read_audio(path: Path) -> np.ndarray:
    with wave.open(str(path)) as f:
        assert (f.getnchannels(), f.getsampwidth(), f.getframerate()) == (1, 2, 16000)
        return np.frombuffer(f.readframes(f.getnframes()), np.int16)


def test_recipe_scores_every_decoding(experiment_dir: Path) -> None:
    metrics = read_metrics(experiment_dir)
    decodings = ("original", "resynth", "resynth_predicted", "convert_speaker")
    assert set(metrics) == {f"{name}/test" for name in decodings}
    for key, entry in metrics.items():
        assert entry["wer"] >= 0 and entry["num_utts"] == 6
        if not key.startswith("original"):
            assert entry["mcd"] > 0 and entry["rtf"] > 0
            assert -1 <= entry["spk_sim_mfcc_statistics"] <= 1
    assert metrics["resynth/test"]["duration_error"] == 0
    assert metrics["resynth/test"]["length_ratio"] == pytest.approx(1, abs=0.05)
    assert 0 <= metrics["convert_speaker/test"]["closer_to_target"] <= 100
    # repeats count where the durations are given, and not where they are predicted
    given, predicted = (
        metrics[f"{d}/test"]["bitrate"] for d in ("resynth", "resynth_predicted")
    )
    assert given > predicted > 0
    results = (experiment_dir / "RESULTS.md").read_text()
    assert "|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|" in results


def test_recipe_speaks_every_utterance_as_long_as_its_units(
    recipe: Path, experiment_dir: Path
) -> None:
    folder = experiment_dir / "resynth" / "test"
    audio = dict(line.split() for line in (folder / "wav.scp").open())
    durations = {k: v for k, *v in map(str.split, (folder / "durations").open())}
    assert len(audio) == 6 and audio.keys() == durations.keys()
    for utt, path in audio.items():
        frames = sum(map(int, durations[utt]))
        assert len(read_audio(recipe / path)) == 160 * frames


def test_recipe_converted_utterances_have_another_speaker(
    recipe: Path, experiment_dir: Path
) -> None:
    own, converted, spoken = (
        dict(line.split() for line in (folder / "utt2spk").open())
        for folder in (
            recipe / "dump/raw/test",
            experiment_dir / "convert_speaker/test/pairs",
            experiment_dir / "convert_speaker/test",
        )
    )
    assert converted == spoken and converted.keys() == own.keys()
    assert all(converted[utt] != own[utt] for utt in own)


def test_recipe_leaves_a_page_to_listen(experiment_dir: Path) -> None:
    page = (experiment_dir / "report.html").read_text()
    assert page.count("<audio") == 2 * 4


def test_recipe_again_does_nothing_and_says_so(
    recipe: Path, options: list[str]
) -> None:
    output = harness.run_recipe(recipe, *options, "--skip_packing", "false")
    assert "Nothing to do: everything is up to date" in output


def test_recipe_units_are_those_of_the_recogniser(recipe: Path) -> None:
    """The same options on the same audio: the vocoder fits the unit ASR of asr2."""
    asr2 = recipe.parent / "asr2"
    harness.run_recipe(asr2, *OPTIONS[:2], *OPTIONS[4:6], "--stop_stage", "5")
    configs = [
        (folder / "exp/tokenizer/mfcc_km20/config.yaml").read_text()
        for folder in (recipe, asr2)
    ]
    assert configs[0] == configs[1]


def test_recipe_packed_vocoder_moves_and_speaks(
    experiment_dir: Path, tmp_path: Path
) -> None:
    (archive,) = experiment_dir.glob("*.zip")
    moved = tmp_path / "model.zip"
    moved.write_bytes(archive.read_bytes())
    command = [sys.executable, "-c", SPEAK, str(moved), str(tmp_path / "a.wav")]
    environment = harness.environment({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert len(read_audio(tmp_path / "a.wav")) == 160 * 6


def test_recipe_with_embeddings_and_nothing_else_runs(
    recipe: Path, options: list[str]
) -> None:
    """Speakers by embeddings, no pitch, and only what the units say."""
    harness.run_recipe(
        recipe,
        *options,
        *("--use_sid", "false", "--use_spembs", "true", "--use_f0", "false"),
        *("--vocoder_args", "--vocoder_conf spk_embed_dim=19"),
        *("--durations", "given", "--score_asr_config", ""),
    )
    metrics = read_metrics(find_experiment(recipe, "voc_*mfcc_statistics*"))
    assert set(metrics) == {"resynth/test", "convert_speaker/test"}
