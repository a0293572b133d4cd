"""docs/guide/examples/server.py under good and bad clients: the library's answers, and it lives."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from support.wheels import ROOT, clean_environment

import planner

SMALL = {"model": "qwen2.5-0.5b", "device": "l40s"}
LAYOUT = {"devices": 1, "tp": 1, "engine": "vllm"}
QUESTIONS = [
    *(
        ("estimate", SMALL | LAYOUT | {"batch": batch, "context": context})
        for batch in (1, 4, 16)
        for context in (1024, 4096)
    ),
    *(("memory", SMALL | {"batch": batch}) for batch in (1, 2, 8)),
    ("plan", SMALL | LAYOUT | {"batch": 4, "context": 1024}),
]
ASK = {"estimate": planner.estimate, "plan": planner.plan, "memory": planner.memory_use}


@contextmanager
def served(*flags: str) -> Iterator[int]:
    """The port of a server of its own, which still runs when the block ends."""
    command = [
        sys.executable,
        str(ROOT / "docs" / "guide" / "examples" / "server.py"),
        "--port",
        "0",
        *flags,
    ]
    with subprocess.Popen(
        command,
        env=clean_environment() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().rpartition(":")[2])
            assert process.poll() is None, "the server has ended"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served("--workers", "2") as found:
        yield found


def sent(port: int, verb: str, body: bytes | str, method: str = "POST") -> tuple[int, Any]:
    """Status and answer."""
    line = http.client.HTTPConnection("127.0.0.1", port)
    try:
        line.request(method, "/" + verb, body)
        answer = line.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        line.close()


def asked(port: int, verb: str, question: dict[str, Any]) -> tuple[int, Any]:
    return sent(port, verb, json.dumps(question))


def counted(port: int) -> dict[str, int]:
    found: dict[str, int] = sent(port, "health", "", "GET")[1]["answers"]
    return found


def test_twenty_requests_of_two_threads_are_answered_as_the_library_does(port: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda one: asked(port, *one), QUESTIONS * 2))
    assert len(found) == 20
    ours = [json.loads(json.dumps(ASK[verb](**question).to_dict())) for verb, question in QUESTIONS]
    assert found == [(200, answer) for answer in ours * 2]


@pytest.mark.parametrize(
    ("verb", "body", "status", "error", "hint"),
    [
        ("plan", "{", 400, "not JSON", "such as"),
        ("plan", "[" * 60_000, 400, "not JSON", "such as"),
        ("plan", b"\xff\xfe", 400, "not JSON", "such as"),
        ("plan", "[]", 400, "not a JSON object", "such as"),
        ("plan", '{"imatrix": "/etc/passwd"}', 400, "unknown key 'imatrix'", "keys are model"),
        ("plan", "{}", 400, "no model", "MODEL"),
        (
            "estimate",
            '{"model": "lama-3.1-8b", "device": "l40s"}',
            400,
            "unknown model",
            "did you mean llama-3.1-8b",
        ),
        (
            "estimate",
            '{"model": "qwen2.5-0.5b", "device": "l40"}',
            400,
            "unknown device",
            "devices",
        ),
        ("estimate", '{"model": "qwen2.5-0.5b", "device": "l40s", "batch": "4"}', 400, "batch", ""),
        ("estimate", '{"model": "qwen2.5-0.5b", "device": "l40s", "batch": NaN}', 400, "batch", ""),
        (
            "estimate",
            json.dumps(SMALL | LAYOUT | {"batch": 1, "context": 1024, "memory_bytes": 1000}),
            422,
            "1000 B given",
            "memory-bytes",
        ),
        (
            "estimate",
            '{"model": "qwen2.5-0.5b", "device": "mi300x", "scheme": "nvfp4"}',
            422,
            "'nvfp4' on mi300x",
            "legal here",
        ),
        ("fly", "{}", 404, "no question 'fly'", "POST /estimate"),
        ("plan", "x" * 70_000, 413, "70000 bytes", "at most"),
        ("plan", "x" * 5_000_000, 413, "5000000 bytes", "at most"),
    ],
)
def test_a_bad_question_is_told_why(
    port: int, verb: str, body: bytes | str, status: int, error: str, hint: str
) -> None:
    found, told = sent(port, verb, body)
    assert found == status, told
    assert error in told["error"]
    assert hint in told["hint"]


def test_a_file_of_the_server_is_no_model(port: int) -> None:
    for name in (str(ROOT / "planner" / "models" / "configs" / "qwen2.5-0.5b.json"), "planner"):
        status, told = asked(port, "memory", {"model": name})
        assert (status, told["error"].split()[:2]) == (400, ["unknown", "model"])
    status, told = asked(
        port,
        "memory",
        {"model": "qwen2.5-0.5b", "device": str(ROOT / "hardware_profiles" / "l40s.toml")},
    )
    assert (status, told["error"].split()[:2]) == (400, ["unknown", "device"])


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"POST /plan HTTP/1.0\r\n\r\n", 411),
        (b"PUT /plan HTTP/1.0\r\n\r\n", 501),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /else HTTP/1.0\r\n\r\n", 404),
        (b"POST /plan HTTP/1.0\r\nContent-Length: -1\r\n\r\n", 413),
        (b"POST /plan HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    ],
)
def test_what_is_no_question_is_refused_as_json(port: int, text: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(text)
        head, _, body = line.makefile("rb").read().rpartition(b"\r\n\r\n")
    assert json.loads(body)["error"]
    assert head == b"" or head.split()[1] == str(status).encode()


def test_a_question_ends_with_its_client(port: int) -> None:
    before = counted(port).get("gone", 0)
    with socket.create_connection(("127.0.0.1", port)) as line:
        body = json.dumps({"model": "deepseek-v3", "device": "h200-sxm"}).encode()
        line.sendall(b"POST /plan HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    for _ in range(6000):
        if counted(port).get("gone", 0) > before:
            break
        time.sleep(0.01)
    assert counted(port)["gone"] == before + 1
    assert [asked(port, *QUESTIONS[0])[0] for _ in range(2)] == [200, 200]


def test_slow_clients_are_let_go_and_slow_questions_ended() -> None:
    begun = [
        b"",
        b"POST /pl",
        b"POST /plan HTTP/1.0\r\nHost: x\r\n",
        b"POST /plan HTTP/1.0\r\nContent-Length: 100\r\n\r\n{",
    ]
    with (
        served("--workers", "1", "--seconds", "0.001", "--patience", "1.5") as port,
        ExitStack() as held,
    ):
        slow = [held.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in begun]
        for line, text in zip(slow, begun, strict=True):
            line.sendall(text)
        for _ in range(2):  # others are heard meanwhile
            status, told = asked(port, *QUESTIONS[0])
            assert (status, told["error"]) == (504, "no answer within 0.001 s")
        for line in slow:
            told = line.makefile("rb").read()
            assert told == b"" or b'"error": ' in told
        assert counted(port)["408"] == 1
        assert counted(port)["504"] == 2
