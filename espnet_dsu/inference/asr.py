"""Unit ASR at work: waveform or units in, text out."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from espnet2.bin import asr_inference
from espnet2.torch_utils.device_funcs import to_device

from espnet_dsu.errors import DSUError
from espnet_dsu.frontend import DiscreteUnitFrontend
from espnet_dsu.hub import unpack_model
from espnet_dsu.plugin import register
from espnet_dsu.tasks.checkpoint import check_arrived, read_checkpoint
from espnet_dsu.units.sequence import UnitSequence

register()


class Speech2Text(asr_inference.Speech2Text):
    """Transcribe waveforms or units with a trained ASR model.

    As ESPnet's class of the same name, with the same options and the same results; in
    addition it takes units, and it loads checkpoints as plain tensors and refuses
    incomplete ones.

    Examples:
        >>> speech2text = Speech2Text.from_pretrained("asr_x_valid.acc.ave.zip")
        >>> text, *_ = speech2text(soundfile.read("speech.wav")[0])[0]
    """

    def __init__(
        self,
        asr_train_config: str | Path | None = None,
        asr_model_file: str | Path | None = None,
        **options: Any,
    ) -> None:
        """Load a model.

        Args:
            asr_train_config: the ``config.yaml`` of the training; None is the one
                beside the checkpoint.
            asr_model_file: the checkpoint, e.g. ``valid.acc.ave.pth``.
            options: of ``espnet2.bin.asr_inference.Speech2Text``. ``ctc_weight`` is
                1.0 for a model trained with CTC alone, 0.0 for one without CTC.

        Raises:
            DSUError: if the checkpoint is unsafe, incomplete, or of another bundle.
        """
        if asr_model_file is None:
            raise DSUError("asr_model_file is None, expected a checkpoint")
        _check_options(options)
        # Before ESPnet loads the files in a way that would execute what is in them.
        state = read_checkpoint(asr_model_file)
        if options.get("lm_file") is not None:
            read_checkpoint(options["lm_file"])
        if asr_train_config is None:
            asr_train_config = Path(asr_model_file).parent / "config.yaml"
        options = _fit_to_model(asr_train_config, options)
        super().__init__(asr_train_config, asr_model_file, **options)
        if not options.get("quantize_asr_model"):
            check_arrived(self.asr_model, state, asr_model_file)

    @staticmethod
    def from_pretrained(model_tag: str | Path | None = None, **kwargs: Any) -> Any:
        """Load a packed model.

        Args:
            model_tag: a zip made by ``pack``, the folder it was unpacked to, or the id
                of a model on the Hugging Face hub, ``<user>/<name>``, maybe with
                ``@<branch, tag or commit>``.
            kwargs: options of :class:`Speech2Text`; what is not given is as in the
                decoding config that the model was packed with, if there was one.

        Raises:
            DSUError: if there is no such model, or it is incomplete or unsafe.
        """
        if model_tag is not None:
            kwargs = {**unpack_model(model_tag), **kwargs}
        return Speech2Text(**kwargs)

    @torch.no_grad()
    def __call__(self, speech: np.ndarray | torch.Tensor | UnitSequence) -> Any:
        """Transcribe one utterance.

        Args:
            speech: waveform (N,) float at the rate of the model, or frame units (T,)
                integer, or a :class:`espnet_dsu.UnitSequence`.

        Returns:
            n-best list of (text, token, token_int, hypothesis), as ESPnet's.
        """
        if isinstance(speech, UnitSequence):
            speech = self._units_of(speech)
        speech = torch.as_tensor(speech)
        if speech.is_floating_point():
            return super().__call__(speech)
        if not isinstance(self.asr_model.frontend, DiscreteUnitFrontend):
            raise DSUError(
                f"the input is {speech.dtype}, which means units, but this model takes "
                "waveforms: give float samples in [-1, 1]"
            )
        batch = {
            "speech": speech.long().unsqueeze(0),
            "speech_lengths": torch.tensor([len(speech)]),
        }
        encoded, _ = self.asr_model.encode(**to_device(batch, device=self.device))
        if isinstance(encoded, tuple):
            hypotheses = self._decode_single_sample(encoded[0][0])
            return hypotheses, self._decode_interctc(encoded[1])
        return self._decode_single_sample(encoded[0])

    def _units_of(self, sequence: UnitSequence) -> np.ndarray:
        frontend = self.asr_model.frontend
        expected = getattr(getattr(frontend, "spec", None), "fingerprint", None)
        if sequence.fingerprint != expected:
            raise DSUError(
                f"the units have the fingerprint {sequence.fingerprint}, this model "
                f"was trained with {expected}; encode with the model's own tokenizer"
            )
        return sequence.expand().units


def _fit_to_model(config: str | Path, options: dict[str, Any]) -> dict[str, Any]:
    """Choose the options that follow from what the model was trained as.

    A model without a decoder is decoded by CTC alone: with ESPnet's default weight of
    0.5 its beam search would be blind, since it chooses candidates by the decoder's
    scores, and the text would be noise. A model without CTC is decoded without. A
    transducer's search is told ``nbest``, which ESPnet forgets.

    Raises:
        DSUError: if another weight of CTC is asked for.
    """
    with open(config, encoding="utf-8") as f:
        values = yaml.safe_load(f)
    if values.get("decoder") == "transducer":
        search = {"nbest": options.get("nbest", 1)}
        search.update(options.get("transducer_conf") or {})
        return {**options, "transducer_conf": search}
    trained = (values.get("model_conf") or {}).get("ctc_weight")
    if trained not in (0.0, 1.0):
        return options
    asked = options.get("ctc_weight", trained)
    if asked != trained:
        has = "CTC alone and has no decoder" if trained else "a decoder and has no CTC"
        raise DSUError(
            f"ctc_weight is {asked}, but the model of {config} was trained with {has}; "
            f"decode with ctc_weight {float(trained)}"
        )
    return {**options, "ctc_weight": float(trained)}


def _check_options(options: dict[str, Any]) -> None:
    known = inspect.signature(asr_inference.Speech2Text.__init__).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise DSUError(
            f"Speech2Text has no option {', '.join(unknown)}; it has "
            f"{', '.join(sorted(set(known) - {'self'}))}"
        )
