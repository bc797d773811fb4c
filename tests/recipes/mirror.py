"""A server of archives on this machine that answers as OpenSLR does."""

from __future__ import annotations

import http.server
import threading


class Mirror(http.server.ThreadingHTTPServer):
    """Serves files, and cuts each connection after so many bytes."""

    daemon_threads = True
    cut_after = 10**9

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), MirrorHandler)
        self.files = files
        self.ranges: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class MirrorHandler(http.server.BaseHTTPRequestHandler):
    """Answers ranges."""

    server: Mirror

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Send what was asked for, from where it was asked for."""
        self.server.ranges.append(self.headers["Range"])
        start = int(self.headers["Range"][6:-1])
        content = self.server.files.get(self.path)
        if content is None or start >= len(content):
            self.send_error(404 if content is None else 416)
            return
        self.send_response(206)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : start + self.server.cut_after])
