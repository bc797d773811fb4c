#!/usr/bin/env python3
"""Done-markers of recipe steps: is what a step wrote current, and if not, why?

A marker is a JSON file, .stamps/<folder of the output>/<step>.json. It holds the
options of the step and a digest of each input, so a step is redone when what it depends
on has changed, not when something was merely touched: an earlier step that writes the
same bytes again redoes nothing. Only the standard library is used, because every step
of every run starts this program.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

# Up to this size an input counts by content; above it reading would cost more than a
# needless redo is likely to, and size and time of the last change stand in.
CONTENT_LIMIT_BYTES = 64 * 2**20
IGNORED = re.compile(r"\..*|__pycache__|.*\.log")
MAX_REASONS = 3


def named_files(scp: str) -> list[str]:
    """Return the files that the lines ``id path[:offset]`` of an scp file name."""
    paths: dict[str, None] = {}
    with open(scp, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            _, _, path = line.strip().partition(" ")
            if path and not path.endswith("|"):
                paths[re.sub(r":\d+$", "", path.strip())] = None
    return list(paths)


def digest(path: str) -> str:
    """Return a digest of a file; an scp file counts with all the files it names."""
    files = [path] + (named_files(path) if path.endswith(".scp") else [])
    stats = [os.stat(f) if os.path.isfile(f) else None for f in files]
    by_content = sum(s.st_size for s in stats if s) <= CONTENT_LIMIT_BYTES
    total = hashlib.blake2b(digest_size=16)
    for name, stat in zip(files, stats):
        total.update(name.encode("utf-8", "surrogateescape") + b"\0")
        if stat is None:
            total.update(b"missing")
        elif by_content:
            total.update(hashlib.blake2b(Path(name).read_bytes()).digest())
        else:
            total.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    return total.hexdigest()


def digests(inputs: list[str]) -> dict[str, str]:
    """Return path -> digest of the inputs; a directory stands for all files in it."""
    found: dict[str, str] = {}
    for path in inputs:
        if os.path.isfile(path):
            found[path] = digest(path)
        elif os.path.isdir(path):
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(f for f in folders if not IGNORED.fullmatch(f))
                for name in sorted(n for n in names if not IGNORED.fullmatch(n)):
                    found[os.path.join(folder, name)] = digest(f"{folder}/{name}")
        else:
            sys.exit(
                f"stamp.py: error: input missing: {path}; run the stage that writes it "
                "(an earlier --stage), or correct the option that names it"
            )
    return found


def matches(output: str) -> list[str]:
    """Return the existing files that an output (a path or a pattern) stands for."""
    return [output] if os.path.exists(output) else sorted(glob.glob(output))


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return a line for each option or input that differs, options first."""
    reasons = []
    for name in sorted(old["options"].keys() | new["options"].keys()):
        before, after = (d["options"].get(name, "") for d in (old, new))
        if before != after:
            reasons.append(f"{name}: {shown(before)} -> {shown(after)}")
    for path in sorted(old["inputs"].keys() | new["inputs"].keys()):
        before, after = (d["inputs"].get(path) for d in (old, new))
        if before != after:
            verb = "new" if before is None else "gone" if after is None else "changed"
            reasons.append(f"input {verb}: {path}")
    return reasons


def shown(value: str) -> str:
    """Return an option's value as a log line can hold it."""
    value = value if re.fullmatch(r"[!-~]+", value) else repr(value)
    return value if len(value) <= 60 else value[:57] + "..."


def read(path: Path) -> dict[str, Any] | None:
    """Return a marker's content, None where there is no whole one."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a marker so that it is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=1))
    os.replace(temporary, path)


def begin(marker: Path, new: dict[str, Any]) -> str:
    """Return ``current``, or take the marker away and say why the step must run.

    The answers are ``new``; ``resume: ...`` where the step was begun with the same
    inputs and options, so that a half-done output may be kept; and ``redo: ...``.
    """
    begun = marker.with_suffix(".begun")
    done, started = read(marker), read(begun)
    old = done or started
    reasons = differences(old, new) if old else []
    missing = [o for o in (done or {}).get("outputs", []) if not os.path.exists(o)]
    missing += [o for o in new["outputs"] if not matches(o) and o not in missing]
    if done and not started and not reasons and not missing:
        return "current"
    write(begun, new)
    marker.unlink(missing_ok=True)
    if not old:
        return "new"
    if reasons:
        more = len(reasons) - MAX_REASONS
        return "redo: " + "; ".join(
            reasons[:MAX_REASONS] + ([f"and {more} more"] if more > 0 else [])
        )
    why = f"output missing: {missing[0]}" if done else "an earlier run did not finish"
    return f"resume: {why}"


def commit(marker: Path) -> None:
    """Turn a begun step into a done one; every output it declared must exist."""
    begun = marker.with_suffix(".begun")
    content = read(begun)
    if content is None:
        sys.exit(f"stamp.py: error: {begun} is gone; does another run use this folder?")
    for output in content["outputs"]:
        if not matches(output):
            sys.exit(f"stamp.py: error: the step ended without writing {output}")
    content["outputs"] = [f for output in content["outputs"] for f in matches(output)]
    write(marker, content)
    begun.unlink()


def main() -> None:
    """Run ``begin MARKER --inputs ... --outputs ... --options ...`` or ``commit``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["begin", "commit"])
    parser.add_argument("marker", type=Path, help="the marker's JSON file")
    parser.add_argument("--inputs", nargs="*", default=[], help="files and directories")
    parser.add_argument("--outputs", nargs="*", default=[], help="files or patterns")
    parser.add_argument("--options", nargs="*", default=[], help="name=value")
    args = parser.parse_args()
    if args.action == "commit":
        commit(args.marker)
        return
    options = dict(option.split("=", 1) for option in args.options)
    print(
        begin(
            args.marker,
            {
                "options": options,
                "inputs": digests(args.inputs),
                "outputs": args.outputs,
            },
        )
    )


if __name__ == "__main__":
    main()
