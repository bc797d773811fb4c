"""Checkpoints that several test modules read; each is saved once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_checkpoints import save_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Callable[[str], Path]:
    """Return a function from a case to the directory of its checkpoint."""
    directories: dict[str, Path] = {}

    def get(case: str) -> Path:
        if case not in directories:
            directories[case] = tmp_path_factory.mktemp("checkpoints") / case
            save_checkpoint(directories[case], case)
        return directories[case]

    return get
