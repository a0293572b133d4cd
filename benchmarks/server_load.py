"""The example server under load: percentiles of 1,000 requests, with bad clients among them.

    python benchmarks/server_load.py [--requests 1000] [--clients 4] [--workers 2]
                                     [--write docs/evidence/server.md]

Starts docs/guide/examples/server.py on a free port of this machine, asks it the questions of
``benchmarks/long_use.py`` from ``--clients`` threads, and lets a bad client come with every
twentieth: no JSON, an unknown model, 1 MB, one that hangs up, one that sends half a question. At
the end it compares a sample with the library's own answers. Seconds by the wall depend on what else
the machine does, so its load stands beside them; CPU seconds are those of the worker that answered.
Exits 1 where an answer differs, a bad client gets anything else than its error, or the server ends.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from long_use import question

import planner
from evaluation.pages import publish
from planner.base.errors import PlannerError

ROOT = Path(__file__).resolve().parents[1]
SERVER = ROOT / "docs" / "guide" / "examples" / "server.py"
EVERY = 20
"""Requests for each bad client."""
SAMPLED = 20
PERCENTILES = (50, 90, 99)
PATIENCE = 20
"""Seconds for a client to send its question."""
BAD = {
    "no JSON": (b"{", 400),
    "an unknown model": (b'{"model": "no-such", "device": "l40s"}', 400),
    "1 MB": (b"x" * 1_000_000, 413),
    "hangs up": (b"", 0),
    "half a question": (b"", 408),
}
"""What bad clients send, and the status they have to get."""


@dataclass
class Answer:
    """One answer: kind of question, status, body, seconds until it was there, CPU of the worker."""

    kind: str
    status: int
    body: bytes
    wall_seconds: float
    cpu_seconds: float


@dataclass
class Seen:
    """What came back: answers by number, what bad clients got otherwise than they should, and the
    resident bytes of the server with its workers, by answers so far."""

    answers: dict[int, Answer] = field(default_factory=dict)
    bad: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory: list[tuple[int, int]] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def served(workers: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The server of its own process, and its port."""
    command = [
        sys.executable,
        str(SERVER),
        "--port",
        "0",
        "--workers",
        str(workers),
        "--seconds",
        "600",
        "--patience",
        str(PATIENCE),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.terminate()


def sent(port: int, verb: str, body: bytes) -> tuple[int, bytes, float]:
    """Status, body, and CPU seconds of the worker."""
    line = http.client.HTTPConnection("127.0.0.1", port)
    try:
        line.request("POST", "/" + verb, body)
        answer = line.getresponse()
        timing = answer.headers.get("Server-Timing", "cpu;dur=0")
        return answer.status, answer.read(), float(timing.split(",")[0].partition("=")[2]) / 1e3
    finally:
        line.close()


def body_of(number: int, seed: int) -> tuple[str, bytes]:
    """The ``number``-th question: kind, and what is sent."""
    kind, model, device, given = question(number, seed)
    if kind == "memory":
        given = {key: value for key, value in given.items() if key in ("context", "tp", "engine")}
    return kind, json.dumps({"model": model, "device": device} | given).encode()


def ask(port: int, number: int, seed: int, seen: Seen, server: int) -> None:
    """One question, and now and then a bad client before it."""
    if number % EVERY == EVERY - 1:
        name = list(BAD)[number // EVERY % len(BAD)]
        misbehave(port, name, seen)
    kind, body = body_of(number, seed)
    begun = time.perf_counter()
    status, told, cpu = sent(port, kind, body)
    answer = Answer(kind, status, told, time.perf_counter() - begun, cpu)
    with seen.lock:
        seen.answers[number] = answer
        seen.load.append(os.getloadavg()[0])
        done = len(seen.answers)
        if done % 100 == 0:
            seen.memory.append((done, resident_bytes(server)))
            print(f"{done:>6}  {seen.memory[-1][1] / 2**20:7.1f} MiB", file=sys.stderr, flush=True)


def misbehave(port: int, name: str, seen: Seen) -> None:
    """Be the bad client ``name``; note what it got where that is not its error."""
    body, status = BAD[name]
    if body:
        got = sent(port, "plan", body)[0]
    else:
        with socket.create_connection(("127.0.0.1", port)) as line:
            text = b'{"model": "deepseek-v3", "device": "h200-sxm"}'
            line.sendall(
                b"POST /plan HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(text)
                + (text if name == "hangs up" else text[:10])
            )
            got = int(line.makefile("rb").read().split()[1]) if status else 0
    with seen.lock:
        seen.bad[name] += 1
        if got != status:
            seen.wrong.append(f"{name}: {got} where {status} is due")


def resident_bytes(server: int) -> int:
    """Memory of a process and its children that is in use."""
    found = 0
    for one in (
        server,
        *map(
            int, Path(f"/proc/{server}/task/{server}/children").read_text(encoding="ascii").split()
        ),
    ):
        try:
            with open(f"/proc/{one}/statm", encoding="ascii") as file:
                found += int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue  # it has just ended
    return found


def differences(seen: Seen, seed: int) -> Iterator[str]:
    """Where the server answers otherwise than the library does."""
    verbs: dict[str, Any] = {
        "plan": planner.plan,
        "estimate": planner.estimate,
        "memory": planner.memory_use,
    }
    numbers = random.Random(seed).sample(sorted(seen.answers), min(SAMPLED, len(seen.answers)))
    for number in sorted(numbers):
        kind, body = body_of(number, seed)
        try:
            ours: Any = verbs[kind](**json.loads(body)).to_dict()
        except PlannerError as error:
            ours = {"error": error.message, "hint": error.hint, "details": error.details}
        if json.loads(seen.answers[number].body) != json.loads(json.dumps(ours)):
            yield f"question {number}: the server answers otherwise"


def percentile(values: Sequence[float], share: int) -> float:
    """The nearest rank."""
    return sorted(values)[max(0, -(-share * len(values) // 100) - 1)]


def table(seen: Seen) -> Iterator[str]:
    """Percentiles by kind of question."""
    yield (
        "| kind | answers | of them 422 | "
        + " | ".join(f"{what} p{share} [ms]" for what in ("CPU", "wall") for share in PERCENTILES)
        + " |"
    )
    yield "|---|" + "---:|" * (2 + 2 * len(PERCENTILES))
    for kind in ("memory", "estimate", "plan", "all"):
        group = [one for one in seen.answers.values() if kind in ("all", one.kind)]
        if not group:
            continue
        spent = [[getattr(one, name) for one in group] for name in ("cpu_seconds", "wall_seconds")]
        yield (
            f"| {kind} | {len(group):,} | {sum(one.status == 422 for one in group):,} | "
            + " | ".join(
                f"{percentile(values, share) * 1e3:,.0f}"
                for values in spent
                for share in PERCENTILES
            )
            + " |"
        )


def told(seen: Seen, options: argparse.Namespace, seconds: float) -> str:
    """The page."""
    load = seen.load or [0.0]
    cpu = sum(one.cpu_seconds for one in seen.answers.values())
    settled = [size for _, size in seen.memory] or [0]
    lines = [
        "# The example server under load",
        "",
        "How [the example server](../guide/scale.md#the-library-in-a-server) answers many clients "
        "at once, bad ones among them.",
        "",
        f"`python benchmarks/server_load.py`: {len(seen.answers):,} questions (seed "
        f"{options.seed}) of {options.clients} clients at once to {options.workers} workers: "
        f"{cpu:.0f} CPU seconds of the workers in "
        f"{seconds:,.0f} s by the wall, on a machine of {os.cpu_count()} cores whose load was "
        f"{min(load):.0f} to {max(load):.0f} meanwhile. The CPU columns are what an answer costs, "
        "those by the wall hold the wait for a free worker and for the rest of the machine.",
        "",
        *table(seen),
        "",
        "Questions whose model does not fit are answered with 422. Among them came "
        f"{sum(seen.bad.values())} bad clients ("
        + ", ".join(f"{name}: {count}" for name, count in sorted(seen.bad.items()))
        + "): "
        + (
            "each got the error that is due, and the server went on. "
            if not seen.wrong
            else "; ".join(seen.wrong) + ". "
        )
        + f"{min(SAMPLED, len(seen.answers))} answers were compared with the library's own"
        + (", and are the same." if not seen.wrong else "."),
        "",
        f"Server and workers together held {settled[0] / 2**20:.0f} MiB after the first 100 "
        f"answers and {settled[-1] / 2**20:.0f} MiB at the end.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Start, ask, compare, print the page; 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description="Load on the example server.")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    seen = Seen()
    begun = time.perf_counter()
    with served(options.workers) as (process, port):
        with ThreadPoolExecutor(options.clients) as pool:
            list(
                pool.map(
                    lambda number: ask(port, number, options.seed, seen, process.pid),
                    range(options.requests),
                )
            )
        seconds = time.perf_counter() - begun
        if process.poll() is not None:
            seen.wrong.append("the server has ended")
    seen.wrong += differences(seen, options.seed)
    page = told(seen, options, seconds)
    print(page)
    if options.write is not None:
        publish(options.write, page)
    return 1 if seen.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
