"""Unit ASR: ESPnet's ASR task, for cached units and for waveforms."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from espnet2.tasks.asr import ASRTask

from espnet_dsu.errors import DSUError
from espnet_dsu.plugin import DATA_TYPE, FRONTEND, PREPROCESSOR, register
from espnet_dsu.tasks.checkpoint import check_arrived, read_checkpoint
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.files import UnitReader
from espnet_dsu.units.spec import UnitSpec

# For the processes that multi-GPU training spawns: they import this module only.
register()


class UnitASRTask(ASRTask):
    """Train ESPnet's ASR models on units.

    Everything is ESPnet's: encoders, decoders, CTC, transducer, trainer. Added are
    checks: the cached units must be of the bundle that the frontend names, and a
    checkpoint is loaded as plain tensors, all of which must arrive.
    """

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Check the units, then train."""
        if args.frontend == FRONTEND:
            _check_bundle(args)
            _complete_preprocessor(args)
        super().main_worker(args)

    @classmethod
    def build_model_from_file(
        cls,
        config_file: Path | str | None = None,
        model_file: Path | str | None = None,
        device: str = "cpu",
    ) -> tuple[Any, argparse.Namespace]:
        """Build a trained model.

        Raises:
            DSUError: if the checkpoint is unsafe, incomplete, or of another bundle.
        """
        state = None if model_file is None else read_checkpoint(model_file)
        model, args = super().build_model_from_file(config_file, model_file, device)
        if state is not None and model_file is not None:
            check_arrived(model, state, model_file)
        return model, args


def _check_bundle(args: argparse.Namespace) -> None:
    """Refuse cached units of another bundle than the frontend's."""
    if "tokenizer" not in args.frontend_conf:
        raise DSUError(
            f"the frontend {FRONTEND} needs its bundle: give --frontend_conf "
            "tokenizer=<bundle>/config.yaml"
        )
    spec = UnitTokenizer.from_pretrained(args.frontend_conf["tokenizer"]).spec
    data = args.train_data_path_and_name_and_type
    check_units(spec, [*data, *args.valid_data_path_and_name_and_type])


def check_units(spec: UnitSpec, data: Iterable[Sequence[str]]) -> None:
    """Make sure that cached units are read as units, and are of the space ``spec``.

    Args:
        spec: of the model's bundle.
        data: (path, name, type), as of ``--train_data_path_and_name_and_type``.

    Raises:
        DSUError: naming the file and what is wrong with it.
    """
    for path, name, data_type in data:
        if data_type == DATA_TYPE:
            spec.require_same(UnitReader(path).spec, path)
        elif Path(path).name == "units.scp":
            # ESPnet's own types would read them as floats, which mean waveforms.
            raise DSUError(
                f"{path} holds units but would be read as {data_type!r}; write "
                f"{path},{name},{DATA_TYPE}"
            )


def _complete_preprocessor(args: argparse.Namespace) -> None:
    """Give the preprocessor the frontend's bundle and its way to collapse."""
    if getattr(args, "preprocessor", None) == PREPROCESSOR:
        for key in ("tokenizer", "collapse"):
            if key in args.frontend_conf:
                args.preprocessor_conf.setdefault(key, args.frontend_conf[key])
