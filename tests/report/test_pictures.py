from __future__ import annotations

import numpy as np
import pytest

from espnet_dsu.report.pictures import (
    hz_to_mel,
    mel_decibels,
    mel_pixels,
    unit_pixels,
)


def tone(hz: float, fs: int, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * fs)) / fs)


@pytest.mark.parametrize("fs", [8000, 16000, 22050, 48000])
@pytest.mark.parametrize("hz", [200.0, 1000.0, 3500.0])
def test_mel_of_a_tone_peaks_at_its_place_whatever_the_rate(fs, hz):
    mel = mel_decibels(tone(hz, fs), fs, top_hz=8000.0)
    place = mel.mean(axis=1).argmax() + 1
    expected = hz_to_mel(hz) / hz_to_mel(8000.0) * (len(mel) + 1)
    assert abs(place - expected) <= 1


def test_mel_has_no_gap_below_half_the_rate_and_nothing_above():
    noise = np.random.default_rng(0).standard_normal(8000)
    mel = mel_decibels(noise, 8000, top_hz=12000.0)
    centres = np.linspace(0, hz_to_mel(12000.0), len(mel) + 2)[1:-1]
    width = centres[1] - centres[0]
    inside = centres + width < hz_to_mel(4000.0)
    outside = centres - width > hz_to_mel(4000.0)
    assert mel[inside].min() > -40 and outside.sum() > 10
    assert (mel[outside] == -200).all()


@pytest.mark.parametrize(("seconds", "width"), [(0.5, 100), (6.0, 1200), (60.0, 1200)])
def test_mel_has_5_ms_frames_until_1200_of_them(seconds, width):
    assert mel_decibels(tone(300, 8000, seconds), 8000, 4000.0).shape[1] == width


def test_mel_of_a_recording_shorter_than_a_window_is_a_picture():
    assert mel_decibels(np.array([0.5]), 8000, 4000.0).shape[1] == 1


def test_mel_pixels_go_from_black_to_bright_over_70_db_low_bands_at_the_bottom():
    levels = np.array([[0.0], [-70.0], [-200.0]]) - 12.0
    pixels = mel_pixels(levels, reference=-12.0)
    assert pixels.shape == (3, 1, 3) and pixels.dtype == np.uint8
    assert pixels[2].sum() > 550
    assert (pixels[0] == pixels[1]).all() and pixels[0].sum() < 10


def test_unit_pixels_give_each_unit_one_colour_in_every_stream():
    units = np.array([[0, 5], [0, 6], [7, 6], [0, 0]])
    pixels = unit_pixels(units)
    assert pixels.shape == (2, 4, 3)
    assert (pixels[0, 0] == pixels[0, 1]).all() and (pixels[0, 3] == pixels[1, 3]).all()
    colours = unit_pixels(np.arange(500))[0]
    assert len(np.unique(colours, axis=0)) > 400
    # Neighbours in number differ at a glance.
    assert np.abs(np.diff(colours.astype(int), axis=0)).max(axis=1).min() > 40
