"""Try every fault and print what came of it: ``python tests/corpus/fault_table.py``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.corpus.faults import FAULTS, NotPossible, tried  # noqa: E402
from tests.speech import train_bundle  # noqa: E402


def main() -> int:
    """Print a Markdown table; return how many faults had consequences."""
    bad = 0
    print("| fault | what happened; rerun | lost | doubled | bytes equal | sec |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as root:
        bundle = Path(root) / "bundle"
        train_bundle(bundle)
        for number, name in enumerate(FAULTS):
            start = time.monotonic()
            try:
                row = tried(name, Path(root) / str(number), bundle)
            except NotPossible as reason:
                print(f"| {name} | not tried: {reason} | | | | |")
                continue
            bad += not row.harmless
            happened = "; ".join(row.happened).replace("|", "/")
            equal = "yes" if row.equal else "NO"
            cells = [name, happened, row.lost, row.doubled, equal]
            cells.append(f"{time.monotonic() - start:.1f}")
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(main())
