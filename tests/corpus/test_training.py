import json
import re

import numpy as np
import pytest
import soundfile

from espnet_dsu import DSUError, UnitTokenizer
from espnet_dsu.bin import train_tokenizer
from espnet_dsu.corpus import training as training_module
from espnet_dsu.corpus.engine import Options
from espnet_dsu.corpus.tokenizing import tokenize_corpus
from espnet_dsu.corpus.training import train_tokenizers
from espnet_dsu.corpus.training_plan import Training
from espnet_dsu.units import UnitReader
from espnet_dsu.upstream import build_upstream
from tests.speech import voice, write_corpus
from tests.upstream.tiny_checkpoints import save_hf

LENGTHS = [0.5, 1.5, 0.3, 0.8, 2.0, 0.4]
SMALL = Training(nclusters=(10,), max_frames=300)


@pytest.fixture
def wav_scp(tmp_path):
    return write_corpus(tmp_path / "wav", LENGTHS)


def content(bundle):
    """Return what a bundle holds, byte for byte."""
    names = ("config.yaml", "quantizer.safetensors")
    return [(bundle / name).read_bytes() for name in names]


@pytest.mark.parametrize(
    "options", [Options(nj=2, shard_sec=1.0), Options(shard_sec=0.1)]
)
def test_train_workers_and_shards_do_not_matter(wav_scp, tmp_path, options):
    train_tokenizers(wav_scp, tmp_path / "one", SMALL)
    train_tokenizers(wav_scp, tmp_path / "other", SMALL, options)
    assert content(tmp_path / "one") == content(tmp_path / "other")
    assert not list(tmp_path.glob(".*")), "nothing is left beside the bundles"


@pytest.mark.parametrize("portion", [1.0, 0.6])
def test_train_from_python_and_by_the_command_are_the_same(wav_scp, tmp_path, portion):
    command = ["--wav_scp", str(wav_scp), "--output_dir", str(tmp_path / "bundle")]
    command += ["--nclusters", "10", "--max_frames", "100", "--portion", str(portion)]
    train_tokenizer.main(command)
    options = {"nclusters": 10, "max_frames": 100, "portion": portion}
    UnitTokenizer.train(wav_scp, **options).save_pretrained(tmp_path / "python")
    assert content(tmp_path / "bundle") == content(tmp_path / "python")


def test_train_waveforms_equals_a_corpus_with_their_numbers_as_ids(tmp_path):
    wavs = [voice(seconds, index) for index, seconds in enumerate(LENGTHS)]
    lines = []
    for index, wav in enumerate(wavs):
        path = tmp_path / f"{index}.wav"
        soundfile.write(path, wav, 16000, subtype="FLOAT")
        lines.append(f"{index} {path}\n")
    (tmp_path / "wav.scp").write_text("".join(lines))
    (path,) = train_tokenizers(tmp_path / "wav.scp", tmp_path / "bundle", SMALL)
    tokenizer = UnitTokenizer.train(wavs, 16000, nclusters=10, max_frames=300)
    assert UnitTokenizer.from_pretrained(path).fingerprint == tokenizer.fingerprint


def test_train_layers_and_vocabularies_from_one_pass_equal_one_by_one(
    wav_scp, tmp_path, monkeypatch
):
    save_hf(tmp_path / "model", "hubert_layer")
    name = f"hf:{tmp_path / 'model'}"
    common = ["--wav_scp", str(wav_scp), "--max_frames", "300"]
    several = ["--upstream", name, "--layers", "3,1", "--nclusters", "6,12"]
    train_tokenizer.main([*common, *several, "--output_dir", str(tmp_path / "all")])
    made = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert made == ["model_1_km12", "model_1_km6", "model_3_km12", "model_3_km6"]
    for tag in made:
        layer, nclusters = tag.removeprefix("model_").split("_km")
        one = ["--upstream", f"{name}@{layer}", "--nclusters", nclusters]
        train_tokenizer.main([*common, *one, "--output_dir", str(tmp_path / tag)])
        assert content(tmp_path / "all" / tag) == content(tmp_path / tag)


def test_train_streams_from_one_pass_equal_single_bundles(wav_scp, tmp_path, capsys):
    """Command to units: two streams, read back, each as if it were trained alone."""
    save_hf(tmp_path / "model", "hubert_layer")
    name = f"hf:{tmp_path / 'model'}"
    common = ["--wav_scp", str(wav_scp), "--max_frames", "300"]
    several = ["--upstream", f"{name}@1+2", "--nclusters", "10+20"]
    train_tokenizer.main([*several, "--print_tag"])
    assert capsys.readouterr().out == "model_1+2_km10+20\n"
    train_tokenizer.main([*common, *several, "--output_dir", str(tmp_path / "two")])
    again = UnitTokenizer.train(
        wav_scp, upstream=f"{name}@1+2", nclusters=(10, 20), max_frames=300
    )
    again.save_pretrained(tmp_path / "python")
    assert content(tmp_path / "two") == content(tmp_path / "python")
    for stream in ("stream0", "stream1"):
        assert (tmp_path / "two" / stream / "fit_report.json").is_file()
    tokenize_corpus(wav_scp, tmp_path / "two", tmp_path / "units")
    two = UnitReader(tmp_path / "units" / "units.scp")
    assert two.spec.vocab_sizes == (10, 20) and len(two) == len(LENGTHS)
    for stream, (layer, nclusters) in enumerate([(1, 10), (2, 20)]):
        one = ["--upstream", f"{name}@{layer}", "--nclusters", str(nclusters)]
        path = tmp_path / f"alone{layer}"
        train_tokenizer.main([*common, *one, "--output_dir", str(path)])
        tokenize_corpus(wav_scp, path, tmp_path / f"units{layer}")
        alone = UnitReader(tmp_path / f"units{layer}" / "units.scp")
        for utterance, units in two.items():
            assert units.shape == (len(alone[utterance]), 2)
            assert np.array_equal(units[:, stream], alone[utterance])


def test_train_bundles_and_streams_side_by_side_equal_one_by_one(wav_scp, tmp_path):
    common = ["--wav_scp", str(wav_scp), "--max_frames", "300"]
    several = [*common, "--nclusters", "6,6+12", "--output_dir", str(tmp_path / "all")]
    train_tokenizer.main(several)
    made = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert made == ["mfcc_km6", "mfcc_km6+12"]
    for tag in made:
        one = ["--nclusters", tag.removeprefix("mfcc_km")]
        train_tokenizer.main([*common, *one, "--output_dir", str(tmp_path / tag)])
        assert content(tmp_path / "all" / tag) == content(tmp_path / tag)


def test_train_loads_the_upstream_once_for_all_bundles_of_it(
    wav_scp, tmp_path, monkeypatch
):
    built = []

    def build(name, conf):
        built.append(name)
        return build_upstream(name, conf)

    monkeypatch.setattr(training_module, "build_upstream", build)
    both = Training(nclusters=(5, 10, (5, 10)), max_frames=300)
    assert len(train_tokenizers(wav_scp, tmp_path / "out", both)) == 3
    assert built == ["mfcc"]


def test_train_print_tag_names_every_bundle(capsys):
    name = "torchaudio:WAVLM_LARGE"
    several = ["--layers", "9,21", "--nclusters", "500,2000", "--print_tag"]
    train_tokenizer.main(["--upstream", name, *several])
    assert capsys.readouterr().out.split() == [
        f"wavlm_large_{layer}_km{k}" for layer in (9, 21) for k in (500, 2000)
    ]
    train_tokenizer.main(["--nclusters", "10", "--print_tag"])
    assert capsys.readouterr().out == "mfcc_km10\n"


def test_train_bundle_tells_what_it_was_made_from(wav_scp, tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "wav" / "utt1.wav").write_bytes(b"")
    (path,) = train_tokenizers(wav_scp, tmp_path / "b", SMALL)
    facts = json.loads((path / "training.json").read_text())
    (stream,) = facts["streams"]
    assert stream == {"units": 10, "frames": 300, "bounded_by": "max_frames 300"}
    assert facts["utterances"] == 6 and facts["failed"] == 1
    assert (path / "failed.tsv").read_text().startswith("utt1\t")
    assert (path / "fit_report.json").is_file()
    assert "max_frames 300" in caplog.text
    assert UnitTokenizer.from_pretrained(path).spec.vocab_size == 10


def count_fits(monkeypatch, dies_at=None):
    real, fits = training_module.fit_quantizer, []

    def fit(*args):
        if len(fits) == dies_at:
            raise KeyboardInterrupt
        fits.append(args)
        return real(*args)

    monkeypatch.setattr(training_module, "fit_quantizer", fit)
    return fits


def test_train_rerun_makes_only_what_is_missing(wav_scp, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    both = Training(nclusters=(5, 10))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        count_fits(patch, dies_at=1)
        train_tokenizers(wav_scp, tmp_path / "out", both, Options(shard_sec=1.0))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mfcc_km5"]
    fits = count_fits(monkeypatch)
    caplog.clear()
    paths = train_tokenizers(wav_scp, tmp_path / "out", both, Options(shard_sec=1.0))
    assert len(fits) == 1 and re.search(r"(\d) of \1 shards are done", caplog.text)
    assert [path.name for path in paths] == ["mfcc_km5", "mfcc_km10"]
    assert train_tokenizers(wav_scp, tmp_path / "out", both) == paths
    assert len(fits) == 1
    train_tokenizers(wav_scp, tmp_path / "out", Training(nclusters=(5, 10), seed=1))
    assert len(fits) == 3


def test_train_changed_audio_or_damaged_bundle_is_made_again(
    wav_scp, tmp_path, monkeypatch
):
    fits = count_fits(monkeypatch)
    (path,) = train_tokenizers(wav_scp, tmp_path / "b", SMALL)
    soundfile.write(tmp_path / "wav" / "utt0.wav", voice(0.7, 9), 16000)
    train_tokenizers(wav_scp, path, SMALL)
    assert len(fits) == 2
    (path / "quantizer.safetensors").write_bytes(b"")
    train_tokenizers(wav_scp, path, SMALL)
    assert len(fits) == 3
    assert UnitTokenizer.from_pretrained(path).spec.vocab_size == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nclusters": (1000,)}, "1000 units"),
        ({"portion": 0.0}, "portion is 0.0"),
        ({"portion": 1e-9}, "draws none of 6"),
        ({"max_frames": 0}, "max_frames is 0"),
        ({"max_memory": "2"}, "number with a unit"),
        ({"max_memory": "10MiB"}, "no room for 10 frames"),
        ({"upstream": "nothing"}, "unknown upstream family"),
        ({"layers": (3,)}, "no layers"),
        ({"nclusters": ((10, 10),)}, r"10\+10: .*same units twice"),
        ({"upstream": "mfcc@1+2"}, "mfcc has no layers"),
        ({"upstream": "hf:m@6+9", "layers": (3,)}, r"drop the '@6\+9'"),
        ({"upstream": "hf:m@6+9", "nclusters": ((1, 2, 3),)}, "3 numbers for 2 layers"),
        ({"upstream": "hf:some/model@6", "layers": (3,)}, "drop the '@6'"),
        ({"upstream_conf": {"foo": 1}}, "foo"),
        ({"quantizer": "foo"}, "unknown quantizer"),
        ({"quantizer_conf": {"foo": 1}}, "foo"),
        ({"dtype": "float16"}, "float32, or on GPUs"),
    ],
)
def test_train_impossible_options_are_one_clear_error(
    wav_scp, tmp_path, changes, message
):
    with pytest.raises(DSUError, match=message):
        train_tokenizers(
            wav_scp, tmp_path / "b", Training(**{"nclusters": (10,), **changes})
        )
    assert not (tmp_path / "b").exists()


def test_train_strict_stops_at_bad_audio(wav_scp, tmp_path):
    (tmp_path / "wav" / "utt1.wav").write_bytes(b"")
    options = ["--wav_scp", str(wav_scp), "--output_dir", str(tmp_path / "b")]
    with pytest.raises(DSUError, match="utt1.*empty file.*1 failed, 0 allowed"):
        train_tokenizer.main([*options, "--nclusters", "10", "--strict", "true"])


def test_train_does_not_replace_what_is_no_bundle(wav_scp, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("")
    with pytest.raises(DSUError, match="no tokenizer bundle"):
        train_tokenizers(wav_scp, tmp_path / "b", SMALL)
