"""Speed perturbation: the same words, faster and slower (Ko et al., 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from espnet_dsu.corpus.datadir import begin_output
from espnet_dsu.corpus.excerpts import AudioFormat
from espnet_dsu.corpus.formatting import load_excerpts, write_formatted
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import Table


def speed_prefix(factor: float) -> str:
    """Return what Kaldi puts before ids: ``sp0.9-``, and nothing at speed 1."""
    return "" if factor == 1 else f"sp{factor}-"


def perturb_speed(
    data_dir: str | Path,
    output_dir: str | Path,
    factors: Sequence[float],
    *,
    target: AudioFormat,
    nj: int = 1,
    max_failures: int | None = None,
) -> int:
    """Write a data directory with each utterance once per factor; return their number.

    Factor 0.9 makes audio of 1/0.9 the length at 0.9 the pitch, by resampling, as
    ``sox speed`` does. Utterance and speaker ids get the prefix ``sp0.9-``; factor 1
    keeps ids and, where possible, files.

    Raises:
        DSUError: a factor is not positive or given twice, or the audio is unusable (see
            :func:`espnet_dsu.corpus.formatting.write_formatted`).
    """
    if not factors or min(factors) <= 0 or len(set(factors)) < len(factors):
        raise DSUError(f"factors {list(factors)}: expected distinct positive numbers")
    begin_output(output_dir, data_dir)
    excerpts, tables, refused = load_excerpts(data_dir)
    prefixes = {factor: speed_prefix(factor) for factor in factors}
    perturbed: dict[str, Table] = {"utt2spk": {}}
    for prefix in prefixes.values():
        for utt, speaker in tables["utt2spk"].items():
            perturbed["utt2spk"][prefix + utt] = prefix + speaker
        for utt, words in tables.get("text", {}).items():
            perturbed.setdefault("text", {})[prefix + utt] = words
    return write_formatted(
        output_dir,
        [
            replace(excerpt, utt=prefix + excerpt.utt, speed=factor)
            for excerpt in excerpts
            for factor, prefix in prefixes.items()
        ],
        perturbed,
        target,
        inputs=[Path(data_dir) / "wav.scp", Path(data_dir) / "segments"],
        refused=refused,
        nj=nj,
        max_failures=max_failures,
    )
