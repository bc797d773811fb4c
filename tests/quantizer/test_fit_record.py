"""The record of a fit: what is in it, and that it is whole."""

from __future__ import annotations

import json

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from espnet_dsu.quantizer import fit_record
from espnet_dsu.quantizer.fit_record import write_fit_record
from espnet_dsu.quantizer.fit_report import FitPass, FitReport


def report(final: float = 4.0) -> FitReport:
    counts = torch.tensor([3.0, 0.0, 5.0], dtype=torch.float64)
    course = [("sample", 16.0), ("mini-batch", 8.0), ("lloyd", final)]
    return FitReport.of([FitPass.of(p, i, counts) for p, i in course], counts)


def test_write_fit_record_json_holds_every_pass(tmp_path):
    write_fit_record([report()], tmp_path)
    found = json.loads((tmp_path / "fit_report.json").read_text())
    assert found["inertia"] == 4.0
    assert [p["inertia"] for p in found["passes"]] == [2.0, 1.0, 0.5]
    assert [p["empty_units"] for p in found["passes"]] == [1, 1, 1]
    assert found == json.loads(json.dumps(report().to_dict()))


def test_write_fit_record_tensorboard_has_the_curves(tmp_path):
    write_fit_record([report()], tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {
        "kmeans/inertia",
        "kmeans/empty_units",
        "kmeans/perplexity",
    }
    points = [(e.step, e.value) for e in events.Scalars("kmeans/inertia")]
    assert points == [(1, 2.0), (2, 1.0), (3, 0.5)]


def test_write_fit_record_plot_is_an_image(tmp_path):
    from matplotlib.image import imread

    write_fit_record([report()], tmp_path)
    picture = imread(tmp_path / "images" / "fit.png")
    assert picture.shape[0] > 400 and picture.std() > 0.01


def test_write_fit_record_twice_keeps_the_second_alone(tmp_path):
    write_fit_record([report()], tmp_path)
    write_fit_record([report(final=2.0)], tmp_path)
    assert json.loads((tmp_path / "fit_report.json").read_text())["inertia"] == 2.0
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["fit_report.json", "images", "tensorboard"]


def test_write_fit_record_that_fails_leaves_the_old_events(tmp_path, monkeypatch):
    write_fit_record([report()], tmp_path)
    before = sorted(tmp_path.rglob("*"))

    def fail(passes, folder):
        (folder / "half").write_text("")
        raise OSError("disk full")

    monkeypatch.setattr(fit_record, "_write_events", fail)
    with pytest.raises(OSError, match="disk full"):
        write_fit_record([report()], tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
