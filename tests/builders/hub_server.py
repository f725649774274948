"""A small Hugging Face hub: folders on disk, served over real sockets in the hub's own protocol, with faults on demand.

What it answers follows the hub: model info with sizes and hashes, the tree, refs, and `resolve`, which redirects large
files to signed addresses of another server (a content delivery network).
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".bin", ".gguf")
SIGNATURE = "Signature=signed-and-secret"


@dataclass
class Asked:
    """One request for something that a hub has; clients also ask for other things."""

    method: str
    path: str
    token: str | None
    range: str | None
    elsewhere: bool  # at the content delivery network
    at: float = field(default_factory=time.monotonic)


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose path holds `part`."""

    part: str
    times: int
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""
    after: int | None = None  # bytes that are sent before the connection breaks, or stands still
    stands_still: bool = False
    damaged: bool = False


@dataclass
class Repository:
    commits: dict[str, Path] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    private: bool = False


class HubServer:
    """A hub with repositories that the test adds. Use as a context: `with HubServer() as hub`."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Asked] = []
        self.faults: list[Fault] = []
        self.tokens: set[str] = set()  # that are known and may read everything
        self.sizes: dict[str, int] = {}  # name -> a size that is told instead of the true one
        self.ranges = True
        self.standing = threading.Event()  # set once a connection stands still
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._servers = [self._server(elsewhere) for elsewhere in (False, True)]
        self.url, self.network_url = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def add(self, hub_id: str, revision: str, folder: Path) -> str:
        """Serve a folder as a revision of a model or dataset, and return its commit. The folder must stay as it is."""
        repository = self.repositories.setdefault(hub_id, Repository())
        commit = hashlib.sha1(f"{hub_id} {revision} {len(repository.commits)}".encode()).hexdigest()
        repository.commits[commit] = folder
        repository.branches[revision] = commit
        return commit

    def fail(self, part: str, status: int, times: int = 1, message: str = "", **headers: str) -> None:
        """Answer requests whose path holds `part` with a status; headers as Retry_After="1"."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(part, times, status=status, headers=named, message=message))

    def cut(self, part: str, after: int, times: int = 1) -> None:
        """Break the connection after so many bytes."""
        self.faults.append(Fault(part, times, after=after))

    def stand_still(self, part: str, after: int) -> None:
        """Send so many bytes and then nothing until the test sets `released`; `standing` says when it has come so far."""
        self.faults.append(Fault(part, 1, after=after, stands_still=True))

    def damage(self, part: str, times: int = 1) -> None:
        """Send other bytes than were promised."""
        self.faults.append(Fault(part, times, damaged=True))

    def downloads(self, name: str) -> list[Asked]:
        """The requests for a file's content, as the content delivery network or the hub itself got them."""
        wanted = [asked for asked in self.requests if asked.method == "GET" and asked.path.rpartition("/")[2] == name]
        return [asked for asked in wanted if asked.elsewhere] or wanted

    def take_fault(self, path: str, *, answers: bool) -> Fault | None:
        """The next fault for a path, used up by one: of those that answer with a status, or of those that spoil content."""
        with self._lock:
            for fault in self.faults:
                if fault.part in path and fault.times > 0 and answers == (fault.status is not None):
                    fault.times -= 1
                    return fault
        return None

    def __enter__(self) -> HubServer:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _server(self, elsewhere: bool) -> ThreadingHTTPServer:
        handler = type("Served", (_Handler,), {"hub": self, "elsewhere": elsewhere})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.block_on_close = False
        return server


@contextmanager
def serving(*revisions: tuple[str, str, Path]) -> Iterator[HubServer]:
    """A running hub with these (hub_id, revision, folder)."""
    with HubServer() as hub:
        for revision in revisions:
            hub.add(*revision)
        yield hub


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    elsewhere: bool
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        # A pattern of paths answers with the method beside it; %2F in a revision stays one part of the path.
        routes = {
            r"/api/(?:models|datasets)/(?P<hub_id>.+)/revision/(?P<revision>[^/]+)": self.describe,
            r"/api/(?:models|datasets)/(?P<hub_id>.+)/tree/(?P<revision>[^/]+)(?:/(?P<below>.+))?": self.list_tree,
            r"/api/(?:models|datasets)/(?P<hub_id>.+)/paths-info/(?P<revision>[^/]+)": self.list_paths,
            r"/api/(?:models|datasets)/(?P<hub_id>.+)/refs": self.list_refs,
            r"/(?:datasets/)?(?P<hub_id>.+)/resolve/(?P<revision>[^/]+)/(?P<name>.+)": self.resolve,
        }
        if self.elsewhere:
            routes = {r"/(?P<hub_id>.+?)/(?P<commit>[0-9a-f]{40})/(?P<name>.+)": self.deliver}
        path = urlsplit(self.path).path
        answers = [(answer, found) for pattern, answer in routes.items() if (found := re.fullmatch(pattern, path))]
        if not answers:
            self.refuse(404)
            return
        self.hub.requests.append(
            Asked(self.command, path, self.token() or None, self.headers.get("Range"), self.elsewhere)
        )
        if fault := self.hub.take_fault(path, answers=True):
            self.refuse(fault.status, message=fault.message, **fault.headers)
            return
        answer, found = answers[0]
        answer(**{key: value and unquote(value) for key, value in found.groupdict().items()})

    do_HEAD = do_POST = do_GET

    def token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def repository(self, hub_id: str) -> Repository | None:
        """The repository, or None after the refusal was sent."""
        token = self.token()
        known = token in self.hub.tokens
        repository = self.hub.repositories.get(hub_id)
        if token and self.hub.tokens and not known:
            self.refuse(401, message="Invalid credentials in Authorization header")
        elif repository is None or (repository.private and not known):
            # Whether it is private or missing is told to those alone who have a token.
            self.refuse(404 if known else 401, code="RepoNotFound", message="Repository not found")
        else:
            return repository
        return None

    def commit(self, hub_id: str, revision: str) -> tuple[str, Path] | None:
        """A revision's commit and folder, or None after the refusal was sent."""
        repository = self.repository(hub_id)
        if repository is None:
            return None
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            self.refuse(404, code="RevisionNotFound", message=f"Invalid rev id: {revision}")
            return None
        return commit, repository.commits[commit]

    def describe(self, hub_id: str, revision: str) -> None:
        if found := self.commit(hub_id, revision):
            commit, folder = found
            with_blobs = "blobs=" in self.path
            siblings = [self.blob(folder, name) if with_blobs else {"rfilename": name} for name in names_of(folder)]
            gated = "auto" if self.hub.repositories[hub_id].gated else False
            self.answer_json({"id": hub_id, "sha": commit, "gated": gated, "siblings": siblings})

    def blob(self, folder: Path, name: str) -> dict:
        content = (folder / name).read_bytes()
        size = self.hub.sizes.get(name, len(content))
        blob: dict = {"rfilename": name, "size": size, "blobId": git_hash(content)}
        if name.endswith(LARGE):
            blob["lfs"] = {"size": size, "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 134}
        return blob

    def list_tree(self, hub_id: str, revision: str, below: str | None) -> None:
        if found := self.commit(hub_id, revision):
            start = found[1] / (below or "")
            deep = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() == "true"
            if start.is_dir():
                self.answer_json([self.entry(found[1], path) for path in sorted(start.glob("**/*" if deep else "*"))])
            else:
                self.refuse(404, code="EntryNotFound", message="Entry not found")

    def list_paths(self, hub_id: str, revision: str) -> None:
        if found := self.commit(hub_id, revision):
            length = int(self.headers.get("Content-Length", 0))
            said = self.rfile.read(length).decode()
            paths = json.loads(said)["paths"] if said.startswith("{") else parse_qs(said).get("paths", [])
            there = [found[1] / path for path in paths if (found[1] / path).exists()]
            self.answer_json([self.entry(found[1], path) for path in there])

    def entry(self, folder: Path, path: Path) -> dict:
        """What the hub tells of a file or folder of a repository."""
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            return {"type": "directory", "path": name, "size": 0, "oid": git_hash(name.encode())}
        blob = self.blob(folder, name)
        entry = {"type": "file", "path": name, "size": blob["size"], "oid": blob["blobId"]}
        if "lfs" in blob:
            entry["lfs"] = {"oid": blob["lfs"]["sha256"], "size": blob["size"], "pointerSize": 134}
        return entry

    def list_refs(self, hub_id: str) -> None:
        if repository := self.repository(hub_id):
            branches = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
                for name, commit in repository.branches.items()
            ]
            self.answer_json({"branches": branches, "tags": [], "converts": []})

    def resolve(self, hub_id: str, revision: str, name: str) -> None:
        found = self.commit(hub_id, revision)
        if found is None:
            return
        commit, folder = found
        token = self.token()
        if self.hub.repositories[hub_id].gated and token not in self.hub.tokens:
            self.refuse(403 if token else 401, code="GatedRepo", message=f"Access to model {hub_id} is restricted.")
        elif not (folder / name).is_file():
            self.refuse(404, code="EntryNotFound", message="Entry not found")
        elif name.endswith(LARGE):
            content = (folder / name).read_bytes()
            self.send_response(302)
            self.send_header("Location", f"{self.hub.network_url}/{hub_id}/{commit}/{name}?{SIGNATURE}")
            self.send_header("X-Repo-Commit", commit)
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("X-Linked-ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            content = (folder / name).read_bytes()
            self.send(content, {"X-Repo-Commit": commit, "ETag": f'"{git_hash(content)}"'})

    def deliver(self, hub_id: str, commit: str, name: str) -> None:
        if SIGNATURE not in self.path:
            self.refuse(403)
            return
        self.send((self.hub.repositories[hub_id].commits[commit] / name).read_bytes(), {})

    def answer_json(self, answer: dict | list) -> None:
        self.send(json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def refuse(self, status: int, *, code: str = "", message: str = "", **headers: str) -> None:
        given = {"X-Error-Code": code, "X-Error-Message": message} if code or message else {}
        self.send(b"", {name: value for name, value in (given | headers).items() if value}, status=status)

    def send(self, content: bytes, headers: dict[str, str], status: int = 200) -> None:
        """Answer with content: the part that was asked for, and with what goes wrong today."""
        sends = self.command == "GET" and bool(content)
        fault = (self.hub.take_fault(urlsplit(self.path).path, answers=False) if sends else None) or Fault("", 0)
        if fault.damaged:
            content = bytes(255 - byte for byte in content)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and self.hub.ranges and status == 200:
            start, whole = int(asked[1]), len(content)
            if start >= whole:
                status, content = 416, b""
            else:
                status, content = 206, content[start:]
                headers = headers | {"Content-Range": f"bytes {start}-{whole - 1}/{whole}"}
        self.send_response(status)
        for name, value in ({"Accept-Ranges": "bytes", "Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if not sends:
            return
        self.wfile.write(content[: fault.after])
        if fault.after is not None:
            self.close_connection = True
            self.wfile.flush()
            if fault.stands_still:
                self.hub.standing.set()
                self.hub.released.wait(60)

    def log_message(self, *args: object) -> None:
        pass


def names_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def git_hash(content: bytes) -> str:
    """As `git hash-object` names a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
