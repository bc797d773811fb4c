"""egs2/ml_superb/asr2: data preparation, on a miniature corpus."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from espnet_dsu.corpus.datadir import validate
from espnet_dsu.scp import read_scp
from tests.recipes.harness import ROOT, environment
from tests.recipes.ml_superb_corpus import make_ml_superb

RECIPE = ROOT / "egs2/ml_superb/asr2"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature; to be copied, not changed."""
    return make_ml_superb(tmp_path_factory.mktemp("corpus"))


def prepare(
    folder: Path, corpus: Path | str, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run the recipe's local/data.sh with its data directory at ``folder``."""
    return subprocess.run(
        ["local/data.sh", "--data_dir", str(folder), *options],
        cwd=RECIPE,
        env=environment({"MLSUPERB": str(corpus)}),
        capture_output=True,
        text=True,
    )


def read_set(folder: Path) -> dict[str, str]:
    validate(folder)
    return read_scp(folder / "text")


def test_data_sh_sets_have_the_names_and_utterances_of_the_benchmark(
    tmp_path: Path, corpus: Path
) -> None:
    for duration, train in (("10min", 14), ("1h", 18)):
        done = prepare(tmp_path, corpus, "--duration", duration)
        assert done.returncode == 0, done.stderr
        assert "4 languages from 3 sources" in done.stderr
        assert len(read_set(tmp_path / f"train_{duration}")) == train
    # What is tested on does not depend on what is trained on.
    for part, size in (("dev", 5), ("test", 10)):
        short, long = (read_set(tmp_path / f"{part}_{d}") for d in ("10min", "1h"))
        assert short == long and len(short) == size


def test_data_sh_few_shot_language_has_the_chosen_utterances_only(
    tmp_path: Path, corpus: Path
) -> None:
    assert prepare(tmp_path, corpus, "--duration", "1h").returncode == 0
    utt2lang = read_scp(tmp_path / "train_1h/utt2lang")
    assert [utt for utt, language in utt2lang.items() if language == "dan"] == [
        *("fleurs_dan_000058", "fleurs_dan_000071")
    ]
    tested = read_scp(tmp_path / "test_1h/utt2lang")
    assert list(tested.values()).count("dan") == 2


def test_few_shot_list_has_five_utterances_of_twenty_languages() -> None:
    chosen = read_scp(RECIPE / "local/few_shot.txt")
    assert len(chosen) == 20
    for language, names in chosen.items():
        assert len(set(names.split())) == 5
        assert all(name.split("_")[1] == language for name in names.split())


def test_data_sh_texts_are_normalized_and_begin_with_the_language_if_asked(
    tmp_path: Path, corpus: Path
) -> None:
    nlsyms = tmp_path / "local/nlsyms.txt"
    options = ("--lid", "true", "--nlsyms_txt", str(nlsyms))
    assert prepare(tmp_path / "a", corpus).returncode == 0
    assert prepare(tmp_path / "b", corpus, *options).returncode == 0
    plain, marked = (read_set(tmp_path / name / "test_10min") for name in "ab")
    assert plain["mls_eng_000006"] == "HELLO WORLD AGAIN"
    assert plain["mls_deu_000006"] == "FÜSSE UND STRASSE"
    assert plain["cv_org_jpn_000007"] == "ありがとう"
    utt2lang = read_scp(tmp_path / "b/test_10min/utt2lang")
    assert marked == {utt: f"[{utt2lang[utt]}] {plain[utt]}" for utt in plain}
    symbols = nlsyms.read_text().splitlines()
    assert symbols == sorted(f"[{language}]" for language in set(utt2lang.values()))


def spoil(corpus: Path, kind: str) -> None:
    folder = corpus / "mls/eng"
    path = folder / "transcript_10min_test.txt"
    if kind == "transcript":
        path.unlink()
    elif kind == "line":
        path.write_text(path.read_text() + "mls_eng_000009\n")
    elif kind == "twice":
        path.write_text(path.read_text() * 2)
    elif kind == "layout":
        shutil.move(corpus, corpus.parent / "inner")
        shutil.move(corpus.parent / "inner", corpus / "eighth_version")
    elif kind == "empty":
        for each in corpus.glob("*/*/transcript_10min_dev.txt"):
            each.write_text("")


@pytest.mark.parametrize(
    "kind, message",
    [
        ("transcript", "mls/eng/transcript_10min_test.txt: not found; unpack"),
        ("line", "transcript_10min_test.txt:3: expected `utterance duration text`"),
        ("twice", "2 names occur twice: ['mls_eng_000006', 'mls_eng_000007']"),
        ("layout", "no folder <source>/<language>/wav, such as mls/eng/wav"),
        ("empty", "dev: no utterance; is the corpus unpacked whole?"),
    ],
)
def test_data_sh_bad_corpus_is_one_error_and_no_set_is_left_half(
    tmp_path: Path, corpus: Path, kind: str, message: str
) -> None:
    shutil.copytree(corpus, tmp_path / "corpus")
    spoil(tmp_path / "corpus", kind)
    done = prepare(tmp_path / "data", tmp_path / "corpus")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert message in done.stderr
    assert not list((tmp_path / "data").glob("*"))


def test_data_sh_without_the_corpus_says_where_it_is(tmp_path: Path) -> None:
    done = prepare(tmp_path, "")
    assert done.returncode == 1 and "MLSUPERB is not set in db.sh" in done.stderr
    assert "https://huggingface.co/datasets/" in done.stderr
