"""A small HTTP server that answers questions with the planner; no package besides it is needed.

    python docs/guide/examples/server.py --port 8765 --workers 2
    curl -s 127.0.0.1:8765/estimate -d '{"model": "llama-3.1-8b", "device": "h100-sxm"}'

Threads wait for clients, processes compute: a worker each, one question at a time, its caches warm.
A question that takes too long, or whose client has gone, ends with its worker; another one starts.
Answers and errors are JSON. What it refuses, and why it is built so: docs/guide/scale.md.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from queue import Empty, Queue
from typing import Any

MOST_BYTES = 64 << 10
"""Of a question."""
MOST_CLIENTS = 64
"""Connections at a time; one more is told to come back."""
PATIENCE_SECONDS = 10.0
"""For a client to send its question, and to take its answer."""
COMMON = (
    "model",
    "device",
    "tp",
    "dp",
    "pp",
    "ep",
    "context",
    "isl",
    "osl",
    "batch",
    "kv",
    "engine",
    "memory_bytes",
)
LIMITS = ("devices", "objective", "ttft_seconds", "tpot_seconds", "prefix_hit_rate")
KEYS = {
    "estimate": (*COMMON, *LIMITS, "scheme"),
    "plan": (*COMMON, *LIMITS, "max_loss", "schemes", "mode"),
    "memory": (*COMMON, "scheme"),
}
"""What may be asked. Arguments that name files are left out, as clients are not trusted."""


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: HTTPStatus, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.status, self.told = status, {"error": error, "hint": hint}


class GoneError(Exception):
    """The client closed its connection before it had its answer."""


# ---- in a worker process


def work(line: Connection) -> None:
    """Answer (verb, question) with (status, JSON, CPU seconds), until the server is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError):
        while True:
            verb, asked = line.recv()
            begun = time.process_time()
            status, text = answer(verb, asked)
            line.send((status, text.encode(), time.process_time() - begun))
            if verb == "plan":
                give_back()


def give_back() -> None:
    """glibc keeps for itself what a large question freed; it goes back to the system."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def answer(verb: str, asked: dict[str, Any]) -> tuple[int, str]:
    """Status and JSON: 400 where the question is wrong, 422 where nothing answers it."""
    import planner

    ask: dict[str, Any] = {
        "estimate": planner.estimate,
        "plan": planner.plan,
        "memory": planner.memory_use,
    }
    try:
        told = ask[verb](**by_name(asked)).to_dict()
        return HTTPStatus.OK, json.dumps(told, allow_nan=False)
    except (planner.InfeasibleError, planner.UnsupportedError, planner.SolverError) as error:
        return HTTPStatus.UNPROCESSABLE_ENTITY, refusal(error)
    except planner.PlannerError as error:
        return HTTPStatus.BAD_REQUEST, refusal(error)
    except Exception:
        traceback.print_exc()
        return HTTPStatus.INTERNAL_SERVER_ERROR, '{"error": "an error of the server", "hint": ""}'


def by_name(asked: dict[str, Any]) -> dict[str, Any]:
    """The arguments; models and devices have to be known by name, as the library would also read
    a file or a folder that is called so."""
    from planner import InputError
    from planner.hardware.catalog import is_device
    from planner.models.catalog import bundled_model

    model, device = asked.get("model"), asked.get("device")
    if isinstance(device, str) and not is_device(device):
        raise InputError(f"unknown device {device[:120]!r}", hint="`plan devices` prints the names")
    return asked | {"model": bundled_model(model)} if isinstance(model, str) else asked


def refusal(error: Any) -> str:
    """An error of the planner as JSON."""
    return json.dumps({"error": error.message, "hint": error.hint, "details": error.details})


# ---- in the server's threads


class Worker:
    """A process that computes, and the line to it; started when it is needed."""

    def __init__(self) -> None:
        self.process: Any = None
        self.line: Any = None

    def start(self) -> None:
        """A process, if there is none."""
        if self.process is None:
            context = get_context("spawn")  # a fork would copy locks that other threads hold
            self.line, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs,), daemon=True)
            process.start()
            self.process = process
            theirs.close()

    def end(self) -> None:
        """At once; what it computes is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None
            self.line.close()


class Workers:
    """Workers that take turns. ``counts``: answers by status, and clients that had none."""

    def __init__(self, count: int, seconds: float) -> None:
        self.seconds, self.counts = seconds, dict[str, int]()
        self._lock = threading.Lock()
        self._all = [Worker() for _ in range(count)]
        self._free: Queue[Worker] = Queue()
        for worker in self._all:
            worker.start()
            self._free.put(worker)

    def ask(
        self,
        verb: str,
        asked: dict[str, Any],
        client: socket.socket,
    ) -> tuple[int, bytes, float]:
        """Status, JSON and CPU seconds of an answer.

        Raises:
            RefusedError: every worker is busy, it took too long, or the worker was killed.
            GoneError: nobody waits for it any more.
        """
        try:
            worker = self._free.get(timeout=self.seconds)
        except Empty:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, "every worker is busy", "ask again later"
            ) from None
        sound = True
        try:
            watched = [client] if still_there(client) else []
            sound = False
            worker.start()
            worker.line.send((verb, asked))
            self._await(worker, watched)
            found: tuple[int, bytes, float] = worker.line.recv()
            sound = True
            return found
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise RefusedError(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "the worker was killed",
                "a question may need more memory than there is",
            ) from None
        finally:
            if not sound:
                worker.end()
            self._free.put(worker)

    def _await(self, worker: Worker, watched: list[socket.socket]) -> None:
        """Until ``worker`` has answered; not longer than allowed, nor than the client waits."""
        end = time.monotonic() + self.seconds
        while worker.line not in (
            ready := wait([worker.line, *watched], max(0.0, end - time.monotonic()))
        ):
            if not ready:
                raise RefusedError(
                    HTTPStatus.GATEWAY_TIMEOUT,
                    f"no answer within {self.seconds:g} s",
                    "give tp, pp, ep and batch, or ask for less",
                )
            watched = [client for client in watched if still_there(client)]

    def note(self, what: str) -> None:
        """Count an answer."""
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def end(self) -> None:
        """All processes, at once."""
        for worker in self._all:
            worker.end()


def still_there(client: socket.socket) -> bool:
    """Whether it is worth to watch a client: not where it has sent more than a question.

    Raises:
        GoneError: it has closed its connection.
    """
    if not wait([client], 0):
        return True
    try:
        if client.recv(1, socket.MSG_PEEK):
            return False
    except ConnectionError:
        pass
    raise GoneError


class Server(ThreadingHTTPServer):
    """A thread a connection, as many as ``MOST_CLIENTS``."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, workers: Workers, patience: float) -> None:
        self.workers, self.patience = workers, patience
        self._room = threading.Semaphore(MOST_CLIENTS)
        super().__init__(("127.0.0.1", port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            request.send(b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n")
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except Exception:  # no further thread could be started
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is not worth a traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One request of one client."""

    server: Server

    def setup(self) -> None:
        """A socket's limit counts anew with every byte; the timer ends who sends them slowly."""
        super().setup()
        self.connection.settimeout(self.server.patience)
        self.late = threading.Timer(self.server.patience, self._stop_reading)
        self.late.daemon = True
        self.late.start()

    def finish(self) -> None:
        self.late.cancel()
        super().finish()

    def _stop_reading(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RD)

    def do_GET(self) -> None:
        """``/health``: that it lives, and what it has answered."""
        if self.path == "/health":
            self._tell(HTTPStatus.OK, {"answers": self.server.workers.counts})
        else:
            self._tell(
                HTTPStatus.NOT_FOUND,
                {"error": f"no {self.path[:80]!r}", "hint": "POST /" + ", /".join(KEYS)},
            )

    def do_POST(self) -> None:
        """A question."""
        begun = time.monotonic()
        try:
            asked = question(self.path[1:], self._body())
            status, told, cpu = self.server.workers.ask(self.path[1:], asked, self.connection)
            self._tell(
                status,
                told,
                f"cpu;dur={cpu * 1e3:.1f}, all;dur={(time.monotonic() - begun) * 1e3:.1f}",
            )
        except RefusedError as error:
            self._tell(error.status, error.told)
            if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                self._drain()
        except GoneError:
            self.server.workers.note("gone")

    def _body(self) -> bytes:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            raise RefusedError(
                HTTPStatus.LENGTH_REQUIRED,
                "Content-Length is missing",
                "send the length of the body in bytes",
            ) from None
        if not 0 <= length <= MOST_BYTES:
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{length} bytes are too many",
                f"at most {MOST_BYTES}",
            )
        try:
            body = self.rfile.read(length)
        except TimeoutError:
            body = b""
        self.late.cancel()
        if len(body) < length:
            raise RefusedError(
                HTTPStatus.REQUEST_TIMEOUT,
                "the question did not come whole",
                f"send it within {self.server.patience:g} s",
            )
        return body

    def _drain(self) -> None:
        """Read on for a while: a connection that ends with bytes unread takes the answer along."""
        self.connection.shutdown(socket.SHUT_WR)
        for _ in range(256):
            if not self.rfile.read1(MOST_BYTES):
                break

    def _tell(self, status: int, told: dict[str, Any] | bytes, timing: str = "") -> None:
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        self.server.workers.note(str(int(status)))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if timing:
            self.send_header("Server-Timing", timing)
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses, as JSON too."""
        self.close_connection = True
        self._tell(code, {"error": message or HTTPStatus(code).phrase, "hint": ""})

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing of what is well; errors of the server stand on standard error."""


def question(verb: str, body: bytes) -> dict[str, Any]:
    """The arguments in a body.

    Raises:
        RefusedError: no such question, not JSON, not an object, or a key that is not taken.
    """
    if verb not in KEYS:
        raise RefusedError(
            HTTPStatus.NOT_FOUND, f"no question {verb[:80]!r}", "POST /" + ", /".join(KEYS)
        )
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(
            HTTPStatus.BAD_REQUEST,
            f"the body is not JSON: {error}",
            'such as {"model": "llama-3.1-8b", "device": "h100-sxm"}',
        ) from None
    if not isinstance(asked, dict):
        raise RefusedError(
            HTTPStatus.BAD_REQUEST,
            "the body is not a JSON object",
            'such as {"model": "llama-3.1-8b", "device": "h100-sxm"}',
        )
    for key in asked:
        if key not in KEYS[verb]:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST,
                f"unknown key {key[:80]!r}",
                "keys are " + ", ".join(KEYS[verb]),
            )
    return asked


def main() -> int:
    """Serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description="Answers questions with the planner.")
    parser.add_argument("--port", type=int, default=8765, help="0: any that is free")
    parser.add_argument("--workers", type=int, default=2, help="processes that compute")
    parser.add_argument("--seconds", type=float, default=60.0, help="for an answer, at most")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_SECONDS,
        help="seconds for a client to send its question",
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    workers = Workers(options.workers, options.seconds)
    with Server(options.port, workers, options.patience) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            workers.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
