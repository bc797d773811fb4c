import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.models.vocoder.hifigan import UnitHiFiGAN, factorize
from espnet_dsu.models.vocoder.istft import ISTFTGenerator

SMALL_HIFIGAN = {
    "channels": 32,
    "resblock_kernel_sizes": [3, 5],
    "resblock_dilations": [[1, 3], [1, 2]],
}


def hifigan(upsample, **options):
    torch.manual_seed(0)
    return UnitHiFiGAN(6, upsample, **{**SMALL_HIFIGAN, **options}).eval()


def istft(upsample, **options):
    torch.manual_seed(0)
    small = {"channels": 8, "hidden_channels": 16, "num_frame_blocks": 2}
    return ISTFTGenerator(6, upsample, **{**small, "num_blocks": 2, **options}).eval()


@given(st.integers(1, 2000))
def test_factorize_product_is_the_upsampling(upsample):
    scales = factorize(upsample)
    assert np.prod(scales) == upsample
    assert scales == sorted(scales, reverse=True)


@pytest.mark.parametrize("upsample", [160, 320, 441, 480, 220])
@pytest.mark.parametrize("make", [hifigan, istft])
def test_generator_gives_upsample_samples_a_frame(make, upsample):
    with torch.no_grad():
        wav = make(upsample)(torch.randn(2, 6, 7))
    assert wav.shape == (2, 1, 7 * upsample)
    assert wav.isfinite().all()


@pytest.mark.parametrize(
    "generator",
    [hifigan(12), hifigan(20, use_additional_convs=False), istft(12, hop_length=3)]
    + [istft(40, hop_length=40, n_fft=320), istft(20, hop_length=4, kernel_size=5)],
)
def test_context_is_how_far_a_sample_looks_ahead(generator):
    frames = 3 * generator.context + 4
    generator.double()
    embedded = torch.randn(1, 6, frames, dtype=torch.double, requires_grad=True)
    upsample = generator(embedded).shape[2] // frames
    middle = frames // 2
    generator(embedded)[
        0, 0, middle * upsample : (middle + 1) * upsample
    ].sum().backward()
    seen = embedded.grad.abs().sum(dim=(0, 1)).nonzero().flatten()
    assert seen.max() <= middle + generator.context
    # Not needlessly far: what is computed beyond the end costs time.
    assert seen.max() >= middle + generator.context - 3


def test_istft_generator_default_hop_is_short_and_divides_a_frame():
    for upsample, hop in ((320, 160), (441, 147), (160, 80), (480, 160)):
        assert istft(upsample).hop == hop


def test_istft_inverts_the_spectrum_that_its_head_gives():
    generator = istft(8, hop_length=4, n_fft=16)
    wav = torch.randn(1, 40)
    window = torch.hann_window(16)
    spectrum = torch.stft(wav, 16, 4, window=window, return_complex=True)
    head = torch.cat([spectrum.abs().log(), spectrum.angle()], dim=1).transpose(1, 2)
    assert torch.allclose(generator._invert(head)[:, 0], wav, atol=1e-5)


@settings(max_examples=10)
@given(st.integers(2, 60))
def test_istft_generator_hop_that_does_not_divide_is_refused(hop):
    if 48 % hop:
        with pytest.raises(DSUError, match=f"hop_length {hop} does not divide the 48"):
            istft(48, hop_length=hop)


def test_istft_generator_too_small_transform_is_refused():
    with pytest.raises(DSUError, match="n_fft 10 is below two hops of 8"):
        istft(16, hop_length=8, n_fft=10)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"upsample_scales": [5, 4]}, "give 20 samples a frame, expected 160"),
        ({"upsample_kernel_sizes": [16, 8, 8, 8]}, "expected twice the scales"),
        ({"channels": 20}, "expected a multiple of 8"),
    ],
)
def test_hifigan_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(DSUError, match=message):
        hifigan(160, **options)


def test_hifigan_layers_are_espnets():
    from espnet2.gan_tts.hifigan import HiFiGANGenerator

    plain = HiFiGANGenerator(
        in_channels=6,
        upsample_scales=[5, 4],
        upsample_kernel_sizes=[10, 8],
        **SMALL_HIFIGAN,
    )
    plain.load_state_dict(hifigan(20).state_dict())
    embedded = torch.randn(1, 6, 9)
    assert torch.equal(plain(embedded), hifigan(20)(embedded))
