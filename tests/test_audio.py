"""Reading audio: every way in which a recording can be wrong has its own reason."""

from __future__ import annotations

import io
import re
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu.audio import (
    AudioError,
    AudioFile,
    audio_info,
    read_audio,
    write_audio,
)
from espnet_dsu.errors import DSUError

FS = 8000


def tone(num_samples: int = 4000) -> np.ndarray:
    return (0.5 * np.sin(np.arange(num_samples) / 7)).astype(np.float32)


def sound_bytes(wav: np.ndarray, format: str, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, wav, FS, format=format, subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "format, subtype, tolerance",
    [
        ("WAV", "PCM_16", 2**-15),
        ("WAV", "PCM_U8", 2**-7),
        ("WAV", "PCM_24", 2**-22),
        ("WAV", "FLOAT", 0),
        ("WAV", "ULAW", 2**-5),
        ("FLAC", "PCM_16", 2**-15),
        ("OGG", "VORBIS", 0.2),
        ("NIST", "PCM_16", 2**-15),
        ("AIFF", "PCM_16", 2**-15),
    ],
)
def test_read_audio_any_format_gives_float_samples(
    tmp_path: Path, format: str, subtype: str, tolerance: float
) -> None:
    path = tmp_path / "a"
    path.write_bytes(sound_bytes(tone(), format, subtype))
    wav, fs = read_audio(str(path))
    assert wav.dtype == np.float32 and wav.shape == (4000,) and fs == FS
    assert np.abs(wav - tone()).max() <= tolerance
    assert audio_info(str(path)) == (4000, FS, 1)


@given(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=50))
def test_write_audio_sixteen_bit_samples_come_back_unchanged(
    tmp_path_factory: pytest.TempPathFactory, samples: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("audio")
    wav = np.array(samples, np.int16)
    for name in ("a.wav", "a.flac"):
        write_audio(folder / name, wav, FS)
        read, _ = read_audio(str(folder / name))
        write_audio(folder / name, read, FS)
        again, _ = sf.read(folder / name, dtype="int16")
        assert np.array_equal(again, wav)


def test_write_audio_beyond_full_scale_is_clipped(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.array([2.0, -2.0], np.float32), FS)
    wav, _ = read_audio(str(tmp_path / "a.wav"))
    assert wav[0] > 0.99 and wav[1] == -1


def test_read_audio_not_there_or_not_a_file_is_refused(tmp_path: Path) -> None:
    for read in (read_audio, audio_info):
        with pytest.raises(AudioError, match="^not found$"):
            read(str(tmp_path / "none.wav"))
        with pytest.raises(AudioError, match="^not found$"):
            read(str(tmp_path / "none.ark:12"))
        with pytest.raises(AudioError, match="^not a file$"):
            read(str(tmp_path))


def test_read_audio_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(AudioError, match="^empty file$"):
        read_audio(str(tmp_path / "a.wav"))


@pytest.mark.parametrize("source", ["sox a.sph -t wav - |", "| touch made", "x |  "])
def test_read_audio_pipe_is_refused_and_not_run(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AudioError, match="never executed: convert"):
        read_audio(source)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"RIFF", b"no audio at all, but some text\n" * 9])
def test_read_audio_not_audio_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError, match="^not readable as audio"):
        read_audio(str(tmp_path / "a.wav"))


@pytest.mark.parametrize("coding", ["pcm,embedded-shorten-v2.00", "ulaw,embedded-w1"])
def test_read_audio_compressed_sphere_says_how_to_decompress(
    tmp_path: Path, coding: str
) -> None:
    sphere = sound_bytes(tone(2000), "NIST", "PCM_16")
    field = f"sample_coding -s{len(coding)} {coding}".encode()
    head = sphere[:900].replace(b"sample_coding -s3 pcm", field).strip()
    (tmp_path / "a.sph").write_bytes(head.ljust(1024) + sphere[1024:])
    message = f"compressed sphere file ({coding}), which is not read; decompress it"
    with pytest.raises(AudioError, match=re.escape(message)):
        read_audio(str(tmp_path / "a.sph"))


@pytest.mark.parametrize("format", ["WAV", "FLAC", "NIST", "AIFF", "OGG"])
def test_read_audio_cut_anywhere_never_gives_fewer_samples(
    tmp_path: Path, format: str
) -> None:
    subtype = "VORBIS" if format == "OGG" else "PCM_16"
    content = sound_bytes(tone(20000), format, subtype)
    for cut in (10, 40, 45, len(content) // 4, len(content) // 2, len(content) - 1000):
        (tmp_path / "a").write_bytes(content[:cut])
        with pytest.raises(AudioError):
            read_audio(str(tmp_path / "a"))


def test_read_audio_truncated_wav_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(sound_bytes(tone(), "WAV")[:-100])
    for read in (read_audio, audio_info):
        with pytest.raises(AudioError, match="8000 bytes declared, 7900 present"):
            read(str(tmp_path / "a.wav"))


def test_read_audio_streamed_wav_without_length_is_read(tmp_path: Path) -> None:
    content = bytearray(sound_bytes(tone(), "WAV"))
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(content)
    assert len(read_audio(str(tmp_path / "a.wav"))[0]) == 4000


def test_read_audio_header_only_has_no_samples(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(sound_bytes(tone(0), "WAV"))
    with pytest.raises(AudioError, match="^no samples$"):
        read_audio(str(tmp_path / "a.wav"))


def test_read_audio_one_sample_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(sound_bytes(tone(2)[1:], "WAV"))
    assert read_audio(str(tmp_path / "a.wav"))[0].shape == (1,)


def test_read_audio_stereo_needs_a_channel(tmp_path: Path) -> None:
    path = str(tmp_path / "a.wav")
    sf.write(path, np.stack([tone(), -tone()], axis=1), FS, subtype="FLOAT")
    with pytest.raises(AudioError, match="2 channels .* --ref_channels"):
        read_audio(path)
    assert np.array_equal(read_audio(path, channel=1)[0], -tone())
    with pytest.raises(AudioError, match="channel 2 wanted, channels 0 to 1 present"):
        read_audio(path, channel=2)
    assert audio_info(path) == (4000, FS, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_read_audio_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    wav = tone()
    wav[7] = value
    sf.write(tmp_path / "a.wav", wav, FS, subtype="FLOAT")
    with pytest.raises(AudioError, match="^1 of 4000 samples are NaN or infinite$"):
        read_audio(str(tmp_path / "a.wav"))


@pytest.mark.parametrize("format", ["WAV", "FLAC"])
def test_read_audio_in_a_kaldi_ark_reads_each_entry(
    tmp_path: Path, format: str
) -> None:
    wavs = [tone(3000), -tone(500), tone(700)]
    content, sources = b"", []
    for wav in wavs:
        content += b"utt "
        sources.append(f"{tmp_path}/a.ark:{len(content)}")
        content += sound_bytes(wav, format)
    (tmp_path / "a.ark").write_bytes(content)
    for wav, source in zip(wavs, sources):
        read, fs = read_audio(source)
        assert fs == FS and np.abs(read - wav).max() <= 2**-15
        assert audio_info(source) == (len(wav), FS, 1)
    with pytest.raises(AudioError, match="not readable"):
        read_audio(f"{tmp_path}/a.ark:1")
    with pytest.raises(AudioError, match="offset 99999999 is beyond"):
        read_audio(f"{tmp_path}/a.ark:99999999")


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_read_audio_in_an_ark_by_kaldiio_is_read(tmp_path: Path, format: str) -> None:
    wavs = {"a": tone(900), "b": -tone(300)}
    kaldiio.save_ark(
        str(tmp_path / "a.ark"),
        {key: (FS, wav) for key, wav in wavs.items()},
        scp=str(tmp_path / "a.scp"),
        write_function="soundfile",
        write_kwargs={"format": format},
    )
    lines = (tmp_path / "a.scp").read_text().splitlines()
    assert len(lines) == 2
    for line in lines:
        key, source = line.split()
        assert np.abs(read_audio(source)[0] - wavs[key]).max() <= 2**-15


def test_audio_error_is_a_users_mistake() -> None:
    assert issubclass(AudioError, DSUError)


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "NIST", "AIFF", "MP3"])
@pytest.mark.parametrize("block", [1000, 777, 4000, 9999])
def test_audio_file_in_blocks_is_what_read_audio_gives(
    tmp_path: Path, format: str, block: int
) -> None:
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(format, "PCM_16")
    (tmp_path / "a").write_bytes(sound_bytes(tone(), format, subtype))
    whole, fs = read_audio(str(tmp_path / "a"))
    file = AudioFile(str(tmp_path / "a"))
    assert (file.num_samples, file.fs) == (len(whole), fs)
    for _ in range(2):  # from the start each time
        blocks = [*file.blocks(block)]
        assert all(len(b) == block for b in blocks[:-1]) and blocks[0].ndim == 1
        assert np.array_equal(np.concatenate(blocks), whole)


def test_audio_file_takes_a_channel_and_refuses_several_without_one(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "a.wav")
    sf.write(path, np.stack([tone(), -tone()], axis=1), FS, subtype="FLOAT")
    with pytest.raises(AudioError, match="2 channels .* --ref_channels"):
        AudioFile(path)
    assert np.array_equal(next(AudioFile(path, 1).blocks(4000)), -tone())


@pytest.mark.parametrize("source", ["none.wav", "cat a.wav |"])
def test_audio_file_that_cannot_be_opened_is_refused_at_once(source: str) -> None:
    with pytest.raises(AudioError, match="not found|never executed"):
        AudioFile(source)


def test_audio_file_not_finite_is_refused_naming_the_block(tmp_path: Path) -> None:
    wav = tone()
    wav[2500] = np.nan
    sf.write(tmp_path / "a.wav", wav, FS, subtype="FLOAT")
    blocks = AudioFile(str(tmp_path / "a.wav")).blocks(1000)
    assert len(next(blocks)) == len(next(blocks)) == 1000
    with pytest.raises(AudioError, match="from sample 2000 on, 1 of 1000 .* NaN"):
        next(blocks)


@pytest.mark.parametrize("cut", [0.4, 0.9])
def test_audio_file_cut_short_is_refused_at_the_end_at_the_latest(
    tmp_path: Path, cut: float
) -> None:
    content = sound_bytes(tone(20000), "FLAC")
    (tmp_path / "a.flac").write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(AudioError, match="truncated"):
        list(AudioFile(str(tmp_path / "a.flac")).blocks(1000))
