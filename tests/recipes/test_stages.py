"""The recipe library: options, help, dispatch, jobs; rules that all scripts keep."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIB = ROOT / "egs2" / "TEMPLATE" / "lib"
ASR2 = ROOT / "egs2" / "TEMPLATE" / "asr2" / "asr2.sh"
VOC1 = ROOT / "egs2" / "TEMPLATE" / "voc1" / "voc1.sh"
SCRIPTS = sorted(ROOT.glob("egs2/**/*.sh"))

TASK = """#!/usr/bin/env bash
# A task script with three stages.
set -euo pipefail
. "{lib}/all.sh"

# General
stage=1          # First stage.
stop_stage=10000 # Last stage.
skip_stages=     # Stages to skip.
python={python} # Python.
nclusters=500    # Number of units.
portion=0.5      # A share.
use_lm=false     # Whether to use an LM.

# Text
asr_args=        # Arguments.
                 # They win over the config.

stages=(
    "1 first The first stage"
    "2 second The second stage"
    "3 third The third stage"
)

first() {{ echo "first ran"; }}
second() {{
    {second}
}}
third() {{ echo "third ran"; }}

parse_options "$@"
run_stages
"""


class Task:
    """A small task script in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "task.sh"
        self.second_is("echo 'second ran'")

    def second_is(self, body: str) -> None:
        """Write the script with this body of the second stage."""
        text = TASK.format(lib=LIB, python=sys.executable, second=body)
        self.script.write_text(text)
        self.script.chmod(0o755)

    def run(self, *options: str, code: int = 0, **environment: str) -> str:
        """Run the script and return what it wrote, errors included."""
        done = subprocess.run(
            ["./task.sh", *options],
            cwd=self.folder,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == code, done.stdout
        return done.stdout


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A task script of the test's own."""
    return Task(tmp_path)


def ran(output: str) -> list[str]:
    """Return the stages that ran."""
    return re.findall(r"^(\w+) ran$", output, re.MULTILINE)


def test_all_stages_run_in_order_with_espnet_log_lines(task: Task) -> None:
    output = task.run()
    assert ran(output) == ["first", "second", "third"]
    line = r"^\d{4}-\d\d-\d\dT[\d:]{8} \(task.sh:\d+:main\) Stage 2: The second stage$"
    assert re.search(line, output, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--stage 2", ["second", "third"]),
        ("--stop_stage 2", ["first", "second"]),
        ("--stop-stage=1", ["first"]),
        ("--stage 2 --stop_stage 2", ["second"]),
        ("--stage 4", []),
    ],
)
def test_stage_and_stop_stage_choose_the_stages(
    task: Task, options: str, expected: list[str]
) -> None:
    assert ran(task.run(*options.split())) == expected


def test_skipped_stage_leaves_a_line(task: Task) -> None:
    output = task.run("--skip_stages", "1 3")
    assert ran(output) == ["second"]
    assert "Skip stage 3: The third stage" in output


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("false; echo 'second ran'", 1),
        ("local x; x=$(false); echo 'second ran'", 1),
        ("false | true; echo 'second ran'", 1),
        ('echo "${undefined_variable}"; echo "second ran"', 1),
        ("cached out '' -- sh -c 'exit 7'; echo 'second ran'", 7),
        ("die 'no such thing'; echo 'second ran'", 2),
    ],
)
def test_error_inside_a_stage_stops_the_run_and_names_it(
    task: Task, body: str, code: int
) -> None:
    task.second_is(body)
    output = task.run(code=code)
    assert ran(output) == ["first"]
    assert f"Error: stage 2 (second) failed with exit code {code}" in output


@pytest.mark.parametrize(("script", "last_stage"), [(ASR2, 17), (VOC1, 15)])
def test_help_lists_every_option_and_stage_with_text(
    script: Path, last_stage: int
) -> None:
    text = script.read_text().split('parse_options "$@"')[0]
    options = re.findall(r"^([a-z]\w*)=(?!\($)", text, re.MULTILINE)
    stages = re.findall(r'^    "(\d+) (\w+) (.+)"$', text, re.MULTILINE)
    helped = subprocess.run([script, "--help"], capture_output=True, text=True)
    assert helped.returncode == 0 and len(options) > 60
    for name in options:
        assert re.search(rf"^    --{name} +# \S.*\(default=", helped.stdout, re.M), name
    assert [int(n) for n, _, _ in stages] == list(range(1, last_stage + 1))
    for number, function, title in stages:
        line = rf"^ +{number} +{function} +{re.escape(title)}$"
        assert re.search(line, helped.stdout, re.M), function


def test_help_shows_given_values_sections_and_further_lines(task: Task) -> None:
    output = task.run("--help", "--nclusters", "100")
    assert '--nclusters              # Number of units. (default="100")' in output
    assert "# Text\n" in output and "They win over the config." in output
    assert ran(output) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nclsters", "3"], "unknown option --nclsters; did you mean --nclusters?"),
        (["--zzz"], "unknown option --zzz (--help lists all options)"),
        (["--name", "x"], "unknown option --name"),
        (["--nclusters"], "--nclusters needs a value, for example"),
        (["--nclusters", "--stage", "3"], "--nclusters needs a value"),
        (["--nclusters", "many"], "--nclusters 'many': expected an integer"),
        (["--stage", "a[$(touch pwned)]"], "expected an integer"),
        (["--portion", "-1"], "--portion '-1': expected a number"),
        (["--use_lm", "yes"], "--use_lm 'yes': expected true or false"),
        (["3"], "unexpected argument '3'"),
    ],
)
def test_wrong_option_is_one_line(task: Task, options: list[str], message: str) -> None:
    output = task.run(*options, code=2)
    assert output.startswith("task.sh: error: ") and message in output
    assert output.count("\n") == 1
    assert not (task.folder / "pwned").exists()


NASTY = [
    "two words",
    'it\'s "quoted"',
    "$(touch pwned) `touch pwned`",
    "line one\nline two",
    "--max_epoch 10",
    "back\\slash \\n & * ?",
    "a=b=c",
    "",
]


@pytest.mark.parametrize("form", ["separate", "joined"])
@pytest.mark.parametrize("value", NASTY)
def test_value_arrives_verbatim(task: Task, value: str, form: str) -> None:
    task.second_is("""printf '%s' "${asr_args}" > value
    cached out "" --outputs value --vars asr_args -- true""")
    words = ["--asr_args", value] if form == "separate" else [f"--asr_args={value}"]
    task.run(*words)
    assert (task.folder / "value").read_text() == value
    assert not (task.folder / "pwned").exists()
    assert "up to date, skipping" in task.run(*words)


def test_directory_name_holds_no_character_that_hurts(task: Task) -> None:
    task.second_is('echo "name: $(directory_name "${asr_args}")."')
    args = '--max_epoch 10 --conf a/b=$(x) "q" * ü'
    assert "name: _max_epoch10_confabxq." in task.run("--asr_args", args)


def test_step_runs_once_and_again_when_an_option_changes(task: Task) -> None:
    task.second_is("cached out '' --outputs done --vars nclusters -- make_done")
    with task.script.open("r+") as f:
        text = f.read().replace(
            "parse_options",
            "make_done() { touch done; echo 'made ran'; }\nparse_options",
        )
        f.seek(0)
        f.write(text)
    assert "made" in ran(task.run())
    again = task.run()
    assert "made" not in ran(again)
    assert "Stage 2: up to date, skipping" in again and "Nothing to do" in again
    changed = task.run("--nclusters", "100")
    assert "made" in ran(changed)
    assert "Stage 2: redoing (nclusters: 500 -> 100)" in changed


def test_jobs_run_at_once_and_failed_ones_are_named(task: Task) -> None:
    task.second_is(
        "run_jobs 3 logs/j.@JOB@.log sh -c 'echo out @JOB@; exit $(( @JOB@ == 2 ))'"
    )
    output = task.run(code=1)
    assert "Error: 1 of 3 jobs failed: logs/j.2.log" in output
    assert "out 2" in output and "out 1" not in output
    assert (task.folder / "logs/j.3.log").read_text() == "out 3\n"


@pytest.mark.parametrize(
    ("jobs", "own", "threads"), [(2, None, "1"), (2, "5", "5"), (1, None, "none")]
)
def test_jobs_leave_each_other_a_core(
    task: Task, monkeypatch: pytest.MonkeyPatch, jobs: int, own: str, threads: str
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    task.second_is(
        f"run_jobs {jobs} j.@JOB@.log sh -c 'echo ${{OMP_NUM_THREADS:-none}}'"
    )
    task.run(**({"OMP_NUM_THREADS": own} if own else {}))
    assert (task.folder / "j.1.log").read_text() == f"{threads}\n"


def test_interrupted_run_leaves_no_job_behind(task: Task) -> None:
    task.second_is("run_jobs 2 j.@JOB@.log sh -c 'echo $$ > pid.@JOB@; exec sleep 60'")
    process = subprocess.Popen(["./task.sh"], cwd=task.folder, stderr=subprocess.PIPE)
    pids = [task.folder / "pid.1", task.folder / "pid.2"]
    deadline = time.monotonic() + 30
    while not all(p.exists() and p.read_text().strip() for p in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) != 0
    for pid in pids:
        while Path("/proc", pid.read_text().strip()).exists():
            assert time.monotonic() < deadline, "a job outlived the run"
            time.sleep(0.05)


@pytest.mark.parametrize(("lines", "jobs"), [(1, 1), (7, 3), (10, 10), (100, 7)])
def test_split_file_keeps_all_lines_in_order_in_even_parts(
    task: Task, lines: int, jobs: int
) -> None:
    keys = [f"utt{n} x\n" for n in range(lines)]
    (task.folder / "keys").write_text("".join(keys))
    task.second_is(f"split_file keys {jobs} part")
    task.run()
    parts = [
        (task.folder / f"part.{j}.scp").read_text().splitlines(keepends=True)
        for j in range(1, jobs + 1)
    ]
    assert sum(parts, []) == keys
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(("visible", "count"), [("0,1", "2"), ("", "0"), ("3", "1")])
def test_gpus_are_those_the_user_makes_visible(
    task: Task, visible: str, count: str
) -> None:
    task.second_is('echo "gpus: $(count_gpus)."')
    assert f"gpus: {count}." in task.run(CUDA_VISIBLE_DEVICES=visible)


def test_path_sh_without_environment_says_make_install(tmp_path: Path) -> None:
    checkout = tmp_path / "egs2" / "TEMPLATE" / "asr2"
    checkout.mkdir(parents=True)
    shutil.copy(ASR2.with_name("path.sh"), checkout)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin" / "python3").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    command = ["bash", "-c", ". ./path.sh && command -v python3"]

    def source() -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True
        )

    failed = source()
    assert failed.returncode == 1 and "make install" in failed.stderr
    venv = tmp_path / ".venv" / "bin"
    venv.mkdir(parents=True)
    shutil.copy(tmp_path / "bin" / "python3", venv)
    found = source()
    assert found.returncode == 0
    assert Path(found.stdout.strip()).resolve() == (venv / "python3").resolve()


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck not installed")
@pytest.mark.parametrize("folder", [".", "egs2/TEMPLATE/lib", "egs2/fsdd/asr2"])
def test_shellcheck_finds_nothing_from_any_folder(folder: str) -> None:
    names = [os.path.relpath(s, ROOT / folder) for s in SCRIPTS]
    done = subprocess.run(
        ["shellcheck", "-x", *names], cwd=ROOT / folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: str(s.relative_to(ROOT)))
def test_script_keeps_to_its_size_and_stops_at_errors(script: Path) -> None:
    text = script.read_text()
    limits = {"run.sh": 40, "asr2.sh": 230, "voc1.sh": 230}
    assert len(text.splitlines()) <= limits.get(script.name, 150)
    assert not re.search(r"^\s*eval\s", text, re.MULTILINE)
    if os.access(script, os.X_OK):
        assert "set -euo pipefail" in text


# What run_stages and cached keep while they run; no stage assigns them.
FRAME = {"current_stage", "steps_done"}


def leaks(text: str) -> list[str]:
    """Return "function: variable" for each assignment to what is not local there."""
    found = []
    for name, body in re.findall(r"^(\w+)\(\) \{(.*?)^\}", text, re.M | re.S):
        body = re.sub(r"(^|\s)#.*", r"\1", body)
        body = re.sub(r"'[^']*'", "''", body)
        declared = set(re.findall(r"-n (\w+)=", body))
        for line in re.findall(r"\blocal (.*)", body):
            declared |= set(re.findall(r"(?:^|\s)(\w+)(?==|\s|$)", line))
        body = re.sub(r'"[^"]*"', '""', body)
        body = re.sub(r"-v \w+=", "", body)
        assigned = set(re.findall(r"(?:^|[\s;(])([a-z]\w*)\+?=", body, re.M))
        assigned |= set(re.findall(r"\bfor (\w+) in", body))
        for line in re.findall(r"\bread ((?:-\S+ )*[\w ]+)", body):
            assigned |= {w for w in line.split() if re.fullmatch(r"[a-z]\w*", w)}
        found += [f"{name}: {v}" for v in sorted(assigned - declared - FRAME)]
    return found


@pytest.mark.parametrize("script", sorted(LIB.glob("*.sh")), ids=lambda s: s.name)
def test_no_function_sets_what_another_could_read(script: Path) -> None:
    assert leaks(script.read_text()) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("    _scp=1\n    scp=wav.scp", ["f: scp"]),
        ("    for dset in a b; do :; done", ["f: dset"]),
        ("    local a\n    read -r a b <<< x", ["f: b"]),
        ("    opts+=(x)", ["f: opts"]),
        ('    local a=1 opts=()\n    a=2\n    opts+=("x=1") # y=2', []),
    ],
)
def test_check_for_leaking_variables_finds_them(body: str, found: list[str]) -> None:
    assert leaks(f"f() {{ # SET\n{body}\n}}\n") == found
