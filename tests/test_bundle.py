import os
import shutil

import pytest
import yaml

from espnet_dsu import DSUError, UnitTokenizer
from espnet_dsu.bundle import own_files
from espnet_dsu.units.pieces import UnitPieces
from tests.speech import train_bundle, voice


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("b") / "bundle"
    tokenizer = train_bundle(path)
    runs = [tokenizer.encode(voice(1.0, i), 16000).collapse().units for i in range(5)]
    tokenizer.with_pieces(UnitPieces.train(runs, 20, 30)).save_pretrained(path)
    return path


@pytest.fixture
def bundle(original, tmp_path):
    return shutil.copytree(original, tmp_path / "bundle")


def edit(bundle, change):
    path = bundle / "config.yaml"
    config = yaml.safe_load(path.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))


@pytest.mark.parametrize("name", ["quantizer.safetensors", "bpe.model"])
def test_load_changed_byte_is_an_error_naming_the_file(bundle, name):
    path = bundle / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DSUError, match=f"{name} was changed"):
        UnitTokenizer.from_pretrained(bundle)


@pytest.mark.parametrize("name", ["quantizer.safetensors", "bpe.model"])
def test_load_missing_file_is_an_error_naming_it(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(DSUError, match=f"{name} is missing"):
        UnitTokenizer.from_pretrained(bundle)


def test_load_changed_identity_is_found_by_the_fingerprint(bundle):
    edit(bundle, lambda c: c["upstream"]["identity"].update(cmvn="none"))
    with pytest.raises(DSUError, match="was changed"):
        UnitTokenizer.from_pretrained(bundle)


def test_load_upstream_options_that_do_not_fit_the_identity_are_refused(bundle):
    edit(bundle, lambda c: c["upstream"]["conf"].update(cmvn="none"))
    tokenizer = UnitTokenizer.from_pretrained(bundle)
    with pytest.raises(DSUError, match="is not the one that this bundle was trained"):
        tokenizer.encode(voice(0.5, 0), 16000)


def test_load_path_outside_the_bundle_is_refused(bundle):
    edit(bundle, lambda c: c["files"].update({"../x": "0"}))
    with pytest.raises(DSUError, match="outside the bundle"):
        UnitTokenizer.from_pretrained(bundle)


def test_load_other_format_version_says_which_release_reads_it(bundle):
    edit(bundle, lambda c: c.update(format_version=99))
    with pytest.raises(DSUError, match="format 99"):
        UnitTokenizer.from_pretrained(bundle)


@pytest.mark.parametrize(
    "text", ["- 1", "a: [", "!!python/object/apply:os.system [ls]"]
)
def test_load_config_that_is_no_bundle_is_refused_and_not_run(bundle, text):
    (bundle / "config.yaml").write_text(text)
    with pytest.raises(DSUError, match="config.yaml"):
        UnitTokenizer.from_pretrained(bundle)


def test_load_unlisted_pieces_are_refused(bundle):
    edit(bundle, lambda c: c["files"].pop("bpe.model"))
    with pytest.raises(DSUError, match="not listed"):
        UnitTokenizer.from_pretrained(bundle)


def test_load_from_nowhere_says_what_was_expected(tmp_path):
    with pytest.raises(DSUError, match="expected a directory with config.yaml"):
        UnitTokenizer.from_pretrained(tmp_path / "nothing")


def test_load_hub_id_without_network_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DSUError, match="someone/no-such-bundle"):
        UnitTokenizer.from_pretrained("someone/no-such-bundle")


def test_save_replaces_the_bundle_and_leaves_nothing_else(bundle):
    tokenizer = train_bundle(bundle, seed=3)
    assert sorted(os.listdir(bundle)) == ["config.yaml", "quantizer.safetensors"]
    assert os.listdir(bundle.parent) == ["bundle"]
    loaded = UnitTokenizer.from_pretrained(bundle)
    assert loaded.fingerprint == tokenizer.fingerprint


def test_save_over_something_else_is_refused(original, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    tokenizer = UnitTokenizer.from_pretrained(original)
    with pytest.raises(DSUError, match="no tokenizer bundle"):
        tokenizer.save_pretrained(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_save_failing_half_way_keeps_the_old_bundle(bundle, monkeypatch):
    from espnet_dsu import bundle as module

    before = UnitTokenizer.from_pretrained(bundle)
    monkeypatch.setattr(module, "_hashes", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        before.save_pretrained(bundle)
    after = UnitTokenizer.from_pretrained(bundle)
    assert after.fingerprint == before.fingerprint
    assert os.listdir(bundle.parent) == ["bundle"]


def test_save_with_records_they_come_along_and_are_not_the_bundle(bundle, tmp_path):
    tokenizer = UnitTokenizer.from_pretrained(bundle)
    path = tmp_path / "with_records"
    tokenizer.save_pretrained(path, add=lambda d: (d / "notes.txt").write_text("a"))
    assert (path / "notes.txt").read_text() == "a"
    assert UnitTokenizer.from_pretrained(path).fingerprint == tokenizer.fingerprint
    own = {file.name for file in own_files(path)}
    assert own == {"config.yaml", "quantizer.safetensors", "bpe.model"}


def test_save_records_fail_leaves_the_old_bundle(bundle):
    def fails(directory):
        raise ZeroDivisionError

    tokenizer = UnitTokenizer.from_pretrained(bundle)
    before = sorted(file.name for file in bundle.iterdir())
    with pytest.raises(ZeroDivisionError):
        tokenizer.save_pretrained(bundle, add=fails)
    assert sorted(file.name for file in bundle.iterdir()) == before
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]
