"""Checkpoints loaded without executing pickle, and checked for completeness."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import Any

import torch

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream import weights


class CheckedLoading:
    """A part of tasks: load a checkpoint as plain tensors, all of which must arrive."""

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
        build: Any = super()
        model, args = build.build_model_from_file(config_file, model_file, device)
        if state is not None and model_file is not None:
            check_arrived(model, state, model_file)
        return model, args


def read_checkpoint(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a state dict on the CPU; only tensors, nothing is executed.

    Raises:
        DSUError: if the file is missing, damaged, or holds more than tensors.
    """
    if not Path(path).is_file():
        raise DSUError(f"{path} is missing; expected a checkpoint such as 5epoch.pth")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise DSUError(
            f"{path} is no plain checkpoint, so it was not loaded: {reason}"
        ) from error
    if not isinstance(state, dict):
        raise DSUError(f"{path} holds {type(state).__name__}, expected a state dict")
    return state


def check_arrived(
    model: torch.nn.Module, state: dict[str, torch.Tensor], path: str | Path
) -> None:
    """Make sure that the checkpoint had every weight of the model, and no other.

    ESPnet loads with ``strict=False``, so a missing weight would stay random.

    Raises:
        DSUError: naming the first few weights that do not match.
    """
    expected, remedy = model.state_dict().keys(), "use the config.yaml beside it"
    weights.check_arrived(
        path, expected - state.keys(), state.keys() - expected, remedy
    )
