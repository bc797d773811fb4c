"""Audio in blocks: resampled, it is what resampling the whole gives."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.audio import AudioFile
from espnet_dsu.errors import DSUError
from espnet_dsu.upstream import resample
from espnet_dsu.upstream.blocks import BlockResampler, Waveform, resampled_blocks

RATES = st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000])
CPU = torch.device("cpu")


def noise(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, generator=torch.Generator().manual_seed(seed)) - 0.5


@settings(deadline=None, max_examples=60)
@given(
    orig=RATES,
    target=RATES,
    sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=6),
)
def test_resampling_block_by_block_equals_resampling_the_whole(orig, target, sizes):
    wav = noise(sum(sizes))
    resampler = BlockResampler(orig, target)
    parts = [resampler.feed(block) for block in wav.split(sizes)]
    found = torch.cat([*parts, resampler.finish()])
    whole = resample(wav, orig, target)
    assert found.shape == whole.shape
    torch.testing.assert_close(found, whole, atol=1e-6, rtol=0)


@settings(deadline=None, max_examples=60)
@given(orig=RATES, target=RATES, wanted=st.integers(1, 5000))
def test_resampler_gives_what_it_promises_for_what_it_needs(orig, target, wanted):
    resampler = BlockResampler(orig, target)
    needed = resampler.needed(wanted)
    assert len(resampler.feed(noise(needed))) >= wanted
    assert needed / orig - wanted / target <= resampler.delay_sec + 1e-9


@pytest.mark.parametrize("fs", [0, -8000, 16000.5])
def test_resampler_from_an_impossible_rate_is_refused(fs):
    with pytest.raises(DSUError, match="positive whole number of Hz"):
        BlockResampler(fs, 16000)


@pytest.mark.parametrize("fs", [16000, 22050])
def test_file_and_the_same_samples_in_memory_give_the_same_bits(tmp_path, fs):
    path = str(tmp_path / "a.wav")
    soundfile.write(path, noise(3 * fs + 77).numpy(), fs)
    wav, _ = soundfile.read(path, dtype="float32")
    from_file = [*resampled_blocks(AudioFile(path), 16000, CPU)]
    in_memory = [*resampled_blocks(Waveform(torch.from_numpy(wav), fs), 16000, CPU)]
    assert len(from_file) == len(in_memory) > 3
    assert all(torch.equal(a, b) for a, b in zip(from_file, in_memory))


def test_waveform_in_double_precision_comes_as_float32():
    wav = torch.from_numpy(np.linspace(-1, 1, 100))
    (block,) = resampled_blocks(Waveform(wav, 16000), 16000, CPU)
    assert block.dtype == torch.float32
