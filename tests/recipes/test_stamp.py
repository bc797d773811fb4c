"""Done-markers: what makes a step stale, what does not, and what is said about it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STAMP = Path(__file__).parents[2] / "egs2" / "TEMPLATE" / "lib" / "stamp.py"


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Step:
    """A step in a folder of its own that has run."""
    monkeypatch.chdir(tmp_path)
    done = Step()
    assert done.begin() == "new"
    done.work()
    done.commit()
    assert done.begin() == "current"
    return done


class Step:
    """Copies in.txt to out.txt; has one option."""

    def __init__(self) -> None:
        self.options = {"nclusters": "500"}
        self.inputs = ["in.txt"]
        self.outputs = ["out.txt"]
        Path("in.txt").write_text("a")

    def call(self, *words: str) -> str:
        """Run stamp.py as the recipes do."""
        command = [sys.executable, "-IS", str(STAMP), *words]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.rstrip("\n")

    def begin(self) -> str:
        """Ask whether the step is current."""
        options = [f"{k}={v}" for k, v in self.options.items()]
        declared = ["--inputs", *self.inputs, "--outputs", *self.outputs]
        declared += ["--options", *options]
        return self.call("begin", "out/.stamps/step.json", *declared)

    def work(self) -> None:
        """Write the output."""
        Path("out.txt").write_text(Path("in.txt").read_text())

    def commit(self) -> None:
        """Mark the step done."""
        self.call("commit", "out/.stamps/step.json")


def load():
    """Import stamp.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("stamp", STAMP)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_changed_option_redoes_and_shows_both_values(step: Step) -> None:
    step.options["nclusters"] = "100"
    assert step.begin() == "redo: nclusters: 500 -> 100"


def test_changed_input_redoes_and_names_the_file(step: Step) -> None:
    Path("in.txt").write_text("b")
    assert step.begin() == "redo: input changed: in.txt"


def test_touched_input_with_same_content_stays_current(step: Step) -> None:
    os.utime("in.txt", (1, 1))
    assert step.begin() == "current"


def test_missing_output_is_resumed_and_named(step: Step) -> None:
    Path("out.txt").unlink()
    assert step.begin() == "resume: output missing: out.txt"


def test_begun_step_leaves_no_marker_until_committed(step: Step) -> None:
    step.options["nclusters"] = "100"
    step.begin()
    assert not Path("out/.stamps/step.json").exists()
    assert step.begin() == "resume: an earlier run did not finish"


def test_failed_redo_followed_by_old_options_is_not_current(step: Step) -> None:
    step.options["nclusters"] = "100"
    step.begin()
    step.options["nclusters"] = "500"
    assert step.begin() == "redo: nclusters: 100 -> 500"


def test_input_changed_while_the_step_ran_is_noticed_later(step: Step) -> None:
    step.options["nclusters"] = "100"
    step.begin()
    Path("in.txt").write_text("changed during the run")
    step.commit()
    assert step.begin() == "redo: input changed: in.txt"


def test_commit_without_the_output_is_an_error(step: Step) -> None:
    step.outputs.append("never.txt")
    step.begin()
    with pytest.raises(RuntimeError, match="ended without writing never.txt"):
        step.commit()
    assert not Path("out/.stamps/step.json").exists()


def test_missing_input_is_an_error_that_says_what_to_do(step: Step) -> None:
    step.inputs.append("exp/bundle/config.yaml")
    with pytest.raises(RuntimeError, match="input missing: exp/bundle.*--stage"):
        step.begin()


def test_output_pattern_holds_the_files_it_stood_for(step: Step) -> None:
    step.outputs, step.options = ["*.ave.pth"], {}
    Path("valid.acc.ave.pth").touch()
    Path("valid.loss.ave.pth").touch()
    step.begin()
    step.commit()
    assert step.begin() == "current"
    Path("valid.acc.ave.pth").unlink()
    assert step.begin() == "resume: output missing: valid.acc.ave.pth"


def test_directory_counts_with_its_files_but_not_hidden_or_logs(step: Step) -> None:
    Path("data/train/.stamps").mkdir(parents=True)
    Path("data/train/text").write_text("a")
    step.inputs = ["data"]
    step.begin()
    step.commit()
    Path("data/train/.stamps/x.json").write_text("{}")
    Path("data/train/a.log").write_text("")
    assert step.begin() == "current"
    Path("data/train/text").write_text("b")
    Path("data/train/segments").write_text("c")
    assert step.begin() == (
        "redo: input new: data/train/segments; input changed: data/train/text"
    )


@pytest.mark.parametrize("line", ["a audio.wav", "a audio.wav:17", "a  audio.wav "])
def test_scp_counts_with_the_files_it_names(step: Step, line: str) -> None:
    Path("wav.scp").write_text(f"{line}\nb cat x.sph |\n")
    Path("audio.wav").write_text("1")
    step.inputs = ["wav.scp"]
    step.begin()
    step.commit()
    assert step.begin() == "current"
    Path("audio.wav").write_text("2")
    assert step.begin() == "redo: input changed: wav.scp"


def test_big_input_counts_by_size_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = load()
    monkeypatch.setattr(stamp, "CONTENT_LIMIT_BYTES", 10)
    big = tmp_path / "big"
    big.write_text("x" * 11)
    os.utime(big, ns=(1, 1))
    before = stamp.digest(str(big))
    big.write_text("y" * 11)
    os.utime(big, ns=(1, 1))
    assert stamp.digest(str(big)) == before
    os.utime(big, ns=(2, 2))
    assert stamp.digest(str(big)) != before


@pytest.mark.parametrize(
    "value", ["a b", "$(touch pwned)", "--x 'y' \"z\"", "1\n2", "k=v", "ü\\n"]
)
def test_any_option_value_is_kept_as_it_is(step: Step, value: str) -> None:
    step.options["asr_args"] = value
    step.begin()
    step.commit()
    marker = json.loads(Path("out/.stamps/step.json").read_text())
    assert marker["options"]["asr_args"] == value
    assert step.begin() == "current"
    assert not Path("pwned").exists()


def test_many_reasons_are_cut_short(step: Step) -> None:
    step.options = {f"o{n}": "1" for n in range(5)}
    expected = "redo: nclusters: 500 -> ''; o0: '' -> 1; o1: '' -> 1; and 3 more"
    assert step.begin() == expected


def test_marker_cut_off_in_the_middle_is_not_current(step: Step) -> None:
    marker = Path("out/.stamps/step.json")
    marker.write_text(marker.read_text()[:20])
    assert step.begin() == "new"
