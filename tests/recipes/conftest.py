"""What tests of recipes share: dry recipes, and a stand-in for the hub."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import HubServer
from tests.recipes.dry_recipe import Recipe
from tests.recipes.mirror import Mirror


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    """A hub of the test module's own."""
    with HubServer() as server:
        yield server


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A server of archives; it has a file /x of 10 kB."""
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Mirror({"/x": bytes(range(256)) * 40})
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def new_recipe(tmp_path: Path) -> Recipe:
    """A recipe that has not run yet."""
    return Recipe(tmp_path / "recipe")


@pytest.fixture(scope="session")
def once_run(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A recipe that has run with its defaults; to be copied, not changed."""
    recipe = Recipe(tmp_path_factory.mktemp("once") / "recipe")
    recipe.calls = recipe.modules()
    return recipe


@pytest.fixture
def recipe(once_run: Recipe, tmp_path: Path) -> Recipe:
    """A recipe of the test's own that has run with its defaults."""
    copied = copy.copy(once_run)
    copied.folder = tmp_path / "recipe"
    copied.calls_file = copied.folder / "calls.jsonl"
    shutil.copytree(once_run.folder, copied.folder, symlinks=True)
    return copied
