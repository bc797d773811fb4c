"""What may befall the files of an interrupted run before it is run again."""

from __future__ import annotations

import os
import shutil

import soundfile

from tests.corpus.fault_lab import LENGTHS, Lab
from tests.speech import train_bundle, voice


def truncate_shard(lab: Lab) -> None:
    """Cut a finished shard's file."""
    os.truncate(lab.shards()[1] / "units.npy", 200)


def delete_shard(lab: Lab) -> None:
    """Remove a finished shard's folder."""
    shutil.rmtree(lab.shards()[2])


def corrupt_manifest(lab: Lab) -> None:
    """Write rubbish over the plan."""
    (lab.out / ".shards" / "manifest.json").write_bytes(b'{"shards": [\x00')


def corrupt_seal(lab: Lab) -> None:
    """Write rubbish over a finished shard's seal."""
    (lab.shards()[0] / "shard.json").write_text('{"state": ')


def half_ark(lab: Lab) -> None:
    """Leave half an ark, as a run without atomic files would have."""
    (lab.out / "units.ark").write_bytes(b"utt0 \0B")
    (lab.out / ".units.ark.1.tmp").write_bytes(b"utt0 \0B")


def change_audio(lab: Lab) -> None:
    """Record two utterances again: one that was done, and one longer than it was."""
    longest = max(range(len(LENGTHS)), key=LENGTHS.__getitem__)
    for index, seconds in ((longest, LENGTHS[longest]), (0, 1.0)):
        path = lab.folder / "wav" / f"utt{index}.wav"
        soundfile.write(path, voice(seconds, 100 + index), 16000)


def change_bundle(lab: Lab) -> None:
    """Train the tokenizer again."""
    shutil.rmtree(lab.bundle)
    train_bundle(lab.bundle, seed=5)


def nothing(lab: Lab) -> None:
    """Do no harm: what changes are the options of the rerun."""
