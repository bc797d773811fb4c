from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.error_rate import count_errors, word_tokenizer
from espnet_dsu.metrics.nbest import Hypothesis, oracle_rate, read_nbest

TEXTS = st.lists(st.sampled_from("abc"), max_size=4).map(" ".join)


def write_rank(folder: Path, rank: int, **files: dict[str, str]) -> None:
    target = folder / f"{rank}best_recog"
    target.mkdir(parents=True)
    for name in ("text", "token", "token_int", "score"):
        lines = [f"{k} {v}".rstrip() + "\n" for k, v in files[name].items()]
        (target / name).write_text("".join(lines))


def ranks(folder: Path) -> None:
    write_rank(
        folder,
        1,
        text={"u1": "one two", "u2": ""},
        token={"u1": "▁one ▁two", "u2": ""},
        token_int={"u1": "2 3", "u2": ""},
        score={"u1": "-1.5", "u2": "0.0"},
    )
    write_rank(
        folder,
        2,
        text={"u1": "one"},
        token={"u1": "▁one"},
        token_int={"u1": "2"},
        score={"u1": "tensor(-3.25, device='cuda:0')"},
    )


def test_read_nbest_gives_espnets_files(tmp_path):
    ranks(tmp_path)
    best = Hypothesis("one two", ("▁one", "▁two"), (2, 3), -1.5)
    empty = Hypothesis("", (), (), 0.0)
    second = Hypothesis("one", ("▁one",), (2,), -3.25)
    assert read_nbest(tmp_path) == {"u1": [best, second], "u2": [empty]}
    assert read_nbest(tmp_path, 1) == {"u1": [best], "u2": [empty]}


@pytest.mark.parametrize("text", ["tensor(-2.5)", "-2.5", "tensor(-2.5000e+00)"])
def test_read_nbest_scores_as_espnet_prints_them(tmp_path, text):
    one = {"u": "1"}
    write_rank(tmp_path, 1, text=one, token=one, token_int=one, score={"u": text})
    assert read_nbest(tmp_path)["u"][0].score == -2.5


def test_read_nbest_that_does_not_belong_together_is_refused(tmp_path):
    with pytest.raises(DSUError, match="no 1best_recog"):
        read_nbest(tmp_path)
    ranks(tmp_path)
    score = tmp_path / "2best_recog" / "score"
    score.write_text("u1 high\n")
    with pytest.raises(DSUError, match="score 'high', expected a number"):
        read_nbest(tmp_path)
    score.write_text("u1 1\nu2 2\n")
    with pytest.raises(DSUError, match="score has 2 utterances, .*text has 1"):
        read_nbest(tmp_path)
    for name in ("text", "token", "token_int", "score"):
        (tmp_path / "2best_recog" / name).write_text("u3 1\n")
    with pytest.raises(DSUError, match="2best_recog has u3, of which a better"):
        read_nbest(tmp_path)


@given(st.dictionaries(st.sampled_from("uvw"), st.lists(TEXTS, min_size=1), min_size=1))
def test_oracle_is_no_worse_than_any_choice_and_0_with_the_truth(lists):
    refs = {utt: "a b c" for utt in lists}
    split = word_tokenizer()
    oracle = oracle_rate(refs, lists, split)
    for rank in range(3):
        hyps = {utt: texts[rank % len(texts)] for utt, texts in lists.items()}
        assert oracle <= count_errors(refs, hyps, split).rate + 1e-9
    with_truth = {utt: [*texts, "a b c"] for utt, texts in lists.items()}
    assert oracle_rate(refs, with_truth, split) == 0


def test_oracle_counts_a_missing_list_as_empty():
    assert oracle_rate({"u": "a b", "v": "a b"}, {"u": ["a b"]}, word_tokenizer()) == 50
