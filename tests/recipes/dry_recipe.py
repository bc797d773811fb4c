"""A recipe folder in which nothing is computed: its python only pretends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "egs2" / "TEMPLATE"
DATA_SH = """#!/usr/bin/env bash
set -euo pipefail
echo "$@" > data_opts
for dset in train valid test; do
    mkdir -p data/${dset}
    rm -f data/${dset}/*
    for n in 1 2 3 4 5; do
        echo "${dset}-${n} audio/${dset}-${n}.wav" >> data/${dset}/wav.scp
        echo "${dset}-${n} one two" >> data/${dset}/text
        echo "${dset}-${n} spk$((n % 2))" >> data/${dset}/utt2spk
        echo "${dset}-${n} calm" >> data/${dset}/utt2style
    done
done
"""
COMMON = (
    "--train_set train --valid_set valid --test_sets test --lang en --upstream mfcc "
    "--nclusters 500 --ngpu 0 --nj 2 --inference_nj 3"
).split()
# What a run.sh of each task gives besides.
OPTIONS = {
    "asr2": "--src_token_type unit --tgt_token_type word --use_lm false".split(),
    "voc1": "--use_sid true --fs 8k --corpus toy".split(),
}


class Recipe:
    """A recipe folder whose --python is fake."""

    def __init__(self, folder: Path, task: str = "asr2") -> None:
        folder.mkdir()
        self.folder = folder
        self.task = task
        self.calls: list[str] = []
        self.calls_file = folder / "calls.jsonl"
        for name in (f"{task}.sh", "path.sh", "db.sh"):
            (folder / name).symlink_to(TEMPLATE / task / name)
        self.write("local/data.sh", DATA_SH).chmod(0o755)
        self.write("conf/train_asr.yaml", "frontend: discrete_unit\n")
        self.write("conf/train_asr_fbank.yaml", "frontend: default\n")
        self.write("conf/train_vocoder.yaml", "generator: istft\n")
        fake = Path(__file__).with_name("fake_python.py")
        shim = f"""#!/bin/sh
case $1 in
    -m) exec {sys.executable} -IS {fake} "$@" ;;
    *) exec {sys.executable} "$@" ;;
esac
"""
        self.python = self.write("fake python", shim)
        self.python.chmod(0o755)
        self.output = ""

    def write(self, name: str, text: str) -> Path:
        """Write a file of the recipe."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(self, *options: str, code: int = 0, failure: str = "") -> list[dict]:
        """Run the task; return the python calls, without that for the tag."""
        self.calls_file.write_text("")
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        environment |= {"FAKE_CALLS": str(self.calls_file), "FAKE_FAILURE": failure}
        command = [f"./{self.task}.sh", *COMMON, *OPTIONS[self.task]]
        done = subprocess.run(
            [*command, "--python", str(self.python), *options],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = done.stdout
        assert done.returncode == code, self.output
        calls = [json.loads(line) for line in self.calls_file.read_text().splitlines()]
        return [call for call in calls if "print_tag" not in call["options"]]

    def modules(self, *options: str, **kwargs) -> list[str]:
        """Run and return the modules called, each once, in order of first call."""
        calls = self.run(*options, **kwargs)
        return list(dict.fromkeys(c["module"].rsplit(".", 1)[1] for c in calls))
