"""N-best lists as ESPnet's decoding leaves them, and the best that they hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.error_rate import Tokenizer, align
from espnet_dsu.scp import read_scp

# ESPnet writes the score as Python prints it: -1.5, tensor(-1.5), or with a device.
_SCORE = re.compile(r"(?:tensor\()?\s*([^,\s)]+)(?:,[^)]*)?\)?")


@dataclass(frozen=True)
class Hypothesis:
    """One hypothesis of an utterance.

    Attributes:
        text: words.
        token, token_int: the same as tokens, and as their indices in the token list.
        score: of the decoding, a log probability.
    """

    text: str
    token: tuple[str, ...]
    token_int: tuple[int, ...]
    score: float


NBest = dict[str, list[Hypothesis]]


def read_nbest(directory: str | Path, nbest: int | None = None) -> NBest:
    """Read ``{1..n}best_recog/{text,token,token_int,score}`` of a decoding.

    Args:
        directory: holds the folders.
        nbest: read so many at most; None reads all.

    Returns:
        the hypotheses of each utterance, best first, in the order of
        ``1best_recog/text``. An utterance may have fewer than others.

    Raises:
        DSUError: there is no list, or its files do not belong together.
    """
    lists: NBest = {}
    rank = 1
    while (folder := Path(directory) / f"{rank}best_recog").is_dir():
        for utterance, hypothesis in _read_rank(folder).items():
            if len(lists.setdefault(utterance, [])) != rank - 1:
                raise DSUError(
                    f"{folder} has {utterance}, of which a better hypothesis is "
                    "missing; decode again"
                )
            lists[utterance].append(hypothesis)
        if rank == nbest:
            break
        rank += 1
    if not lists:
        raise DSUError(
            f"{directory} has no 1best_recog with hypotheses; expected what "
            "asr_inference writes"
        )
    return lists


def _read_rank(folder: Path) -> dict[str, Hypothesis]:
    names = ("text", "token", "token_int", "score")
    tables = [read_scp(folder / name, allow_empty=True) for name in names]
    texts, tokens, indices, scores = tables
    for name, table in zip(names, tables):
        if table.keys() != texts.keys():
            raise DSUError(
                f"{folder / name} has {len(table)} utterances, {folder / 'text'} has "
                f"{len(texts)}, expected the same ones; decode again"
            )
    return {
        utterance: Hypothesis(
            text,
            tuple(tokens[utterance].split()),
            tuple(map(int, indices[utterance].split())),
            _score(scores[utterance], folder / "score"),
        )
        for utterance, text in texts.items()
    }


def _score(text: str, path: Path) -> float:
    match = _SCORE.fullmatch(text)
    try:
        return float(match[1]) if match else float(text)
    except ValueError:
        raise DSUError(f"{path} has the score {text!r}, expected a number") from None


def count_list(reference: str, texts: Sequence[str], tokenizer: Tokenizer) -> list[int]:
    """Count the errors of each text of a list."""
    tokens = tokenizer(reference)
    return [sum(align(tokens, tokenizer(text))[1:]) for text in texts]


def oracle_rate(
    refs: Mapping[str, str], lists: Mapping[str, Sequence[str]], tokenizer: Tokenizer
) -> float:
    """Return the error rate, in percent, of the best text of each list.

    Args:
        refs: reference texts; they hold a token at least.
        lists: the texts of each utterance; a missing list counts as an empty text.
        tokenizer: how texts are split.
    """
    errors = sum(
        min(count_list(text, lists.get(utt) or [""], tokenizer))
        for utt, text in refs.items()
    )
    return 100 * errors / sum(len(tokenizer(text)) for text in refs.values())
