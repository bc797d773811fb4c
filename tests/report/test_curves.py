from __future__ import annotations

from pathlib import Path

import pytest
from espnet2.train.reporter import Reporter
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.report.curves import HEIGHT, WIDTH, parse_log, read_charts


def log_line(epoch: int, results: str) -> str:
    head = f"2026-11-23 10:20:56,580 (trainer:394) INFO: {epoch}epoch results: "
    return head + results + "\n"


def reporter_line(epoch: int, values: dict[str, dict[str, float | None]]) -> str:
    """Return what ESPnet's own reporter says of an epoch."""
    reporter = Reporter(epoch=epoch)
    for split, stats in values.items():
        with reporter.observe(split) as sub_reporter:
            sub_reporter.register(stats)
    return f"INFO: {reporter.log_message()}\n"


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:The stats of the")
def test_parse_log_reads_what_the_reporter_writes():
    train = {"generator_mel_loss": 12345.6, "generator_train_time": 0.1, "clip": 100.0}
    train |= {"optim0_lr0": 1e-3, "grad_norm": 3.0, "loss_scale": 1.0}
    valid = {"generator_mel_loss": -0.00042, "dur_loss": 2.5, "acc": None}
    text = reporter_line(7, {"train": train, "valid": valid})
    assert parse_log("noise\n" + text) == {
        "generator_mel_loss": {"train": {7: 12350.0}, "valid": {7: -0.00042}},
        "dur_loss": {"valid": {7: 2.5}},
    }


def test_parse_log_of_resumed_training_takes_the_last_of_an_epoch():
    text = "".join(
        log_line(e, f"[train] loss={v}") for e, v in [(1, 9), (2, 8), (2, 7)]
    )
    assert parse_log(text) == {"loss": {"train": {1: 9.0, 2: 7.0}}}


def test_parse_log_without_epochs_is_empty():
    assert parse_log("INFO: 1epoch:train:1-50batch: loss=3.0, time=0.1\n") == {}


@settings(deadline=None)
@given(
    st.dictionaries(
        st.integers(1, 999), st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1
    )
)
def test_charts_lie_within_their_box_in_order(tmp_path_factory, curve):
    log = tmp_path_factory.mktemp("log") / "train.log"
    log.write_text("".join(log_line(e, f"[valid] x={v}") for e, v in curve.items()))
    (chart,) = read_charts(log)
    (line,) = chart.lines
    points = [tuple(map(float, p.split(","))) for p in line.points.split()]
    assert len(points) == len(curve) and points == sorted(points, key=lambda p: p[0])
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert chart.epochs == (min(curve), max(curve))
    assert (line.first, line.last) == (curve[min(curve)], curve[max(curve)])
    assert line.end == points[-1]


def test_charts_show_high_values_high_and_the_mel_loss_first(tmp_path):
    log = tmp_path / "train.log"
    values = "discriminator_real_loss={0}, generator_mel_loss={0}, generator_loss=1"
    log.write_text(
        "".join(log_line(e, f"[train] {values.format(4 - e)}") for e in (1, 3))
    )
    charts = read_charts(log)
    assert [chart.name for chart in charts][0] == "generator_mel_loss"
    assert charts[0].lines[0].points == f"0.0,0.0 {WIDTH},{HEIGHT}"
    assert (charts[0].low, charts[0].high) == (1.0, 3.0)


def test_charts_without_a_log_are_none(tmp_path: Path):
    assert read_charts(tmp_path / "train.log") == []
