from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from espnet_dsu import DSUError
from espnet_dsu.audio import read_audio
from espnet_dsu.bin import make_report as command
from espnet_dsu.metrics.mel_distance import mel_distance
from espnet_dsu.report import make_report, page
from tests.report.experiment import COLUMNS, FS, HOSTILE_IDS, clip, make_experiment


class Parts(HTMLParser):
    """What a page is made of: tags with their attributes, and texts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data.strip())

    def files(self) -> list[str]:
        return [str(a["src"]) for tag, a in self.tags if tag in ("audio", "img")]


@pytest.fixture
def options(tmp_path):
    return make_experiment(tmp_path)


def test_page_and_folder_hold_each_other_exactly(options):
    path = make_report(options)
    addresses = Parts(path).files()
    assert len(addresses) == 2 * (len(COLUMNS) * len(HOSTILE_IDS) - 1) + 3
    assert all(re.fullmatch(r"report/[a-z0-9-]+\.(wav|png)", a) for a in addresses)
    written = {f"report/{p.name}" for p in (path.parent / "report").iterdir()}
    assert written == set(addresses)
    names = {p.name for p in path.parent.iterdir()}
    assert names == {"report", "report.html", "metrics.json", "train.log"}


def test_page_plays_the_very_samples_of_the_clip(options):
    path = make_report(options)
    address = next(a for a in Parts(path).files() if a.endswith(".wav"))
    wav, fs = read_audio(str(path.parent / address))
    assert fs == FS
    assert np.allclose(wav, clip(0, 0), atol=1 / 32768)


def test_page_measures_what_the_clips_are(options):
    path = make_report(replace(options, utts=[HOSTILE_IDS[1]]))
    texts = list(filter(None, Parts(path).texts))
    first = texts.index("peak")
    wav = clip(1, 0)
    level = 10 * np.log10(np.mean(wav.astype(float) ** 2))
    assert texts[first + 1] == f"{np.abs(wav).max():.2f}"
    assert texts[first + 3] == f"{level:.1f} dB".replace("-", "−")
    assert texts.count("mel distance") == 2
    third = len(texts) - 1 - texts[::-1].index("mel distance")
    distance = mel_distance(wav, clip(1, 2), FS, align=True)
    assert float(texts[third + 1]) == pytest.approx(distance, abs=0.02)


def test_page_names_a_missing_and_an_unreadable_clip(options, tmp_path, caplog):
    (tmp_path / "wav1/0.wav").write_bytes(b"RIFF no audio")
    texts = Parts(make_report(options)).texts
    assert sum("cannot be read: " in text for text in texts) == 1
    assert texts.count("not made for this utterance") == 1
    assert any(HOSTILE_IDS[0] in record.getMessage() for record in caplog.records)


def test_page_without_scores_log_text_and_units_says_what_is_missing(options):
    for name in ("metrics.json", "train.log"):
        (Path(options.exp_dir) / name).unlink()
    path = make_report(replace(options, text=None, units_scp=None, title=""))
    texts = " ".join(Parts(path).texts)
    assert "Nothing is scored yet" in texts and "No curves" in texts
    assert "voc_tiny" in texts


def test_page_where_no_clip_can_be_read_still_renders(options, tmp_path):
    for path in tmp_path.glob("wav*/*.wav"):
        path.unlink()
    texts = Parts(make_report(options)).texts
    assert sum("cannot be read: not found" in text for text in texts) == 11


def test_second_report_replaces_the_first_and_leaves_foreign_files(options):
    path = make_report(options)
    before = set(Parts(path).files())
    (path.parent / "report/notes.png").write_bytes(b"mine")
    killed = path.parent / "report/.u-0123456789ab.wav.77.tmp"
    killed.write_bytes(b"half")
    make_report(replace(options, utts=HOSTILE_IDS[1:2]))
    after = set(Parts(path).files())
    assert after < before
    written = {f"report/{p.name}" for p in (path.parent / "report").iterdir()}
    assert written == after | {"report/notes.png"}


def test_report_that_fails_leaves_the_former_one_whole(options, monkeypatch):
    path = make_report(options)
    html, files = path.read_bytes(), Parts(path).files()
    contents = {a: (path.parent / a).read_bytes() for a in files}

    def fail(**values):
        raise KeyboardInterrupt

    monkeypatch.setattr(page, "render", fail)
    with pytest.raises(KeyboardInterrupt):
        make_report(replace(options, clips=dict(list(options.clips.items())[1:])))
    assert path.read_bytes() == html
    assert contents == {a: (path.parent / a).read_bytes() for a in files}


def test_template_refuses_a_value_it_was_not_given():
    with pytest.raises(Exception, match="'title' is undefined"):
        page.render(rows=SimpleNamespace())


def test_report_of_no_experiment_is_refused(options):
    with pytest.raises(DSUError, match="expected a trained experiment"):
        make_report(replace(options, exp_dir=f"{options.exp_dir}/none"))


def test_command_makes_the_report(options):
    pairs = [f"--clips=take {i}={s}" for i, s in enumerate(options.clips.values())]
    cmd = ["--exp_dir", options.exp_dir, "--num_utts", "2", "--seed", "3", *pairs]
    command.main([*cmd, "--units_scp", options.units_scp, "--text", options.text])
    parts = Parts(Path(options.exp_dir) / "report.html")
    assert [tag for tag, _ in parts.tags].count("article") == 2
    assert parts.texts.count("take 2") == 2


def test_command_refuses_a_column_named_twice(options):
    pairs = [f"--clips=x={scp}" for scp in options.clips.values()]
    with pytest.raises(DSUError, match="a name comes twice"):
        command.main(["--exp_dir", options.exp_dir, *pairs])
