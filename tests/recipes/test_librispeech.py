"""egs2/librispeech_100 and egs2/librispeech, stages 1 to 17 on miniatures."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
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
from tests.recipes.librispeech_corpus import (
    PARTS_100,
    PARTS_960,
    SENTENCES,
    make_librispeech,
)

pytestmark = pytest.mark.recipe
SMALL = (
    *("--nclusters", "20", "--src_nbpe", "40", "--tgt_nbpe", "40", "--portion", "1.0"),
    *("--asr_config", "conf/train_asr_debug.yaml", "--embed_upstream", "true"),
    *("--test_sets", "test_clean dev_other", "--inference_args", "--beam_size 2"),
    *("--skip_packing", "false", "--skip_upload_hf", "false", "--hf_repo", "me/libri"),
)


@dataclass
class Run:
    """A recipe after its run: its folder, the corpus, what was printed, the hub."""

    folder: Path
    corpus: Path
    output: str
    hub: HubServer

    def again(self, *options: str) -> str:
        """Run it once more."""
        env = {"LIBRISPEECH": str(self.corpus), **self.hub.environment}
        return run_recipe(self.folder, *options, env=env)


def run_mini(root: Path, hub: HubServer, recipe: str, parts, *options: str) -> Run:
    """Make the corpus and the upstream, run stages 1 to 17."""
    corpus = make_librispeech(root / "corpus", parts)
    with gzip.open(corpus / "librispeech-lm-norm.txt.gz", "wt") as lines:
        lines.writelines(f"{sentence}\n" for sentence in SENTENCES * 3)
    run = Run(copy_recipe(root, f"{recipe}/asr2"), corpus, "", hub)
    upstream = tiny_upstream(root / "hubert")
    run.output = run.again(
        *("--stage", "1", "--stop_stage", "17", "--upstream", upstream),
        *SMALL,
        *options,
    )
    return run


@pytest.fixture(scope="module")
def run_100(tmp_path_factory):
    with HubServer() as hub:
        root = tmp_path_factory.mktemp("libri100")
        options = ("--local_data_opts", "--partial true")
        yield run_mini(root, hub, "librispeech_100", PARTS_100, *options)


@pytest.fixture(scope="module")
def run_960(tmp_path_factory):
    with HubServer() as hub:
        root = tmp_path_factory.mktemp("libri960")
        yield run_mini(
            *(root, hub, "librispeech", PARTS_960),
            *("--local_data_opts", "--partial true --lm_text true"),
            *("--speed_perturb_factors", "", "--test_sets", "test_clean"),
            *("--use_lm", "true", "--lm_config", "conf/train_lm_debug.yaml"),
            *("--inference_config", "conf/decode_asr_lm.yaml"),
        )


def test_librispeech_100_reports_both_sets_and_bitrates(run_100):
    experiment = find_experiment(run_100.folder)
    metrics = read_metrics(experiment)
    assert metrics.keys() == {"test_clean", "dev_other"}
    assert all(m["wer"] >= 0 and m["bitrate"] > 0 for m in metrics.values())
    assert experiment.name == (
        "asr_train_asr_debug_hubert_2_km20_bpe_unigram40_rm_en_bpe_unigram40_sp"
    )
    table = "|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|"
    assert table in (experiment / "RESULTS.md").read_text()


def test_librispeech_100_trains_on_three_speeds_and_checks_on_both_dev_sets(run_100):
    (units,) = (run_100.folder / "dump/units").iterdir()
    sets = {p.name: len(UnitReader(p / "units.scp")) for p in units.iterdir()}
    assert sets == {
        "train_clean_100_sp": 18,
        "dev": 12,
        "test_clean": 6,
        "dev_other": 6,
    }


def test_librispeech_100_uploads_what_transcribes_by_its_name(run_100, tmp_path):
    assert "README.md" in run_100.hub.files("me/libri")
    wav = next(run_100.corpus.rglob("*.flac"))
    transcribe("me/libri", wav, tmp_path, run_100.hub.environment)


def test_librispeech_960_decodes_with_its_language_model(run_960):
    experiment = find_experiment(run_960.folder)
    (decoded,) = {p.parent for p in experiment.glob("*/test_clean")}
    assert "_lm_lm_train_lm_debug_en_bpe_unigram40_" in decoded.name
    text = (run_960.folder / "dump/raw/lm_train.txt").read_text().splitlines()
    assert sum(line.startswith("librispeech_lng_") for line in text) == 21
    assert len(text) == 21 + 18
    assert next(run_960.folder.glob("exp/lm_*/perplexity_test/ppl")).exists()
    assert run_960.hub.files("me/libri")
