import hashlib
import logging
import os

import numpy as np
import pytest
import soundfile

from espnet_dsu import DSUError, UnitTokenizer
from espnet_dsu.bin import tokenize, train_tokenizer
from espnet_dsu.corpus import engine
from espnet_dsu.corpus.engine import Options, tokenize_corpus
from espnet_dsu.units import UnitReader
from tests.speech import train_bundle, voice, write_corpus

LENGTHS = [0.5, 1.5, 0.3, 0.8, 2.0, 0.4]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "b"
    train_bundle(path)
    return path


@pytest.fixture
def wav_scp(tmp_path):
    return write_corpus(tmp_path / "wav", LENGTHS)


def content(folder):
    """Hash what a unit directory holds; the folder's own name left out."""
    names = sorted(n for n in os.listdir(folder))
    texts = [
        (folder / n).read_bytes().replace(str(folder).encode(), b"") for n in names
    ]
    return names, [hashlib.sha256(t).hexdigest() for t in texts]


def test_tokenize_corpus_equals_one_by_one(bundle, wav_scp, tmp_path):
    assert tokenize_corpus(wav_scp, bundle, tmp_path / "out", Options()) == []
    reader = UnitReader(tmp_path / "out" / "units.scp")
    tokenizer = UnitTokenizer.from_pretrained(bundle)
    assert list(reader) == [f"utt{i}" for i in range(len(LENGTHS))]
    for index, seconds in enumerate(LENGTHS):
        wav, fs = soundfile.read(tmp_path / "wav" / f"utt{index}.wav", dtype="float32")
        assert np.array_equal(reader[f"utt{index}"], tokenizer.encode(wav, fs).units)
    assert reader.spec.fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize(
    "options",
    [
        Options(nj=2, shard_sec=1.0),
        Options(batch_sec=0.1, shard_sec=0.1),
        Options(batch_sec=1000.0, shard_sec=1000.0),
    ],
)
def test_tokenize_workers_shards_and_batches_do_not_matter(
    bundle, wav_scp, tmp_path, options
):
    tokenize_corpus(wav_scp, bundle, tmp_path / "reference", Options())
    tokenize_corpus(wav_scp, bundle, tmp_path / "other", options)
    assert content(tmp_path / "reference") == content(tmp_path / "other")


def test_tokenize_interrupted_then_rerun_equals_undisturbed(
    bundle, wav_scp, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)
    options = Options(shard_sec=1.0)
    tokenize_corpus(wav_scp, bundle, tmp_path / "reference", options)
    real, done = engine._tokenize_shard, []

    def dies(shard, *args):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(shard.index)
        return real(shard, *args)

    monkeypatch.setattr(engine, "_tokenize_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        tokenize_corpus(wav_scp, bundle, tmp_path / "out", options)
    assert not (tmp_path / "out" / "units.scp").exists()
    monkeypatch.setattr(engine, "_tokenize_shard", real)
    tokenize_corpus(wav_scp, bundle, tmp_path / "out", options)
    assert "resuming: 2 of" in caplog.text
    assert content(tmp_path / "reference") == content(tmp_path / "out")


def break_some(folder):
    """Spoil recordings in every way; give the expected reasons by utterance."""
    wav = voice(0.5, 0)
    (folder / "utt0.wav").unlink()
    (folder / "utt1.wav").write_bytes(b"")
    soundfile.write(folder / "utt2.wav", np.stack([wav, wav], 1), 16000)
    wav[7] = np.nan
    soundfile.write(folder / "utt3.wav", wav, 16000, subtype="FLOAT")
    soundfile.write(folder / "utt4.wav", np.zeros(1), 16000)
    return {
        "utt0": "not found",
        "utt1": "empty file",
        "utt2": "2 channels",
        "utt3": "NaN",
        "utt4": "shorter than one frame",
    }


def test_tokenize_bad_audio_is_named_counted_and_stops_nobody(
    bundle, wav_scp, tmp_path, caplog
):
    caplog.set_level(logging.INFO)
    expected = break_some(tmp_path / "wav")
    failures = tokenize_corpus(wav_scp, bundle, tmp_path / "out", Options())
    assert {f.name: f.reason for f in failures}.keys() == expected.keys()
    for failure in failures:
        assert expected[failure.name] in failure.reason
    lines = (tmp_path / "out" / "failed.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == sorted(expected)
    assert list(UnitReader(tmp_path / "out" / "units.scp")) == ["utt5"]
    assert "tokenized 1 utterances, 5 failed" in caplog.text


def test_tokenize_mended_audio_rerun_removes_the_list_of_failures(
    bundle, wav_scp, tmp_path
):
    good = (tmp_path / "wav" / "utt0.wav").read_bytes()
    (tmp_path / "wav" / "utt0.wav").unlink()
    tokenize_corpus(wav_scp, bundle, tmp_path / "out", Options())
    (tmp_path / "wav" / "utt0.wav").write_bytes(good)
    tokenize_corpus(wav_scp, bundle, tmp_path / "out", Options())
    assert not (tmp_path / "out" / "failed.tsv").exists()
    assert len(UnitReader(tmp_path / "out" / "units.scp")) == len(LENGTHS)


def test_tokenize_strict_stops_at_the_first_naming_it(bundle, wav_scp, tmp_path):
    break_some(tmp_path / "wav")
    with pytest.raises(DSUError, match="utt.*failed, 0 allowed"):
        tokenize_corpus(wav_scp, bundle, tmp_path / "out", Options(strict=True))
    assert not (tmp_path / "out" / "units.scp").exists()


def test_tokenize_more_failures_than_allowed_is_an_error(bundle, wav_scp, tmp_path):
    break_some(tmp_path / "wav")
    with pytest.raises(DSUError, match="5 failed, 4 allowed"):
        tokenize_corpus(wav_scp, bundle, tmp_path / "out", Options(max_failures=4))
    tokenize_corpus(wav_scp, bundle, tmp_path / "out", Options(max_failures=5))


def test_tokenize_nothing_usable_is_an_error(bundle, tmp_path):
    scp = write_corpus(tmp_path / "wav", [0.5])
    (tmp_path / "wav" / "utt0.wav").unlink()
    with pytest.raises(DSUError, match="none of 1 utterances"):
        tokenize_corpus(scp, bundle, tmp_path / "out", Options())


def test_tokenize_changed_bundle_redoes_unfinished_shards(bundle, wav_scp, tmp_path):
    stale = tmp_path / "out" / ".shards-0000"
    stale.mkdir(parents=True)
    tokenize_corpus(wav_scp, bundle, tmp_path / "out", Options())
    assert not list((tmp_path / "out").glob(".shards*"))


def test_commands_train_then_tokenize_end_to_end(wav_scp, tmp_path, capsys):
    out = tmp_path / "exp" / "bundle"
    train = ["--wav_scp", str(wav_scp), "--nclusters", "10", "--upstream", "mfcc"]
    train_tokenizer.main([*train, "--print_tag"])
    assert capsys.readouterr().out.strip() == "mfcc_km10"
    train += ["--upstream_conf", "cmvn=none", "--quantizer_conf", "max_iter=5"]
    train_tokenizer.main([*train, "--output_dir", str(out)])
    arguments = ["--wav_scp", str(wav_scp), "--tokenizer", str(out), "--nj", "1"]
    tokenize.main([*arguments, "--output_dir", str(tmp_path / "units")])
    spec = UnitReader(tmp_path / "units" / "units.scp").spec
    assert spec.tag == "mfcc_nocmvn_km10"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--upstream_conf", "cmvn"], "expected key=value"),
        ([], "--wav_scp and --output_dir"),
    ],
)
def test_train_tokenizer_incomplete_options_are_one_clear_error(options, message):
    with pytest.raises(DSUError, match=message):
        train_tokenizer.main(options)
