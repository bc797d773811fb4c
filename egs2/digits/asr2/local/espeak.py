"""espeak-ng through ctypes: text in, samples out, nothing played."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import espeakng_loader
import numpy as np

from espnet_dsu.errors import DSUError

# From espeak-ng's speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
RATE, PITCH = 1, 3  # words per minute; 0-100 with 50 the voice's own
CHARS_UTF8 = 1

Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Espeak:
    """The library, initialised; get the one of this process with :func:`espeak`.

    espeak-ng keeps state from one utterance to the next (the phase of its flutter, for
    one), so the same calls in the same order in a fresh process give the same samples,
    while a repeated call differs in its faint details.

    Attributes:
        sample_rate: of all audio, in Hz.
    """

    def __init__(self) -> None:
        self._data = Path(espeakng_loader.get_data_path())
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.sample_rate: int = self._library.espeak_Initialize(
            AUDIO_OUTPUT_SYNCHRONOUS, 0, str(self._data).encode(), INITIALIZE_DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise DSUError(f"espeak-ng does not start with the data in {self._data}")
        # It seeds its breath noise (as in voice variants f2, f3, f5) from the clock.
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._chunks: list[np.ndarray] = []
        # Kept as an attribute: the library does not hold the callback alive.
        self._callback = Callback(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples, count, _events) -> int:  # type: ignore[no-untyped-def]
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def _check(self, status: int, action: str) -> None:
        if status != 0:
            raise DSUError(f"espeak-ng cannot {action} (status {status})")

    def _set_voice(self, voice: str) -> None:
        variant = voice.partition("+")[2]
        # An unknown variant is quietly ignored by the library.
        if variant and not (self._data / "voices" / "!v" / variant).is_file():
            raise DSUError(f"espeak-ng has no variant {variant!r} in {self._data}")
        self._check(
            self._library.espeak_SetVoiceByName(voice.encode()), f"load voice {voice!r}"
        )

    def synthesize(
        self, text: str, voice: str, pitch: int = 50, rate: int = 175
    ) -> np.ndarray:
        """Return the samples (N,), int16, of ``text``.

        Args:
            text: what to say.
            voice: ``voice`` or ``voice+variant``, such as ``en-us+f2``.
            pitch: 0-100; 50 is the voice's own.
            rate: words per minute, 80-450.

        Raises:
            DSUError: unknown voice or variant, a value out of range, or no sound.
        """
        if not 0 <= pitch <= 100 or not 80 <= rate <= 450:
            raise DSUError(f"pitch {pitch}, rate {rate}: expected 0-100 and 80-450")
        self._set_voice(voice)
        library = self._library
        self._check(library.espeak_SetParameter(RATE, rate, 0), f"speak at {rate}")
        self._check(library.espeak_SetParameter(PITCH, pitch, 0), f"speak at {pitch}")
        data = text.encode() + b"\0"
        self._chunks.clear()
        status = library.espeak_Synth(
            data, ctypes.c_size_t(len(data)), 0, 0, 0, CHARS_UTF8, None, None
        )
        self._check(status, f"say {text!r}")
        self._check(library.espeak_Synchronize(), f"finish {text!r}")
        wav = np.concatenate([np.zeros(0, np.int16), *self._chunks])
        if not wav.any():
            raise DSUError(f"espeak-ng makes no sound of {text!r}")
        return wav


@functools.cache
def espeak() -> Espeak:
    """Return this process's espeak-ng, initialised once."""
    return Espeak()
