from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu import DSUError, UnitSequence
from espnet_dsu.bin import make_conversion_pairs
from espnet_dsu.inference.conversion import transfer_prosody
from espnet_dsu.inference.conversion_pairs import Pairing
from espnet_dsu.scp import read_scp, write_scp
from espnet_dsu.units.sequence import collapse_units, expand_runs

CENTROIDS = [np.random.default_rng(0).normal(size=(10, 4))]
UNITS = st.lists(st.integers(0, 9), min_size=1, max_size=40)
SPEAKERS = {"<unk>": "0", "ann": "1", "bob": "2", "cat": "3"}


def sequence(units, fingerprint="f"):
    return UnitSequence.from_frames(np.array(units), 160, 16000, fingerprint)


@settings(deadline=None, max_examples=30)
@given(UNITS, UNITS)
def test_prosody_keeps_the_units_and_takes_length_and_melody(source, reference):
    f0 = 100.0 + np.arange(len(reference))
    moved, melody = transfer_prosody(
        sequence(source), sequence(reference), f0, CENTROIDS
    )
    runs, _ = collapse_units(np.array(source))
    assert np.array_equal(moved.units, runs)
    assert len(reference) <= moved.num_frames <= len(reference) + len(runs)
    assert len(melody) == moved.num_frames
    assert set(f0) <= set(melody) and (np.diff(melody) >= 0).all()


@settings(deadline=None, max_examples=20)
@given(UNITS, st.data())
def test_prosody_of_the_same_words_said_otherwise_is_that_of_the_other(source, data):
    runs, _ = collapse_units(np.array(source))
    sizes = st.lists(st.integers(1, 6), min_size=len(runs), max_size=len(runs))
    durations = data.draw(sizes)
    reference = expand_runs(runs, np.array(durations))
    moved, f0 = transfer_prosody(
        sequence(source).collapse(), sequence(reference), None, CENTROIDS
    )
    assert moved.durations.tolist() == durations and f0 is None


def test_prosody_of_several_streams_reads_all_of_them():
    units = np.array([[0, 1], [0, 2], [3, 2]])
    centroids = [CENTROIDS[0], CENTROIDS[0][:, :2]]
    reference = np.repeat(units, [2, 3, 1], axis=0)
    moved, _ = transfer_prosody(sequence(units), sequence(reference), None, centroids)
    assert moved.durations.tolist() == [2, 3, 1]
    assert np.array_equal(moved.units, units)


@pytest.mark.parametrize(
    ("source", "reference", "f0", "message"),
    [
        (sequence([1]), sequence([1], "g"), None, "different bundles"),
        (sequence(np.zeros(0, int)), sequence([1]), None, "no units"),
        (sequence([1]), sequence([1] * 9), np.ones(3), "F0 has 3 frames"),
    ],
)
def test_prosody_of_what_does_not_fit_is_refused(source, reference, f0, message):
    with pytest.raises(DSUError, match=message):
        transfer_prosody(source, reference, f0, CENTROIDS)


def corpus(per_speaker=7):
    utt2spk = {f"{s}-{i}": s for s in ("ann", "bob", "cat") for i in range(per_speaker)}
    text = {utt: f"words {int(utt.split('-')[1]) % 3}" for utt in utt2spk}
    return utt2spk, text


def draw(mode, seed=0, **change):
    utt2spk, text = corpus()
    given = {"utt2spk": utt2spk, "text": text, "speakers": SPEAKERS, **change}
    return Pairing(**given, mode=mode, seed=seed).draw()


@pytest.mark.parametrize("seed", range(5))
def test_pairs_of_voices_are_others_and_even(seed):
    utt2spk, _ = corpus()
    tables, left_out = draw("speaker", seed)
    assert tables.keys() == {"utt2sid", "utt2spk"} and not left_out
    assert tables["utt2spk"].keys() == utt2spk.keys()
    for utt, target in tables["utt2spk"].items():
        assert target != utt2spk[utt] and tables["utt2sid"][utt] == SPEAKERS[target]
    counts = Counter(tables["utt2spk"].values())
    assert set(counts) == {"ann", "bob", "cat"}
    assert max(counts.values()) - min(counts.values()) <= 3


def test_pairs_depend_on_the_seed_only():
    utt2spk, _ = corpus()
    backwards = dict(reversed(utt2spk.items()))
    assert draw("both", 3) == draw("both", 3, utt2spk=backwards)
    assert draw("both", 3) != draw("both", 4)


@pytest.mark.parametrize("mode", ["prosody", "both"])
def test_references_are_of_another_speaker_with_the_same_words(mode):
    utt2spk, text = corpus()
    tables, _ = draw(mode)
    for utt, reference in tables["utt2ref"].items():
        assert text[utt] == text[reference] and utt2spk[reference] != utt2spk[utt]
        voice = utt2spk[utt] if mode == "prosody" else utt2spk[reference]
        assert tables["utt2spk"][utt] == voice


def test_utterances_without_a_reference_are_left_out_and_told():
    utt2spk, text = corpus()
    text["ann-0"] = "nobody else says so"
    del text["bob-0"]
    tables, left_out = draw("both", text=text)
    assert set(left_out) == {"ann-0", "bob-0"}
    assert all(u not in tables[t] for u in left_out for t in tables)
    assert "that says the same" in left_out["ann-0"]
    _, left_out = draw("prosody", speakers={"ann": "1"})
    assert {utt2spk[u] for u in left_out} == {"bob", "cat"}


def test_command_writes_tables_that_can_be_read(tmp_path):
    utt2spk, text = corpus()
    text["ann-0"] = "alone"
    for name, table in (("utt2spk", utt2spk), ("text", text), ("spk2sid", SPEAKERS)):
        write_scp(tmp_path / name, table)
    options = [f"--{n}={tmp_path / n}" for n in ("utt2spk", "text", "spk2sid")]
    out = tmp_path / "out"
    make_conversion_pairs.main([*options, f"--output_dir={out}", "--mode=both"])
    found = {n: read_scp(out / n) for n in ("utt2sid", "utt2spk", "utt2ref")}
    assert all(list(t) == [u for u in utt2spk if u != "ann-0"] for t in found.values())
    assert (out / "left_out.tsv").read_text().startswith("ann-0\t")
    with pytest.raises(DSUError, match="--text"):
        make_conversion_pairs.main(
            [options[0], options[2], f"--output_dir={out}", "--mode=prosody"]
        )
    write_scp(tmp_path / "spk2sid", {"<unk>": "0"})
    with pytest.raises(DSUError, match="no utterance can be converted"):
        make_conversion_pairs.main([*options, f"--output_dir={out}"])
