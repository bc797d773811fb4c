"""Speech as tokens for every ESPnet task.

``import espnet_dsu`` registers the frontend ``discrete_unit`` with ESPnet; that is all
that stock ``espnet2.bin.asr_inference.Speech2Text`` needs to run a unit model. The
public names below are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from espnet_dsu.plugin import register
from espnet_dsu.version import __version__

if TYPE_CHECKING:
    from espnet_dsu.errors import DSUError
    from espnet_dsu.frontend import DiscreteUnitFrontend
    from espnet_dsu.inference.asr import Speech2Text
    from espnet_dsu.inference.units2speech import Units2Speech
    from espnet_dsu.tasks.asr import UnitASRTask
    from espnet_dsu.tokenizer import UnitTokenizer
    from espnet_dsu.units import UnitSequence, UnitSpec

__all__ = [
    "DSUError",
    "DiscreteUnitFrontend",
    "Speech2Text",
    "UnitASRTask",
    "UnitSequence",
    "UnitSpec",
    "UnitTokenizer",
    "Units2Speech",
    "__version__",
]

_MODULES = {
    "DSUError": "errors",
    "DiscreteUnitFrontend": "frontend",
    "Speech2Text": "inference.asr",
    "UnitASRTask": "tasks.asr",
    "UnitSequence": "units",
    "UnitSpec": "units",
    "UnitTokenizer": "tokenizer",
    "Units2Speech": "inference.units2speech",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


register()
