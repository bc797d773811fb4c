#!/usr/bin/env python3
"""Scores by language of every decoded set that has a ``data/<set>/utt2lang``.

``<asr_exp>/<decode>/<set>/languages.tsv`` gets each language's character error rate and
share of utterances whose language was recognised; ``metrics.json`` and ``RESULTS.md``
the averages, all in percent:

cer_normal, cer_few_shot: errors / characters over all utterances of the 123 languages
    trained on, or of the 20 with five training utterances (Shi et al., 2023).
cer_macro, cer_sd, cer_worst15: mean and standard deviation over languages, mean of the
    15 worst (Shi et al., 2024).
lid, lid_normal, lid_few_shot: utterances with the right language; lid_macro: mean over
    languages. Only where texts begin with a language, ``[eng] SOME WORDS``.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from espnet_dsu.bin.cli import run
from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.error_rate import char_tokenizer, count_errors
from espnet_dsu.metrics.report import write_results_md
from espnet_dsu.metrics.store import Entry, read_metrics
from espnet_dsu.scp import Table, read_scp, write_tsv
from espnet_dsu.units.files import atomic_path

FEW_SHOT = Path(__file__).resolve().with_name("few_shot.txt")
SYMBOL = re.compile(r"\[[a-z]+(?:_[a-z]+)*\]")
SUFFIX = re.compile(r"(_rescored)?(_wav|_units)?$")  # what stage 15 adds to a set
NUM_WORST = 15


@dataclass(frozen=True)
class Score:
    """What was counted in one language, or in several together."""

    utterances: int
    chars: int
    errors: int
    recognised: int

    @property
    def cer(self) -> float:
        """Character error rate in percent; infinite where there is no character."""
        return 100 * self.errors / self.chars if self.chars else float("inf")

    @property
    def lid(self) -> float:
        """Share of utterances whose language was recognised, in percent."""
        return 100 * self.recognised / self.utterances


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("asr_exp", type=Path, help="directory of the experiment")
    add("--dumpdir", type=Path, default=Path("dump"), help="the recipe's --dumpdir")
    add("--data_dir", type=Path, default=Path("data"), help="holds <set>/utt2lang")
    return parser


def language_of(text: str) -> str | None:
    """Return the first ``[language]`` of a text, None without one."""
    found = SYMBOL.search(text)
    return found and found[0][1:-1]


def score_language(refs: Table, hyps: Table) -> Score:
    """Count the errors in the utterances of one language; its symbols do not count."""
    symbols = set(SYMBOL.findall("\n".join([*refs.values(), *hyps.values()])))
    tokenizer = char_tokenizer(symbols)
    counts = count_errors(refs, hyps, tokenizer)
    right = [
        language_of(ref) is not None and language_of(ref) == language_of(hyps[utt])
        for utt, ref in refs.items()
        if utt in hyps
    ]
    chars, errors = int(counts.tokens.sum()), int(counts.errors.sum())
    return Score(len(refs), chars, errors, sum(right))


def score_languages(refs: Table, hyps: Table, utt2lang: Table) -> dict[str, Score]:
    """Return the score of each language, sorted.

    Raises:
        DSUError: an utterance's language is not known.
    """
    groups: dict[str, Table] = {}
    for utt, text in refs.items():
        if utt not in utt2lang:
            raise DSUError(f"{utt} is not in utt2lang; run stage 1 again")
        groups.setdefault(utt2lang[utt], {})[utt] = text
    return {
        language: score_language(
            groups[language], {u: hyps[u] for u in groups[language] if u in hyps}
        )
        for language in sorted(groups)
    }


def pool(scores: Iterable[Score]) -> Score:
    """Return the sum of several languages' counts."""
    rows = [(s.utterances, s.chars, s.errors, s.recognised) for s in scores]
    return Score(*map(sum, zip(*rows)))


def summarize(scores: dict[str, Score], few_shot: set[str], lid: bool) -> Entry:
    """Return the averages over languages that this file's head defines."""
    groups = {
        "_normal": [s for name, s in scores.items() if name not in few_shot],
        "_few_shot": [s for name, s in scores.items() if name in few_shot],
    }
    pooled = {name: pool(group) for name, group in groups.items() if group}
    rates = sorted((score.cer for score in scores.values()), reverse=True)
    entry = {f"cer{name}": score.cer for name, score in pooled.items()}
    entry["cer_macro"] = statistics.fmean(rates)
    entry["cer_sd"] = statistics.stdev(rates) if len(rates) > 1 else 0.0
    entry["cer_worst15"] = statistics.fmean(rates[:NUM_WORST])
    if lid:
        entry["lid"] = pool(scores.values()).lid
        entry |= {f"lid{name}": score.lid for name, score in pooled.items()}
        entry["lid_macro"] = statistics.fmean(s.lid for s in scores.values())
    return {name: round(value, 2) for name, value in entry.items()}


def score_decoded(directory: Path, refs: Table, utt2lang: Table) -> Entry:
    """Score one ``<decode>/<set>``; write its ``languages.tsv``; return the averages.

    Raises:
        DSUError: tables that cannot be read or do not belong together.
    """
    hyps = read_scp(directory / "text", allow_empty=True)
    scores = score_languages(refs, hyps, utt2lang)
    lid = any(map(language_of, refs.values()))
    head = ("language", "utterances", "characters", "cer") + ("lid",) * lid
    rows = [
        (name, str(s.utterances), str(s.chars), f"{s.cer:.2f}", f"{s.lid:.2f}")
        for name, s in scores.items()
    ]
    write_tsv(directory / "languages.tsv", [head, *(row[: len(head)] for row in rows)])
    return summarize(scores, set(read_scp(FEW_SHOT)), lid)


def merge_averages(metrics: dict[str, Entry], directory: Path, averages: Entry) -> None:
    """Put the averages into the entry that stage 15 made of ``<decode>/<set>``."""
    decode, dset = directory.parent.name, directory.name
    for key, entry in metrics.items():
        name = SUFFIX.sub("", key.removeprefix(f"{decode}/"))
        if entry["decode"] == decode and name == dset:
            entry.update(averages)


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    args = get_parser().parse_args(cmd)
    decoded = [
        path.parent
        for path in sorted(args.asr_exp.glob("*/*/text"))
        if (args.data_dir / path.parent.name / "utt2lang").exists()
    ]
    if not decoded:
        raise DSUError(f"{args.asr_exp}: no <decode>/<set>/text; run stage 14")
    path = args.asr_exp / "metrics.json"
    metrics = read_metrics(path)
    for directory in decoded:
        dset = directory.name
        refs = read_scp(args.dumpdir / "raw" / dset / "text", allow_empty=True)
        utt2lang = read_scp(args.data_dir / dset / "utt2lang")
        averages = score_decoded(directory, refs, utt2lang)
        merge_averages(metrics, directory, averages)
        logging.info(f"{directory}/languages.tsv: {averages}")
    # RESULTS.md has a date, and what is newer than the packed model is packed again.
    if metrics != read_metrics(path):
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(metrics, indent=2) + "\n", "utf-8")
        write_results_md(args.asr_exp)


if __name__ == "__main__":
    run(main)
