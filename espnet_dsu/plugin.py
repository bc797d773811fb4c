"""The only module that touches ESPnet's registries.

Importing ESPnet's task modules takes many seconds, so nothing is imported here: each
registry is filled when the module that holds it is imported by somebody, before or
after ``import espnet_dsu``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, MutableMapping
from types import ModuleType
from typing import Any

import wrapt

from espnet_dsu.errors import DSUError

FRONTEND = "discrete_unit"
PREPROCESSOR = "discrete_unit"
DATA_TYPE = "dsu_unit"
MODEL = "torchaudio_transducer"
PREENCODER = "unit_conv1d"
# Each of these tasks has a registry of its own; asr_transducer and enh_s2t share or
# copy the one of asr.
FRONTEND_TASKS = ("asr", "slu", "st", "s2st")

_DATA_TYPE_HELP = (
    "Cached units: the units.scp of a unit directory made by the tokenize command."
    "\n\n"
    "   utterance_id_A dump/units/mfcc_km500/train/units.ark:15\n"
    "   utterance_id_B dump/units/mfcc_km500/train/units.ark:1206\n"
    "   ..."
)


@functools.cache
def register() -> None:
    """Register the plugin with ESPnet; further calls do nothing.

    Registers the frontend ``discrete_unit`` for ASR, SLU, ST and S2ST; for ASR the
    preprocessor ``discrete_unit``, the preencoder ``unit_conv1d`` and the model
    ``torchaudio_transducer``; and the data type ``dsu_unit`` for cached units.

    Raises:
        DSUError: if another package has taken one of the names.
    """
    for task in FRONTEND_TASKS:
        _when_imported(f"espnet2.tasks.{task}", _register_frontend)
    _when_imported("espnet2.tasks.asr", _register_for_asr)
    _when_imported("espnet2.train.dataset", _register_data_type)


def _when_imported(name: str, hook: Callable[[ModuleType], None]) -> None:
    wrapt.register_post_import_hook(hook, name)


def _register_frontend(module: ModuleType) -> None:
    from espnet_dsu.frontend import DiscreteUnitFrontend

    _add(
        module.frontend_choices.classes,
        FRONTEND,
        DiscreteUnitFrontend,
        f"{module.__name__}.frontend_choices",
    )


def _register_for_asr(module: ModuleType) -> None:
    from espnet_dsu.models.transducer import TransducerASRModel
    from espnet_dsu.models.unit_conv import UnitConv1d
    from espnet_dsu.preprocessor import UnitPreprocessor

    for kind, name, value in (
        ("preprocessor", PREPROCESSOR, UnitPreprocessor),
        ("preencoder", PREENCODER, UnitConv1d),
        ("model", MODEL, TransducerASRModel),
    ):
        registry = f"{kind}_choices"
        classes = getattr(module, registry).classes
        _add(classes, name, value, f"{module.__name__}.{registry}")


def _register_data_type(module: ModuleType) -> None:
    from espnet_dsu.units.files import UnitReader

    registry = module.DATA_TYPES
    # ESPnet takes the first name that the asked type begins with, in this order.
    shadow = next(
        (k for k in registry if DATA_TYPE.startswith(k) and k != DATA_TYPE), 0
    )
    if shadow:
        raise DSUError(
            f"ESPnet's data type {shadow!r} hides {DATA_TYPE!r}, which begins with it; "
            "this release of espnet_dsu does not fit this release of ESPnet"
        )
    entry = {"func": UnitReader, "kwargs": [], "help": _DATA_TYPE_HELP}
    _add(registry, DATA_TYPE, entry, f"{module.__name__}.DATA_TYPES")


def _add(registry: MutableMapping[str, Any], name: str, value: Any, where: str) -> None:
    present = registry.setdefault(name, value)
    if present != value:
        raise DSUError(
            f"{where} has {name!r} already: {present}; espnet_dsu would add {value}. "
            "Uninstall one of the two plugins"
        )
