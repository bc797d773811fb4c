"""``metrics.json``: what an experiment scored, one entry per set.

An entry is flat. Word errors give ``wer``, ``wer_ci`` (95 % interval, low and high),
``num_words``, ``sub``, ``del``, ``ins``, ``ser`` (share of utterances with an error);
characters ``cer``, ``cer_ci``, ``num_chars``, ``cer_sub`` and so on; tokens the same
with ``ter`` and ``num_tokens``. Rates are in percent. ``num_utts``, ``num_missing`` and
``decode`` (name of the decoding directory) stand beside them, and any further scalar.

The key of an entry is ``<set>`` for the decoding that was scored first; any other
decoding of the set has ``<decode>/<set>``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.bootstrap import bootstrap_interval
from espnet_dsu.metrics.error_rate import ErrorCounts
from espnet_dsu.units.files import atomic_path

Entry = dict[str, Any]

_DIGITS = 4
_TOTALS = {"wer": "num_words", "cer": "num_chars", "ter": "num_tokens"}
KINDS = tuple(_TOTALS)


def rate_keys(kind: str) -> dict[str, str]:
    """Return the entry's key of each figure of ``kind`` (one of ``KINDS``)."""
    prefix = "" if kind == "wer" else f"{kind}_"
    keys = {figure: prefix + figure for figure in ("sub", "del", "ins", "ser")}
    return {"rate": kind, "ci": f"{kind}_ci", "total": _TOTALS[kind], **keys}


def rate_entry(kind: str, counts: ErrorCounts) -> Entry:
    """Return what an entry says of one kind of error rate."""
    low, high = bootstrap_interval(counts.errors, counts.tokens)
    correct, substituted, deleted, inserted = counts.sums()
    figures = {
        "rate": round(counts.rate, _DIGITS),
        "ci": [round(low, _DIGITS), round(high, _DIGITS)],
        "total": correct + substituted + deleted,
        "sub": substituted,
        "del": deleted,
        "ins": inserted,
        "ser": round(counts.utterance_rate, _DIGITS),
    }
    return {key: figures[figure] for figure, key in rate_keys(kind).items()}


def other_metrics(entry: Mapping[str, Any]) -> dict[str, float]:
    """Return the scalars of an entry that are no part of an error rate."""
    known = {"num_utts", "num_missing", "decode"}
    known.update(key for kind in KINDS for key in rate_keys(kind).values())
    return {name: value for name, value in entry.items() if name not in known}


def read_metrics(path: Path) -> dict[str, Entry]:
    """Read ``metrics.json``.

    Raises:
        DSUError: It is missing or not a JSON object of objects.
    """
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DSUError(
            f"cannot read {path}: {error}; run the scoring stage again"
        ) from error
    if not isinstance(metrics, dict) or not all(
        isinstance(entry, dict) for entry in metrics.values()
    ):
        raise DSUError(f"{path} is not one JSON object per set; remove it, score again")
    return metrics


def merge_entry(path: Path, set_name: str, entry: Entry) -> str:
    """Put the ``entry`` of a set into ``metrics.json`` and return its key.

    Scalars of an earlier scoring stay unless given anew. Its error rates go where
    there are new ones, and ``oracle_wer`` with them: it belongs to the decoding, too.
    """
    metrics = read_metrics(path) if path.exists() else {}
    key = set_name
    if metrics.get(set_name, {}).get("decode", entry["decode"]) != entry["decode"]:
        key = f"{entry['decode']}/{set_name}"
    kept = metrics.get(key, {})
    if any(kind in entry for kind in KINDS):
        kept = other_metrics(kept)
        kept.pop("oracle_wer", None)
    metrics[key] = {**entry, **kept, **other_metrics(entry)}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    return key
