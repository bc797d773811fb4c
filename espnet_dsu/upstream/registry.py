"""Names of upstreams, and the one place where a name becomes an upstream."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from espnet_dsu.errors import DSUError

if TYPE_CHECKING:
    from espnet_dsu.upstream.base import Upstream

_MODULES = {
    "hf": "espnet_dsu.upstream.huggingface",
    "mfcc": "espnet_dsu.upstream.mfcc",
    "torchaudio": "espnet_dsu.upstream.torchaudio_family",
}
_REFUSED = {
    "s3prl": "s3prl 0.4.18 does not import beside torchaudio>=2.9 and unpickles what it"
    " downloads; its models are in the families hf and torchaudio",
}
_classes: dict[str, type[Upstream]] = {}

UpstreamClass = TypeVar("UpstreamClass", bound="type[Upstream]")


@dataclass(frozen=True)
class UpstreamName:
    """The parts of ``family:checkpoint@layer``; ``str()`` puts them together.

    Several layers are written ``@6+12``; their frames lie side by side.
    """

    family: str
    checkpoint: str = ""
    layers: tuple[int, ...] = ()

    def __str__(self) -> str:
        checkpoint = f":{self.checkpoint}" if self.checkpoint else ""
        layers = f"@{self.layer_text}" if self.layers else ""
        return f"{self.family}{checkpoint}{layers}"

    @property
    def layer_text(self) -> str:
        """The layers as they are written: ``6`` or ``6+12``."""
        return "+".join(map(str, self.layers))


def path_safe(text: str) -> str:
    """Return lower-case letters, digits and single underscores."""
    return re.sub("[^a-z0-9]+", "_", text.lower()).strip("_")


def check_layer(name: UpstreamName, num_layers: int) -> int:
    """Return the highest layer of a name if a model with so many layers has it.

    Raises:
        DSUError: it has not.
    """
    highest = max(name.layers)
    if highest > num_layers:
        raise DSUError(
            f"upstream '{name}': no layer {highest}; this model has layers 0 (input"
            f" of the first) to {num_layers}"
        )
    return highest


def register_upstream(cls: UpstreamClass) -> UpstreamClass:
    """Make a class available under its ``family``; use as a decorator.

    Raises:
        DSUError: another class has this family.
    """
    path = f"{cls.__module__}.{cls.__qualname__}"
    other = _classes.get(cls.family)
    if other is not None:
        owner = f"{other.__module__}.{other.__qualname__}"
    elif _MODULES.get(cls.family, cls.__module__) != cls.__module__:
        owner = _MODULES[cls.family]
    else:
        owner = path
    if owner != path:
        raise DSUError(
            f"upstream family {cls.family!r} is {owner}; {path} cannot take its place:"
            " give it another family name"
        )
    _classes[cls.family] = cls
    return cls


def upstream_class(family: str) -> type[Upstream]:
    """Return the class of a family, importing its module on first use.

    Raises:
        DSUError: no such family.
    """
    if family not in _classes and family in _MODULES:
        importlib.import_module(_MODULES[family])
    if family in _REFUSED and family not in _classes:
        raise DSUError(f"upstream family {family!r}: {_REFUSED[family]}")
    if family not in _classes:
        known = ", ".join(sorted({*_MODULES, *_classes}))
        raise DSUError(f"unknown upstream family {family!r}; known families: {known}")
    return _classes[family]


def parse_upstream_name(name: str) -> UpstreamName:
    """Split ``family:checkpoint@layer``, as in ``hf:facebook/hubert-base-ls960@6``.

    Raises:
        DSUError: unknown family; layer missing, not a whole number, or given to a
            family without layers; layers that do not rise; checkpoint missing.
    """
    family, _, rest = name.partition(":")
    if not rest:
        family = family.partition("@")[0]
        rest = name[len(family) :].lstrip(":")
    layered = upstream_class(family).layered
    checkpoint, at, layer = rest.rpartition("@") if "@" in rest else (rest, "", "")
    if not layered:
        if at:
            raise DSUError(
                f"upstream {name!r}: {family} has no layers; drop the '@{layer}'"
            )
        return UpstreamName(family, checkpoint)
    example = f"{family}:{checkpoint or '<checkpoint>'}@6"
    if not checkpoint:
        raise DSUError(f"upstream {name!r} names no checkpoint; write {example!r}")
    if not at:
        raise DSUError(f"upstream {name!r} names no layer; write {example!r}")
    return UpstreamName(family, checkpoint, _parse_layers(name, layer, example))


def _parse_layers(name: str, text: str, example: str) -> tuple[int, ...]:
    """Read ``6`` or ``6+12``."""
    for layer in text.split("+"):
        if not re.fullmatch("0|[1-9][0-9]*", layer):
            raise DSUError(
                f"upstream {name!r}: layer {layer!r} is not a whole number;"
                f" write {example!r}, or {example + '+12'!r} for two streams"
            )
    layers = tuple(map(int, text.split("+")))
    rising = tuple(sorted(set(layers)))
    if layers != rising:  # one name for one set of streams
        written = "+".join(map(str, rising))
        raise DSUError(
            f"upstream {name!r}: layers {text} do not rise; write '@{written}' (streams"
            " of one layer differ by their numbers of units)"
        )
    return layers


def build_upstream(name: str, conf: Mapping[str, Any] | None = None) -> Upstream:
    """Build an upstream with its weights loaded.

    Args:
        name: ``family:checkpoint@layer``.
        conf: options of the family.

    Raises:
        DSUError: a wrong name, an unknown option, or weights that cannot be loaded.
    """
    cls, parsed, checked = _check(name, conf)
    return cls.build(parsed, checked)


def upstream_tag(name: str, conf: Mapping[str, Any] | None = None) -> str:
    """Return the tag of the upstream that ``build_upstream`` would make.

    Loads no weights, so a recipe can name its paths before anything is downloaded.

    Raises:
        DSUError: a wrong name or an unknown option.
    """
    cls, parsed, checked = _check(name, conf)
    return cls.tag_of(parsed, checked)


def _check(
    name: str, conf: Mapping[str, Any] | None
) -> tuple[type[Upstream], UpstreamName, dict[str, Any]]:
    """Return the class, the parsed name and the options, known ones only."""
    parsed = parse_upstream_name(name)
    cls = upstream_class(parsed.family)
    conf = dict(conf or {})
    unknown = sorted(set(conf) - set(cls.conf_keys))
    if unknown:
        known = ", ".join(cls.conf_keys)
        raise DSUError(
            f"upstream {name!r}: unknown option {', '.join(unknown)}; known: {known}"
        )
    return cls, parsed, conf
