"""Choose among the n best hypotheses with a language model."""

from __future__ import annotations

import argparse
import itertools
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.error_rate import check_texts, word_tokenizer
from espnet_dsu.metrics.nbest import Hypothesis, NBest, count_list
from espnet_dsu.progress import track
from espnet_dsu.scp import read_scp
from espnet_dsu.tasks.checkpoint import check_arrived, read_checkpoint
from espnet_dsu.units.files import atomic_path

Scores = Mapping[tuple[int, ...], float]


@dataclass(frozen=True)
class Weights:
    """How a hypothesis is judged: score + lm_weight * LM + length_bonus * tokens."""

    lm_weight: float
    length_bonus: float

    def total(self, hypothesis: Hypothesis, lm_scores: Scores) -> float:
        """Return the judgement, higher is better."""
        # Weight 0 leaves even -inf out, which times 0 would be no number.
        lm = lm_scores[hypothesis.token_int] if self.lm_weight else 0.0
        return (
            hypothesis.score
            + self.lm_weight * lm
            + self.length_bonus * len(hypothesis.token_int)
        )


class LanguageModelScorer:
    """Log probabilities of token sequences by an ESPnet language model."""

    def __init__(
        self, config: str | Path | None, model_file: str | Path, device: str = "cpu"
    ) -> None:
        """Load the model.

        Args:
            config: the ``config.yaml`` of the training; None is the one beside the
                checkpoint.
            model_file: the checkpoint.
            device: where it runs, e.g. ``cuda``.

        Raises:
            DSUError: if the checkpoint is unsafe or incomplete.
        """
        from espnet2.tasks.lm import LMTask

        state = read_checkpoint(model_file)
        config = Path(model_file).parent / "config.yaml" if config is None else config
        self.model, args = LMTask.build_model_from_file(config, model_file, device)
        check_arrived(self.model, state, model_file)
        self.model.eval()
        self.device = device
        self.token_list: list[str] = args.token_list
        self.config = config

    def score_lists(self, lists: NBest, batch_size: int = 64) -> Scores:
        """Score all token sequences of n-best lists, the end of sentence included.

        Raises:
            DSUError: if a token is not the model's.
        """
        hypotheses = list(itertools.chain.from_iterable(lists.values()))
        self._check_tokens(hypotheses)
        # Of about the same length in a batch, so that little of it is padding.
        ordered = sorted({h.token_int for h in hypotheses}, key=lambda s: (len(s), s))
        starts = range(0, len(ordered), batch_size)
        scores: list[float] = []
        for start in track(starts, len(starts), "scoring"):
            scores += self._score(ordered[start : start + batch_size])
        return dict(zip(ordered, scores))

    def _check_tokens(self, hypotheses: Iterable[Hypothesis]) -> None:
        pairs = {pair for h in hypotheses for pair in zip(h.token_int, h.token)}
        for index, token in sorted(pairs):
            known = self.token_list[index : index + 1]
            if known != [token]:
                raise DSUError(
                    f"token {index} of the hypotheses is {token!r}, but {known} of the "
                    f"language model {self.config}; train it with the recogniser's "
                    "token list"
                )

    @torch.no_grad()
    def _score(self, sequences: Sequence[tuple[int, ...]]) -> list[float]:
        batch = [torch.tensor(sequence).long() for sequence in sequences]
        lengths = torch.tensor([len(s) for s in batch], device=self.device)
        text = pad_sequence(batch, batch_first=True).to(self.device)
        nll, _ = self.model.nll(text, lengths)
        return (-nll.double().sum(dim=1)).tolist()


def choose(
    hypotheses: Sequence[Hypothesis], lm_scores: Scores, weights: Weights
) -> int:
    """Return the index of the best hypothesis; of equals, the first."""
    totals = [weights.total(hypothesis, lm_scores) for hypothesis in hypotheses]
    return totals.index(max(totals))


def tune(
    lists: NBest,
    lm_scores: Scores,
    refs: Mapping[str, str],
    grid: Sequence[Weights],
) -> tuple[Weights, list[float]]:
    """Find the weights of the fewest word errors.

    Args:
        lists: n-best lists of a validation set.
        lm_scores: of their token sequences.
        refs: texts of the set; utterances without a list count as wrong throughout.
        grid: weights to try; of equals, the first wins.

    Returns:
        the weights, and the WER in percent of each of the grid.

    Raises:
        DSUError: the references are not those of the lists, or have no words.
    """
    check_texts(refs, {utt: hypotheses[0].text for utt, hypotheses in lists.items()})
    split = word_tokenizer()
    words = sum(len(split(text)) for text in refs.values())
    if not words:
        raise DSUError("the references hold no word, so no weight is better; give text")
    errors = {
        utt: count_list(refs[utt], [h.text for h in hypotheses], split)
        for utt, hypotheses in lists.items()
    }
    lost = sum(len(split(text)) for utt, text in refs.items() if utt not in lists)
    totals = [
        lost + sum(errors[u][choose(h, lm_scores, weights)] for u, h in lists.items())
        for weights in grid
    ]
    best = grid[totals.index(min(totals))]
    return best, [100 * total / words for total in totals]


def find_weights(lists: NBest, lm_scores: Scores, args: argparse.Namespace) -> Weights:
    """Read or tune the weights, as the options of the command ``rescore`` say.

    Raises:
        DSUError: if the options name several weights and no way to choose.
    """
    if args.weights:
        return read_weights(args.weights)
    grid = [Weights(w, b) for w in args.lm_weights for b in args.length_bonuses]
    if not args.tune_ref:
        if len(grid) > 1:
            raise DSUError(
                f"there are {len(grid)} pairs of weights to choose from; give "
                "--tune_ref, --weights, or one of --lm_weights and --length_bonuses"
            )
        return grid[0]
    refs = read_scp(args.tune_ref, allow_empty=True)
    if args.cleaner:
        from espnet2.text.cleaner import TextCleaner

        clean = TextCleaner(args.cleaner)
        refs = {utt: clean(text) for utt, text in refs.items()}
    best, rates = tune(lists, lm_scores, refs, grid)
    for weights, rate in zip(grid, rates):
        logging.info(f"WER {rate:.2f} % with {weights}")
    logging.info(f"chosen: {best}")
    return best


def read_weights(path: str | Path) -> Weights:
    """Read the ``weights.json`` of another rescoring.

    Raises:
        DSUError: it cannot be read.
    """
    try:
        return Weights(**json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DSUError(
            f"cannot read {path}: {error}; expected the weights.json of a rescoring"
        ) from error


def write(
    output_dir: str | Path, lists: NBest, lm_scores: Scores, weights: Weights
) -> None:
    """Write ``text``, ``token``, ``token_int``, ``score`` and ``weights.json``."""
    files: dict[str, list[str]] = {}
    for utt, hypotheses in sorted(lists.items()):
        best = hypotheses[choose(hypotheses, lm_scores, weights)]
        values = {
            "token": " ".join(best.token),
            "token_int": " ".join(map(str, best.token_int)),
            "score": str(weights.total(best, lm_scores)),
            "text": best.text,
        }
        for name, value in values.items():
            files.setdefault(name, []).append(f"{utt} {value}\n")
    files["weights.json"] = [json.dumps(vars(weights)) + "\n"]
    for name, lines in files.items():
        with atomic_path(Path(output_dir) / name) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
