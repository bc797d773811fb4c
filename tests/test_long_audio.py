"""Long audio: one rule on every way in, in bounded memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from espnet_dsu import DSUError, UnitTokenizer
from espnet_dsu.audio import AudioError
from espnet_dsu.frontend import DiscreteUnitFrontend
from espnet_dsu.quantizer import KMeans
from espnet_dsu.upstream import build_upstream
from espnet_dsu.upstream.windows import DEFAULT_WINDOWING, Windowing
from tests.speech import train_bundle, voice
from tests.upstream import tiny_checkpoints

WINDOWING = Windowing(0.6, 0.1)
LENGTHS = [0.3, 1.5, 0.6, 0.9]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A model whose attention makes units by windows differ from those of the whole."""
    folder = tmp_path_factory.mktemp("long")
    tiny_checkpoints.save_checkpoint(folder / "m", "hubert_group")
    upstream = build_upstream(tiny_checkpoints.name_of(folder / "m", "hubert_group", 1))
    wav = torch.from_numpy(voice(1.0, 0))
    with torch.inference_mode():
        frames, _ = upstream.frames(wav[None], torch.tensor([len(wav)]))
    centroids = frames[0, ::40].clone()
    quantizer = KMeans.from_tensors(
        {"nclusters": len(centroids), "dim": upstream.dim}, {"centroids": centroids}
    )
    tokenizer = UnitTokenizer.join(upstream, quantizer)
    tokenizer.save_pretrained(folder / "whole")
    tokenizer.with_windowing(WINDOWING).save_pretrained(folder / "cut")
    return folder


def test_long_audio_gives_the_same_units_on_every_way_in(bundle, tmp_path):
    tokenizer = UnitTokenizer.from_pretrained(bundle / "cut")
    wavs = [voice(seconds, i) for i, seconds in enumerate(LENGTHS)]
    alone = [tokenizer.encode(wav, 16000) for wav in wavs]
    assert tokenizer.encode_batch(wavs, 16000) == alone
    for wav, expected in zip(wavs, alone):
        soundfile.write(tmp_path / "a.wav", wav, 16000, subtype="FLOAT")
        assert tokenizer.encode_source(str(tmp_path / "a.wav")) == expected
    frontend = DiscreteUnitFrontend(
        str(bundle / "cut" / "config.yaml"), embed_dim=8, collapse=False
    ).eval()
    padded = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(wav) for wav in wavs], batch_first=True
    )
    embedded, _ = frontend(padded, torch.tensor([len(wav) for wav in wavs]))
    for row, expected in zip(embedded, alone):
        units = torch.from_numpy(expected.units).long()
        assert torch.equal(row[: len(units)], frontend.embedding(units[None])[0])


def test_only_audio_longer_than_a_window_is_cut(bundle):
    whole = UnitTokenizer.from_pretrained(bundle / "whole")
    cut = UnitTokenizer.from_pretrained(bundle / "cut")
    for index, seconds in enumerate(LENGTHS):
        wav = voice(seconds, index)
        same = np.array_equal(
            whole.encode(wav, 16000).units, cut.encode(wav, 16000).units
        )
        assert same is (seconds <= WINDOWING.window_sec)


def test_resampled_long_audio_from_a_file_and_from_memory_agree(bundle, tmp_path):
    tokenizer = UnitTokenizer.from_pretrained(bundle / "cut")
    wav = voice(2.2, 3, fs=22050)
    soundfile.write(tmp_path / "a.wav", wav, 22050, subtype="FLOAT")
    expected = tokenizer.encode(wav, 22050)
    assert tokenizer.encode_source(str(tmp_path / "a.wav")) == expected
    assert len(expected) == tokenizer.upstream.num_frames(35200)


def test_windowing_is_part_of_the_fingerprint_unless_it_is_the_default(bundle):
    whole = UnitTokenizer.from_pretrained(bundle / "whole")
    cut = UnitTokenizer.from_pretrained(bundle / "cut")
    assert whole.windowing == DEFAULT_WINDOWING and cut.windowing == WINDOWING
    assert whole.fingerprint != cut.fingerprint
    assert whole.with_windowing(WINDOWING).fingerprint == cut.fingerprint
    assert cut.with_windowing(DEFAULT_WINDOWING).fingerprint == whole.fingerprint


def edited(bundle: Path, folder: Path, **changes) -> Path:
    """Copy a bundle with other values in its config; None takes a key out."""
    folder.mkdir()
    for file in (bundle / "whole").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config = {k: v for k, v in {**config, **changes}.items() if v is not None}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_bundle_from_before_windows_means_the_default(bundle, tmp_path):
    old = edited(bundle, tmp_path / "old", windowing=None)
    assert UnitTokenizer.from_pretrained(old).windowing == DEFAULT_WINDOWING


@pytest.mark.parametrize(
    ("windowing", "message"),
    [
        ({"window_sec": 20.0, "context_sec": 5.0}, "was changed"),
        ({"window_sec": 8.0, "context_sec": 5.0}, "longer than both contexts"),
        ({"window_sec": 40.0}, "windowing is"),
    ],
)
def test_bundle_with_another_windowing_written_in_is_refused(
    bundle, tmp_path, windowing, message
):
    changed = edited(bundle, tmp_path / "changed", windowing=windowing)
    with pytest.raises(DSUError, match=message):
        UnitTokenizer.from_pretrained(changed)


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        (np.zeros(10, np.float32), DSUError, "10 samples .* shorter than one frame"),
        (np.full(30000, np.nan, np.float32), AudioError, "NaN"),
        (np.zeros((900, 2), np.float32), AudioError, "2 channels"),
    ],
)
def test_encode_source_of_bad_audio_is_one_clear_error(
    bundle, tmp_path, samples, error, message
):
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(error, match=message):
        UnitTokenizer.from_pretrained(bundle / "cut").encode_source(
            str(tmp_path / "a.wav")
        )


PROGRAM = """
import resource, sys
from espnet_dsu import UnitTokenizer
units = UnitTokenizer.from_pretrained(sys.argv[1]).encode_source(sys.argv[2])
print(len(units), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_of_twenty_minutes_is_that_of_two(tmp_path):
    train_bundle(tmp_path / "bundle")
    part, peak = voice(10.0, 0), {}
    for minutes in (2, 20):
        path = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", 16000, 1, "PCM_16") as file:
            for _ in range(6 * minutes):
                file.write(part)
        command = [sys.executable, "-c", PROGRAM, tmp_path / "bundle", path]
        text = subprocess.run(command, check=True, capture_output=True, text=True)
        frames, kib = map(int, text.stdout.split())
        assert frames == 6000 * minutes - 2
        peak[minutes] = kib / 1024
    # The samples alone would be 66 MiB more; leave room for what an allocator does.
    assert peak[20] - peak[2] < 40
