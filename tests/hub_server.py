"""A local stand-in for the Hugging Face hub, for tests that upload and download.

It speaks the HTTP calls that huggingface_hub makes for create_repo, upload_folder,
create_tag, hf_hub_download, snapshot_download, model_info and file listings.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_token_of_the_stand_in"
_ID = r"(?P<repo>[^/]+/[^/]+)"
_REV = r"(?P<revision>[^/]+)"


@dataclass
class Repository:
    """All commits of a repository: path -> content, and which are large files."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit to the main branch; return its hash."""
        names = "".join(f"{k}:{_sha1(v)}" for k, v in sorted(files.items()))
        sha = _sha1(f"{len(self.commits)} {names}".encode())
        self.commits[sha] = files
        self.references["main"] = sha
        return sha

    def find(self, revision: str) -> str | None:
        """Return the commit of a branch, a tag or a commit hash."""
        sha = self.references.get(revision, revision)
        return sha if sha in self.commits else None


class HubServer:
    """The stand-in; runs while its context is open.

    Attributes:
        calls: method and path of every request so far.
        environment: what a process needs to talk to this hub and no other.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        self.lock = threading.RLock()

    def __enter__(self) -> HubServer:
        self._home = tempfile.TemporaryDirectory()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.environment = {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": TOKEN,
            "HF_HOME": self._home.name,
            "HF_HUB_OFFLINE": "0",
            # The stand-in stores large files as LFS does, not in chunks as Xet.
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "no_proxy": "127.0.0.1",
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._home.cleanup()

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """Return path -> content of a repository."""
        found = self.repositories[repo]
        return dict(found.commits[found.references.get(revision, revision)])

    def put(self, repo: str, files: dict[str, bytes]) -> str:
        """Make a repository, or a further commit, that holds just ``files``."""
        with self.lock:
            repository = self.repositories.setdefault(repo, Repository())
            repository.large |= {name for name in files if _is_large(files[name])}
            return repository.commit(dict(files))


class _Problem(Exception):
    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"
    # Headers and body are written apart; without this each answer waits 40 ms.
    wbufsize = -1

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self._read_body()
        try:
            with self.hub.lock:
                self.hub.calls.append((self.command, path))
                method = "GET" if self.command == "HEAD" else self.command
                for wanted, pattern, answer in _ROUTES:
                    found = re.fullmatch(pattern, path)
                    if wanted == method and found:
                        answer(self, body, **found.groupdict())
                        return
                raise _Problem(404, message=f"the stand-in has no {method} {path}")
        except _Problem as problem:
            headers = {"X-Error-Message": problem.message}
            if problem.code:
                headers["X-Error-Code"] = problem.code
            content = json.dumps({"error": problem.message}).encode()
            self.reply(content, problem.status, headers)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def reply(
        self, content: bytes, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Send an answer; the body is left out where HEAD asks."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def reply_json(self, content: Any) -> None:
        """Send JSON."""
        headers = {"Content-Type": "application/json"}
        self.reply(json.dumps(content).encode(), headers=headers)

    def require_token(self) -> None:
        """Refuse who is not logged in."""
        given = self.headers.get("Authorization")
        if given is None:
            raise _Problem(401, message="Invalid username or password.")
        if given != f"Bearer {TOKEN}":
            raise _Problem(401, message="Invalid credentials in Authorization header")

    def find(self, repo: str, revision: str) -> tuple[Repository, str]:
        """Find a repository and a commit of it."""
        if repo not in self.hub.repositories:
            raise _Problem(404, "RepoNotFound", "Repository not found")
        repository = self.hub.repositories[repo]
        sha = repository.find(revision)
        if sha is None:
            raise _Problem(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, sha


def _create(handler: _Handler, body: bytes) -> None:
    handler.require_token()
    asked = json.loads(body)
    repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
    if repo in handler.hub.repositories:
        content = {"error": "You already created this model repo", "url": repo}
        handler.reply(json.dumps(content).encode(), 409)
        return
    handler.hub.put(repo, {".gitattributes": b"*.pth filter=lfs\n"})
    handler.reply_json({"url": f"{handler.hub.url}/{repo}", "name": repo, "id": "1"})


def _preupload(handler: _Handler, body: bytes, repo: str, revision: str) -> None:
    handler.require_token()
    repository, sha = handler.find(repo, revision)
    answers = []
    for asked in json.loads(body)["files"]:
        path = asked["path"]
        large = _is_large(base64.b64decode(asked["sample"]), asked["size"])
        answer: dict[str, Any] = {"path": path, "shouldIgnore": False}
        answer["uploadMode"] = "lfs" if large else "regular"
        if path in repository.commits[sha]:
            content = repository.commits[sha][path]
            answer["oid"] = _sha256(content) if large else _git_sha(content)
        answers.append(answer)
    handler.reply_json({"files": answers})


def _lfs_batch(handler: _Handler, body: bytes, repo: str) -> None:
    handler.require_token()
    objects = []
    for asked in json.loads(body)["objects"]:
        if asked["oid"] not in handler.hub.blobs:
            href = f"{handler.hub.url}/lfs/{asked['oid']}"
            asked["actions"] = {"upload": {"href": href, "header": {}}}
        objects.append(asked)
    handler.reply_json({"transfer": "basic", "objects": objects})


def _lfs_put(handler: _Handler, body: bytes, oid: str) -> None:
    if _sha256(body) != oid:
        raise _Problem(400, message=f"the content is not that of {oid}")
    handler.hub.blobs[oid] = body
    handler.reply(b"", headers={"ETag": oid})


def _commit(handler: _Handler, body: bytes, repo: str, revision: str) -> None:
    handler.require_token()
    repository, sha = handler.find(repo, revision)
    files = dict(repository.commits[sha])
    for operation in map(json.loads, body.decode().splitlines()):
        value = operation["value"]
        if operation["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
            repository.large.discard(value["path"])
        elif operation["key"] == "lfsFile":
            files[value["path"]] = handler.hub.blobs[value["oid"]]
            repository.large.add(value["path"])
        elif operation["key"] == "deletedFile":
            files.pop(value["path"])
    commit = repository.commit(files)
    url = f"{handler.hub.url}/{repo}/commit/{commit}"
    handler.reply_json({"commitUrl": url, "commitOid": commit, "success": True})


def _tag(handler: _Handler, body: bytes, repo: str, revision: str) -> None:
    handler.require_token()
    repository, sha = handler.find(repo, revision)
    repository.references[json.loads(body)["tag"]] = sha
    handler.reply_json({})


def _info(handler: _Handler, _: bytes, repo: str, revision: str = "main") -> None:
    repository, sha = handler.find(repo, revision)
    names = [{"rfilename": name} for name in sorted(repository.commits[sha])]
    handler.reply_json({"id": repo, "sha": sha, "siblings": names, "private": False})


def _tree(handler: _Handler, _: bytes, repo: str, revision: str) -> None:
    repository, sha = handler.find(repo, revision)
    files = repository.commits[sha].items()
    handler.reply_json([_entry(repository, *item) for item in sorted(files)])


def _entry(repository: Repository, path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content)}
    entry["oid"] = _git_sha(content)
    if path in repository.large:
        lfs = {"oid": _sha256(content), "size": len(content), "pointerSize": 130}
        entry["lfs"] = lfs
    return entry


def _resolve(handler: _Handler, _: bytes, repo: str, revision: str, path: str) -> None:
    repository, sha = handler.find(repo, revision)
    if path not in repository.commits[sha]:
        raise _Problem(404, "EntryNotFound", "Entry not found")
    content = repository.commits[sha][path]
    large = path in repository.large
    etag = _sha256(content) if large else _git_sha(content)
    headers = {"ETag": f'"{etag}"', "X-Repo-Commit": sha}
    if large:
        headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content))}
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    status = 206 if asked else 200
    handler.reply(content[int(asked[1]) if asked else 0 :], status, headers)


def _valid_yaml(handler: _Handler, body: bytes) -> None:
    text = json.loads(body)["content"]
    found = re.match(r"---\n(.*?)\n---\n", text, re.S)
    errors = [] if found is None else _metadata_errors(yaml.safe_load(found[1]))
    content = {"errors": [{"message": error} for error in errors], "warnings": []}
    status = 400 if errors else 200
    handler.reply(json.dumps(content).encode(), status)


def _metadata_errors(metadata: Any) -> list[str]:
    if not isinstance(metadata, dict):
        return ["the metadata is no mapping"]
    return [f"{k} must not be empty" for k, v in metadata.items() if v in (None, "")]


def _is_large(sample: bytes, size: int = 0) -> bool:
    return b"\0" in sample[:512] or size > 10_000_000


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git_sha(content: bytes) -> str:
    return _sha1(b"blob %d\0" % len(content) + content)


_MODEL = f"/api/models/{_ID}"
_ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("POST", "/api/repos/create", _create),
    ("POST", "/api/validate-yaml", _valid_yaml),
    ("POST", f"{_MODEL}/preupload/{_REV}", _preupload),
    ("POST", f"/{_ID}\\.git/info/lfs/objects/batch", _lfs_batch),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", _lfs_put),
    ("POST", f"{_MODEL}/commit/{_REV}", _commit),
    ("POST", f"{_MODEL}/tag/{_REV}", _tag),
    ("GET", _MODEL, _info),
    ("GET", f"{_MODEL}/revision/{_REV}", _info),
    ("GET", f"{_MODEL}/tree/{_REV}", _tree),
    ("GET", f"/{_ID}/resolve/{_REV}/(?P<path>.+)", _resolve),
]
