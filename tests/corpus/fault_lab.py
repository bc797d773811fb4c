"""A small corpus, and ``tokenize`` commands in processes that may be disturbed."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from espnet_dsu.bin import cli, tokenize
from espnet_dsu.corpus import decoding, local
from tests.speech import write_corpus

Hook = Callable[[], None]
LENGTHS = [0.3 + 0.05 * (7 * i % 20) for i in range(24)]
DISK_KB = 1024


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (negative: signal) and what it said."""

    code: int
    log: str

    @property
    def said(self) -> str:
        """The error; or else how it was killed and what a rerun began with."""
        errors = re.findall(r"espnet_dsu: (?:error: )?(.*)", self.log)
        if errors and self.code:
            return errors[-1]
        if self.code < 0:
            return f"killed by {signal.Signals(-self.code).name}"
        lines = re.findall(r"(?:INFO|WARNING): (.*)", self.log)
        wanted = "resuming|again|changed|damaged|missing|tokenized"
        return "; ".join(line for line in lines if re.search(wanted, line))


@dataclass(frozen=True)
class Running:
    """A command that has begun, and the pipe that it writes to."""

    pid: int
    pipe: int

    def wait(self, seconds: float = 300.0) -> Ended:
        """Wait for its end; a command that hangs is killed after some minutes."""
        end = time.monotonic() + seconds
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        while not pid:
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.005)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        os.set_blocking(self.pipe, False)
        with os.fdopen(self.pipe, "rb") as f:
            log = f.read() or b""
        return Ended(os.waitstatus_to_exitcode(status), log.decode())


class Lab(ExitStack):
    """A folder with a corpus, a bundle and one output directory."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        super().__init__()
        self.folder = folder
        self.wav_scp = write_corpus(folder / "wav", LENGTHS)
        self.bundle = folder / "bundle"
        shutil.copytree(bundle, self.bundle)
        self.out = folder / "out"

    def start(
        self, *options: str, hook: Hook | None = None, out: Path | None = None
    ) -> Running:
        """Begin a command in a process of its own; ``hook`` prepares that process."""
        given = ["--wav_scp", self.wav_scp, "--tokenizer", self.bundle]
        given += ["--output_dir", out or self.out, "--shard_sec", "2", *options]
        # A pipe, since a file could not be written to when the disk is full.
        reading, writing = os.pipe()
        words = [str(word) for word in given]
        if "dask" in words:
            # Where this process has used Dask before, a fork of it would hang in Dask.
            pid = _program(words, writing)
        elif (pid := os.fork()) == 0:
            _command(words, hook, writing)
        os.close(writing)
        return Running(pid, reading)

    def run(self, *options: str, hook: Hook | None = None) -> Ended:
        """Run a command to its end, whatever that is."""
        return self.start(*options, hook=hook).wait()

    def interrupt(self, num_shards: int = 4) -> Ended:
        """Run a command that is killed when so many shards are done."""
        ended = self.run(hook=die_after(num_shards))
        assert ended.code == -signal.SIGKILL and len(self.shards()) == num_shards
        return ended

    def shards(self) -> list[Path]:
        """Folders of the finished shards."""
        return sorted(p.parent for p in self.out.glob(".shards/[!.]*/shard.json"))

    def undisturbed(self) -> Path:
        """Return the folder that an undisturbed run fills now."""
        out = self.folder / "undisturbed"
        ended = self.start(out=out).wait()
        assert ended.code == 0, ended.log
        return out

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something has come about."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.005)

    def own_disk(self) -> bool:
        """Put the output directory on a small disk of its own, if that is allowed."""
        self.out.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_KB}k", "dsu", self.out]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
            return False
        self.callback(subprocess.run, ["umount", "-l", self.out], check=True)
        return True


@dataclass
class Row:
    """What came of one fault.

    ``whole`` says that nothing partial was there under a final name after the fault.
    """

    fault: str
    happened: list[str] = field(default_factory=list)
    whole: bool = True
    lost: int = -1
    doubled: int = -1
    equal: bool = False

    @property
    def harmless(self) -> bool:
        """Whether the rerun gave what an undisturbed run gives."""
        return self.equal and self.whole and self.lost == self.doubled == 0

    def note(self, lab: Lab, ended: Ended) -> None:
        """Write down how a run ended."""
        said = ended.said.replace(str(lab.folder), "").replace(str(os.getpid()), "N")
        self.happened.append(said or f"exit code {ended.code}")


def _program(words: list[str], pipe: int) -> int:
    """Begin a command as a program of its own; return its process id."""
    program = [sys.executable, "-m", "espnet_dsu.bin.tokenize"]
    return os.posix_spawn(
        sys.executable,
        [*program, *words],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, pipe, 1), (os.POSIX_SPAWN_DUP2, pipe, 2)],
    )


def content(folder: Path) -> dict[str, str]:
    """Hash every file below a folder, whatever the folder is called."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes().replace(str(folder).encode(), b"")
        ).hexdigest()
        for path in files
    }


def ids(folder: Path) -> list[str]:
    """List the utterances of a unit directory, as often as they are there."""
    scp = folder / "units.scp"
    lines = scp.read_text().splitlines() if scp.exists() else []
    return [line.split()[0] for line in lines]


def workers_of(pid: int) -> list[int]:
    """List the worker processes that a process has started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(c) for c in children if "spawn_main" in _command_line(int(c))]


def is_alive(pid: int) -> bool:
    """Tell whether a process is there."""
    return bool(_command_line(pid))


def slow(seconds: float) -> Hook:
    """Make the reading of each recording take longer."""

    def hook() -> None:
        real = decoding.read_audio

        def read(*args):
            time.sleep(seconds)
            return real(*args)

        decoding.read_audio = read

    return hook


def die_after(num_shards: int) -> Hook:
    """Kill the process when so many shards are done."""

    def hook() -> None:
        real, done = local.run_shard, []

        def run(*args):
            if len(done) == num_shards:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(args)
            return real(*args)

        local.run_shard = run

    return hook


def _command(words: list[str], hook: Hook | None, pipe: int) -> None:
    """Be the command; never return."""
    code = 1
    try:
        os.dup2(pipe, 1)
        os.dup2(pipe, 2)
        sys.stderr = os.fdopen(2, "w", buffering=1)
        logging.root.handlers.clear()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if hook:
            hook()
        cli.run(lambda _: tokenize.main(words))
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
