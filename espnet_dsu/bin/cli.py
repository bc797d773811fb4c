"""What every command-line module shares: logging and the way it fails."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence

from espnet_dsu.errors import DSUError


def run(main: Callable[[Sequence[str] | None], None]) -> None:
    """Run ``main`` with ESPnet's log format; a user's mistake exits with one line."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s",
    )
    try:
        main(None)
    except DSUError as error:
        print(f"espnet_dsu: error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("espnet_dsu: interrupted", file=sys.stderr)
        sys.exit(130)
