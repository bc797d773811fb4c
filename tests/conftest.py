"""Settings that every test shares."""

from __future__ import annotations

import os

# Two processes with two threads each are far slower than with one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# ESPnet's g2p looks for word lists of NLTK at import; offline that only costs time.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

from tests.asr_experiment import prepare, train  # noqa: E402


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained tiny unit ASR model with all that belongs to it, in a folder."""
    folder = tmp_path_factory.mktemp("experiment")
    prepare(folder)
    train(folder)
    return folder
