"""Download pip's wheel for a Python without ensurepip, such as Debian's."""

from __future__ import annotations

import configparser
import hashlib
import html
import os
import re
import ssl
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

WHEEL = r'href="([^"]*\bpip-([0-9.]+)-py3-none-any\.whl)#sha256=(\w{64})"'


def pip_setting(name: str) -> str | None:
    """What pip itself would read from its environment or configuration files."""
    home = Path.home()
    config = os.environ.get("XDG_CONFIG_HOME", f"{home}/.config")
    files = ["/etc/pip.conf", f"{home}/.pip/pip.conf", f"{config}/pip/pip.conf"]
    parser = configparser.RawConfigParser()
    parser.read([*files, os.environ.get("PIP_CONFIG_FILE", os.devnull)])
    configured = parser.get("global", name, fallback=None)
    return os.environ.get("PIP_" + name.upper().replace("-", "_"), configured)


def numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def choose_wheel(page: str, below: str) -> tuple[str, str]:
    """The newest wheel under version ``below`` on a simple-API page: (link, sha256)."""
    wheels = []
    for anchor in re.findall(r"<a\s[^>]*>", page):
        found = re.search(WHEEL, anchor)
        if found and "data-yanked" not in anchor:
            link, version, sha256 = found.groups()
            wheels.append((numbers(version), html.unescape(link), sha256))
    wheels = [wheel for wheel in wheels if wheel[0] < numbers(below)]
    if not wheels:
        raise OSError("the package index offers no usable wheel of pip")
    return max(wheels)[1:]


def fetch(url: str) -> bytes:
    context = ssl.create_default_context(cafile=pip_setting("cert"))
    try:
        with urllib.request.urlopen(url, timeout=60, context=context) as reply:
            return bytes(reply.read())
    except OSError as error:
        raise OSError(f"cannot read {url}: {error}") from error


def fetch_pip(folder: Path, below: str) -> Path:
    """Download the newest wheel of pip under version ``below``; its hash must match."""
    index = pip_setting("index-url") or "https://pypi.org/simple"
    page = index.rstrip("/") + "/pip/"
    link, sha256 = choose_wheel(fetch(page).decode(), below)
    content = fetch(urljoin(page, link))
    if hashlib.sha256(content).hexdigest() != sha256:
        raise OSError(f"{link} does not have the sha256 that {page} states")
    wheel = folder / link.rsplit("/", 1)[-1]
    wheel.write_bytes(content)
    return wheel
