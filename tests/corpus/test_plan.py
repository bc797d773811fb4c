from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu.corpus.plan import Shard, Utterance, cut_batches, cut_shards, plan_hash

utterances = st.lists(
    st.builds(
        Utterance,
        name=st.uuids().map(str),
        source=st.just("missing.wav"),
        num_samples=st.integers(0, 50000),
        fs=st.sampled_from([8000, 16000]),
    ),
    max_size=40,
)


@given(utterances, st.floats(0.1, 30))
def test_shards_hold_every_utterance_once_in_order(many, shard_sec):
    shards = cut_shards(many, shard_sec)
    assert [u for s in shards for u in s.utterances] == many
    assert [s.index for s in shards] == list(range(len(shards)))
    assert all(s.utterances for s in shards)


@given(utterances, st.floats(0.1, 30))
def test_batches_hold_every_utterance_once_within_the_limit(many, batch_sec):
    batches = list(cut_batches(Shard(0, tuple(many)), batch_sec))
    assert sorted(u.name for b in batches for u in b) == sorted(u.name for u in many)
    for batch in batches:
        longest = max(u.duration_sec for u in batch)
        assert len({u.fs for u in batch}) == 1
        assert len(batch) == 1 or longest * len(batch) <= batch_sec + 1e-9


def test_plan_hash_changes_with_bundle_audio_and_cut(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"1")
    one = Utterance("a", str(path), 1, 1)
    shards = [Shard(0, (one,))]
    before = plan_hash("f", shards)
    assert plan_hash("f", shards) == before
    assert plan_hash("g", shards) != before
    path.write_bytes(b"12")
    assert plan_hash("f", shards) != before
