"""Error counts: invariants, known cases, and agreement with sclite itself."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.error_rate import (
    align,
    char_tokenizer,
    check_texts,
    count_errors,
    word_tokenizer,
)
from espnet_dsu.metrics.sclite import find_sclite, run_sclite, write_trn

words = st.lists(st.sampled_from("abcd"), max_size=12)


@given(words)
def test_align_identical_texts_has_no_error(tokens):
    assert align(tokens, tokens) == (len(tokens), 0, 0, 0)


@given(words, words)
def test_align_any_pair_counts_both_sides(ref, hyp):
    correct, substituted, deleted, inserted = align(ref, hyp)
    assert min(correct, substituted, deleted, inserted) >= 0
    assert correct + substituted + deleted == len(ref)
    assert correct + substituted + inserted == len(hyp)


@given(words, words)
def test_align_any_pair_has_the_cheapest_cost(ref, hyp):
    _, substituted, deleted, inserted = align(ref, hyp)
    cost = 4 * substituted + 3 * deleted + 3 * inserted
    assert cost == Levenshtein.distance(ref, hyp, weights=(3, 3, 4))


@pytest.mark.parametrize(
    "ref, hyp, expected",
    [
        ("a b c", "a x c d", (2, 1, 0, 1)),
        ("a b", "b", (1, 0, 1, 0)),
        ("", "x y", (0, 0, 0, 2)),
        ("x y", "", (0, 0, 2, 0)),
        ("", "", (0, 0, 0, 0)),
        ("One TWO", "one two", (2, 0, 0, 0)),  # sclite does not see ASCII case
        ("É", "é", (0, 1, 0, 0)),  # but any other
        # Three substitutions cost what two insertions and two deletions do.
        ("e i h a", "j g e", (0, 3, 1, 0)),
        # The cell-by-cell choice of sclite, not the most substitutions overall.
        (
            "b a a a a b b b b a b a b b a a b b a a a b a b a a",
            "a a b a b a a a a a a b b b a a a a",
            (15, 1, 10, 2),
        ),
    ],
)
def test_align_known_pair_counts_as_sclite(ref, hyp, expected):
    assert align(ref.split(), hyp.split()) == expected


@pytest.mark.skipif(find_sclite() is None, reason="sclite (Debian's sctk) is missing")
@pytest.mark.parametrize("vocabulary", [1, 2, 4, 10, 26])
def test_align_random_pairs_equal_sclite(tmp_path, vocabulary):
    rng = random.Random(vocabulary)
    letters = "aBcDefghijklmnopqrstuvwxyz"[:vocabulary]

    def sentence() -> list[str]:
        return rng.choices(letters, k=rng.randint(0, 40))

    # Sums over few utterances show any difference.
    for trial in range(4):
        refs = {f"u{i:03d}": sentence() for i in range(150)}
        hyps = {utt: sentence() for utt in refs}
        directory = tmp_path / str(trial)
        write_trn(directory / "ref.trn", refs, {})
        write_trn(directory / "hyp.trn", hyps, {})
        ours = np.sum([align(refs[utt], hyps[utt]) for utt in refs], axis=0)
        assert run_sclite(find_sclite(), directory) == tuple(ours)


def test_count_errors_missing_hypothesis_is_all_deletions():
    counts = count_errors({"a": "x y", "b": "z"}, {"b": "z"}, word_tokenizer())
    assert counts.sums() == (1, 0, 2, 0)
    assert counts.tokens.tolist() == [2, 1]
    assert counts.rate == pytest.approx(200 / 3)
    assert counts.utterance_rate == 50


def test_count_errors_empty_reference_counts_insertions():
    counts = count_errors({"a": "", "b": "z"}, {"a": "x", "b": "z"}, word_tokenizer())
    assert (counts.rate, counts.utterance_rate) == (100, 50)
    assert counts.percentages() == (100, 0, 0, 100, 100, 50)


def test_count_errors_no_reference_token_is_refused():
    with pytest.raises(DSUError, match="2 reference utterances hold no token"):
        count_errors({"a": "", "b": "<n>"}, {}, word_tokenizer({"<n>"}))


def test_word_tokenizer_symbols_are_dropped_as_whole_words():
    assert word_tokenizer({"<n>"})("a <n> b<n> c") == ["a", "b<n>", "c"]


def test_char_tokenizer_spaces_become_symbols():
    assert char_tokenizer()(" ab  c ") == ["a", "b", "<space>", "c"]


def test_char_tokenizer_longest_symbol_is_cut_and_spaces_stay():
    split = char_tokenizer({"<n>", "<n>s", "[.", ""})
    assert split("a <n>s b[.") == ["a", "<space>", "<space>", "b"]


@given(st.text(alphabet="ab <n>", max_size=20))
def test_tokenizers_any_text_equal_espnets(text):
    from espnet2.text.char_tokenizer import CharTokenizer
    from espnet2.text.word_tokenizer import WordTokenizer

    line = " ".join(text.split())
    options = {
        "non_linguistic_symbols": ["<n>"],
        "remove_non_linguistic_symbols": True,
    }
    assert char_tokenizer({"<n>"})(text) == CharTokenizer(**options).text2tokens(line)
    assert word_tokenizer({"<n>"})(text) == WordTokenizer(**options).text2tokens(line)


def test_check_texts_missing_hypotheses_are_counted_and_named(caplog):
    refs = {f"u{i}": "x" for i in range(8)}
    with caplog.at_level(logging.WARNING):
        check_texts(refs, {"u0": "x"})
    assert "7 of 8 utterances" in caplog.text
    assert "u1, u2, u3, u4, u5, ..." in caplog.text


def test_check_texts_complete_set_says_nothing(caplog):
    check_texts({"a": "x"}, {"a": ""})
    assert caplog.text == ""


@pytest.mark.parametrize(
    "refs, hyps, message",
    [
        ({}, {}, "reference file is empty"),
        ({"a": "x"}, {"a": "x", "z": "y"}, "1 hypotheses have no reference: z"),
    ],
)
def test_check_texts_unfit_set_is_refused(refs, hyps, message):
    with pytest.raises(DSUError, match=message):
        check_texts(refs, hyps)
