"""Every benchmark runs and reports what it says; how fast is not looked at."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu, kmeans, memory, tokenization, vocoders, workers
from espnet_dsu.errors import DSUError
from espnet_dsu.units.files import write_units
from espnet_dsu.units.spec import UnitSpec

pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("in_process")


def run(
    main: Callable[[list[str]], None], folder: Path, *options: str
) -> dict[str, list[dict[str, Any]]]:
    """Run a benchmark; give its tables."""
    output = folder / "result.json"
    main(["--output", str(output), "--work_dir", str(folder / "work"), *options])
    result = json.loads(output.read_text())
    assert result["machine"]["gemm_float32_gflops"] > 0
    assert result["machine"]["cpu"] and result["machine"]["torch"]
    return result["tables"]


def test_tokenization_two_families_reports_same_units_and_every_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = run(
        tokenization.main,
        tmp_path,
        *("--models", "tiny", "tiny_wavlm", "--audio_sec", "6", "--nclusters", "8"),
        *("--rounds", "1", "--profile", "--profile_sec", "3"),
    )
    use, ratio, forward, parts = tables.values()
    assert [(r["model"], r["program"]) for r in use] == [
        (model, program)
        for model in ("tiny@2", "tiny_wavlm@2")
        for program in ("plain loop", "espnet_dsu")
    ]
    for row in ratio:
        assert row["frames"] > 290
        # Random weights bring near ties; most frames have one nearest centroid.
        assert row["differing frames"] <= 0.01 * row["frames"]
        assert len(row["each pair"]) == 1
    assert all(0 < row["% of matrix product"] for row in forward)
    whole = sum(row["% of time"] for row in parts)
    assert whole == pytest.approx(400)
    assert all(row["% of time"] > 0 for row in parts)
    assert "| tiny@2 | espnet_dsu | convolutions |" in capsys.readouterr().out


def test_kmeans_all_methods_reports_inertia_of_each(tmp_path: Path) -> None:
    tables = run(
        kmeans.main,
        tmp_path,
        *("--number", "3000", "--dim", "8", "--nclusters", "10", "--rounds", "2"),
    )
    rows = tables["K = 10"]
    assert [row["method"] for row in rows] == list(kmeans.METHODS)
    best = min(row["inertia"] for row in rows)
    assert all(best <= row["inertia"] < 1.3 * best for row in rows)
    assert rows[0]["time : espnet_dsu"] == "1"


def test_workers_one_and_two_reports_speed_and_shares(tmp_path: Path) -> None:
    tables = run(
        workers.main,
        tmp_path,
        *("--model", "tiny", "--audio_sec", "6", "--nclusters", "8"),
        *("--rounds", "1"),
    )
    numbers, shares = tables.values()
    assert [row[""] for row in numbers] == ["nj 1", "nj 2"]
    cpu, wall = shares
    parts = ("decode", "forward", "assign", "write", "engine")
    assert sum(cpu[part] for part in parts) == pytest.approx(100)
    assert cpu["forward"] > cpu["assign"] > 0 and cpu["decode"] > 0
    assert wall["decode"] is None


def test_memory_two_sizes_reports_every_command(tmp_path: Path) -> None:
    tables = run(
        memory.main,
        tmp_path,
        *("--model", "tiny", "--minutes", "0.1", "0.3", "--nclusters", "8"),
        *("--empty_sec", "1"),
    )
    rows = tables["Peak memory"]
    assert [row["command"] for row in rows[::3]] == [
        "training, --max_memory 128MiB",
        "tokenization",
        "tokenization of one file",
    ]
    assert all(row["beyond near-empty MiB"] == 0 for row in rows[::3])
    assert [round(row["audio min"], 1) for row in rows[1:3]] == [0.1, 0.3]


def test_kmeans_fit_that_did_not_end_is_reported_as_longer() -> None:
    args = argparse.Namespace(methods=("ours", "slow"), timeout=60.0)
    fits = [kmeans.Fit("ours", 10, 0, 2.0, 2.0, 0.0, 5.0), kmeans.Fit("slow", 10, 0)]
    ours, slow = kmeans.rows_of(fits, args)
    assert (ours["time : ours"], slow["time : ours"]) == ("1", "> 30")
    assert slow["wall s"] == "> 60" and slow["inertia"] is None


def test_differing_frames_counts_them_and_refuses_other_lengths(
    tmp_path: Path,
) -> None:
    spec = UnitSpec("tag", (9,), 320, 16000, "0123456789abcdef")
    write_units(tmp_path, [("a", np.array([1, 2, 3])), ("b", np.array([4]))], spec)
    text = tmp_path / "units.txt"
    text.write_text("b 4\na 1 7 3\n")
    assert tokenization.differing_frames(text, tmp_path / "units.scp") == (4, 1)
    text.write_text("b 4\na 1 2\n")
    with pytest.raises(DSUError, match="3 units, 2 in the plain loop"):
        tokenization.differing_frames(text, tmp_path / "units.scp")


def test_gpu_on_cpu_reports_rates_and_agreement(tmp_path: Path) -> None:
    tables = run(
        gpu.main,
        tmp_path,
        *("--device", "cpu", "--models", "tiny", "--nclusters", "8"),
        *(
            "--rounds",
            "1",
            "--audio_sec",
            "4",
            "--encode_sec",
            "2",
            "--dtypes",
            "float32",
            "bfloat16",
        ),
    )
    full, half = tables["One GPU"]
    assert full["% units as first dtype"] == 100
    assert 0 < half["% units as first dtype"] <= 100
    assert full["audio h per h, encoding"] > 0


def test_gpu_without_one_refuses_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DSUError, match="no CUDA device") as error:
        gpu.main(["--output", str(tmp_path / "result.json")])
    assert "\n" not in str(error.value)


def test_vocoders_reports_each_generator(tmp_path: Path) -> None:
    tables = run(vocoders.main, tmp_path, "--audio_sec", "0.2", "--rounds", "2")
    (rows,) = tables.values()
    assert [r["config"] for r in rows] == list(vocoders.CONFIGS)
    assert all(r["real time factor"] > 0 for r in rows)
    assert rows[0]["to the first"] == 1
