import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from espnet_dsu import UnitTokenizer
from espnet_dsu.bin import train_tokenizer
from espnet_dsu.corpus.training import train_tokenizers
from espnet_dsu.corpus.training_plan import Training
from espnet_dsu.quantizer.memory import sample_size
from tests.speech import voice, write_corpus


def content(bundle):
    """Return what a bundle holds, byte for byte."""
    names = ("config.yaml", "quantizer.safetensors")
    return [(bundle / name).read_bytes() for name in names]


def run_command(*options):
    command = [sys.executable, "-m", "espnet_dsu.bin.train_tokenizer"]
    return subprocess.Popen(
        [*command, *map(str, options)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_train_killed_then_rerun_equals_undisturbed(tmp_path):
    """SIGKILL with some shards done, then the same command again."""
    wav_scp = write_corpus(tmp_path / "wav", [3.0] * 100)
    options = ["--wav_scp", wav_scp, "--nclusters", 10, "--max_frames", 5000]
    options += ["--shard_sec", 3]
    killed = run_command(*options, "--output_dir", tmp_path / "killed")
    shards = tmp_path / ".killed.work" / ".shards"
    deadline = time.monotonic() + 100
    while len(list(shards.glob("*/shard.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    _, errors = killed.communicate()
    assert len(list(shards.glob("*/shard.json"))) >= 2, errors.decode()
    assert not (tmp_path / "killed").exists()
    train_tokenizer.main([*map(str, options), "--output_dir", str(tmp_path / "killed")])
    train_tokenizer.main([*map(str, options), "--output_dir", str(tmp_path / "whole")])
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def peak_memory(*options):
    """Run the command; return the peak of its resident memory in bytes."""
    process = run_command(*options)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, process.stderr.read().decode()
    return usage.ru_maxrss * 1024


def test_train_memory_does_not_grow_with_the_corpus(tmp_path):
    soundfile.write(tmp_path / "a.wav", voice(10.0, 0), 16000)
    peaks = []
    for number in (30, 300):
        lines = [f"utt{i} {tmp_path / 'a.wav'}\n" for i in range(number)]
        scp = tmp_path / f"{number}.scp"
        scp.write_text("".join(lines))
        output = ["--output_dir", tmp_path / f"bundle{number}", "--nclusters", 10]
        peaks.append(peak_memory("--wav_scp", scp, *output, "--max_memory", "70MiB"))
        facts = json.loads((tmp_path / f"bundle{number}" / "training.json").read_text())
        most, _ = sample_size(10**6, "70MiB", 39, 10)
        assert facts["streams"][0]["frames"] == min(number * 998, most)
    # All 300,000 frames would take 47 MB more, twice that with one copy of them.
    assert peaks[1] - peaks[0] < 20e6


@pytest.mark.parametrize("nclusters", [10, (5, 10)])
def test_train_shared_by_processes_gives_as_good_units(tmp_path, nclusters):
    wav_scp = write_corpus(tmp_path / "wav", [2.0, 1.5, 0.8])
    small = Training(nclusters=(nclusters,), max_frames=300)
    (one,) = train_tokenizers(wav_scp, tmp_path / "one", small)
    (two,) = train_tokenizers(wav_scp, tmp_path / "two", small, fit_nj=2)
    inertia = [
        sum(json.loads(p.read_text())["inertia"] for p in path.rglob("fit_report.json"))
        for path in (one, two)
    ]
    assert inertia[1] == pytest.approx(inertia[0], rel=0.1)
    wav = voice(1.0, 3)
    units = UnitTokenizer.from_pretrained(two).encode(wav, 16000).units
    assert len(np.unique(units)) > 3
