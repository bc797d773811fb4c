"""egs2/ml_superb/asr2/local/score_languages.py on decoded sets whose scores we know."""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from espnet_dsu.metrics.scoring import ScoreOptions, score_set
from espnet_dsu.scp import write_scp
from tests.recipes.harness import ROOT, environment

LOCAL = ROOT / "egs2/ml_superb/asr2/local"
DECODE = "decode_asr"
# utterance: language, reference, hypothesis
SAMPLES = {
    "mls_eng_1": ("eng", "[eng] ABCDEFGHIJ", "[eng] ABCDEFGHIX"),
    "mls_eng_2": ("eng", "[eng] ABCDEFGHI", "[deu] ABCDEFGHI"),
    "mls_deu_1": ("deu", "[deu] ABCD", "[deu] "),
    "cv_dan_1": ("dan", "[dan] ÆØÅÆ", "[dan] ÆØÅÆ"),
    "cv_dan_2": ("dan", "[dan] ÆØÅÆ", "ÆØÅÆ"),
    "cv_org_jpn_1": ("org_jpn", "[org_jpn] あいう", "[org_jpn] あいうえ"),
}


@pytest.fixture(scope="module")
def scorer() -> Iterator[ModuleType]:
    """The script as a module."""
    sys.path.insert(0, str(LOCAL))
    yield importlib.import_module("score_languages")
    sys.path.remove(str(LOCAL))
    sys.modules.pop("score_languages")


def make_experiment(folder: Path, samples=SAMPLES, dset: str = "test_10min") -> Path:
    """Write a scored experiment as stage 15 leaves it before local/score.sh."""
    exp, ref = folder / "exp/asr_x", folder / "dump/raw" / dset / "text"
    write_scp(
        folder / "data" / dset / "utt2lang", {u: s[0] for u, s in samples.items()}
    )
    write_scp(ref, {u: s[1] for u, s in samples.items()})
    hyp = exp / DECODE / dset / "text"
    write_scp(hyp, {u: s[2] for u, s in samples.items()})
    nlsyms = folder / "nlsyms.txt"
    nlsyms.write_text("".join(f"[{s[0]}]\n" for s in samples.values()))
    score_set(
        ScoreOptions(
            *(str(ref), str(hyp), str(hyp.parent), dset, str(exp / "metrics.json")),
            nlsyms_txt=str(nlsyms),
            use_sclite=False,
        )
    )
    return exp


def run_script(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(LOCAL / "score_languages.py"), "exp/asr_x", *options],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )


def test_scores_are_those_counted_by_hand(tmp_path: Path) -> None:
    """A space stays before the words where a language is cut out, as in ESPnet."""
    exp = make_experiment(tmp_path)
    done = run_script(tmp_path)
    assert done.returncode == 0, done.stderr
    rows = (exp / DECODE / "test_10min/languages.tsv").read_text().splitlines()
    assert [row.split("\t") for row in rows] == [
        ["language", "utterances", "characters", "cer", "lid"],
        ["dan", "2", "10", "10.00", "50.00"],  # the space before the words is missing
        ["deu", "1", "5", "100.00", "100.00"],
        ["eng", "2", "21", "4.76", "50.00"],
        ["org_jpn", "1", "4", "25.00", "100.00"],
    ]
    entry = json.loads((exp / "metrics.json").read_text())["test_10min"]
    rates = [10, 100, 100 / 21, 25]
    assert entry["cer_macro"] == pytest.approx(statistics.mean(rates), abs=0.01)
    assert entry["cer_sd"] == pytest.approx(statistics.stdev(rates), abs=0.01)
    assert entry["cer_worst15"] == entry["cer_macro"]  # four languages are no fifteen
    assert entry["cer_normal"] == pytest.approx(100 * 7 / 30, abs=0.01)
    assert entry["cer_few_shot"] == 10
    assert entry["lid"] == pytest.approx(100 * 4 / 6, abs=0.01)
    assert (entry["lid_normal"], entry["lid_few_shot"]) == (75, 50)
    assert entry["lid_macro"] == 75
    assert "cer_macro" in (exp / "RESULTS.md").read_text()


def test_scores_again_change_no_file(tmp_path: Path) -> None:
    """What is newer than the packed model would be packed again."""
    exp = make_experiment(tmp_path)
    assert run_script(tmp_path).returncode == 0
    files = {
        p: p.stat().st_mtime_ns for p in (exp / "metrics.json", exp / "RESULTS.md")
    }
    assert run_script(tmp_path).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in files} == files


@pytest.mark.parametrize(
    "key", ["test_10min_wav", "test_10min_rescored", f"{DECODE}/test_10min_units"]
)
def test_scores_go_to_the_entry_of_the_decoding(tmp_path: Path, key: str) -> None:
    path = make_experiment(tmp_path) / "metrics.json"
    entry = json.loads(path.read_text())["test_10min"]
    other = {**entry, "decode": "decode_other"}
    path.write_text(json.dumps({key: entry, "test_10min": other, "dev": entry}))
    assert run_script(tmp_path).returncode == 0
    metrics = json.loads(path.read_text())
    assert [name for name in metrics if "cer_macro" in metrics[name]] == [key]


def test_scores_without_languages_in_the_text_have_no_lid(tmp_path: Path) -> None:
    plain = {
        utt: (language, ref.split("] ")[1], hyp.split("] ")[-1])
        for utt, (language, ref, hyp) in SAMPLES.items()
    }
    exp = make_experiment(tmp_path, plain)
    assert run_script(tmp_path).returncode == 0
    entry = json.loads((exp / "metrics.json").read_text())["test_10min"]
    assert "cer_macro" in entry and not [key for key in entry if key.startswith("lid")]
    assert entry["cer_few_shot"] == 0


def test_scores_without_a_decoded_set_are_an_error(tmp_path: Path) -> None:
    make_experiment(tmp_path)
    done = run_script(tmp_path, "--data_dir", "elsewhere")
    assert (
        done.returncode == 1 and "no <decode>/<set>/text; run stage 14" in done.stderr
    )


def test_scores_of_unknown_language_are_an_error(tmp_path: Path) -> None:
    make_experiment(tmp_path)
    write_scp(tmp_path / "data/test_10min/utt2lang", {"mls_eng_1": "eng"})
    done = run_script(tmp_path)
    assert done.returncode == 1 and "is not in utt2lang" in done.stderr


texts = st.text("ABC ", max_size=8).map(lambda text: " ".join(f"X{text}".split()))


@settings(max_examples=60, deadline=None)
@given(
    samples=st.lists(
        st.tuples(st.sampled_from(["eng", "deu", "dan", "tur"]), texts, texts),
        min_size=1,
        max_size=12,
    )
)
def test_languages_together_have_the_errors_of_the_whole_set(
    scorer: ModuleType, samples: list[tuple[str, str, str]]
) -> None:
    """Pooled over languages, errors are those of the set; each is an edit distance."""
    refs = {str(i): ref for i, (_, ref, _) in enumerate(samples)}
    hyps = {str(i): hyp for i, (_, _, hyp) in enumerate(samples)}
    utt2lang = {str(i): language for i, (language, *_) in enumerate(samples)}
    scores = scorer.score_languages(refs, hyps, utt2lang)
    whole = scorer.pool(scores.values())
    assert whole.chars == sum(map(len, refs.values()))
    assert whole.utterances == len(refs) and list(scores) == sorted(scores)
    least = sum(Levenshtein.distance(refs[utt], hyps[utt]) for utt in refs)
    assert whole.errors >= least
    entry = scorer.summarize(scores, {"dan", "tur"}, lid=False)
    rates = [score.cer for score in scores.values()]
    assert min(rates) - 0.01 <= entry["cer_macro"] <= max(rates) + 0.01
    assert entry["cer_worst15"] >= entry["cer_macro"]
