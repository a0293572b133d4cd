"""A hub on this machine: its API and its files on one port, what it stores apart on another.

Of large files only the beginning is there; what follows reads as zeros. Every request is noted, so
that a test can say what was asked for, where, and with which token.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import prod
from urllib.parse import unquote

from planner.models.inventory import expand
from planner.models.spec import ModelSpec
from planner.models.storage import stored_bytes

COMMIT = "0123456789abcdef0123456789abcdef01234567"
INDEX = "model.safetensors.index.json"
_API = re.compile(r"/api/models/(?P<name>[^/]+/[^/]+)/revision/(?P<revision>[^/?]+)\?blobs=true")
_FILE = re.compile(r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


@dataclass
class RemoteFile:
    """A file: how it begins, and its bytes."""

    head: bytes
    size: int = 0
    listed: int | None = None
    """The size that the listing says, where it lies."""
    apart: bool = False
    """Whether another host holds it, as it does weights."""
    moved: str = ""
    """Another address that the hub sends to."""

    def __post_init__(self) -> None:
        self.size = self.size or len(self.head)

    def part(self, begin: int, end: int) -> bytes:
        """Bytes ``begin`` to ``end``."""
        end = min(end, self.size)
        found = self.head[begin:end]
        return found + b"\0" * (end - begin - len(found))


@dataclass
class Seen:
    """A request that came."""

    host: str
    path: str
    range: str
    token: str

    @property
    def read(self) -> int:
        """The bytes of its range."""
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.range)
        return int(found[2]) + 1 - int(found[1]) if found else 0


@dataclass
class LocalHub:
    """What the servers answer with, which a test may change while they run."""

    files: dict[str, dict[str, RemoteFile]] = field(default_factory=dict)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Status and ``X-Error-Code`` of a repository."""
    broken: set[str] = field(default_factory=set)
    """Files in the middle of which the connection ends."""
    ranges: bool = True
    seen: list[Seen] = field(default_factory=list)
    endpoint: str = ""
    storage: str = ""

    def asked(self, file: str) -> list[Seen]:
        """The requests for a file."""
        return [one for one in self.seen if one.path.endswith("/" + file)]


def checkpoint_files(spec: ModelSpec, config: bytes, *, parts: int = 2) -> dict[str, RemoteFile]:
    """A release of ``spec``: its configuration, the headers of ``parts`` files, their index."""
    tensors = sorted((one.name, one.dtype, one.shape) for one in expand(spec))
    files, places = {"config.json": RemoteFile(config)}, {}
    for number in range(parts):
        name = f"model-{number + 1:05}-of-{parts:05}.safetensors"
        header, end = {}, 0
        for tensor, dtype, shape in tensors[number::parts]:
            begin, end = end, end + stored_bytes(dtype, prod(shape))
            header[tensor] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
            places[tensor] = name
        text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
        head = len(text).to_bytes(8, "little") + text
        files[name] = RemoteFile(head, len(head) + end, apart=True)
    files[INDEX] = RemoteFile(json.dumps({"metadata": {}, "weight_map": places}).encode())
    return files


@contextmanager
def local_hub() -> Iterator[LocalHub]:
    """A hub while the block runs, and where it stores large files."""
    hub = LocalHub()
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub, own)) for own in (True, False)]
    hub.endpoint, hub.storage = (f"http://127.0.0.1:{one.server_port}" for one in servers)
    threads = [threading.Thread(target=one.serve_forever, args=(0.01,)) for one in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(hub: LocalHub, own: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            range_, token = (self.headers.get(key, "") for key in ("Range", "Authorization"))
            hub.seen.append(Seen("hub" if own else "storage", self.path, range_, token))
            found = (_API if own else _FILE).fullmatch(self.path) or _FILE.fullmatch(self.path)
            if found is None:
                return self.say(404, b"", {"X-Error-Code": "EntryNotFound"})
            name = found["name"]
            if own and name in hub.refused:
                status, code = hub.refused[name]
                return self.say(status, b"", {"X-Error-Code": code})
            if name not in hub.files:
                return self.say(401, b"", {"X-Error-Code": "RepoNotFound"})
            if found["revision"] not in ("main", COMMIT):
                return self.say(404, b"", {"X-Error-Code": "RevisionNotFound"})
            if "file" not in found.groupdict():
                return self.say(200, _listing(name, hub.files[name]), {})
            self.send_file(unquote(found["file"]), hub.files[name])

        def send_file(self, name: str, files: dict[str, RemoteFile]) -> None:
            file = files.get(name)
            if file is None:
                return self.say(404, b"", {"X-Error-Code": "EntryNotFound"})
            if own and (file.moved or file.apart):
                place = file.moved or hub.storage + self.path
                return self.say(302, b"", {"Location": place, "X-Linked-Size": str(file.size)})
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if asked is None or not hub.ranges:
                return self.say(200, file.part(0, file.size), {}, broken=name in hub.broken)
            begin, end = int(asked[1]), min(int(asked[2]) + 1, file.size)
            headers = {"Content-Range": f"bytes {begin}-{end - 1}/{file.size}"}
            self.say(206, file.part(begin, end), headers, broken=name in hub.broken)

        def say(
            self, status: int, data: bytes, headers: dict[str, str], *, broken: bool = False
        ) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if broken else data)
            self.close_connection = broken

    return Handler


def _listing(name: str, files: dict[str, RemoteFile]) -> bytes:
    siblings: list[dict[str, object]] = []
    for file, one in files.items():
        size = one.size if one.listed is None else one.listed
        large = {"lfs": {"size": size, "sha256": "0" * 64, "pointerSize": 135}} if one.apart else {}
        siblings.append({"rfilename": file, "size": size, "blobId": "0" * 40, **large})
    return json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode()
