"""egs2/{ljspeech,vctk,libritts}/voc1 on miniatures, the first on real speech, too."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from espnet_dsu.scp import read_scp
from espnet_dsu.units.files import UnitReader, read_spec
from tests.recipes.harness import (
    ROOT,
    copy_recipe,
    find_experiment,
    read_metrics,
    run_recipe,
)
from tests.recipes.libritts_corpus import make_libritts
from tests.recipes.ljspeech_corpus import make_ljspeech
from tests.recipes.vctk_corpus import make_vctk

pytestmark = pytest.mark.recipe
BESIDE_CHECKOUT = ROOT.parent / "shared/data/ljspeech_mini.tar.gz"
# Models that would be downloaded are left out or replaced; frames are 20 ms apart, as
# those of the recipes' upstream.
SMALL = (
    *("--upstream", "mfcc", "--upstream_conf", "frame_shift=20"),
    *("--nclusters", "16", "--portion", "1.0", "--min_wav_duration", "0.1"),
    *("--vocoder_config", "conf/train_vocoder_debug.yaml"),
    *("--score_asr_tag", "", "--speaker_model", "mfcc_statistics"),
    *("--report_utts", "2", "--skip_packing", "false"),
)
SPLIT = "--partial true --num_dev 2 --num_eval 2"


@dataclass
class Spoken:
    """A recipe after its run: its experiment and what it spoke.

    Args:
        folder: of the recipe.
        units: folder of the units of all sets.
    """

    folder: Path
    units: Path

    @property
    def experiment(self) -> Path:
        """The vocoder's folder."""
        return find_experiment(self.folder, "voc_train*")

    def wavs(self, decoding: str, dset: str) -> dict[str, Path]:
        """Utterance -> what was spoken."""
        table = read_scp(self.experiment / decoding / dset / "wav.scp")
        return {utt: self.folder / path for utt, path in table.items()}

    def check_lengths(self, dset: str, fs: int) -> None:
        """Make sure that resynthesis lasts as long as its units, at the right rate."""
        units = UnitReader(self.units / dset / "units.scp")
        wavs = self.wavs("resynth", dset)
        assert wavs.keys() == set(units) and wavs
        for utt, path in wavs.items():
            info = soundfile.info(path)
            assert info.samplerate == fs and info.subtype == "PCM_16"
            assert info.frames == len(units[utt]) * fs // 50

    def check_published(self) -> None:
        """Make sure that there are a page, a table and a packed model."""
        for name in ("report.html", "RESULTS.md"):
            assert (self.experiment / name).stat().st_size > 100
        assert list(self.experiment.glob(f"{self.experiment.name}_*.zip"))


def speak(root: Path, corpus: str, source: Path, *options: str) -> Spoken:
    """Run a recipe through stage 14 on ``source``."""
    folder = copy_recipe(root, f"{corpus}/voc1")
    run_recipe(folder, *SMALL, *options, env={corpus.upper(): str(source)})
    (units,) = (folder / "dump/units").iterdir()
    return Spoken(folder, units)


def test_ljspeech_speaks_with_given_and_predicted_durations(tmp_path, monkeypatch):
    corpus = make_ljspeech(tmp_path / "corpus")
    spoken = speak(tmp_path, "ljspeech", corpus, "--local_data_opts", SPLIT)
    monkeypatch.chdir(spoken.folder)
    spoken.check_lengths("eval1", 22050)
    spoken.check_published()
    metrics = read_metrics(spoken.experiment)
    assert metrics.keys() == {"resynth/eval1", "resynth_predicted/eval1"}
    for entry in metrics.values():
        assert entry["mcd_dtw"] > 0 and entry["rtf"] > 0
    assert metrics["resynth/eval1"]["duration_error"] == 0
    assert not [key for entry in metrics.values() for key in entry if "spk" in key]


def test_ljspeech_real_recordings_run_through(tmp_path, monkeypatch):
    archive = Path(os.environ.get("LJSPEECH") or BESIDE_CHECKOUT).absolute()
    if not archive.exists():
        pytest.skip("LJSPEECH names no corpus")
    spoken = speak(tmp_path, "ljspeech", archive, "--local_data_opts", SPLIT)
    monkeypatch.chdir(spoken.folder)
    assert read_spec(spoken.units / "eval1").vocab_sizes == (16,)
    spoken.check_lengths("eval1", 22050)
    spoken.check_published()


def test_vctk_speaks_as_each_speaker_and_as_another(tmp_path, monkeypatch):
    corpus = make_vctk(tmp_path / "corpus", speakers=("p225", "p280", "p315"))
    spoken = speak(
        *(tmp_path, "vctk", corpus),
        *("--local_data_opts", "--partial true --num_dev 1 --num_eval 1"),
        *("--vocoder_args", "--vocoder_conf f0=continuous"),
    )
    monkeypatch.chdir(spoken.folder)
    spoken.check_lengths("eval1", 24000)
    spoken.check_published()
    own = read_scp(spoken.folder / "dump/raw/eval1/utt2spk")
    other = read_scp(spoken.experiment / "convert_speaker/eval1/utt2spk")
    assert own.keys() == other.keys() and set(own.values()) == {"p225", "p280"}
    assert all(own[utt] != other[utt] for utt in own)
    entry = read_metrics(spoken.experiment)["convert_speaker/eval1"]
    assert 0 <= entry["closer_to_target"] <= 100
    assert "spk_sim_mfcc_statistics" in entry


def test_libritts_speaks_as_readers_that_training_did_not_hear(tmp_path, monkeypatch):
    corpus = make_libritts(tmp_path / "corpus")
    spoken = speak(
        *(tmp_path, "libritts", corpus, "--local_data_opts", "--partial true"),
        *("--spk_embed_model", "mfcc_statistics"),  # of 19 values
        *(
            "--vocoder_args",
            "--vocoder_conf f0=continuous --vocoder_conf spk_embed_dim=19",
        ),
    )
    monkeypatch.chdir(spoken.folder)
    spoken.check_lengths("test-clean", 24000)
    spoken.check_published()
    raw = spoken.folder / "dump/raw"
    readers, targets = (
        set(read_scp(path / "utt2spk").values())
        for path in (
            raw / "test-clean",
            spoken.experiment / "convert_speaker/test-clean/pairs",
        )
    )
    trained = set(read_scp(raw / "train-clean-460/utt2spk").values())
    assert not readers & trained and targets <= trained
