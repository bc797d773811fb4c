"""sclite's files, and the report that stands in for it."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics import sclite
from espnet_dsu.metrics.error_rate import ErrorCounts
from espnet_dsu.metrics.sclite import (
    find_sclite,
    run_sclite,
    write_summary,
    write_trn,
)

COUNTS = ErrorCounts(*(np.array(x) for x in ([2, 1], [1, 0], [0, 2], [1, 0])))
needs_sclite = pytest.mark.skipif(find_sclite() is None, reason="sclite is missing")


def summary_cells(report: str) -> list[str]:
    """Read the row as ESPnet's show_asr_result.sh does."""
    (row,) = [line for line in report.splitlines() if "Avg" in line]
    return re.sub(r"\s+", " ", row.replace("Sum/Avg", "").replace("|", " ")).split()


def test_write_trn_speakers_and_ids_follow_the_words(tmp_path):
    write_trn(tmp_path / "x.trn", {"u1": ["a", "b"], "u2": []}, {"u1": "s"})
    assert (tmp_path / "x.trn").read_text() == "a b\t(s-u1)\n\t(all-u2)\n"


@needs_sclite
def test_write_summary_row_reads_like_sclites(tmp_path):
    write_trn(tmp_path / "ref.trn", {"a": list("xyz"), "b": list("pqr")}, {})
    write_trn(tmp_path / "hyp.trn", {"a": list("xyqw"), "b": list("p")}, {})
    assert run_sclite(find_sclite(), tmp_path) == COUNTS.sums()
    theirs = (tmp_path / "result.txt").read_text()
    write_summary(tmp_path / "ours.txt", COUNTS)
    ours = (tmp_path / "ours.txt").read_text()
    assert summary_cells(ours) == summary_cells(theirs)
    assert "SPKR" in ours


def test_write_summary_row_has_espnets_columns(tmp_path):
    write_summary(tmp_path / "result.txt", COUNTS)
    assert summary_cells((tmp_path / "result.txt").read_text()) == (
        "2 6 50.0 16.7 33.3 16.7 66.7 100.0".split()
    )


def test_run_sclite_failure_is_told_and_leaves_no_report(tmp_path):
    with pytest.raises(DSUError, match=r"false failed in .*exit 1.*--use_sclite false"):
        run_sclite([shutil.which("false") or "false"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_run_sclite_report_without_sums_is_refused(tmp_path):
    with pytest.raises(DSUError, match="no sums in its report"):
        run_sclite([shutil.which("echo") or "echo"], tmp_path)


@pytest.mark.parametrize(
    "installed, expected",
    [
        ({"sclite": "/bin/sclite", "sctk": "/bin/sctk"}, ["/bin/sclite"]),
        ({sclite._DEBIAN_SCLITE: "/deb"}, ["/deb"]),
        ({"sctk": "/bin/sctk"}, ["/bin/sctk", "sclite"]),
        ({}, None),
    ],
)
def test_find_sclite_looks_in_every_place(monkeypatch, installed, expected):
    monkeypatch.setattr(sclite.shutil, "which", installed.get)
    assert find_sclite() == expected
