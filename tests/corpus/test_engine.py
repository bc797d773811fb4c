import logging
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from espnet_dsu import DSUError
from espnet_dsu.corpus import launcher, local
from espnet_dsu.corpus.engine import Options, run_job
from espnet_dsu.corpus.launcher import ShardTask, make_launcher, place, run_shard
from espnet_dsu.corpus.lock import DirectoryLock
from espnet_dsu.corpus.plan import cut_shards, inspect
from espnet_dsu.corpus.seal import read_seal
from tests.corpus.gate_job import GateJob
from tests.speech import write_corpus

SHARDS = Options(shard_sec=1.0)


@pytest.fixture
def job(tmp_path):
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "gate").touch()
    return GateJob(tmp_path / "control")


@pytest.fixture
def entries(tmp_path):
    """Ten utterances; as many as five shards."""
    scp = write_corpus(tmp_path / "wav", [0.3 + 0.01 * i for i in range(10)])
    return dict(line.split() for line in scp.read_text().splitlines())


def rename(entries, old, new):
    return {new if name == old else name: path for name, path in entries.items()}


def names_of(finished):
    return [(finished.folder(s) / "names").read_text().split() for s in finished.shards]


def task_of(job, entries, folder):
    (shard,) = cut_shards(inspect(entries), 1e9)
    state = shard.state(job.fingerprint)
    return ShardTask(shard, folder / state, state, folder / "log" / "gate.0.log")


def test_run_job_gives_folders_failures_and_entries(job, entries, tmp_path):
    with run_job(job, entries, tmp_path / "out", SHARDS) as finished:
        names = names_of(finished)
        assert [name for part in names for name in part] == list(entries)[::-1]
        assert len(finished.shards) >= 3
        lasts = {part[-1] for part in names}
        assert [f.name for f in finished.failures] == [n for n in entries if n in lasts]
        assert finished.entries == entries
        assert (tmp_path / "out" / ".shards" / "manifest.json").exists()
    assert os.listdir(tmp_path / "out") == []


def test_run_job_shards_stay_until_the_merge_succeeds(job, entries, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(ZeroDivisionError):
        with run_job(job, entries, tmp_path / "out", SHARDS):
            raise ZeroDivisionError
    with pytest.raises(DSUError, match="No space left.*finished shards are kept"):
        with run_job(job, entries, tmp_path / "out", SHARDS):
            raise OSError(28, "No space left on device")
    finished = run_job(job, entries, tmp_path / "out", SHARDS)
    assert len(job.pids("started")) == 1, "a rerun with nothing to do starts nothing"
    number = len(finished.shards)
    assert caplog.text.count(f"resuming, {number} of {number} shards are done") == 2
    finished.remove()
    assert os.listdir(tmp_path / "out") == []


def test_run_job_broken_shard_names_utterances_and_log(job, entries, tmp_path):
    entries = rename(entries, "utt5", "broken")
    with pytest.raises(DSUError, match="failed at .*broken.*out of order") as error:
        run_job(job, entries, tmp_path / "out", SHARDS)
    log = re.search(r"see (\S+\.log)", str(error.value))[1]
    text = open(log).read()
    assert "Traceback" in text and re.search("in work: .*broken", text)
    assert re.search(r"broken[^:]*: RuntimeError: out of order\n$", text)
    shards = tmp_path / "out" / ".shards"
    assert not list(shards.glob(".*")), "no half-done folder is left"
    assert list(shards.glob("*/shard.json")), "finished shards are kept"
    assert not (tmp_path / "out" / ".lock").exists()


def test_run_job_failures_beyond_the_limit_stop_it(job, entries, tmp_path):
    with pytest.raises(DSUError, match=r"utt\d: .*: last \(2 failed, 1 allowed\)"):
        run_job(job, entries, tmp_path / "out", Options(shard_sec=1.0, max_failures=1))
    assert len(list((tmp_path / "out").glob(".shards/*/shard.json"))) == 2


def test_run_job_unreadable_header_beyond_the_limit_stops_it_before_a_worker_starts(
    job, entries, tmp_path
):
    entries["gone"] = str(tmp_path / "gone.wav")
    with pytest.raises(DSUError, match="gone: .*not found .1 failed, 0 allowed"):
        run_job(job, entries, tmp_path / "out", Options(max_failures=0))
    assert job.pids("started") == []


@pytest.mark.parametrize("empty", [{}, []])
def test_run_job_without_utterances_is_an_error(job, empty, tmp_path):
    with pytest.raises(DSUError, match="no utterances"):
        run_job(job, empty, tmp_path / "out", Options())


def test_run_job_one_changed_file_redoes_one_shard(job, entries, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with run_job(job, entries, tmp_path / "out", SHARDS):
            raise KeyboardInterrupt
    before = {p: p.stat().st_ino for p in (tmp_path / "out").glob(".shards/*/names")}
    os.utime(entries["utt4"])
    with run_job(job, entries, tmp_path / "out", SHARDS):
        after = {p: p.stat().st_ino for p in (tmp_path / "out").glob(".shards/*/names")}
    assert len(before) == len(after)
    assert len(after.items() - before.items()) == 1


def test_run_job_worker_that_keeps_dying_is_an_error_naming_its_log(
    job, entries, tmp_path, caplog, monkeypatch
):
    assert local._MAX_RESTARTS == 2
    monkeypatch.setattr(local, "_MAX_RESTARTS", 1)
    entries = rename(entries, "utt0", "killer")
    with pytest.raises(DSUError, match="died 2 times.*gate.*in work: .*killer"):
        run_job(job, entries, tmp_path / "out", Options(nj=2, shard_sec=1.0))
    assert caplog.text.count("starting again") == 1
    assert 2 <= len(job.pids("started")) <= 4


def test_run_shard_twice_or_by_two_workers_leaves_one_whole_folder(
    job, entries, tmp_path
):
    task = task_of(job, entries, tmp_path / "shards")
    task.folder.parent.mkdir()
    worker = job.start(place(0, 1, 0))
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: run_shard(worker, task), range(4)))
    assert len(set(outcomes)) == 1 and [f.name for f in outcomes[0].failures] == [
        "utt0"
    ]
    inode = task.folder.stat().st_ino
    assert run_shard(worker, task) == outcomes[0]
    assert task.folder.stat().st_ino == inode, "what is done is not done again"
    assert set(os.listdir(task.folder.parent)) == {task.folder.name, "log"}


def test_run_shard_keeps_a_log_line_for_each_failure_only(job, entries, tmp_path):
    task = task_of(job, entries, tmp_path / "shards")
    task.folder.parent.mkdir()
    run_shard(job.start(place(0, 1, 0)), task)
    last = task.log.read_text().splitlines()[-1]
    assert last.endswith(f"utt0: {entries['utt0']}: last")


@pytest.mark.parametrize("harm", ["truncate", "delete", "other_state", "no_seal"])
def test_read_seal_refuses_what_is_not_as_it_was_sealed(job, entries, tmp_path, harm):
    task = task_of(job, entries, tmp_path / "shards")
    task.folder.parent.mkdir()
    run_shard(job.start(place(0, 1, 0)), task)
    assert [f.name for f in read_seal(task.folder, task.state)] == ["utt0"]
    if harm == "truncate":
        os.truncate(task.folder / "names", 3)
    elif harm == "delete":
        (task.folder / "names").unlink()
    elif harm == "no_seal":
        (task.folder / "shard.json").write_text("[]")
    state = "other" if harm == "other_state" else task.state
    assert read_seal(task.folder, state) is None


def test_lock_keeps_a_second_run_out_and_ends_with_its_process(tmp_path):
    child = os.fork()
    if child == 0:
        with DirectoryLock(tmp_path):
            (tmp_path / "held").touch()
            threading.Event().wait(30)
        os._exit(0)
    while not (tmp_path / "held").exists():
        pass
    with pytest.raises(DSUError, match=f"another run .process {child} on"):
        with DirectoryLock(tmp_path):
            pass
    os.kill(child, 9)
    os.waitpid(child, 0)
    with DirectoryLock(tmp_path):
        with pytest.raises(DSUError, match=f"process {os.getpid()}"):
            DirectoryLock(tmp_path).__enter__()
    assert os.listdir(tmp_path) == ["held"]


def test_lock_where_the_directory_would_be_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DSUError, match="file cannot be written"):
        DirectoryLock(tmp_path / "file").__enter__()


@pytest.mark.parametrize(
    ("name", "conf", "message"),
    [
        ("slurm", {}, "'slurm': expected one of local, dask"),
        ("local", {"queue": "x"}, "queue: the local launcher has no options"),
    ],
)
def test_make_launcher_wrong_name_or_option_is_an_error(name, conf, message):
    with pytest.raises(DSUError, match=message):
        make_launcher(name, 1, 0, conf)


def test_place_shares_gpus_and_cores_out(monkeypatch):
    monkeypatch.setattr(launcher, "num_cores", lambda: 8)
    assert [place(rank, 3, 2).device for rank in range(3)] == [
        "cuda:0",
        "cuda:1",
        "cuda:0",
    ]
    assert place(0, 3, 0) == launcher.Placement("cpu", 2)
    assert place(0, 1, 0).num_threads == 0
    assert place(0, 99, 0).num_threads == 1
