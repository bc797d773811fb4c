import json
import logging

import numpy as np
import pytest
import soundfile

from espnet_dsu import DSUError, UnitTokenizer
from espnet_dsu.bin import tokenize, train_tokenizer
from espnet_dsu.corpus.decoding import Decoder
from espnet_dsu.corpus.engine import Options
from espnet_dsu.corpus.job import Failure, Placement
from espnet_dsu.corpus.plan import Utterance
from espnet_dsu.corpus.tokenizing import TokenizeJob, tokenize_corpus
from espnet_dsu.units import UnitReader
from espnet_dsu.upstream import build_upstream
from espnet_dsu.upstream.windows import Windowing
from tests.corpus.fault_lab import content
from tests.speech import train_bundle, voice, write_corpus
from tests.upstream.tiny_checkpoints import save_hf

LENGTHS = [0.5, 1.5, 0.3, 0.8, 2.0, 0.4]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "b"
    train_bundle(path)
    return path


@pytest.fixture
def wav_scp(tmp_path):
    return write_corpus(tmp_path / "wav", LENGTHS)


def test_tokenize_corpus_equals_one_by_one(bundle, wav_scp, tmp_path):
    assert tokenize_corpus(wav_scp, bundle, tmp_path / "out") == []
    reader = UnitReader(tmp_path / "out" / "units.scp")
    tokenizer = UnitTokenizer.from_pretrained(bundle)
    assert list(reader) == [f"utt{i}" for i in range(len(LENGTHS))]
    for index, seconds in enumerate(LENGTHS):
        wav, fs = soundfile.read(tmp_path / "wav" / f"utt{index}.wav", dtype="float32")
        assert np.array_equal(reader[f"utt{index}"], tokenizer.encode(wav, fs).units)
    assert reader.spec.fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize(
    ("options", "batch_sec"),
    [
        (Options(nj=2, shard_sec=1.0), 120.0),
        (Options(shard_sec=0.1), 0.1),
        (Options(shard_sec=1000.0), 1000.0),
    ],
)
def test_tokenize_workers_shards_and_batches_do_not_matter(
    bundle, wav_scp, tmp_path, options, batch_sec
):
    tokenize_corpus(wav_scp, bundle, tmp_path / "reference")
    tokenize_corpus(wav_scp, bundle, tmp_path / "other", options, batch_sec=batch_sec)
    assert content(tmp_path / "reference") == content(tmp_path / "other")


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
    failures = tokenize_corpus(wav_scp, bundle, tmp_path / "out")
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
    tokenize_corpus(wav_scp, bundle, tmp_path / "out")
    (tmp_path / "wav" / "utt0.wav").write_bytes(good)
    tokenize_corpus(wav_scp, bundle, tmp_path / "out")
    assert not (tmp_path / "out" / "failed.tsv").exists()
    assert len(UnitReader(tmp_path / "out" / "units.scp")) == len(LENGTHS)


def test_tokenize_strict_stops_at_the_first_naming_it(bundle, wav_scp, tmp_path):
    break_some(tmp_path / "wav")
    with pytest.raises(DSUError, match="utt.*failed, 0 allowed"):
        tokenize_corpus(wav_scp, bundle, tmp_path / "out", Options(max_failures=0))
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
        tokenize_corpus(scp, bundle, tmp_path / "out")


def test_tokenize_long_audio_goes_by_windows_and_equals_encode(
    bundle, wav_scp, tmp_path, monkeypatch
):
    tokenizer = UnitTokenizer.from_pretrained(bundle).with_windowing(
        Windowing(1.0, 0.2)
    )
    tokenizer.save_pretrained(tmp_path / "short_windows")
    real, seen = UnitTokenizer.encode_source, []

    def encode_source(self, source):
        seen.append(source)
        return real(self, source)

    monkeypatch.setattr(UnitTokenizer, "encode_source", encode_source)
    tokenize_corpus(wav_scp, tmp_path / "short_windows", tmp_path / "out")
    assert [s.rpartition("/")[2] for s in seen] == ["utt4.wav", "utt1.wav"]
    units = UnitReader(tmp_path / "out" / "units.scp")
    for index in range(len(LENGTHS)):
        wav, fs = soundfile.read(tmp_path / "wav" / f"utt{index}.wav", dtype="float32")
        assert np.array_equal(units[f"utt{index}"], tokenizer.encode(wav, fs).units)


@pytest.fixture(scope="module")
def hf_bundle(tmp_path_factory):
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("hf")
    save_hf(folder / "model", "hubert_layer")
    wavs = [voice(1.5, i) for i in range(4)]
    tokenizer = UnitTokenizer.train(
        wavs, 16000, upstream=f"hf:{folder / 'model'}@2", nclusters=20
    )
    tokenizer.save_pretrained(folder / "bundle")
    return folder / "bundle"


def test_tokenize_half_precision_reports_its_agreement_with_float32(
    hf_bundle, wav_scp, tmp_path, caplog
):
    caplog.set_level(logging.INFO)
    half, full = tmp_path / "half", tmp_path / "full"
    tokenize_corpus(wav_scp, hf_bundle, half, dtype="bfloat16")
    tokenize_corpus(wav_scp, hf_bundle, full)
    assert not (full / "agreement.json").exists()
    report = json.loads((half / "agreement.json").read_text())
    one, other = UnitReader(half / "units.scp"), UnitReader(full / "units.scp")
    same = sum(int((one[name] == other[name]).sum()) for name in other)
    assert report["frames"] == sum(len(other[name]) for name in other) > 100
    assert report["same_as_float32"] == same
    assert 50 < report["percent"] < 100, "other numbers, nearly the same units"
    assert f"% of {report['frames']} frames have the units of float32" in caplog.text
    tokenize_corpus(wav_scp, hf_bundle, half)
    assert content(half) == content(full)


def test_job_fingerprint_follows_what_decides_the_units():
    def job(**changed):
        facts = {"tokenizer": "t", "batch_sec": 1.0, "dtype": "float32"}
        return TokenizeJob("b", **{**facts, "compile": False, **changed}).fingerprint

    assert job() == job(batch_sec=2.0)
    half = job(dtype="bfloat16")
    kinds = {job(), job(tokenizer="u"), job(compile=True), job(dtype="float16"), half}
    assert len(kinds) == 5
    assert half != job(dtype="bfloat16", batch_sec=2.0)


def test_job_start_with_another_bundle_than_planned_is_an_error(bundle):
    job = TokenizeJob(str(bundle), "other", 1.0, "float32", False)
    with pytest.raises(DSUError, match="another tokenizer"):
        job.start(Placement())


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"dtype": "int8"}, "'int8': expected one of float32"),
        ({"batch_sec": 0}, "batch_sec 0"),
        ({"compile": True}, "no layers to compile"),
    ],
)
def test_tokenize_impossible_options_are_one_clear_error(
    bundle, wav_scp, tmp_path, how, message
):
    with pytest.raises(DSUError, match=message):
        tokenize_corpus(wav_scp, bundle, tmp_path / "out", **how)


def test_decoder_resamples_names_what_is_bad_and_runs_two_batches_ahead(tmp_path):
    write_corpus(tmp_path, [0.5] * 8, fs=8000)
    (tmp_path / "utt1.wav").write_bytes(b"")
    paths = [str(tmp_path / f"utt{i}.wav") for i in range(8)]
    utterances = [Utterance(f"utt{i}", p, 4000, 8000) for i, p in enumerate(paths)]
    taken = []

    def batches():
        for index in range(0, 8, 2):
            taken.append(index)
            yield utterances[index : index + 2]

    decoder = Decoder(build_upstream("mfcc"), 2, pin=False)
    decoded = decoder.batches(batches())
    (one, wav), (two, failure) = next(decoded)
    assert (one, two) == (utterances[0], utterances[1])
    assert wav.shape == (8000,)
    assert failure == Failure("utt1", paths[1], "empty file")
    assert len(taken) == 3, "memory is bounded by three batches"
    assert [u.name for batch in decoded for u, _ in batch] == [
        f"utt{i}" for i in range(2, 8)
    ]


def test_tokenize_command_strict_and_max_failures_are_one_concept(
    bundle, wav_scp, tmp_path
):
    break_some(tmp_path / "wav")
    words = ["--wav_scp", str(wav_scp), "--tokenizer", str(bundle)]
    words += ["--output_dir", str(tmp_path / "out")]
    with pytest.raises(DSUError, match="0 allowed"):
        tokenize.main([*words, "--strict", "true", "--max_failures", "9"])
    with pytest.raises(DSUError, match="5 failed, 4 allowed"):
        tokenize.main([*words, "--max_failures", "4"])
    tokenize.main(words)
    with pytest.raises(DSUError, match="local launcher has no options"):
        tokenize.main([*words, "--launcher_conf", "queue=x"])
    with pytest.raises(DSUError, match="'queue' is no option"):
        tokenize.main([*words, "--launcher_conf", "queue"])


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
