"""A headless Chromium, driven by the DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Sound without a click, as a reader's click would start it; no sandbox as root.
FLAGS = (
    "--headless=new --remote-debugging-pipe --no-sandbox --disable-gpu --mute-audio "
    "--no-first-run --hide-scrollbars --disable-background-networking "
    "--disable-dev-shm-usage --force-device-scale-factor=1 "
    "--autoplay-policy=no-user-gesture-required"
).split()
_TIMEOUT_SEC = 60.0

Event = dict[str, Any]


def find_chromium() -> str | None:
    """Return the path of a browser that can be driven, if there is one."""
    return next(filter(None, map(shutil.which, EXECUTABLES)), None)


class Browser:
    """One page of a browser of its own; a context manager."""

    def __init__(self, executable: str, profile: Path) -> None:
        self.events: list[Event] = []
        self._number, self._buffer = 0, b""
        to_browser, from_browser = os.pipe(), os.pipe()
        # Chromium reads descriptor 3 and writes 4; ours must not be among those.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in to_browser + from_browser]
        for fd in to_browser + from_browser:
            os.close(fd)
        command = [executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        wire = f'exec "$@" 3<&{ends[0]} 4>&{ends[3]}'
        self._process = subprocess.Popen(
            ["bash", "-c", wire, "bash", *command],
            pass_fds=(ends[0], ends[3]),
            stderr=subprocess.DEVNULL,
        )
        os.close(ends[0])
        os.close(ends[3])
        self._in, self._out = ends[1], ends[2]
        self._session = ""

    def __enter__(self) -> Browser:
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(t["targetId"] for t in targets if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message: Event = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        answer = self._until(lambda event: event.get("id") == self._number)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def open(self, path: Path) -> None:
        """Open a file and wait until it and all it needs are loaded."""
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        if not self._seen("Page.loadEventFired"):
            self._until(lambda event: event.get("method") == "Page.loadEventFired")

    def run(self, script: str) -> Any:
        """Run the body of an async function in the page; return what it returns."""
        answer = self.call(
            "Runtime.evaluate",
            expression=f"(async () => {{ {script} }})()",
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def view(self, width: int, height: int, scheme: str = "light") -> None:
        """Set the size of the window and what prefers-color-scheme says."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.call("Emulation.setDeviceMetricsOverride", **size, mobile=False)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def press(self, key: str) -> None:
        """Press a named key, such as Tab."""
        codes = {"Tab": 9, "Enter": 13}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                **{"type": kind, "key": key, "code": key},
                windowsVirtualKeyCode=codes[key],
                **({"text": "\r"} if (kind, key) == ("keyDown", "Enter") else {}),
            )

    def screenshot(self, path: Path) -> Path:
        """Write a picture of the whole page, PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def complaints(self) -> list[Event]:
        """Return what the page wrote to the console, and every exception."""
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        kinds += ("Log.entryAdded", "Network.loadingFailed")
        return [event for event in self.events if event.get("method") in kinds]

    def requests(self) -> list[str]:
        """Return the address of everything that the page asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]

    def _seen(self, method: str) -> bool:
        return any(event.get("method") == method for event in self.events)

    def _until(self, wanted: Callable[[Event], bool]) -> Event:
        end = time.monotonic() + _TIMEOUT_SEC
        while True:
            while b"\0" in self._buffer:
                line, self._buffer = self._buffer.split(b"\0", 1)
                event = json.loads(line)
                self.events.append(event)
                if wanted(event):
                    return event
            ready, _, _ = select.select([self._out], [], [], end - time.monotonic())
            assert ready, f"no answer in {_TIMEOUT_SEC:g} s"
            data = os.read(self._out, 1 << 16)
            assert data, "the browser has gone"
            self._buffer += data
