import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
# Needs a hub: tests/hub/test_model_zoo.py runs it.
PAGES = sorted(set(DOCS.glob("*.md")) - {DOCS / "model_zoo.md"})


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_docs_python_blocks_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)
    assert blocks
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
