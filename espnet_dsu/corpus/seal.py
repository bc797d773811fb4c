"""The seal of a finished shard: its folder holds what was written, or it is redone."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from espnet_dsu.corpus.job import Failure
from espnet_dsu.units.files import file_sha256

SEAL = "shard.json"


def write_seal(folder: Path, state: str, failures: Sequence[Failure]) -> None:
    """Seal a folder: hash its files, and put them and the seal safely on the disk.

    Args:
        folder: holds the files of one shard.
        state: hash of the job and the audio that the files were made from.
        failures: utterances that gave nothing.
    """
    files = sorted(path for path in folder.iterdir())
    content = {
        "state": state,
        "failures": [astuple(failure) for failure in failures],
        "files": {path.name: file_sha256(path) for path in files},
    }
    (folder / SEAL).write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    for path in (*files, folder / SEAL):
        with open(path, "rb") as f:
            os.fsync(f.fileno())


def read_seal(folder: Path, state: str) -> list[Failure] | None:
    """Return the failures of a finished shard; None if it has to be done (again)."""
    try:
        content = json.loads((folder / SEAL).read_text("utf-8"))
        failures = [Failure(*fields) for fields in content["failures"]]
        expected, found = content["state"], content["files"]
        broken = [n for n, hashed in found.items() if file_sha256(folder / n) != hashed]
    except FileNotFoundError as error:
        if folder.exists():
            logging.warning(f"{error.filename} is missing; doing its shard again")
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logging.warning(f"{folder / SEAL} is damaged ({error}); doing its shard again")
        return None
    if expected != state:
        logging.info(f"audio of {folder} changed while it was read; doing it again")
        return None
    if broken:
        logging.warning(f"{folder / broken[0]} is damaged; doing its shard again")
        return None
    return failures
