"""The Dask launcher on a real cluster of two worker processes."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from espnet_dsu import DSUError
from espnet_dsu.corpus.engine import Options
from espnet_dsu.corpus.job import Failure
from espnet_dsu.corpus.launcher import Launcher, ShardTask, make_launcher
from espnet_dsu.corpus.plan import Shard, Utterance
from espnet_dsu.corpus.shard_log import no_report
from espnet_dsu.corpus.tokenizing import tokenize_corpus
from tests.corpus.gate_job import GateJob, wait_until
from tests.speech import train_bundle, write_corpus

distributed = pytest.importorskip("distributed")
# Not imported here: that would change what Ctrl-C does, which the package prevents.
if find_spec("dask_jobqueue") is None:
    pytest.skip("dask-jobqueue is not installed", allow_module_level=True)

from espnet_dsu.corpus import (  # noqa: E402
    dask_cluster,
    dask_jobs,
    dask_launcher,
    dask_worker,
)
from espnet_dsu.corpus.dask_job_script import job_settings  # noqa: E402
from espnet_dsu.corpus.dask_jobs import cluster_class  # noqa: E402
from espnet_dsu.corpus.dask_options import BATCH_SYSTEMS, parse_options  # noqa: E402

ROOT = Path(__file__).parents[2]
DASK = "DASK_DISTRIBUTED__SCHEDULER__"


def start(stack: ExitStack, module: str, *options: str) -> subprocess.Popen:
    """Start a program of Dask's that ends with the stack."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", *options, "--no-dashboard"],
        cwd="/",
        env=os.environ | {"PYTHONPATH": str(ROOT), f"{DASK}ALLOWED_FAILURES": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)  # with a nanny its worker goes, too
    return process


def start_scheduler(stack: ExitStack, port: int) -> subprocess.Popen:
    return start(stack, "dask_scheduler", "--host", "127.0.0.1", "--port", str(port))


def start_workers(stack: ExitStack, address: str, number: int = 2) -> None:
    for _ in range(number):
        options = ["--nthreads", "1", "--memory-limit", "0", "--death-timeout", "30"]
        start(stack, "dask_worker", address, *options)
    with distributed.Client(address, timeout=30) as client:
        client.wait_for_workers(number, timeout=40)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two workers, which nannies start again."""
    with ExitStack() as stack:
        port = free_port()
        address = f"tcp://127.0.0.1:{port}"
        start_scheduler(stack, port)
        start_workers(stack, address)
        yield address


@pytest.fixture
def job(tmp_path: Path) -> GateJob:
    (tmp_path / "control").mkdir()
    return GateJob(tmp_path / "control")


def make_tasks(folder: Path, number: int, name: str = "utt") -> list[ShardTask]:
    """Make tasks of two utterances each."""
    tasks = []
    for i in range(number):
        names = (f"{name}{i}" if name == "utt" else name, f"last{i}")
        shard = Shard(i, tuple(Utterance(n, "x.wav", 16000, 16000) for n in names))
        log = folder / "log" / f"{i}.log"
        tasks.append(ShardTask(shard, folder / "work" / f"{i}", f"state{i}", log))
    return tasks


def launch(address: str, **conf: object) -> Launcher:
    return make_launcher("dask", 2, 0, {"scheduler": address, **conf})


@contextmanager
def meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Do something in another thread."""
    errors: list[BaseException] = []

    def act() -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join()
    assert not errors, errors


def test_run_worker_killed_in_mid_shard_gives_every_shard_once(cluster, job, tmp_path):
    tasks = make_tasks(tmp_path, 7)

    def kill_one() -> None:
        os.kill(wait_until(lambda: job.pids("shard0"))[0], signal.SIGKILL)
        wait_until(lambda: len(job.pids("shard0")) == 2 or job.pids("shard2"))
        job.gate.touch()

    with meanwhile(kill_one):
        found = list(launch(cluster).run(job, tasks, no_report))
    assert sorted(o.index for o in found) == list(range(7))
    for outcome in found:
        last = Failure(f"last{outcome.index}", "x.wav", "last")
        assert outcome.failures == (last,)
        names = tasks[outcome.index].folder / "names"
        assert names.read_text() == f"utt{outcome.index} last{outcome.index}"
    assert len(job.pids("shard0")) == 2
    # Once in each of the two processes, and once in the one after the kill.
    assert len(job.pids("started")) == len(set(job.pids("started"))) <= 3
    assert not list((tmp_path / "work").glob(".run-*"))


def test_run_worker_does_one_shard_at_a_time(cluster, job, tmp_path):
    run = launch(cluster).run(job, make_tasks(tmp_path, 5), no_report)

    def look() -> None:
        wait_until(lambda: len(list(job.control.glob("shard*"))) == 2)
        pids = [pid for i in range(5) for pid in job.pids(f"shard{i}")]
        assert len(pids) == len(set(pids)) == 2
        assert job.pids("shard0") and job.pids("shard1")  # the first ones first
        job.gate.touch()

    with meanwhile(look):
        assert len(list(run)) == 5


def test_run_closed_early_stops_shards_in_work(cluster, job, tmp_path):
    tasks = make_tasks(tmp_path, 4)
    run = launch(cluster).run(job, tasks, no_report)
    (job.control / "gate0").touch()
    assert next(run).index == 0
    wait_until(lambda: job.pids("shard1"))
    run.close()
    job.gate.touch()
    wait_until(lambda: not list((tmp_path / "work").glob(".*.tmp")))
    assert [task.folder.exists() for task in tasks] == [True, False, False, False]
    assert "the command that ordered it has ended" in tasks[1].log.read_text()


def test_run_shard_that_kills_its_workers_is_one_error(cluster, job, tmp_path):
    tasks = make_tasks(tmp_path, 1, "killer")
    with pytest.raises(DSUError, match=r"shard 0 \(killer to last0\)") as caught:
        list(launch(cluster).run(job, tasks, no_report))
    assert "2 workers died at it" in str(caught.value)
    assert "in work: killer last0" in str(caught.value)
    assert str(tasks[0].log) in str(caught.value)


def test_run_shard_that_raises_is_one_error_with_names(cluster, job, tmp_path):
    with pytest.raises(DSUError, match="broken last0: RuntimeError: out of order"):
        list(launch(cluster).run(job, make_tasks(tmp_path, 1, "broken"), no_report))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle, a corpus, and in ``local`` its units.

    Paths are relative: they are the launcher's, wherever the workers were started.
    """
    folder = tmp_path_factory.mktemp("corpus")
    train_bundle(folder / "bundle")
    wav_scp = write_corpus(folder / "wav", [0.3 + 0.1 * (i % 5) for i in range(40)])
    (folder / "wav" / "utt7.wav").write_bytes(b"no audio")
    wav_scp.write_text(wav_scp.read_text().replace(f"{folder}/", ""))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tokenize_corpus("wav/wav.scp", "bundle", "local", Options(shard_sec=0.5))
    return folder


def tokenize(corpus: Path, name: str, **conf: object) -> None:
    """Tokenize on Dask into the folder ``name`` of the corpus."""
    options = Options(2, shard_sec=0.5, launcher="dask", launcher_conf=conf)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(corpus)
        failures = tokenize_corpus("wav/wav.scp", "bundle", name, options)
    assert [failure.name for failure in failures] == ["utt7"]


def content(folder: Path) -> dict[str, bytes]:
    """The files of a unit directory; its own name left out."""
    names = ("units.ark", "units.scp", "utt2num_frames", "failed.tsv")
    mine = f"{folder.name}/units.ark".encode()
    return {n: (folder / n).read_bytes().replace(mine, b"") for n in names}


def wait_for_a_shard(folder: Path) -> None:
    wait_until(lambda: list(folder.glob(".shards/[!.]*/shard.json")))


def test_scheduler_restarted_in_mid_run_then_rerun_equals(corpus):
    """One Dask cluster dies in mid-run, with its scheduler; another one goes on."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    out = corpus / "restarted"
    with ExitStack() as stack:
        scheduler = start_scheduler(stack, port)
        start_workers(stack, address, 1)

        def kill() -> None:
            wait_for_a_shard(out)
            scheduler.kill()

        with meanwhile(kill), pytest.raises(DSUError, match="scheduler was lost"):
            tokenize(corpus, out.name, scheduler=address, timeout_sec=3)
    assert not (out / "units.scp").exists()
    with ExitStack() as stack:
        start_scheduler(stack, port)
        start_workers(stack, address, 1)
        tokenize(corpus, out.name, scheduler=address)
    assert content(out) == content(corpus / "local")


def test_tokenize_worker_killed_in_mid_run_equals_local(cluster, corpus):
    out = corpus / "killed"
    with distributed.Client(cluster) as client:
        victim = next(iter(client.run(os.getpid).values()))

    def kill() -> None:
        wait_for_a_shard(out)
        os.kill(victim, signal.SIGKILL)

    with meanwhile(kill):
        tokenize(corpus, out.name, scheduler=cluster)
    assert content(out) == content(corpus / "local")


def test_tokenize_on_a_local_cluster_equals_local(corpus):
    before = dict(os.environ)
    tokenize(corpus, "cluster", cluster="local")
    assert dict(os.environ) == before
    assert content(corpus / "cluster") == content(corpus / "local")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "0.0.0"}, "has espnet_dsu .*, the launcher has 0.0.0"),
        ({"mark": Path("/nowhere/.run-1")}, "does not see /nowhere"),
        ({"directory": Path("/nowhere")}, "does not see "),
        ({"ngpu": 1}, "sees no GPU"),
    ],
)
def test_worker_that_cannot_serve_the_launcher_says_why(
    cluster, job, tmp_path, change, message
):
    job.gate.touch()
    (task,) = make_tasks(tmp_path, 1)
    task.folder.parent.mkdir()
    mark = tmp_path / "mark"
    mark.touch()
    other = replace(job, control=job.control / ".")
    order = dask_worker.Order(pickle.dumps(other), 0, 0, tmp_path, mark)
    with distributed.Client(cluster) as client:
        future = client.submit(
            dask_worker.do_shard, replace(order, **change), task, pure=False
        )
        with pytest.raises(DSUError, match=message) as caught:
            future.result(timeout=30)
    assert "worker tcp://127.0.0.1:" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "ngpu", "device"),
    [
        ("SLURMCluster-5", 1, "cuda:0"),
        ("SLURMCluster-5", 8, "cuda:1"),
        (3, 2, "cuda:1"),
        ("tcp://10.0.0.1:41235", 4, "cuda:0"),
        ("any", 0, "cpu"),
    ],
)
def test_worker_takes_the_gpu_of_its_number(name, ngpu, device, monkeypatch):
    """Two GPUs are seen."""
    monkeypatch.setattr(dask_worker.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(dask_worker, "get_worker", lambda: SimpleNamespace(name=name))
    assert dask_worker._device(ngpu) == device


def test_no_scheduler_at_the_address_is_one_clear_error(job, tmp_path):
    address = f"tcp://127.0.0.1:{free_port()}"
    launcher = launch(address, timeout_sec="0.5")
    with pytest.raises(DSUError, match=f"no scheduler answers at {address}"):
        list(launcher.run(job, make_tasks(tmp_path, 1), no_report))


def test_scheduler_file_that_is_missing_is_one_clear_error(job, tmp_path):
    conf = {"scheduler_file": tmp_path / "none.json"}
    launcher = make_launcher("dask", 1, 0, conf)
    with pytest.raises(DSUError, match="none.json does not tell an address"):
        list(launcher.run(job, make_tasks(tmp_path, 1), no_report))


def test_workers_that_never_come_are_one_clear_error(job, tmp_path):
    with ExitStack() as stack:
        port = free_port()
        start_scheduler(stack, port)
        launcher = launch(f"tcp://127.0.0.1:{port}", wait_sec=1)
        with pytest.raises(DSUError, match="no worker at the scheduler for 1 s"):
            list(launcher.run(job, make_tasks(tmp_path, 1), no_report))


@pytest.mark.parametrize("package", ["distributed", "dask_jobqueue"])
def test_launcher_without_dask_says_what_to_install(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    for module in (dask_launcher, dask_cluster, dask_jobs):
        monkeypatch.delitem(sys.modules, module.__name__)
    message = f"needs the package {package}: pip install 'espnet_dsu.dask.'"
    with pytest.raises(DSUError, match=message):
        make_launcher("dask", 1, 0, {"cluster": "slurm"})


ASKED = "queue=short account=speech time=4:00:00 mem=6G num_threads=3"


def script(system: str, text: str, ngpu: int, log_dir: Path) -> str:
    """The job script for these options, made as the launcher makes it."""
    conf = dict(pair.split("=", 1) for pair in text.split())
    conf["job_extra"] = "-x y; -z"
    options = parse_options({"cluster": system, **conf})
    kind = cluster_class(system).job_cls
    settings = job_settings(options, ngpu, log_dir)
    return kind("tcp://here:1", name="espnet_dsu-0", **settings).job_script()


@pytest.mark.parametrize(
    ("system", "lines"),
    [
        (
            "slurm",
            "-p short|-A speech|-t 4:00:00|--mem=6G|--cpus-per-task=3|--gres=gpu:1",
        ),
        (
            "pbs",
            "-q short|-A speech|-l walltime=4:00:00|"
            "-l select=1:ncpus=3:mem=6144MB:ngpus=1",
        ),
        (
            "sge",
            "-q short|-P speech|-l h_rt=4:00:00|-l mem_free=2048M|-pe smp 3|-l gpu=1|"
            "-S /bin/bash",
        ),
        (
            "lsf",
            '-q short|-P "speech"|-W 4:00:00|-n 3|-R "span[hosts=1]"|-M 6442451|'
            '-gpu "num=1"',
        ),
    ],
)
def test_job_script_asks_for_what_was_asked(system, lines, tmp_path, monkeypatch):
    monkeypatch.delenv("LSF_ENVDIR", raising=False)
    text = script(system, ASKED, 4, tmp_path)
    prefix = {"slurm": "#SBATCH", "pbs": "#PBS", "sge": "#$", "lsf": "#BSUB"}[system]
    for line in [*lines.split("|"), "-x y", "-z"]:
        assert f"\n{prefix} {line}\n" in text
    assert str(tmp_path) in text
    assert f"\ncd {os.getcwd()}\nexport OMP_NUM_THREADS=3\n" in text
    (command,) = [line for line in text.splitlines() if "dask_worker" in line]
    assert command.startswith(f"{sys.executable} -m distributed.cli.dask_worker")
    assert command.endswith("--nthreads 1 --memory-limit 0")


@pytest.mark.parametrize("system", BATCH_SYSTEMS)
def test_job_script_without_gpu_asks_for_none(system, tmp_path_factory):
    log_dir = tmp_path_factory.mktemp("log")
    for ngpu, text in ((0, ""), (1, "ngpu=0")):
        assert "gpu" not in script(system, text, ngpu, log_dir)


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({}, "none given; give one of scheduler="),
        ({"scheduler": "a", "cluster": "local"}, "scheduler and cluster given"),
        ({"cluster": "condor"}, "cluster is 'condor', expected one of local, slurm"),
        ({"cluster": "slurm", "partition": "x"}, "unknown option 'partition'"),
        ({"cluster": "slurm", "que": "x"}, "did you mean 'queue'"),
        ({"cluster": "slurm", "num_threads": "0"}, "num_threads is '0', expected"),
        ({"cluster": "slurm", "ngpu": "one"}, "ngpu is 'one', expected an integer"),
        ({"scheduler": "a", "wait_sec": "1h"}, "wait_sec is '1h', expected a number"),
        ({"scheduler": "a", "mem": "8G"}, "mem says what a batch system's job"),
    ],
)
def test_wrong_option_is_one_clear_error(conf, message):
    with pytest.raises(DSUError, match=message):
        make_launcher("dask", 1, 0, conf)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mem": "8"}, "mem is '8', expected the memory of one job, such as 8G"),
        ({"mem": "much"}, "mem is 'much'"),
        ({}, "sbatch, which is not here"),
    ],
)
def test_job_that_cannot_be_submitted_is_one_clear_error(options, message, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DSUError, match=message):
        make_launcher("dask", 1, 0, {"cluster": "slurm", **options})


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A function that makes a stand-in for a command from its shell script."""

    def write(name: str, script: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    write("scancel", "")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return write


def test_job_that_is_refused_is_one_clear_error(job, tmp_path, commands):
    commands("sbatch", "echo invalid partition: nope >&2; exit 1")
    launcher = make_launcher("dask", 2, 0, {"cluster": "slurm", "queue": "nope"})
    with pytest.raises(DSUError, match="slurm took no job: .*invalid partition: nope"):
        list(launcher.run(job, make_tasks(tmp_path, 2), no_report))


def test_jobs_that_end_before_they_work_are_one_clear_error(
    job, tmp_path, commands, monkeypatch
):
    monkeypatch.setattr(dask_jobs, "_LOOK_EVERY_SEC", 0.1)
    logs = tmp_path / "log" / "dask"
    commands(
        "sbatch",
        f"echo no module named x > {logs}/job.err\n"
        "echo Submitted batch job $(date +%s%N)",
    )
    commands("squeue", "echo 1; echo 2")
    launcher = make_launcher("dask", 2, 0, {"cluster": "slurm"})
    with pytest.raises(DSUError, match="[34] jobs ended before.*: no module named x"):
        list(launcher.run(job, make_tasks(tmp_path, 2), no_report))


@pytest.mark.parametrize(
    ("system", "command", "output"),
    [
        ("slurm", "squeue", "echo 12; echo 345"),
        ("pbs", "qselect", "echo 12.server; echo 345.server"),
        ("sge", "qstat", "echo job-ID name; echo ---; echo ' 12 a'; echo 345 b"),
        ("lsf", "bjobs", "echo '12   '; echo 345"),
    ],
)
def test_jobs_of_a_batch_system_are_listed(system, command, output, commands):
    commands(command, output)
    assert dask_jobs._list_jobs(system) == {"12", "345"}
    commands(command, "echo No unfinished job found >&2; exit 255")
    assert dask_jobs._list_jobs(system) == set()
    commands(command, "echo cannot contact server >&2; exit 1")
    assert dask_jobs._list_jobs(system) is None


def test_jobs_in_the_queue_are_waited_for(job, tmp_path, commands, monkeypatch, caplog):
    monkeypatch.setattr(dask_jobs, "_LOOK_EVERY_SEC", 0.1)
    monkeypatch.setattr(dask_cluster, "_LOG_EVERY_SEC", 0.5)
    caplog.set_level(logging.INFO)
    commands("sbatch", "echo Submitted batch job 7")
    commands("squeue", "echo 7")
    conf = {"cluster": "slurm", "wait_sec": "3"}
    launcher = make_launcher("dask", 1, 0, conf)
    with pytest.raises(DSUError, match="no worker at slurm for 3 s; look at the queue"):
        list(launcher.run(job, make_tasks(tmp_path, 1), no_report))
    assert "waiting for workers: 0 of 1 are here, for 1 s now" in caplog.text
    assert "#SBATCH --mem=8G" in caplog.text
    assert "#SBATCH -t" not in caplog.text  # the queue's own limit


def test_ctrl_c_still_interrupts_after_dask_jobqueue_is_there():
    # A shell starts what it puts in the background with the signal ignored.
    handlers = signal.default_int_handler, signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) in handlers
