import numpy as np
import pytest
import soundfile
import torch

from espnet_dsu import DSUError
from espnet_dsu.audio import AudioFile, read_audio
from espnet_dsu.corpus import sampling
from espnet_dsu.corpus.engine import Options
from espnet_dsu.corpus.plan import inspect
from espnet_dsu.corpus.sample_files import SampleFiles, SampleWriter
from espnet_dsu.corpus.sampling import SampleJob, num_frames, sample_corpus
from espnet_dsu.quantizer.frame_sample import FrameSample, frame_keys
from espnet_dsu.scp import read_scp
from espnet_dsu.upstream import build_upstream
from espnet_dsu.upstream.windows import Windowing, recording_frames
from tests.speech import voice, write_corpus
from tests.upstream.tiny_checkpoints import save_hf

LENGTHS = [0.5, 1.5, 0.3, 0.8, 2.0, 0.4]


@pytest.fixture
def wav_scp(tmp_path):
    return write_corpus(tmp_path / "wav", LENGTHS)


def mfcc_job(seed=0):
    return SampleJob("mfcc", {}, build_upstream("mfcc").identity(), (), seed)


def corpus(wav_scp, upstream):
    found = inspect(read_scp(wav_scp))
    return {u: num_frames(upstream, u.num_samples, u.fs) for u in found}


def sample(wav_scp, job, number, work, options=Options()):
    """Return the sample of every layer, and the failures."""
    upstream = build_upstream(job.upstream, job.upstream_conf)
    counts = corpus(wav_scp, upstream)
    with sample_corpus(job, counts, number, work, options) as (files, failures):
        last = min(number, files.num_frames)
        layers = job.layers or [None]
        return [files.read(k, upstream.dim, 0, last) for k in layers], failures


@torch.inference_mode()
def expected(wav_scp, name, number, seed=0):
    """Sample all frames of the corpus in this process."""
    upstream, kept = build_upstream(name), FrameSample(number, seed)
    for utterance, source in read_scp(wav_scp).items():
        wav, _ = read_audio(source)
        frames, _ = upstream.frames(
            torch.from_numpy(wav)[None], torch.tensor([len(wav)])
        )
        kept.add(utterance, frames[0].numpy())
    return kept.take()


@pytest.mark.parametrize("number", [1, 50, 200, 10_000])
def test_sample_is_the_frames_with_the_smallest_keys(wav_scp, tmp_path, number):
    (found,), failures = sample(wav_scp, mfcc_job(), number, tmp_path / "work")
    assert np.array_equal(found, expected(wav_scp, "mfcc", number))
    assert failures == []


@pytest.mark.parametrize(
    "options", [Options(nj=2, shard_sec=1.0), Options(shard_sec=0.1)]
)
def test_sample_workers_and_shards_do_not_matter(wav_scp, tmp_path, options):
    (one,), _ = sample(wav_scp, mfcc_job(), 100, tmp_path / "one")
    (other,), _ = sample(wav_scp, mfcc_job(), 100, tmp_path / "other", options)
    assert np.array_equal(one, other)


def test_sample_of_several_layers_is_the_same_frames_of_each(wav_scp, tmp_path):
    save_hf(tmp_path / "model", "hubert_layer")
    name = f"hf:{tmp_path / 'model'}"
    job = SampleJob(f"{name}@3", {}, {}, (1, 3), seed=0)
    found, _ = sample(wav_scp, job, 100, tmp_path / "work")
    for layer, frames in zip(job.layers, found):
        assert np.array_equal(frames, expected(wav_scp, f"{name}@{layer}", 100))


def test_sample_long_audio_by_windows_keeps_the_keys_of_the_whole(tmp_path):
    wav_scp = write_corpus(tmp_path / "wav", [90.0, 1.0])
    (found,), _ = sample(wav_scp, mfcc_job(), 500, tmp_path / "work")
    assert np.allclose(found, expected(wav_scp, "mfcc", 500), atol=1e-4)


def test_shards_keep_little_more_than_the_sample(tmp_path):
    wav_scp = write_corpus(tmp_path / "wav", [5.0] * 10)
    upstream = build_upstream("mfcc")
    counts = corpus(wav_scp, upstream)
    with sample_corpus(
        mfcc_job(), counts, 500, tmp_path / "work", Options(shard_sec=5.0)
    ) as (files, _):
        assert 500 <= files.num_frames < 800 < sum(counts.values())


def test_audio_without_a_small_key_is_not_read(tmp_path, monkeypatch):
    wav_scp = write_corpus(tmp_path / "wav", [0.1] * 60)
    read = []
    real = sampling.run_job
    monkeypatch.setattr(
        sampling,
        "run_job",
        lambda job, wanted, *rest: read.extend(wanted) or real(job, wanted, *rest),
    )
    (found,), _ = sample(wav_scp, mfcc_job(), 4, tmp_path / "work")
    assert len(read) < 50
    assert np.array_equal(found, expected(wav_scp, "mfcc", 4))


def test_sample_much_audio_fails_is_as_large_as_without_it(tmp_path, caplog):
    """The second pass: half of the frames that were planned do not come."""
    caplog.set_level("INFO")
    wav_scp = write_corpus(tmp_path / "wav", [5.0] * 20)
    lines = wav_scp.read_text().splitlines(keepends=True)
    good = tmp_path / "good.scp"
    good.write_text("".join(lines[10:]))
    for index in range(10):
        path = tmp_path / "wav" / f"utt{index}.wav"
        bad = bytearray(path.read_bytes())
        bad[4:8] = bad[40:44] = b"\0\0\0\x01"  # a header that promises too much
        path.write_bytes(bad)
    upstream = build_upstream("mfcc")
    counts = corpus(good, upstream)
    # The plan is of a time when all was well.
    counts |= {
        u.__class__(u.name, u.source, 80000, 16000): 498
        for u in inspect(read_scp(wav_scp))[:10]
    }
    job, work = mfcc_job(), tmp_path / "work"
    with sample_corpus(job, counts, 2000, work, Options()) as (files, failures):
        found = files.read(None, 39, 0, 2000)
    assert len(failures) == 10 and "reading the audio again" in caplog.text
    assert np.array_equal(found, expected(good, "mfcc", 2000))


def test_bad_audio_is_named_and_stops_nobody(wav_scp, tmp_path):
    (tmp_path / "wav" / "utt1.wav").write_bytes(b"")
    (tmp_path / "wav" / "utt3.wav").unlink()
    (found,), failures = sample(wav_scp, mfcc_job(), 10_000, tmp_path / "work")
    assert [(f.name, f.reason) for f in failures] == [
        ("utt1", "empty file"),
        ("utt3", "not found"),
    ]
    with pytest.raises(DSUError, match="2 failed, 1 allowed"):
        sample(wav_scp, mfcc_job(), 10_000, tmp_path / "work", Options(max_failures=1))


def test_job_fingerprint_says_what_decides_the_frames():
    base = dict(upstream="a", upstream_conf={}, identity={"w": 1}, layers=(1,), seed=0)
    job = SampleJob(**base)
    for change in ({"seed": 1}, {"layers": (1, 2)}, {"identity": {}}, {"limit": 5}):
        assert SampleJob(**{**base, **change}).fingerprint != job.fingerprint
    for change in ({"upstream": "b"}, {"batch_sec": 1.0}):
        assert SampleJob(**{**base, **change}).fingerprint == job.fingerprint
    half = [SampleJob(**base, dtype="float16", batch_sec=b) for b in (1.0, 2.0)]
    assert half[0].fingerprint != half[1].fingerprint != job.fingerprint


def test_writer_takes_back_what_a_failed_block_wrote(tmp_path):
    keys, frames = frame_keys(0, "a", 7), torch.arange(14.0).reshape(7, 2)
    with SampleWriter(tmp_path, [None], 2**64 - 1) as out:
        out.write(keys[:3], [frames[:3]])
        with pytest.raises(ZeroDivisionError), out.all_or_nothing():
            out.write(keys[3:5], [frames[3:5]])
            raise ZeroDivisionError
        out.write(keys[5:], [frames[5:]])
    kept = [0, 1, 2, 5, 6]
    files = SampleFiles((tmp_path,))
    assert files.num_frames == 5
    order = keys[kept].argsort()
    assert np.array_equal(files.read(None, 2, 0, 5), frames.numpy()[kept][order])


def test_parts_of_the_sample_joined_are_the_sample(tmp_path):
    for part in range(3):
        (tmp_path / str(part)).mkdir()
        with SampleWriter(tmp_path / str(part), [None], 2**63) as out:
            keys = frame_keys(0, str(part), 5000)
            out.write(keys, [torch.from_numpy(keys.astype(np.float32))[:, None]])
    files = SampleFiles(tuple(tmp_path / str(part) for part in range(3)))
    whole = files.read(None, 1, 0, 7000)
    assert (np.diff(whole[:, 0]) >= 0).all()
    parts = [files.read(None, 1, a, b) for a, b in [(0, 1), (1, 4100), (4100, 7000)]]
    assert np.array_equal(np.concatenate(parts), whole)


def test_sample_of_several_layers_of_long_audio_is_by_windows(
    wav_scp, tmp_path, monkeypatch
):
    windowing = Windowing(0.6, 0.1)
    monkeypatch.setattr(sampling, "DEFAULT_WINDOWING", windowing)
    save_hf(tmp_path / "model", "hubert_group")
    name = f"hf:{tmp_path / 'model'}"
    job = SampleJob(f"{name}@2", {}, {}, (0, 2), seed=0)
    found, _ = sample(wav_scp, job, 10_000, tmp_path / "work")
    for layer, frames in zip(job.layers, found):
        upstream, kept = build_upstream(f"{name}@{layer}"), FrameSample(10_000, 0)
        for utterance, source in read_scp(wav_scp).items():
            file = AudioFile(source)
            parts = recording_frames(upstream, file, windowing, "cpu")
            kept.add(utterance, torch.cat(list(parts)).numpy())
        assert np.array_equal(frames, kept.take())


def test_long_audio_that_is_damaged_inside_leaves_no_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "DEFAULT_WINDOWING", Windowing(0.6, 0.1))
    wav_scp = write_corpus(tmp_path / "wav", [3.0, 1.0])
    wav = voice(3.0, 0)
    wav[-7] = np.nan
    soundfile.write(tmp_path / "wav" / "utt0.wav", wav, 16000, subtype="FLOAT")
    job = SampleJob("mfcc", {"cmvn": "none"}, {}, (), seed=0)
    (found,), failures = sample(wav_scp, job, 10_000, tmp_path / "work")
    assert [f.name for f in failures] == ["utt0"] and "NaN" in failures[0].reason
    assert len(found) == 98
