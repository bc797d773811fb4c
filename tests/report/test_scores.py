from __future__ import annotations

import json

import pytest

from espnet_dsu import DSUError
from espnet_dsu.report.scores import read_scores
from tests.report.experiment import METRICS


def test_scores_are_rounded_ordered_and_carry_their_interval(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(METRICS), "utf-8")
    scores = read_scores(path)
    assert scores is not None
    assert scores.heads == [
        ("resynth", "test", "30"),
        ("<i>convert</i>", "test", "7"),
    ]
    rows = {row.figure.title: row.cells for row in scores.rows}
    assert rows == {
        "Word errors": [("2.50", "1.25 – 3.75"), ("–", "")],
        "MCD": [("4.32", ""), ("–", "")],
        "Speaker similarity": [("0.912", ""), ("–", "")],
        "odd": [("–", ""), ("−3.000", "")],
    }
    assert list(rows) == ["Word errors", "MCD", "Speaker similarity", "odd"]


def test_scores_name_the_model_of_a_speaker_similarity(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(METRICS), "utf-8")
    scores = read_scores(path)
    assert scores is not None
    notes = [row.figure.note for row in scores.rows]
    assert "cosine, by mfcc_statistics" in notes


def test_scores_before_scoring_are_none(tmp_path):
    assert read_scores(tmp_path / "metrics.json") is None


def test_scores_of_a_damaged_file_are_refused(tmp_path):
    (tmp_path / "metrics.json").write_text("[1, 2")
    with pytest.raises(DSUError, match="run the scoring stage again"):
        read_scores(tmp_path / "metrics.json")
