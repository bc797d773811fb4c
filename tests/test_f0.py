"""F0 of signals whose pitch is known, and of a corpus at its units' clock."""

from __future__ import annotations

import sys

import kaldiio
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.bin.extract_f0 import main
from espnet_dsu.errors import DSUError
from espnet_dsu.f0 import extract_f0
from espnet_dsu.units import UnitSpec, write_units

FS = 16000


def sweep(seconds: float, low: float = 120.0, high: float = 220.0) -> np.ndarray:
    """Make harmonics of an F0 that rises in a line."""
    f0 = np.linspace(low, high, round(seconds * FS))
    phase = 2 * np.pi * np.cumsum(f0) / FS
    return 0.1 * sum(np.sin(k * phase) / k for k in range(1, 9)).astype(np.float32)


@pytest.mark.parametrize("method", ["pyworld", "librosa"])
@pytest.mark.parametrize("shift", [0.02, 256 / 22050])
def test_extract_f0_frame_is_at_its_middle(method, shift):
    f0 = extract_f0(sweep(1.0), FS, shift, method=method)
    assert f0.dtype == np.float32 and len(f0) == np.ceil(1.0 / shift - 1e-6)
    middles = (np.arange(len(f0)) + 0.5) * shift
    inner = slice(5, -5)
    assert (f0[inner] > 0).all()
    # Half a frame off would be a bias of 100 Hz/s * shift / 2, about 1 Hz.
    error = f0[inner] - (120 + 100 * middles[inner])
    assert abs(error.mean()) < 0.4 and np.abs(error).max() < 4


def test_extract_f0_of_silence_and_noise_is_unvoiced_and_of_a_pause_too():
    assert not extract_f0(np.zeros(FS, np.float32), FS, 0.02).any()
    pause = np.concatenate([sweep(0.4), np.zeros(FS // 2, np.float32), sweep(0.4)])
    f0 = extract_f0(pause, FS, 0.02)
    assert (f0[2:18] > 0).all() and not f0[23:42].any() and (f0[48:62] > 0).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4000), st.integers(0, 40), st.sampled_from([0.0125, 0.02, 0.04]))
def test_extract_f0_has_as_many_frames_as_asked_and_keeps_its_range(n, frames, shift):
    f0 = extract_f0(sweep(0.25)[:n], FS, shift, frames, f0_min=100, f0_max=200)
    assert f0.shape == (frames,)
    assert ((f0 == 0) | ((f0 >= 100) & (f0 <= 200))).all()
    assert not f0[int(n / FS / shift) + 2 :].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "praat"}, "'praat': expected pyworld or librosa"),
        ({"f0_min": 300, "f0_max": 200}, "300 to 200"),
        ({"f0_max": 9000}, "half the sample rate"),
    ],
)
def test_extract_f0_bad_option_is_refused(options, message):
    with pytest.raises(DSUError, match=message):
        extract_f0(sweep(0.1), FS, 0.02, **options)


@pytest.mark.parametrize(
    ("missing", "other"), [("pyworld", "librosa"), ("librosa", "pyworld")]
)
def test_extract_f0_without_the_package_names_the_other_method(
    monkeypatch, missing, other
):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(DSUError, match=f"pip install {missing}.*method {other}"):
        extract_f0(sweep(0.1), FS, 0.02, method=missing)
    if missing == "pyworld":
        assert extract_f0(sweep(0.2), FS, 0.02, method=other).any()


def write_corpus(folder, lengths, bad=()):
    spec = UnitSpec("t", (8,), 320, FS, "f")
    units = [(f"u{i}", np.arange(n) % 8) for i, n in enumerate(lengths)]
    write_units(folder / "units", units, spec)
    lines = []
    for i, n in enumerate(lengths):
        path = folder / f"u{i}.wav"
        soundfile.write(path, sweep((n + 0.5) * 0.02), FS)
        if i in bad:
            path.write_bytes(b"")
        lines.append(f"u{i} {path}\n")
    (folder / "wav.scp").write_text("".join(lines))


def run(folder, output, *more):
    options = {"wav_scp": folder / "wav.scp", "units_scp": folder / "units/units.scp"}
    command = [f"--{name}={value}" for name, value in options.items()]
    main([*command, f"--output_dir={folder / output}", *more])
    return kaldiio.load_scp(str(folder / output / "f0.scp"))


def test_extract_f0_command_gives_a_value_for_each_frame_with_any_nj(tmp_path):
    lengths = [20, 7, 33, 12, 9]
    write_corpus(tmp_path, lengths)
    one, two = run(tmp_path, "one"), run(tmp_path, "two", "--nj=2")
    assert [len(one[u]) for u in one] == lengths == [len(two[u]) for u in two]
    wav, _ = soundfile.read(tmp_path / "u2.wav", dtype="float32")
    np.testing.assert_array_equal(one["u2"], extract_f0(wav, FS, 0.02, 33))
    for utt in one:
        assert one[utt].dtype == np.float32
        np.testing.assert_array_equal(one[utt], two[utt])
    assert {p.name for p in (tmp_path / "one").iterdir()} == {"f0.ark", "f0.scp"}


def test_extract_f0_command_bad_audio_is_named_and_left_out(tmp_path, caplog):
    write_corpus(tmp_path, [10, 10, 10], bad=[1])
    assert list(run(tmp_path, "f0")) == ["u0", "u2"]
    assert "u1 has no F0" in caplog.text
    failed = (tmp_path / "f0/failed.tsv").read_text()
    assert failed == f"u1\t{tmp_path}/u1.wav\tempty file\n"


def test_extract_f0_command_that_fails_leaves_no_index(tmp_path):
    write_corpus(tmp_path, [10, 10], bad=[0, 1])
    (tmp_path / "f0").mkdir()
    (tmp_path / "f0/f0.scp").write_text("u0 old.ark:3\n")
    with pytest.raises(DSUError, match="no utterance is usable"):
        run(tmp_path, "f0")
    assert not (tmp_path / "f0/f0.scp").exists()


def test_extract_f0_command_utterance_without_audio_is_refused(tmp_path):
    write_corpus(tmp_path, [10, 10])
    scp = tmp_path / "wav.scp"
    scp.write_text(scp.read_text().splitlines(keepends=True)[0])
    with pytest.raises(DSUError, match="lacks 1 of the utterances.*u1"):
        run(tmp_path, "f0")
