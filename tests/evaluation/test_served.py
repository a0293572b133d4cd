"""The served command: the client, a server that does not start, and the page."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from evaluation.closed_loop import served, served_page
from planner.base.errors import DataError

RUN = {
    "model": "smollm2-135m",
    "engine": "llama.cpp",
    "version": "1",
    "question": "plan smollm2-135m host --engine llama.cpp",
    "command": ["llama-server", "-m", "OUT.gguf", "--alias", "a b"],
    "load": [2.0, 3.0],
    "client": "HTTP",
    "predicted": {
        "ttft": {"value": 0.2, "low": 0.1, "high": 0.4, "basis": "prior"},
        "tpot": {"value": 0.02, "low": 0.01, "high": 0.03, "basis": "prior"},
    },
    "measured": {"completed": 20, "ttft": 0.3, "tpot": 0.05, "tokens_per_second": 33.3},
}


class Streams(BaseHTTPRequestHandler):
    """Four tokens of a completion, and health."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        for _ in range(asked["max_tokens"]):
            self.wfile.write(b'data: {"choices": [{"text": "a"}]}\n\n')
        self.wfile.write(b'data: {"choices": []}\n\ndata: [DONE]\n\n')

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is written."""


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer((served.HERE, 0), Streams)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_client_times_the_first_token_and_the_rest(port: int) -> None:
    first, rest, count = served.stream(port, [1, 2, 3], 4)
    assert count == 4
    assert first > 0
    assert rest >= 0


def test_a_server_that_is_up_is_not_waited_for(port: int, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    served.wait(process, port, tmp_path / "log")
    process.communicate(b"\n")


def test_a_server_that_ends_is_an_error_with_its_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("no such flag", encoding="utf-8")
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(DataError, match="no such flag") as caught:
        served.wait(process, served.free_port(), log)
    assert str(log) in str(caught.value.hint)


def test_a_server_is_stopped_with_what_it_began() -> None:
    process = subprocess.Popen(
        ["sh", "-c", "sleep 600 & wait"], start_new_session=True, stdout=subprocess.DEVNULL
    )
    served.stop(process)
    assert process.returncode is not None


def test_the_page_tells_both_and_what_lies_outside() -> None:
    text = served_page.page([RUN], "a machine", 20)
    assert "200 [100, 400] ms, prior | 300 ms" in text
    assert "20 [10, 30] ms, prior | **50 ms**" in text
    assert "llama-server -m OUT.gguf --alias 'a b'" in text
    assert "| 20 | 2.0, 3.0 |" in text
