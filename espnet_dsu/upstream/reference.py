"""Naming an upstream in a bundle: facts, and weights on demand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream.base import Upstream
from espnet_dsu.upstream.registry import (
    UpstreamName,
    build_upstream,
    parse_upstream_name,
)


@dataclass(frozen=True)
class UpstreamRef:
    """The upstream that a bundle names or embeds: facts, and weights on demand."""

    name: str
    conf: dict[str, Any]
    identity: dict[str, Any]
    embedded: Path | None = None

    @classmethod
    def of(cls, upstream: Upstream) -> UpstreamRef:
        """Refer to an upstream that is at hand."""
        config = upstream.config()
        return cls(config["name"], config["conf"], upstream.identity())

    def load(self) -> Upstream:
        """Build the upstream and make sure that it is the one of the bundle.

        Raises:
            DSUError: if the weights are not those that the bundle was trained with.
        """
        name, conf = self.name, self.conf
        if self.embedded is not None:
            named = parse_upstream_name(self.name)
            name = str(UpstreamName(named.family, str(self.embedded), named.layers))
            conf = {
                k: v for k, v in conf.items() if k not in ("revision", "checkpoint")
            }
        upstream = build_upstream(name, conf)
        if upstream.identity() != self.identity:
            raise DSUError(
                f"the upstream {self.name} is not the one that this bundle was trained "
                f"with: it is {upstream.identity()}, expected {self.identity}; give "
                "the original weights, or train the tokenizer again"
            )
        return upstream
