"""NIST's sclite beside our counts: its input, its report, and a report without it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.error_rate import ErrorCounts
from espnet_dsu.units.files import atomic_path

_DEBIAN_SCLITE = "/usr/lib/sctk/bin/sclite"
_SUM_ROW = re.compile(rb"\|\s*Sum\s*\|" + rb"\s*\|?\s*(\d+)" * 8)
_HEAD = "| SPKR   | # Snt # Wrd | Corr    Sub    Del    Ins    Err  S.Err |"
_ROW = "| Sum/Avg|{:5d} {:6d} |" + "{:5.1f}  " * 5 + "{:5.1f} |"


def find_sclite() -> list[str] | None:
    """Return the command of an installed sclite, or None.

    It is looked for on the PATH, where Debian's package ``sctk`` puts it, and behind
    that package's command ``sctk``.
    """
    for program in ("sclite", _DEBIAN_SCLITE):
        if found := shutil.which(program):
            return [found]
    wrapper = shutil.which("sctk")
    return [wrapper, "sclite"] if wrapper else None


def write_trn(
    path: Path, tokens: Mapping[str, Sequence[str]], utt2spk: Mapping[str, str]
) -> None:
    """Write sclite's transcript file, one ``words (speaker-utterance)`` a line."""
    with atomic_path(path) as temporary:
        with open(temporary, "w", encoding="utf-8") as f:
            for utt, words in tokens.items():
                f.write(f"{' '.join(words)}\t({utt2spk.get(utt, 'all')}-{utt})\n")


def run_sclite(command: list[str], directory: Path) -> tuple[int, ...]:
    """Score ``ref.trn`` and ``hyp.trn`` of a directory into its ``result.txt``.

    Returns:
        sclite's sums: correct, substituted, deleted, inserted.

    Raises:
        DSUError: sclite fails or its report has no sums.
    """
    options = ["-r", "ref.trn", "trn", "-h", "hyp.trn", "trn"]
    options += ["-i", "rm", "-o", "all", "stdout"]
    done = subprocess.run([*command, *options], cwd=directory, capture_output=True)
    sums = _SUM_ROW.search(done.stdout)
    if done.returncode or not sums:
        raise DSUError(
            f"{' '.join(command)} failed in {directory} (exit {done.returncode}): "
            f"{done.stderr.decode(errors='replace').strip() or 'no sums in its report'}"
            "; mend the transcripts, or score with --use_sclite false"
        )
    with atomic_path(directory / "result.txt") as temporary:
        temporary.write_bytes(done.stdout)
    return tuple(map(int, sums.groups()[2:6]))


def write_summary(path: Path, counts: ErrorCounts) -> None:
    """Write the summary row of sclite's ``result.txt`` from our counts."""
    row = _ROW.format(len(counts.tokens), counts.tokens.sum(), *counts.percentages())
    with atomic_path(path) as temporary:
        temporary.write_text(f"{_HEAD}\n{row}\n", encoding="utf-8")
