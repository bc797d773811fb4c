"""egs2/interspeech2024_dsu_challenge/asr2: its data and its table, on miniatures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_dsu.corpus.datadir import validate
from espnet_dsu.scp import read_scp
from tests.recipes.harness import ROOT, copy_recipe, environment
from tests.recipes.librispeech_corpus import EVALUATION_PARTS, make_librispeech
from tests.recipes.ml_superb_corpus import make_ml_superb

NAME = "interspeech2024_dsu_challenge/asr2"
TABLE = ROOT / "egs2" / NAME / "local/challenge_table.py"
SETS = ("dev_clean", "dev_other", "test_clean", "test_other", "test_1h")


def prepare(folder: Path, **corpora: str) -> subprocess.CompletedProcess[str]:
    """Run stage 1's program."""
    return subprocess.run(
        ["local/data.sh", "--partial", "true"],
        cwd=folder,
        env=environment(corpora),
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder that stage 1 makes."""
    root = tmp_path_factory.mktemp("challenge")
    folder = copy_recipe(root, NAME)
    libri, ml_superb = make_librispeech(root / "a"), make_ml_superb(root / "b")
    done = prepare(folder, LIBRISPEECH=str(libri), MLSUPERB=str(ml_superb))
    assert done.returncode == 0, done.stderr
    return folder / "data"


def test_data_sh_joins_both_corpora_for_training_and_validation(data: Path) -> None:
    parts = {
        "train": {"librispeech": "train_clean_100", "ml_superb": "train_1h"},
        "dev": {"librispeech": "dev", "ml_superb": "dev_1h"},
    }
    for name, corpora in parts.items():
        validate(data / name)
        for table in ("wav.scp", "text"):
            expected = {
                f"{corpus}-{utt}": value
                for corpus, part in corpora.items()
                for utt, value in read_scp(data / corpus / part / table).items()
            }
            assert read_scp(data / name / table) == dict(sorted(expected.items()))
        speakers = read_scp(data / name / "utt2spk")
        assert all(utt.startswith(speaker) for utt, speaker in speakers.items())
    assert len(read_scp(data / "train/text")) == 6 + 18


def test_data_sh_evaluation_sets_are_those_of_the_corpora(data: Path) -> None:
    for name in SETS:
        corpus = "ml_superb" if name == "test_1h" else "librispeech"
        validate(data / name)
        for table in ("wav.scp", "text", "utt2spk"):
            theirs = data / corpus / name / table
            assert (data / name / table).read_bytes() == theirs.read_bytes()
    assert {part.replace("-", "_") for part in EVALUATION_PARTS} < set(SETS)
    # No language before the text: the challenge has no language identification.
    assert read_scp(data / "test_1h/text")["mls_eng_000006"] == "HELLO WORLD AGAIN"


def test_data_sh_without_ml_superb_downloads_nothing(tmp_path: Path) -> None:
    folder = copy_recipe(tmp_path, NAME)
    done = prepare(folder, LIBRISPEECH="", MLSUPERB="")
    assert done.returncode == 1 and "MLSUPERB is not set" in done.stderr
    assert not (folder / "downloads").exists() and not (folder / "data").exists()


def entry(utts: int, chars: int, errors: int, bitrate: float, **more) -> dict:
    """An entry of metrics.json with ``errors`` in three kinds."""
    kinds = {"cer_sub": errors - 2, "cer_del": 1, "cer_ins": 1}
    rate = {"cer": 100 * errors / chars, "num_chars": chars, "bitrate": bitrate}
    return {"decode": "decode_a", "num_utts": utts, **rate, **kinds, **more}


METRICS = {
    "dev_clean": entry(10, 1000, 10, 300),
    "dev_other": entry(10, 2000, 40, 310),
    "test_clean": entry(20, 1000, 10, 320),
    "test_other": entry(20, 4000, 100, 330),
    "test_1h": entry(40, 5000, 1000, 400),
}


def print_table(folder: Path, metrics: dict) -> list[str]:
    """Return the table's rows for a metrics.json."""
    (folder / "metrics.json").write_text(json.dumps(metrics))
    done = subprocess.run(
        [sys.executable, str(TABLE), str(folder)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    table = (folder / "challenge.md").read_text()
    assert done.stdout.endswith(table)
    return table.splitlines()[2:]


def test_table_pools_characters_and_averages_bitrates_over_utterances(
    tmp_path: Path,
) -> None:
    """160 errors in 8000 characters; (3000 + 3100 + 6400 + 6600 + 16000) / 100."""
    assert print_table(tmp_path, METRICS) == ["|decode_a|2.00|20.00|351.00|"]


def test_table_takes_the_tokens_that_the_recogniser_reads(tmp_path: Path) -> None:
    pieces = {name: {**e, "bitrate_pieces": 200.0} for name, e in METRICS.items()}
    assert print_table(tmp_path, pieces) == ["|decode_a|2.00|20.00|200.00|"]


def test_table_has_a_row_for_each_decoding_and_no_made_up_measure(
    tmp_path: Path,
) -> None:
    more = {
        "decode_b/test_1h": {**METRICS["test_1h"], "decode": "decode_b"},
        "test_1h_wav": {**METRICS["test_1h"], "decode": "decode_a_wav"},
        "test_1h_rescored_wav": {**METRICS["test_1h"], "decode": "rescored"},
    }
    without = {**METRICS["dev_clean"], "decode": "decode_c"}
    without.pop("bitrate")
    more["decode_c/dev_clean"] = without
    assert print_table(tmp_path, METRICS | more) == [
        "|decode_a|2.00|20.00|351.00|",
        "|decode_b|-|20.00|-|",
        "|decode_a_wav|-|20.00|-|",
        "|rescored|-|20.00|-|",
        "|decode_c|-|-|-|",
    ]


def test_table_without_metrics_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, str(TABLE), str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1 and "run the scoring stage again" in done.stderr
