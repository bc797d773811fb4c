"""docs/model_zoo.md, block by block, against the stand-in for the hub."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.hub.conftest import run

PAGE = Path(__file__).parents[2] / "docs" / "model_zoo.md"


def test_tutorial_runs_as_written(scored, hub, tmp_path):
    pytest.importorskip("huggingface_hub")
    folder = tmp_path / "recipe"
    shutil.copytree(scored, folder, symlinks=True)
    (folder / "conf").mkdir()
    (folder / "conf/decode_asr.yaml").write_text("beam_size: 3\n")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**hub.environment, "PATH": path, "HF_HOME": str(tmp_path / "hf")}
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert [kind for kind, _ in blocks] == ["sh", "sh", "python"]
    for kind, block in blocks:
        if kind == "sh":
            shell = "import os, sys; os.execvp('bash', ['bash', '-ec', sys.argv[1]])"
            done = run(folder, "-c", shell, block, env=environment)
        else:
            done = run(folder, "-c", block, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
    assert {"README.md", "meta.yaml"} <= set(hub.files("me/digits"))
