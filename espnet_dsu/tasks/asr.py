"""Unit ASR: ESPnet's ASR task, for cached units and for waveforms."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import Any

from espnet2.tasks.asr import ASRTask

from espnet_dsu.errors import DSUError
from espnet_dsu.frontend import DiscreteUnitFrontend
from espnet_dsu.plugin import DATA_TYPE, FRONTEND, MODEL, PREPROCESSOR, register
from espnet_dsu.tasks.checkpoint import CheckedLoading
from espnet_dsu.tasks.units import check_units
from espnet_dsu.tokenizer import UnitTokenizer

# What is done with units: to those of waveforms by the frontend, to cached ones by the
# preprocessor.
_UNIT_OPTIONS = (
    "tokenizer",
    "collapse",
    "augment",
    "enable_sampling",
    "alpha",
    "nbest_size",
)

# For the processes that multi-GPU training spawns: they import this module only.
register()


class UnitASRTask(CheckedLoading, ASRTask):
    """Train ESPnet's ASR models on units.

    Everything is ESPnet's: encoders, decoders, CTC, transducer, trainer. Added are
    checks: the cached units must be of the bundle that the frontend names, and a
    checkpoint is loaded as plain tensors, all of which must arrive.
    """

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Check the units, then train."""
        _check_transducer(args)
        if args.frontend == FRONTEND:
            _check_bundle(args)
            _complete_preprocessor(args)
        super().main_worker(args)

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> Any:
        """Build a model; ESPnet's ``init`` leaves a fine-tuned upstream as it is."""
        model = super().build_model(args)
        if args.init is not None and isinstance(model.frontend, DiscreteUnitFrontend):
            # ESPnet does not ask for it after every kind of init.
            model.frontend.reload_pretrained_parameters()
        return model


def _check_transducer(args: argparse.Namespace) -> None:
    """Refuse ESPnet's own transducer where the package of its loss is missing."""
    if args.decoder != "transducer" or args.model != "espnet":
        return
    if args.model_conf.get("transducer_multi_blank_durations"):
        return
    if find_spec("warprnnt_pytorch") is None:
        raise DSUError(
            "decoder: transducer with model: espnet needs warprnnt_pytorch, which is "
            f"not installed; set model: {MODEL}, the same model with torchaudio's loss"
        )


def _check_bundle(args: argparse.Namespace) -> None:
    """Refuse cached units of another bundle than the frontend's."""
    if "tokenizer" not in args.frontend_conf:
        raise DSUError(
            f"the frontend {FRONTEND} needs its bundle: give --frontend_conf "
            "tokenizer=<bundle>/config.yaml"
        )
    spec = UnitTokenizer.from_pretrained(args.frontend_conf["tokenizer"]).spec
    train = args.train_data_path_and_name_and_type
    data = [*train, *args.valid_data_path_and_name_and_type]
    check_units(spec, data)
    if args.frontend_conf.get("finetune_upstream"):
        for path, name, data_type in data:
            if data_type == DATA_TYPE:
                raise DSUError(
                    f"{path} holds units of the bundle, but with finetune_upstream "
                    "units change while the model learns; give waveforms "
                    f"(wav.scp,{name},sound)"
                )


def _complete_preprocessor(args: argparse.Namespace) -> None:
    """Let the preprocessor do with cached units what the frontend does with others."""
    conf = args.frontend_conf
    if getattr(args, "preprocessor", None) == PREPROCESSOR:
        for key in _UNIT_OPTIONS:
            if key in conf:
                args.preprocessor_conf.setdefault(key, conf[key])
    elif conf.get("augment") or conf.get("enable_sampling"):
        types = [kind for *_, kind in args.train_data_path_and_name_and_type]
        if DATA_TYPE in types:
            raise DSUError(
                f"frontend_conf varies units in training, but preprocessor is "
                f"{args.preprocessor!r}, which leaves cached units as they are; set "
                f"preprocessor: {PREPROCESSOR}"
            )
