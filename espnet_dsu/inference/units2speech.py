"""The unit vocoder at work: units in, waveform out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.hub import unpack_model
from espnet_dsu.hub.layout import META
from espnet_dsu.inference.request import Manner, Request, Utterance, prepare
from espnet_dsu.inference.speaking import DEFAULT_BATCH_SEC, Speech, speak
from espnet_dsu.inference.vocoder_files import (
    checkpoint_of_bundle,
    naming,
    only_checkpoint,
)
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.sequence import UnitSequence
from espnet_dsu.units.spec import UnitSpec

if TYPE_CHECKING:
    from espnet_dsu.models.vocoder import UnitVocoder


class Units2Speech:
    """Speak units with a trained vocoder.

    Examples:
        >>> units2speech = Units2Speech.from_pretrained("voc_x_valid.mel_loss.ave.zip")
        >>> wav = units2speech(units, speaker="theo")
        >>> soundfile.write("speech.wav", wav, units2speech.fs)

    Attributes:
        vocoder: the network.
        train_args: options of its training.
    """

    def __init__(
        self,
        train_config: str | Path | None = None,
        model_file: str | Path | None = None,
        device: str = "cpu",
        tokenizer: str | Path | None = None,
    ) -> None:
        """Load a vocoder.

        Args:
            train_config: the ``config.yaml`` of the training; None is the one beside
                the checkpoint.
            model_file: the checkpoint, e.g. ``valid.mel_loss.ave.pth``.
            device: where it runs, e.g. ``cuda``.
            tokenizer: ``config.yaml`` of the bundle, where it is not (any more) where
                the config says.

        Raises:
            DSUError: if the checkpoint is unsafe, incomplete, or of another bundle.
        """
        if model_file is None:
            raise DSUError("model_file is None, expected the checkpoint of a vocoder")
        # Seconds of imports.
        from espnet_dsu.models.vocoder.hifigan import UnitHiFiGAN
        from espnet_dsu.tasks.vocoder import UnitVocoderTask

        if train_config is None:
            train_config = Path(model_file).parent / "config.yaml"
        with naming(train_config, tokenizer) as config:
            model, self.train_args = UnitVocoderTask.build_model_from_file(
                config, model_file, device
            )
        self.vocoder: UnitVocoder = model.generator.eval()
        if isinstance(self.vocoder.generator, UnitHiFiGAN):
            # It would be computed anew for every batch.
            self.vocoder.generator.remove_weight_norm()

    @classmethod
    def from_pretrained(
        cls, model_tag: str | Path | None = None, **options: Any
    ) -> Units2Speech:
        """Load a packed vocoder, or one that lies in a folder.

        Args:
            model_tag: a zip made by ``pack``, the folder it was unpacked to, a folder
                with ``config.yaml`` and one checkpoint, or the id of a model on the
                Hugging Face hub, ``<user>/<name>``, maybe with
                ``@<branch, tag or commit>``; None takes what ``options`` say.
            options: of :class:`Units2Speech`.

        Raises:
            DSUError: if there is no such model, or it is incomplete or unsafe.
        """
        if model_tag is None:
            return cls(**options)
        folder = Path(model_tag)
        if folder.is_dir() and not (folder / META).is_file():
            return cls(model_file=only_checkpoint(folder), **options)
        found = unpack_model(model_tag)
        if not {"train_config", "model_file"} <= found.keys():
            raise DSUError(
                f"{model_tag} holds {', '.join(found)}: it is another kind of model, "
                "expected a unit vocoder"
            )
        return cls(**{**found, **options})

    @classmethod
    def of_bundle(cls, bundle: Path | None, device: str = "cpu") -> Units2Speech:
        """Load the vocoder in ``<bundle>/vocoder/`` or ``<bundle>/../vocoder/``.

        Raises:
            DSUError: there is none, or it is of another bundle.
        """
        checkpoint = checkpoint_of_bundle(bundle)
        config = None if bundle is None else bundle / "config.yaml"
        return cls(model_file=checkpoint, device=device, tokenizer=config)

    @property
    def fs(self) -> int:
        """Sampling rate of the waveforms in Hz."""
        return self.vocoder.fs

    @property
    def speakers(self) -> dict[str, int]:
        """Ids of the speakers by name; empty where the vocoder knows none."""
        return self.vocoder.speakers

    @property
    def spec(self) -> UnitSpec:
        """The unit space that it speaks."""
        return self.vocoder.spec

    @functools.cached_property
    def tokenizer(self) -> UnitTokenizer:
        """The tokenizer that makes the units, on the CPU."""
        return UnitTokenizer.from_pretrained(self.train_args.tokenizer)

    def __call__(
        self,
        units: UnitSequence | np.ndarray | Sequence[int],
        *,
        speaker: str | int | None = None,
        style: str | int | None = None,
        spemb: np.ndarray | None = None,
        f0: np.ndarray | None = None,
        streams: Sequence[int] | None = None,
        durations: str = "given",
        length_scale: float = 1.0,
        units_are: str = "frames",
    ) -> np.ndarray:
        """Speak one utterance.

        Args:
            units: a :class:`UnitSequence`, or integers (T,) or (T, S).
            speaker: name or id, if the vocoder has a table of speakers.
            style: name or id, if the vocoder has a table of styles.
            spemb: (D,) speaker embedding, if the vocoder was trained with such.
            f0: (T,) in Hz at the frames of ``units``, 0 where unvoiced; None is
                predicted, if the vocoder was trained with pitch.
            streams: which of the S streams to read; None is all.
            durations: ``given`` by the units, or ``predicted`` for their runs.
            length_scale: every duration is multiplied by it; above 1 is slower.
            units_are: ``frames``, or ``runs`` that come without durations, which are
                predicted then.

        Returns:
            waveform (N,) float32 at :attr:`fs`.

        Raises:
            DSUError: units of another bundle, out of range or none at all; a speaker,
                style, embedding or F0 that is missing or does not fit.
        """
        manner = Manner(
            None if streams is None else tuple(streams),
            durations,
            length_scale,
            units_are,
        )
        request = Request(units, speaker, style, spemb, f0)
        return self.speak([self.prepare(request, manner)], manner)[0].wav

    def batch(
        self,
        requests: Sequence[Request],
        *,
        batch_sec: float = DEFAULT_BATCH_SEC,
        **manner: Any,
    ) -> list[np.ndarray]:
        """Speak several utterances, each as if it came alone.

        Args:
            requests: units, and who speaks them.
            batch_sec: seconds of speech computed at a time, padding included.
            manner: ``streams``, ``durations``, ``length_scale`` and ``units_are`` as of
                one utterance.

        Returns:
            waveforms (N,) in the order of ``requests``.

        Raises:
            DSUError: as for one utterance, with its index.
        """
        how = Manner(**manner)
        ready = []
        for index, request in enumerate(requests):
            try:
                ready.append(self.prepare(request, how))
            except DSUError as error:
                raise DSUError(f"request {index}: {error}") from None
        return [speech.wav for speech in self.speak(ready, how, batch_sec)]

    def prepare(self, request: Request, manner: Manner) -> Utterance:
        """Check a request; see :func:`espnet_dsu.inference.request.prepare`."""
        return prepare(request, self.vocoder, manner)

    def speak(
        self,
        utterances: Sequence[Utterance],
        manner: Manner,
        batch_sec: float = DEFAULT_BATCH_SEC,
    ) -> list[Speech]:
        """Speak what was prepared; see :func:`espnet_dsu.inference.speaking.speak`."""
        return speak(self.vocoder, utterances, manner, batch_sec)
