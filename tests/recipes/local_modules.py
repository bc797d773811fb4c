"""The modules of a recipe's local/, importable while a test runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def importable(local: Path) -> Iterator[None]:
    """Make the modules of ``local`` importable; forget them in the end.

    Recipes have modules of the same name, so what one test imported must not be what
    the next one gets.
    """
    sys.path.insert(0, str(local))
    try:
        yield
    finally:
        sys.path.remove(str(local))
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__file__", None)
            if path and Path(path).parent == local:
                del sys.modules[name]
