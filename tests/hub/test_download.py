import stat
import zipfile
from pathlib import Path

import pytest
import yaml

from espnet_dsu import DSUError, hub
from tests.hub.conftest import CONFIG, MODEL


def write_zip(path, entries):
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    return path


@pytest.fixture
def unpacked(archive, tmp_path):
    folder = tmp_path / "unpacked"
    zipfile.ZipFile(archive).extractall(folder)
    return folder


def test_zip_and_folder_give_the_same_files_and_decoding(archive, unpacked):
    by_zip, by_folder = map(hub.unpack_model, (archive, unpacked))
    assert by_zip.keys() == by_folder.keys()
    assert (by_zip["beam_size"], by_zip["ctc_weight"]) == (3, 0.4)
    one, other = (Path(a["asr_model_file"]).read_bytes() for a in (by_zip, by_folder))
    assert one == other


def test_loading_a_folder_leaves_it_as_it_was(unpacked):
    before = {p: p.read_bytes() for p in unpacked.rglob("*") if p.is_file()}
    config = hub.unpack_model(unpacked)["asr_train_config"]
    assert {p: p.read_bytes() for p in unpacked.rglob("*") if p.is_file()} == before
    tokenizer = yaml.safe_load(Path(config).read_text())["frontend_conf"]["tokenizer"]
    assert tokenizer == str(unpacked / "exp/bundle/config.yaml")


def test_pack_again_under_the_same_name_is_not_the_old_model(archive, tmp_path):
    path = tmp_path / "model.zip"
    path.write_bytes(archive.read_bytes())
    first = hub.unpack_model(path)
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr("note.txt", "newer")
    assert hub.unpack_model(path)["asr_model_file"] != first["asr_model_file"]


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:/evil"]
)
def test_archive_that_writes_outside_is_refused(tmp_path, name):
    path = write_zip(tmp_path / "evil.zip", {"meta.yaml": "{}", name: "x"})
    with pytest.raises(DSUError, match="outside the archive"):
        hub.unpack_model(path)
    assert not [p for p in tmp_path.rglob("*evil*") if p != path]


def test_archive_with_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("exp/model.pth")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = write_zip(tmp_path / "x.zip", {"meta.yaml": "{}", link: "/etc/passwd"})
    with pytest.raises(DSUError, match="'exp/model.pth', a link"):
        hub.unpack_model(path)


@pytest.mark.parametrize("name", ["../../outside.pth", "/etc/passwd"])
def test_meta_that_points_outside_is_refused(unpacked, name):
    meta = yaml.safe_load((unpacked / "meta.yaml").read_text())
    meta["files"]["asr_model_file"] = name
    (unpacked / "meta.yaml").write_text(yaml.safe_dump(meta))
    with pytest.raises(DSUError, match="outside the folder"):
        hub.unpack_model(unpacked)


def test_meta_that_would_execute_is_refused_unexecuted(unpacked, tmp_path):
    flag = tmp_path / "executed"
    text = f"files: !!python/object/apply:pathlib.Path.touch [{flag}]\n"
    (unpacked / "meta.yaml").write_text(text)
    with pytest.raises(DSUError, match="cannot be read as YAML"):
        hub.unpack_model(unpacked)
    assert not flag.exists()


def test_language_model_that_would_execute_is_refused(unpacked, tmp_path):
    import torch

    from espnet_dsu import Speech2Text

    torch.save({"a": tmp_path}, tmp_path / "lm.pth")
    with pytest.raises(DSUError, match="lm.pth is no plain checkpoint"):
        Speech2Text.from_pretrained(unpacked, lm_file=tmp_path / "lm.pth")


@pytest.mark.parametrize(
    ("entries", "message"), [({}, "no meta.yaml"), ({"meta.yaml": "a: 1"}, "no files")]
)
def test_archive_of_something_else_is_refused(tmp_path, entries, message):
    path = write_zip(tmp_path / "x.zip", {"a": "b", **entries})
    with pytest.raises(DSUError, match=message):
        hub.unpack_model(path)


def test_archive_that_is_none_or_cut_off_is_refused(archive, tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(DSUError, match="no zip archive"):
        hub.unpack_model(path)


def test_archive_with_a_damaged_file_is_refused_each_time(archive, tmp_path):
    content = bytearray(archive.read_bytes())
    content[content.find(b"frontend: discrete_unit")] ^= 1
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(DSUError, match="damaged"):
            hub.unpack_model(path)


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        (MODEL, "valid.acc.ave.pth is missing, the asr_model_file"),
        (CONFIG, "config.yaml is missing, the asr_train_config"),
        ("exp/bundle/config.yaml", "lacks exp/bundle/config.yaml, the unit tokenizer"),
    ],
)
def test_folder_without_a_piece_names_it(unpacked, piece, message):
    (unpacked / piece).unlink()
    with pytest.raises(DSUError, match=message):
        hub.unpack_model(unpacked)


def test_what_is_no_model_at_all_says_what_is_expected(tmp_path):
    with pytest.raises(DSUError, match="expected a zip.*<user>/<name>"):
        hub.unpack_model("no such model")
    with pytest.raises(DSUError, match="no unpacked model"):
        hub.unpack_model(tmp_path)


def test_installed_model_looks_as_trained_and_goes_as_a_whole(archive, tmp_path):
    exp, tokenizer = tmp_path / "exp/asr_x", tmp_path / "exp/tokenizer/x"
    (exp / "lm").mkdir(parents=True)
    for _ in range(2):
        hub.install_model(archive, exp, tokenizer)
    names = {p.name for p in exp.iterdir()}
    assert names == {"config.yaml", "model.pth"}
    assert (tokenizer / "quantizer.safetensors").is_file()
    assert (exp / "model.pth").read_bytes()


def test_installing_over_a_trained_model_is_refused(archive, tmp_path):
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp/model.pth").write_text("weights of days")
    with pytest.raises(DSUError, match="model.pth is in the way"):
        hub.install_model(archive, tmp_path / "exp", tmp_path / "tokenizer")
