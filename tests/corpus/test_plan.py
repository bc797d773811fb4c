import os

from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu.corpus.plan import (
    Shard,
    Utterance,
    cut_batches,
    cut_shards,
    even_shard_sec,
    inspect,
)
from tests.speech import write_corpus


def utterances(min_size=0, max_size=40):
    one = st.builds(
        Utterance,
        name=st.uuids().map(str),
        source=st.just("missing.wav"),
        num_samples=st.integers(0, 50000),
        fs=st.sampled_from([8000, 16000]),
    )
    return st.lists(one, min_size=min_size, max_size=max_size)


def content(shard):
    return [u.name for u in shard.utterances]


def test_inspect_reads_headers_and_names_problems(tmp_path):
    scp = write_corpus(tmp_path, [0.5, 1.0])
    entries = dict(line.split() for line in scp.read_text().splitlines())
    entries["gone"] = str(tmp_path / "gone.wav")
    one, two, gone = inspect(entries)
    assert (one.name, one.num_samples, one.fs, one.problem) == ("utt0", 8000, 16000, "")
    assert two.duration_sec == 1.0 and two.stamp[0] == os.path.getsize(two.source)
    assert (gone.fs, gone.duration_sec, gone.stamp) == (0, 0.0, None)
    assert gone.problem == "not found"


def test_inspect_keeps_the_order_of_a_long_list():
    entries = {f"u{i}": f"missing{i}.wav" for i in range(3000)}
    assert [u.name for u in inspect(entries)] == list(entries)


@given(utterances(), st.floats(0.1, 30), st.randoms())
def test_shards_hold_every_utterance_once_longest_first(many, shard_sec, random):
    shards = cut_shards(many, shard_sec)
    joined = [u for s in shards for u in s.utterances]
    assert sorted(u.name for u in joined) == sorted(u.name for u in many)
    assert [(u.fs, u.num_samples) for u in joined] == sorted(
        ((u.fs, u.num_samples) for u in many), reverse=True
    )
    assert [s.index for s in shards] == list(range(len(shards)))
    random.shuffle(many)  # the order of wav.scp does not matter
    assert cut_shards(many, shard_sec) == shards


@given(utterances(), st.floats(0.1, 30))
def test_shards_have_half_to_one_and_a_half_times_the_seconds(many, shard_sec):
    shards = cut_shards(many, shard_sec)
    for shard in shards:
        without_last = sum(u.duration_sec for u in shard.utterances[:-1])
        assert without_last < 1.5 * shard_sec
    assert all(s.duration_sec >= 0.5 * shard_sec for s in shards[:-1])


def test_shards_one_utterance_more_moves_only_the_cuts_near_it():
    many = [Utterance(f"u{i}", "", 16000 * 20 - i, 16000) for i in range(3000)]
    before = {tuple(content(s)) for s in cut_shards(many, 600)}
    many.append(Utterance("new", "", many[1000].num_samples, 16000))
    after = {tuple(content(s)) for s in cut_shards(many, 600)}
    assert len(before) > 90
    assert len(after - before) <= 8


def test_shard_seconds_are_halved_until_a_small_corpus_gives_all_workers_work():
    hours = [Utterance(f"u{i}", "", 16000 * 30, 16000) for i in range(120)]
    assert even_shard_sec(hours, 600) == 600 / 2**4
    assert even_shard_sec(hours[:4], 600) == 600 / 2**5  # no smaller than makes sense
    assert even_shard_sec(hours * 50, 600) == 600
    assert even_shard_sec(hours, 2.0) == 2.0


@given(utterances(), st.floats(0.1, 30))
def test_batches_hold_every_utterance_once_within_the_limit(many, batch_sec):
    batches = list(cut_batches(Shard(0, tuple(many)), batch_sec))
    assert sorted(u.name for b in batches for u in b) == sorted(u.name for u in many)
    for batch in batches:
        longest = max(u.duration_sec for u in batch)
        assert len({u.fs for u in batch}) == 1
        assert len(batch) == 1 or longest * len(batch) <= batch_sec + 1e-9


def test_state_changes_with_job_name_and_audio(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"1")

    def state(name="a", fingerprint="f"):
        (utterance,) = inspect({name: str(path)})
        return Shard(0, (utterance,)).state(fingerprint)

    before = state()
    assert state() == before
    assert state(fingerprint="g") != before
    assert state(name="b") != before
    path.write_bytes(b"12")
    assert state() != before


def test_changed_names_files_that_are_not_as_planned(tmp_path):
    archive = tmp_path / "a.ark"
    archive.write_bytes(b"1")
    sources = {"in_ark": f"{archive}:0", "gone": str(tmp_path / "gone.wav")}
    shard = Shard(0, tuple(inspect(sources)))
    assert shard.changed() == []
    archive.write_bytes(b"12")
    (tmp_path / "gone.wav").write_bytes(b"1")
    assert content(shard) == [u.name for u in shard.changed()]
