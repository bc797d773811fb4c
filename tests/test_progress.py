import logging
import threading
import time

from espnet_dsu import progress
from espnet_dsu.bin import watch


def test_track_passes_every_item_on_and_logs_rate_and_time_left(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "_LOG_EVERY_SEC", 0.0)
    assert list(progress.track(range(3), 3, "counting")) == [0, 1, 2]
    assert "counting: 2/3 utt" in caplog.text and "s left" in caplog.text


def test_track_unknown_total_is_accepted(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "_LOG_EVERY_SEC", 0.0)
    assert list(progress.track(iter("ab"), None, "counting")) == ["a", "b"]
    assert "counting: 2/? utt" in caplog.text


def test_watch_ends_when_all_lines_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "_POLL_SEC", 0.01)
    (tmp_path / "text.1").write_text("a\nb\n")

    def finish():
        time.sleep(0.05)
        (tmp_path / "text.2").write_text("c\nd\ne\n")

    thread = threading.Thread(target=finish)
    thread.start()
    seen = list(watch.new_lines(str(tmp_path / "text.*"), 4))
    thread.join()
    assert seen == [1, 2, 3, 4]


def test_watch_command_takes_what_the_recipes_give(tmp_path):
    (tmp_path / "text").write_text("a\n")
    watch.main(["--what", "decoding", "--total", "1", "--files", str(tmp_path / "te*")])
