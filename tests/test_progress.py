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


def test_corpus_progress_logs_utterances_hours_speed_and_time_left(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "_LOG_EVERY_SEC", 0.0)
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.CorpusProgress("tokenize", 10, 7200.0) as shown:
        shown.keep(5, 3600.0)  # of an earlier run: no part of the speed
        now[0] += 60
        shown.advance(1, 1800.0)
        now[0] += 60
        shown.advance(4, 1800.0)
    assert [r.message for r in caplog.records] == [
        "tokenize: 6/10 utt, 1.500/2.000 h of audio, 30.0 x real time, 01:00 left",
        "tokenize: 10/10 utt, 2.000/2.000 h of audio, 30.0 x real time",
        "tokenize: 10/10 utt, 2.000/2.000 h of audio, 30.0 x real time",
    ]


def test_corpus_progress_on_a_terminal_is_one_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress.CorpusProgress("tokenize", 2, 2.0) as shown:
        shown.advance(1, 1.0)
        time.sleep(0.15)
        shown.advance(1, 1.0)
    written = capsys.readouterr().err
    assert "100%|" in written and "tokenize: 2/2 utt" in written


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
