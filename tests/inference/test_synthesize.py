import os
import shutil

import kaldiio
import numpy as np
import pytest
import soundfile

from espnet_dsu import DSUError
from espnet_dsu.bin import vocoder_inference
from espnet_dsu.scp import read_scp, write_scp
from espnet_dsu.units import UnitReader, collapse_units, write_units
from tests.inference.tiny_vocoder import write_vocoder
from tests.speech import train_bundle, voice

SPEAKERS = {"<unk>": 0, "ann": 1, "bob": 2}
LENGTHS_SEC = {"a/1": 0.6, "b": 1.3, "c": 0.9, "d": 0.4}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Bundle, vocoders and the data of a set, in a folder."""
    folder = tmp_path_factory.mktemp("synthesize")
    tokenizer = train_bundle(folder / "bundle")
    items = [
        (name, tokenizer.encode(voice(sec, index), 16000).units)
        for index, (name, sec) in enumerate(LENGTHS_SEC.items())
    ]
    write_units(folder / "units", items, tokenizer.spec)
    f0 = {name: np.full(len(u) - 1, 120, np.float32) for name, u in items}
    kaldiio.save_ark(str(folder / "f0.ark"), f0, scp=str(folder / "f0.scp"))
    write_scp(
        folder / "utt2sid", {name: str(1 + i % 2) for i, (name, _) in enumerate(items)}
    )
    config = folder / "bundle" / "config.yaml"
    write_vocoder(folder / "plain", config)
    write_vocoder(folder / "rich", config, speakers=SPEAKERS, f0="continuous")
    return folder


@pytest.fixture(autouse=True)
def inside(lab, monkeypatch):
    monkeypatch.chdir(lab)


def synthesize(output, model="plain", *more):
    data = "--data_path_and_name_and_type"
    options = [data, "units/units.scp,units,dsu_unit", "--num_workers", "0"]
    if model == "rich":
        options += [data, "utt2sid,sids,text_int"]
    vocoder_inference.main(
        ["--output_dir", str(output), "--model_tag", model, *options, *more]
    )


def audio(output):
    return {n: soundfile.read(p)[0] for n, p in read_scp(output / "wav.scp").items()}


def durations(output):
    table = read_scp(output / "durations")
    return {name: np.array(line.split(), int) for name, line in table.items()}


def test_synthesis_of_a_set_writes_audio_and_tables_of_all_utterances(tmp_path):
    synthesize(tmp_path, "rich", "--data_path_and_name_and_type", "f0.scp,f0,kaldi_ark")
    units = UnitReader("units/units.scp")
    wavs = audio(tmp_path)
    assert list(wavs) == list(units)
    for name, wav in wavs.items():
        assert len(wav) == 80 * len(units[name]) and wav.any()
        assert np.array_equal(durations(tmp_path)[name], collapse_units(units[name])[1])
    spoken = read_scp(tmp_path / "utt2spk")
    assert spoken == {"a/1": "ann", "b": "bob", "c": "ann", "d": "bob"}
    for name, line in read_scp(tmp_path / "speed").items():
        audio_sec, compute_sec = map(float, line.split())
        assert audio_sec == len(wavs[name]) / 8000 and compute_sec > 0
    assert soundfile.info(read_scp(tmp_path / "wav.scp")["b"]).subtype == "PCM_16"
    assert not (tmp_path / "failed.tsv").exists()


@pytest.mark.parametrize("more", [("--batch_sec", "0.1"), ("--num_workers", "2")])
def test_synthesis_in_other_batches_and_workers_gives_the_same(tmp_path, more):
    synthesize(tmp_path / "one")
    synthesize(tmp_path / "other", "plain", *more)
    one, other = audio(tmp_path / "one"), audio(tmp_path / "other")
    for name in one:
        assert np.abs(one[name] - other[name]).max() <= 1 / 32768
    assert (tmp_path / "one/durations").read_text() == (
        tmp_path / "other/durations"
    ).read_text()


def test_synthesis_with_predicted_durations_says_which_were_spoken(tmp_path):
    synthesize(tmp_path, "plain", "--predict_durations", "true")
    units = UnitReader("units/units.scp")
    for name, wav in audio(tmp_path).items():
        found = durations(tmp_path)[name]
        assert len(found) == len(collapse_units(units[name])[0])
        assert found.sum() * 80 == len(wav) and found.min() >= 1


def test_synthesis_of_the_keys_only_and_slower_is_longer(tmp_path):
    (tmp_path / "keys").write_text("c x\nb y\n")
    more = ["--key_file", str(tmp_path / "keys"), "--length_scale", "2"]
    synthesize(tmp_path, "plain", *more)
    wavs = audio(tmp_path)
    units = UnitReader("units/units.scp")
    assert {n: len(w) for n, w in wavs.items()} == {
        name: 160 * len(units[name]) for name in ("c", "b")
    }


def test_synthesis_with_a_bad_utterance_names_it_and_speaks_the_others(tmp_path):
    (tmp_path / "utt2sid").write_text("a/1 1\nb 7\nc x\nd 0\n")
    data = "--data_path_and_name_and_type"
    options = [data, "units/units.scp,units,dsu_unit", "--model_tag", "rich"]
    options += [data, f"{tmp_path}/utt2sid,sids,text_int", "--predict_f0", "true"]
    vocoder_inference.main([*options, "--output_dir", str(tmp_path / "out")])
    assert list(audio(tmp_path / "out")) == ["a/1"]
    rows = (tmp_path / "out/failed.tsv").read_text().splitlines()
    failed = dict(row.split("\t") for row in rows)
    assert "speaker 7 is unknown" in failed["b"] and "ann, bob" in failed["b"]
    assert "'x' is no id" in failed["c"]
    assert "speaker 0 is unknown" in failed["d"]


def test_synthesis_without_a_sound_utterance_is_refused_and_leaves_no_index(tmp_path):
    synthesize(tmp_path)
    (tmp_path / "keys").write_text("nobody x\n")
    with pytest.raises(
        DSUError, match="none of 1 .* nobody: .*units.scp has no nobody"
    ):
        synthesize(tmp_path, "plain", "--key_file", str(tmp_path / "keys"))
    assert not (tmp_path / "wav.scp").exists()


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        ("rich", [], "trained with f0 and the data has none.*--predict_f0 true"),
        ("plain", ["utt2sid,sids,text_int"], "has sids, but .* trained without"),
        ("plain", ["units/units.scp,units,kaldi_ark"], "<path>,units,dsu_unit"),
        ("plain", ["units/units.scp,noise,dsu_unit"], "expected one of"),
    ],
)
def test_synthesis_with_data_that_does_not_fit_is_refused(
    tmp_path, model, more, message
):
    extra = [x for item in more for x in ("--data_path_and_name_and_type", item)]
    with pytest.raises(DSUError, match=message):
        synthesize(tmp_path, model, *extra)
    assert not (tmp_path / "wav.scp").exists()


def test_synthesis_of_units_of_another_bundle_is_refused(tmp_path):
    other = train_bundle(tmp_path / "other", seed=9)
    items = [("u", other.encode(voice(0.5, 0), 16000).units)]
    write_units(tmp_path / "units", items, other.spec)
    data = f"{tmp_path}/units/units.scp,units,dsu_unit"
    with pytest.raises(DSUError, match=other.fingerprint):
        vocoder_inference.main(
            ["--output_dir", str(tmp_path / "o"), "--model_tag", "plain"]
            + ["--data_path_and_name_and_type", data]
        )


def test_synthesis_never_runs_a_command_of_an_scp(tmp_path):
    write_scp(tmp_path / "f0.scp", {n: f"touch {tmp_path}/ran |" for n in LENGTHS_SEC})
    data = f"{tmp_path}/f0.scp,f0,kaldi_ark"
    with pytest.raises(DSUError, match="a command, which is not run"):
        synthesize(tmp_path, "rich", "--data_path_and_name_and_type", data)
    assert not os.path.exists(tmp_path / "ran")


def test_synthesis_with_references_takes_their_length(tmp_path):
    write_scp(tmp_path / "utt2ref", {"a/1": "b", "c": "d"})
    shutil.copy(tmp_path / "utt2ref", tmp_path / "keys")
    more = [
        "--utt2ref",
        str(tmp_path / "utt2ref"),
        "--ref_units_scp",
        "units/units.scp",
    ]
    more += ["--ref_f0_scp", "f0.scp", "--key_file", str(tmp_path / "keys")]
    synthesize(tmp_path, "rich", *more)
    units = UnitReader("units/units.scp")
    for name, reference in (("a/1", "b"), ("c", "d")):
        found = durations(tmp_path)[name]
        assert len(found) == len(collapse_units(units[name])[0])
        assert (
            len(units[reference]) <= found.sum() <= len(units[reference]) + len(found)
        )
    with pytest.raises(DSUError, match="--predict_durations or --utt2ref"):
        synthesize(tmp_path, "rich", *more, "--predict_durations", "true")


def test_speaker_embeddings_of_npy_files_speak_as_those_of_an_ark(tmp_path):
    write_vocoder(tmp_path / "voc", "bundle/config.yaml", spk_embed_dim=4)
    vectors = {
        name: np.random.default_rng(i).standard_normal(4).astype(np.float32)
        for i, name in enumerate(LENGTHS_SEC)
    }
    ark, scp = tmp_path / "spembs.ark", tmp_path / "ark.scp"
    kaldiio.save_ark(str(ark), vectors, scp=str(scp))
    lines = {}
    for number, (name, vector) in enumerate(vectors.items()):
        lines[name] = str(tmp_path / f"{number}.npy")
        np.save(lines[name], vector)
    write_scp(tmp_path / "npy.scp", lines)
    option = "--data_path_and_name_and_type"
    for kind, file in (("kaldi_ark", "ark.scp"), ("npy", "npy.scp")):
        data = f"{tmp_path / file},spembs,{kind}"
        synthesize(tmp_path / kind, str(tmp_path / "voc"), option, data)
    one, other = audio(tmp_path / "kaldi_ark"), audio(tmp_path / "npy")
    for name in vectors:
        assert np.array_equal(one[name], other[name])


def test_pickled_speaker_embedding_is_not_loaded(tmp_path):
    write_vocoder(tmp_path / "voc", "bundle/config.yaml", spk_embed_dim=4)
    np.save(tmp_path / "bad.npy", np.array([object()]), allow_pickle=True)
    lines = {name: str(tmp_path / "bad.npy") for name in LENGTHS_SEC}
    write_scp(tmp_path / "npy.scp", lines)
    option, data = "--data_path_and_name_and_type", f"{tmp_path}/npy.scp,spembs,npy"
    with pytest.raises(DSUError, match="none of 4 utterances .* allow_pickle"):
        synthesize(tmp_path / "out", str(tmp_path / "voc"), option, data)
