"""Formatting: every bad recording is named and counted, and none stops the others."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from espnet_dsu.audio import audio_info, read_audio
from espnet_dsu.bin import filter_data, format_data, perturb_speed
from espnet_dsu.corpus.datadir import validate
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import read_scp

FS = 8000


def tone(num_samples: int = FS, hertz: float = 500) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(num_samples) / FS)


def write(path: Path, wav: np.ndarray, fs: int = FS, subtype: str = "PCM_16") -> None:
    sf.write(path, wav, fs, subtype=subtype)


def make_corpus(folder: Path, names: list[str], fs: int = FS) -> Path:
    """One second of sound per name, in a data directory."""
    data = folder / "data"
    data.mkdir()
    for name in names:
        write(folder / f"{name}.wav", tone(fs), fs)
    lines = [f"{name} {folder}/{name}.wav\n" for name in names]
    (data / "wav.scp").write_text("".join(lines))
    (data / "text").write_text("".join(f"{name} some words\n" for name in names))
    return data


def run_format(data: Path, out: Path, *options: str) -> None:
    common = ["--data_dir", str(data), "--output_dir", str(out), "--fs", "8k"]
    format_data.main([*common, *options])


def failures(out: Path) -> dict[str, str]:
    lines = (out / "failed.tsv").read_text().splitlines()
    return {line.split("\t")[0]: line.split("\t")[2] for line in lines}


def snapshot(out: Path) -> dict[str, bytes]:
    files = (path for path in sorted(out.rglob("*")) if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def make_bad_corpus(folder: Path) -> Path:
    """Two good recordings, one of them 8-bit, among every kind of bad one."""
    bad = ["empty", "missing", "nan", "none", "notext", "stereo", "truncated"]
    data = make_corpus(folder, ["eightbit", "good", "onesample", *bad])
    write(folder / "eightbit.wav", tone(), subtype="PCM_U8")
    write(folder / "onesample.wav", tone(2)[1:])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "missing.wav").unlink()
    write(folder / "nan.wav", np.append(tone(), np.nan), subtype="FLOAT")
    write(folder / "none.wav", tone(0))
    write(folder / "stereo.wav", np.stack([tone(), tone()], 1))
    content = (folder / "truncated.wav").read_bytes()
    (folder / "truncated.wav").write_bytes(content[:1000])
    with open(data / "wav.scp", "a") as f:
        f.write("piped touch made |\n")
    lines = (data / "text").read_text().replace("notext some words\n", "")
    (data / "text").write_text(lines + "noaudio words\npiped words\n")
    return data


@pytest.mark.parametrize("nj", ["1", "2"])
def test_format_bad_audio_is_named_counted_and_does_not_stop_the_others(
    tmp_path: Path, nj: str, caplog: pytest.LogCaptureFixture
) -> None:
    data, out = make_bad_corpus(tmp_path), tmp_path / "out"
    with caplog.at_level(logging.INFO):
        run_format(data, out, "--nj", nj)
    reasons = failures(out)
    assert list(read_scp(out / "wav.scp")) == ["eightbit", "good", "onesample"]
    assert sorted(reasons) == sorted(
        "empty missing nan none noaudio notext piped stereo truncated".split()
    )
    for name, reason in {
        "empty": "empty file",
        "missing": "not found",
        "nan": "1 of 8001 samples are NaN or infinite",
        "none": "no samples",
        "noaudio": "text without audio",
        "notext": "audio without text",
        "stereo": "2 channels where one was expected; pick one with --ref_channels",
        "truncated": "truncated (16000 bytes declared, 956 present)",
    }.items():
        assert reasons[name] == reason
    assert "never executed" in reasons["piped"]
    assert f"formatted 3 utterances, 9 failed (see {out}/failed.tsv)" in caplog.text
    validate(out, require=("wav.scp", "text", "utt2num_samples"))
    assert read_scp(out / "utt2num_samples")["onesample"] == "1"


@pytest.mark.parametrize("options", [["--strict", "true"], ["--max_failures", "8"]])
def test_format_too_many_failures_is_an_error_without_a_wav_scp(
    tmp_path: Path, options: list[str]
) -> None:
    data, out = make_bad_corpus(tmp_path), tmp_path / "out"
    with pytest.raises(DSUError, match="utterances failed, . accepted.*failed.tsv"):
        run_format(data, out, *options)
    assert not (out / "wav.scp").exists() and failures(out)


def test_format_accepted_failures_pass(tmp_path: Path) -> None:
    run_format(make_bad_corpus(tmp_path), tmp_path / "out", "--max_failures", "9")
    assert len(read_scp(tmp_path / "out/wav.scp")) == 3


def test_format_all_failed_is_an_error(tmp_path: Path) -> None:
    data = make_corpus(tmp_path, ["a"])
    (tmp_path / "a.wav").unlink()
    with pytest.raises(DSUError, match="and none succeeded; first a .*not found"):
        run_format(data, tmp_path / "out")
    assert not (tmp_path / "out/wav.scp").exists()


def test_format_no_utterance_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DSUError, match="is wav.scp empty"):
        run_format(make_corpus(tmp_path, []), tmp_path / "out")


def test_format_onto_itself_is_refused(tmp_path: Path) -> None:
    data = make_corpus(tmp_path, ["a"])
    before = snapshot(data)
    with pytest.raises(DSUError, match="same directory"):
        run_format(data, data)
    assert snapshot(data) == before


def test_format_duplicate_id_is_an_error(tmp_path: Path) -> None:
    data = make_corpus(tmp_path, ["a"])
    (data / "wav.scp").write_text(f"a {tmp_path}/a.wav\n" * 2)
    with pytest.raises(DSUError, match="wav.scp:2: duplicate id 'a'"):
        run_format(data, tmp_path / "out")


def test_format_unsorted_ids_come_out_sorted(tmp_path: Path) -> None:
    run_format(make_corpus(tmp_path, ["b", "a", "B"]), tmp_path / "out")
    validate(tmp_path / "out")
    assert list(read_scp(tmp_path / "out/wav.scp")) == ["B", "a", "b"]


def test_format_other_rate_is_resampled(tmp_path: Path) -> None:
    data = make_corpus(tmp_path, ["a"])
    write(tmp_path / "a.wav", tone(16000, 500), 16000)  # 1 kHz when played at 16 kHz
    run_format(data, tmp_path / "out")
    path = read_scp(tmp_path / "out/wav.scp")["a"]
    wav, fs = read_audio(path)
    peak = np.abs(np.fft.rfft(wav)).argmax() * fs / len(wav)
    assert path.endswith("out/data/a.flac") and sf.info(path).subtype == "PCM_16"
    assert (len(wav), fs) == (8000, 8000) and abs(peak - 1000) <= 1
    assert read_scp(tmp_path / "out/utt2num_samples")["a"] == "8000"


def test_format_plain_audio_is_used_where_it_is_unless_copied(tmp_path: Path) -> None:
    data = make_corpus(tmp_path, ["a"])
    run_format(data, tmp_path / "out")
    assert read_scp(tmp_path / "out/wav.scp")["a"] == f"{tmp_path}/a.wav"
    run_format(data, tmp_path / "copy", "--copy", "true", "--audio_format", "wav")
    path = read_scp(tmp_path / "copy/wav.scp")["a"]
    assert path == f"{tmp_path}/copy/data/a.wav"
    assert np.array_equal(sf.read(path)[0], sf.read(tmp_path / "a.wav")[0])


def test_format_chosen_channel_is_taken(tmp_path: Path) -> None:
    data = make_corpus(tmp_path, ["a"])
    write(tmp_path / "a.wav", np.stack([tone(), 0.5 * tone()], 1))
    run_format(data, tmp_path / "out", "--ref_channels", "1")
    wav, _ = read_audio(read_scp(tmp_path / "out/wav.scp")["a"])
    assert np.abs(wav - 0.5 * tone()).max() < 2**-14


def test_format_segments_are_cut_and_bad_ones_named(tmp_path: Path) -> None:
    data = make_corpus(tmp_path, ["r"])
    lines = ["a r 0 0.25", "b r 0.5 -1", "c r 0.9 1.3", "d r 2 3", "e r 0.5 0.4"]
    lines += ["f r 0 9", "g none 0 1"]
    (data / "segments").write_text("".join(f"{line}\n" for line in lines))
    (data / "text").write_text("".join(f"{utt} w\n" for utt in "abcdefg"))
    run_format(data, tmp_path / "out")
    samples = {"a": "2000", "b": "4000", "c": "800"}
    assert read_scp(tmp_path / "out/utt2num_samples") == samples
    assert not (tmp_path / "out/segments").exists()
    reasons = failures(tmp_path / "out")
    assert sorted(reasons) == ["d", "e", "f", "g"]
    assert "outside the recording of 1.000 s" in reasons["d"]
    wav, _ = read_audio(read_scp(tmp_path / "out/wav.scp")["b"])
    assert np.abs(wav - tone()[4000:]).max() < 2**-14


def test_format_malformed_segment_is_an_error(tmp_path: Path) -> None:
    data = make_corpus(tmp_path, ["r"])
    (data / "segments").write_text("a r 0 later\n")
    (data / "text").write_text("a w\n")
    with pytest.raises(DSUError, match="a r 0 later: expected `recording start_sec"):
        run_format(data, tmp_path / "out")


def test_format_odd_ids_have_files_of_their_own(tmp_path: Path) -> None:
    names = ["x/y", "x%2Fy", "..", "é"]
    data = make_corpus(tmp_path, ["a"])
    (data / "wav.scp").write_text("".join(f"{n} {tmp_path}/a.wav\n" for n in names))
    (data / "text").write_text("".join(f"{n} w\n" for n in names))
    run_format(data, tmp_path / "out", "--copy", "true")
    paths = read_scp(tmp_path / "out/wav.scp")
    assert set(paths) == set(names) and len(set(paths.values())) == len(names)
    folder = (tmp_path / "out/data").resolve()
    assert all(Path(path).resolve().parent == folder for path in paths.values())


def test_format_interrupted_and_run_again_equals_an_undisturbed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = make_corpus(tmp_path, ["a", "b", "c"], 16000), tmp_path / "out"
    run_format(data, out)
    undisturbed = snapshot(out)
    kept = out / "data/a.flac"
    stamp = kept.stat().st_mtime_ns
    (out / "data/c.flac").unlink()
    replace, calls = os.replace, []

    def die(source: str, target: str) -> None:
        calls.append(target)
        if str(target).endswith(("c.flac", "utt2num_samples")[len(calls) > 1]):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", die)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_format(data, out)
        assert not (out / "wav.scp").exists()
    monkeypatch.undo()
    run_format(data, out)
    assert snapshot(out) == undisturbed
    assert kept.stat().st_mtime_ns == stamp


def test_format_changed_options_or_input_make_the_audio_again(tmp_path: Path) -> None:
    data, out = make_corpus(tmp_path, ["a"], 16000), tmp_path / "out"
    run_format(data, out)
    run_format(data, out, "--fs", "4000")
    assert audio_info(read_scp(out / "wav.scp")["a"]) == (4000, 4000, 1)
    write(tmp_path / "a.wav", tone(8000), 16000)
    run_format(data, out, "--fs", "4000")
    assert audio_info(read_scp(out / "wav.scp")["a"]) == (2000, 4000, 1)
    write(tmp_path / "b.wav", tone(4000), 16000)
    old = (tmp_path / "a.wav").stat().st_mtime - 100
    os.utime(tmp_path / "b.wav", (old, old))
    (data / "wav.scp").write_text(f"a {tmp_path}/b.wav\n")
    run_format(data, out, "--fs", "4000")
    assert audio_info(read_scp(out / "wav.scp")["a"]) == (1000, 4000, 1)


def test_format_mended_audio_clears_the_list_of_failures(tmp_path: Path) -> None:
    data, out = make_corpus(tmp_path, ["a", "b"]), tmp_path / "out"
    (tmp_path / "b.wav").unlink()
    run_format(data, out)
    assert failures(out) == {"b": "not found"}
    write(tmp_path / "b.wav", tone())
    run_format(data, out)
    assert not (out / "failed.tsv").exists() and len(read_scp(out / "wav.scp")) == 2


def run_filter(data: Path, out: Path, *options: str) -> None:
    common = ["--data_dir", str(data), "--output_dir", str(out), "--fs", "8000"]
    filter_data.main([*common, *options])


def test_filter_short_long_and_empty_are_dropped_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["edge", "empty", "good", "long", "short"]
    data = make_corpus(tmp_path, names)
    for name, length in {"edge": 800, "short": 799, "long": 16001}.items():
        write(tmp_path / f"{name}.wav", tone(length))
    text = (data / "text").read_text().replace("empty some words", "empty")
    (data / "text").write_text(text)
    run_format(data, tmp_path / "raw")
    with caplog.at_level(logging.INFO):
        run_filter(tmp_path / "raw", tmp_path / "out", "--max_wav_duration", "2")
    assert list(read_scp(tmp_path / "out/wav.scp")) == ["edge", "good"]
    validate(tmp_path / "out", require=("wav.scp", "text", "utt2num_samples"))
    assert (tmp_path / "out/dropped.tsv").read_text() == (
        "empty\tempty text\nlong\tlonger than 2.0 s\nshort\tshorter than 0.1 s\n"
    )
    assert "kept 2 of 5 utterances (dropped: 1 empty text, 1 longer" in caplog.text


def test_filter_nothing_left_or_wrong_rate_is_an_error(tmp_path: Path) -> None:
    run_format(make_corpus(tmp_path, ["a"]), tmp_path / "raw")
    with pytest.raises(DSUError, match="kept 0 of 1 utterances: 1 shorter than 5.0 s"):
        run_filter(tmp_path / "raw", tmp_path / "out", "--min_wav_duration", "5")
    with pytest.raises(DSUError, match="has 8000 Hz where --fs says 16000 Hz"):
        run_filter(tmp_path / "raw", tmp_path / "out", "--fs", "16k")
    with pytest.raises(DSUError, match="missing file: 2 .utt2num_samples, utt2spk"):
        run_filter(tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out/wav.scp").exists()


def run_speed(data: Path, out: Path, *options: str) -> None:
    perturb_speed.main(["--data_dir", str(data), "--output_dir", str(out), *options])


def test_perturb_speed_changes_length_and_pitch_and_keeps_words(tmp_path: Path) -> None:
    data, out = make_corpus(tmp_path, ["a"]), tmp_path / "sp"
    (data / "utt2spk").write_text("a anna\n")
    run_speed(data, out, "--factors", "0.9 1.0 1.1")
    paths = read_scp(out / "wav.scp")
    assert list(paths) == ["a", "sp0.9-a", "sp1.1-a"]
    assert paths["a"] == f"{tmp_path}/a.wav"
    assert read_scp(out / "text") == {utt: "some words" for utt in paths}
    speakers = {"a": "anna", "sp0.9-a": "sp0.9-anna", "sp1.1-a": "sp1.1-anna"}
    assert read_scp(out / "utt2spk") == speakers
    validate(out)
    for utt, factor in {"sp0.9-a": 0.9, "sp1.1-a": 1.1}.items():
        wav, fs = read_audio(paths[utt])
        peak = np.abs(np.fft.rfft(wav)).argmax() * fs / len(wav)
        assert fs == FS and abs(len(wav) - FS / factor) <= 1
        assert abs(peak - 500 * factor) <= 1


@pytest.mark.parametrize("factors", ["", "1.0 fast", "0 1", "-1", "0.9 0.9"])
def test_perturb_speed_bad_factors_are_an_error(tmp_path: Path, factors: str) -> None:
    data = make_corpus(tmp_path, ["a"])
    with pytest.raises(DSUError, match="factors.*expected"):
        run_speed(data, tmp_path / "sp", "--factors", factors)
    assert not (tmp_path / "sp").exists()
