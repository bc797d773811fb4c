from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu import DSUError
from espnet_dsu.report.columns import (
    Column,
    check_utterances,
    choose_utterances,
    read_columns,
)
from espnet_dsu.scp import write_scp

NAMES = [f"u{i}" for i in range(9)]


def column(names) -> Column:
    return Column("c", {name: "x.wav" for name in names}, {})


@given(
    first=st.sets(st.sampled_from(NAMES), min_size=1),
    second=st.sets(st.sampled_from(NAMES), min_size=1),
    number=st.integers(1, 12),
    seed=st.integers(0, 5),
)
def test_choice_is_of_the_size_asked_for_and_prefers_the_complete(
    first, second, number, seed
):
    columns = [column(sorted(first)), column(sorted(second))]
    chosen = choose_utterances(columns, number, seed)
    assert chosen == sorted(set(chosen)) and set(chosen) <= first
    assert len(chosen) == min(number, len(first))
    assert len(set(chosen) & second) == min(number, len(first & second))
    assert chosen == choose_utterances(columns, number, seed)


def test_choice_of_another_seed_differs():
    columns = [column(NAMES)]
    assert len({tuple(choose_utterances(columns, 3, seed)) for seed in range(9)}) > 1


def test_choice_of_no_utterance_is_refused():
    with pytest.raises(DSUError, match="--num_utts 0, expected 1 or more"):
        choose_utterances([column(NAMES)], 0, 0)


def test_check_unknown_utterance_is_refused_by_name():
    assert check_utterances([column(NAMES)], ["u3", "u1", "u3"]) == ["u3", "u1"]
    with pytest.raises(DSUError, match="--utts u33: no column"):
        check_utterances([column(NAMES)], ["u3", "u33"])


def test_columns_know_the_voices_of_utt2spk_beside_wav_scp(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        write_scp(tmp_path / folder / "wav.scp", {"u": "u.wav"})
    write_scp(tmp_path / "b/utt2spk", {"u": "george"})
    sources = {"x": tmp_path / "a/wav.scp", "y": tmp_path / "b/wav.scp"}
    first, second = read_columns(sources)
    assert (first.name, first.speakers) == ("x", {})
    assert (second.name, second.speakers) == ("y", {"u": "george"})


def test_columns_without_clips_name_or_recordings_are_refused(tmp_path):
    (tmp_path / "wav.scp").write_text("")
    with pytest.raises(DSUError, match="no --clips"):
        read_columns({})
    with pytest.raises(DSUError, match="has no name"):
        read_columns({" ": tmp_path / "wav.scp"})
    with pytest.raises(DSUError, match="lists no recording"):
        read_columns({"x": tmp_path / "wav.scp"})
