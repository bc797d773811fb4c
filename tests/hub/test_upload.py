import json
import re
import zipfile

import numpy as np
import pytest

from tests.hub.conftest import REPO, run

TRANSCRIBE = """
import json, sys
import numpy as np
import espnet_dsu
import espnet_model_zoo.downloader as zoo
from espnet2.bin.asr_inference import Speech2Text as Stock
from espnet_dsu import Speech2Text
# ESPnet's own cache would lie in the installed package
zoo.ModelDownloader.__init__.__defaults__ = ("zoo",)
wav, decoding = np.load("wav.npy"), dict(beam_size=3, ctc_weight=0.4)
heard = {}
for tag in sys.argv[1:]:
    heard[tag + " ours"] = Speech2Text.from_pretrained(tag)
    heard[tag + " stock"] = Stock.from_pretrained(tag, **decoding)
print(json.dumps({k: [model(wav)[0][2], float(model(wav)[0][3].score)]
                  for k, model in heard.items()}))
"""
UNITS = """
import sys
import numpy as np
from espnet_dsu import UnitTokenizer
wav = np.load("wav.npy")
if sys.argv[1] == "train":
    upstream = "hf:me/hubert@2"
    tokenizer = UnitTokenizer.train([wav], 16000, upstream=upstream, nclusters=5)
    tokenizer.save_pretrained("bundle")
tokenizer = UnitTokenizer.from_pretrained("bundle")
print(tokenizer.encode(wav, 16000).units.tolist())
"""


def upload(archive, environment, repo=REPO):
    command = ["-m", "espnet_dsu.bin.upload", "--pack", str(archive)]
    return run(archive.parent, *command, "--hf_repo", repo, env=environment)


def test_upload_puts_the_unpacked_model_and_its_card_on_the_hub(uploaded, archive, hub):
    files = hub.files(REPO)
    packed = zipfile.ZipFile(archive)
    assert set(packed.namelist()) == set(files) - {".gitattributes"}
    for name in set(packed.namelist()) - {"README.md"}:
        assert files[name] == packed.read(name)
    assert f'from_pretrained("{REPO}")' in files["README.md"].decode()
    assert "model.zip" not in files["README.md"].decode()


def test_upload_shows_what_it_sends_and_gives_the_commit(uploaded, hub):
    assert re.search(r"uploading 10 files, 0\.\d MB, to me/tiny", uploaded)
    assert hub.repositories[REPO].references["main"] in uploaded


def test_upload_leaves_nothing_beside_the_archive(uploaded, archive):
    assert not list(archive.parent.glob(".upload*"))


def test_upload_again_takes_away_what_is_old_and_leaves_what_is_not_ours(
    uploaded, archive, hub
):
    old = {**hub.files(REPO), "exp/asr/old.pth": b"\0old", "picture.png": b"\0png"}
    hub.put("me/again", old)
    done = upload(archive, hub.environment, "me/again")
    assert done.returncode == 0, done.stderr
    names = set(hub.files("me/again"))
    assert names == set(hub.files(REPO)) | {"picture.png"}


def test_published_model_transcribes_elsewhere_by_both_classes(
    uploaded, archive, hub, tmp_path, wav
):
    """By name and by commit, although a newer version of the model is broken."""
    from espnet_dsu import Speech2Text

    text = Speech2Text.from_pretrained(archive)(wav)[0]
    expected = [text[2], float(text[3].score)]
    commit = hub.put("me/pinned", hub.files(REPO))
    hub.put("me/pinned", {"README.md": b"the model is gone"})
    np.save(tmp_path / "wav.npy", wav)
    environment = {**hub.environment, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": ""}
    tags = (REPO, f"me/pinned@{commit}")
    done = run(tmp_path, "-c", TRANSCRIBE, *tags, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    heard = json.loads(done.stdout.splitlines()[-1])
    assert heard == {f"{t} {c}": expected for t in tags for c in ("ours", "stock")}


def test_bundle_that_names_its_upstream_stays_with_the_weights_of_its_day(
    hub, tmp_path, wav
):
    pytest.importorskip("transformers")
    from tests.recipes.harness import tiny_upstream

    np.save(tmp_path / "wav.npy", wav)
    outputs = []
    for seed, task in ((0, "train"), (1, "load")):
        folder = tmp_path / f"weights{seed}"
        tiny_upstream(folder, seed=seed)
        commit = hub.put(
            "me/hubert", {p.name: p.read_bytes() for p in folder.iterdir()}
        )
        home = {**hub.environment, "HF_HOME": str(tmp_path / f"hf{seed}")}
        done = run(tmp_path, "-c", UNITS, task, env=home)
        assert done.returncode == 0, done.stderr[-3000:]
        outputs.append(done.stdout)
        if task == "train":
            first = commit
    assert outputs[0] == outputs[1]
    assert f"revision: {first}" in (tmp_path / "bundle/config.yaml").read_text()


@pytest.mark.parametrize(
    ("change", "repo", "message"),
    [
        ({"HF_TOKEN": ""}, REPO, "not logged in.*hf auth login"),
        ({"HF_TOKEN": "hf_wrong"}, REPO, "does not know the token"),
        (
            {"HF_ENDPOINT": "http://127.0.0.1:9"},
            REPO,
            "cannot reach http://127.0.0.1:9",
        ),
        ({}, "a/b/c", "expected <user>/<name>"),
    ],
)
def test_upload_that_cannot_be_is_one_line_with_the_remedy(
    archive, hub, change, repo, message
):
    done = upload(archive, {**hub.environment, **change}, repo)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert lines[-1].startswith("espnet_dsu: error:")
    assert re.search(message, lines[-1]), done.stderr


def test_upload_of_a_bad_archive_sends_nothing(hub, tmp_path):
    (tmp_path / "x.zip").write_text("no zip")
    before = len(hub.calls)
    done = upload(tmp_path / "x.zip", hub.environment, "me/bad")
    assert "no zip archive" in done.stderr.splitlines()[-1]
    assert len(hub.calls) == before


def download(tag, environment, folder):
    options = ["--asr_exp", "exp/asr", "--tokenizer_dir", "exp/tokenizer"]
    command = ["-m", "espnet_dsu.bin.download_model", "--model_tag", tag, *options]
    return run(folder, *command, env={**environment, "HF_HOME": str(folder / "hf")})


@pytest.mark.parametrize(
    ("tag", "change", "message"),
    [
        ("me/nowhere", {}, "no such repository"),
        (f"{REPO}@v9", {}, "no such branch, tag or commit"),
        ("me/empty", {}, "holds no meta.yaml"),
        (REPO, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "check the network"),
    ],
)
def test_download_that_cannot_be_is_one_line_with_the_remedy(
    uploaded, hub, tmp_path, tag, change, message
):
    hub.put("me/empty", {"README.md": b"nothing"})
    done = download(tag, {**hub.environment, **change}, tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert last.startswith("espnet_dsu: error:") and message in last, done.stderr


def test_download_once_had_needs_no_network_again(uploaded, hub, tmp_path):
    assert download(REPO, hub.environment, tmp_path).returncode == 0
    offline = {**hub.environment, "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = download(REPO, offline, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "exp/asr/model.pth").is_file()
