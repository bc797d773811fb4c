"""A set of generated speech, scored by the command."""

from __future__ import annotations

import json

import librosa
import numpy as np
import pytest
import soundfile

from espnet_dsu.bin.score_speech import main
from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.speaker_similarity import SpeakerReferences
from espnet_dsu.metrics.utterance import (
    Utterance,
    mean_scores,
    reference_scores,
    speaker_scores,
)
from espnet_dsu.units import UnitSpec, write_units
from tests.speech import voice

FS = 8000
IDS = ("a1", "a2", "b1", "b2")


def colour(speaker: str, wav: np.ndarray) -> np.ndarray:
    """Give each of the speakers a and b a timbre."""
    taps = [1.0, 0.9] if speaker == "a" else [1.0, -0.9]
    return np.convolve(wav, taps, "same").astype(np.float32)


@pytest.fixture
def corpus(tmp_path):
    """Real speech of two speakers, and as generated: each in the other's voice."""
    lines = {name: "" for name in ("ref", "gen", "ref_spk", "gen_spk", "speed")}
    for index, utt in enumerate(IDS):
        wav, own = voice(0.6, index, FS), utt[0]
        other = {"a": "b", "b": "a"}[own]
        for kind, speaker in (("ref", own), ("gen", other)):
            path = tmp_path / f"{kind}_{utt}.wav"
            soundfile.write(path, 0.3 * colour(speaker, wav), FS)
            lines[kind] += f"{utt} {path}\n"
            lines[f"{kind}_spk"] += f"{utt} {speaker}\n"
        lines["speed"] += f"{utt} {index + 1} 0.5\n"
    for name, text in lines.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def score(corpus, *more, output="out", gen="gen"):
    options = {
        "gen_wav_scp": corpus / gen,
        "ref_wav_scp": corpus / "ref",
        "output_dir": corpus / output,
        "set_name": "test",
        "decode_name": "convert",
        "metrics_json": corpus / "exp" / "metrics.json",
    }
    main([*(f"--{name}={value}" for name, value in options.items()), *more])
    return json.loads((corpus / "exp" / "metrics.json").read_text())["test"]


def speaker_options(corpus):
    return [
        f"--utt2spk={corpus}/gen_spk",
        f"--ref_utt2spk={corpus}/ref_spk",
        f"--spk_wav_scp={corpus}/ref",
        f"--spk_utt2spk={corpus}/ref_spk",
    ]


def test_score_speech_originals_have_no_error(corpus):
    entry = score(corpus, gen="ref")
    for name in ("mcd", "mcd_dtw", "log_f0_rmse", "voicing_error", "mel_distance"):
        assert entry[name] == 0, name
    assert entry["length_ratio"] == 1 and entry["clipping"] == 0
    assert (entry["num_utts"], entry["speech_missing"]) == (4, 0)
    assert "spk_sim_mfcc_statistics" not in entry and "rtf" not in entry


def test_score_speech_converted_voice_is_closer_to_the_target(corpus):
    entry = score(corpus, *speaker_options(corpus), f"--speed={corpus}/speed")
    similar = entry["spk_sim_mfcc_statistics"]
    assert similar > entry["spk_sim_mfcc_statistics_source"]
    assert entry["closer_to_target"] == 100
    assert entry["mcd"] > 1 and entry["mcd_dtw"] <= entry["mcd"]
    # All compute over all audio, not the mean of the ratios.
    assert entry["rtf"] == pytest.approx(4 * 0.5 / (1 + 2 + 3 + 4))
    assert "convert/test" in (corpus / "exp/RESULTS.md").read_text()


def test_score_speech_means_are_of_the_table_and_the_same_with_two_workers(corpus):
    one = score(corpus, *speaker_options(corpus), output="one")
    two = score(corpus, *speaker_options(corpus), "--nj=2", output="two")
    assert one == two
    tables = [(corpus / n / "speech_scores.tsv").read_text() for n in ("one", "two")]
    assert tables[0] == tables[1]
    head, *rows = (line.split("\t") for line in tables[0].splitlines())
    assert [row[0] for row in rows] == list(IDS)
    column = [float(row[head.index("mcd")]) for row in rows]
    assert one["mcd"] == pytest.approx(np.mean(column), abs=1e-4)


def test_score_speech_durations_are_compared_with_the_units(corpus):
    spec = UnitSpec("t", (8,), 160, FS, "f")
    units = [(utt, np.array([1, 1, 1, 1, 2])) for utt in IDS]
    write_units(corpus / "units", units, spec)
    (corpus / "durations").write_text("".join(f"{utt} 3 2\n" for utt in IDS))
    options = [f"--ref_units_scp={corpus}/units/units.scp"]
    options.append(f"--gen_durations={corpus}/durations")
    entry = score(corpus, *options)
    assert entry["duration_error"] == 1
    assert entry["duration_error_relative"] == pytest.approx(100 * (1 / 4 + 1) / 2)


def test_score_speech_bad_and_missing_audio_is_counted_and_named(corpus, caplog):
    lines = (corpus / "gen").read_text().splitlines(keepends=True)
    (corpus / "some").write_text(lines[0] + lines[1])
    (corpus / "gen_a2.wav").write_bytes(b"")
    entry = score(corpus, gen="some")
    assert (entry["num_utts"], entry["speech_missing"]) == (4, 3)
    assert "a2 is not scored: empty file" in caplog.text
    assert (corpus / "out/failed.tsv").read_text().startswith("a2\t")


def test_score_speech_keeps_the_word_errors_of_an_earlier_scoring(corpus):
    (corpus / "exp").mkdir()
    old = {"decode": "convert", "wer": 5.0, "num_words": 20, "num_utts": 4}
    old.update(sub=1, ser=25.0, ins=0, wer_ci=[0.0, 9.0], bitrate=300.0)
    old["del"] = 0
    (corpus / "exp/metrics.json").write_text(json.dumps({"test": old}))
    entry = score(corpus)
    assert {**entry, **old} == entry and "mcd" in entry


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--spk_wav_scp={0}/ref"], "--spk_wav_scp is given without --spk_utt2spk"),
        (["--gen_durations={0}/d"], "--gen_durations is given without --ref_units_scp"),
        (
            ["--spk_wav_scp={0}/ref", "--spk_utt2spk={0}/ref_spk"],
            "without --utt2spk",
        ),
        (["--speed={0}/ref_spk"], "a1 'a': expected the seconds of audio"),
        (["--utt2spk={0}/few"], "few lacks 3 of 4 generated utterances, such as a2"),
    ],
)
def test_score_speech_options_that_do_not_fit_are_refused(corpus, options, message):
    (corpus / "few").write_text("a1 a\n")
    with pytest.raises(DSUError, match=message):
        score(corpus, *(option.format(corpus) for option in options))
    assert not (corpus / "exp").exists()


def test_score_speech_generated_without_reference_is_refused(corpus):
    (corpus / "ref").write_text((corpus / "ref").read_text().splitlines()[0] + "\n")
    with pytest.raises(DSUError, match="ref lacks 3 of 4 generated"):
        score(corpus)


def test_reference_scores_rates_may_differ_and_length_is_in_seconds():
    wav = voice(0.5, 0, 16000)
    half = librosa.resample(wav, orig_sr=16000, target_sr=8000)
    for pair in ((wav, 16000, half, 8000), (half, 8000, wav, 16000)):
        scores = reference_scores(*pair, "pyworld")
        assert scores["length_ratio"] == 1 and scores["mcd"] == 0


def test_reference_scores_without_world_have_names_of_their_own():
    wav = voice(0.3, 0, 8000)
    scores = reference_scores(wav, 8000, wav, 8000, "librosa")
    assert scores["mcd_librosa"] == 0 and "mcd" not in scores


def test_speaker_scores_of_the_own_voice_have_no_source():
    references = {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0])}
    known = SpeakerReferences(references, np.zeros(2), np.ones(2))
    voiced = np.array([3.0, 4.0])
    own = speaker_scores(voiced, Utterance("u", "", "", "a", "a"), known, "m")
    assert own == {"spk_sim_m": pytest.approx(0.6)}
    other = speaker_scores(voiced, Utterance("u", "", "", "a", "b"), known, "m")
    assert other["closer_to_target"] == 0
    assert other["spk_sim_m_source"] == pytest.approx(0.8)


def test_mean_scores_leave_out_what_has_no_value():
    rows = {"a": {"x": 1.0, "y": None}, "b": {"x": 3.0, "y": 5.0}, "c": {"z": None}}
    assert mean_scores(rows) == {"x": 2.0, "y": 5.0}
