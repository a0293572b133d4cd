"""No command reaches for the network: every socket is refused, and the answers are the same."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.wheels import ROOT, clean_environment

BLOCKED = """
import json, sys

def refuse(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.", "ftplib.", "smtplib.")):
        raise RuntimeError("the network was touched: " + event)

sys.addaudithook(refuse)
from planner.cli.main import run

for words in json.loads(sys.argv[1]):
    code = run(words)
    assert code == 0, (words, code)
"""
COMMANDS = [
    ["qwen2.5-0.5b", "l40s", "--devices", "1", "--json", "--report", "r.html"],
    ["estimate", "Qwen/Qwen2.5-0.5B", "l40s", "--devices", "1"],
    ["models"],
    ["devices"],
    ["formats"],
    ["scenarios"],
    ["schema"],
    ["inventory", "deepseek-ai/DeepSeek-V3"],
    ["memory", "qwen2.5-0.5b", "l40s", "--tp", "1", "--context", "2048"],
    ["experts", "deepseek-v2-lite", "--batch", "8"],
    ["claims", "--only", "3"],
    ["train", "qwen2.5-0.5b", "h100-sxm", "--devices", "2", "--zero", "1", "--seq", "512"],
    ["validate", "--only", "op_gemm"],
    ["profile", "checkpoint", "--workers", "1", "--quiet"],
]


def python(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_commands_answer_without_a_network(tmp_path: Path) -> None:
    import json

    from support.checkpoints import write_llama

    write_llama(tmp_path / "checkpoint")
    done = python(BLOCKED, json.dumps(COMMANDS), cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.getaddrinfo('localhost', 9)",
        "import urllib.request; urllib.request.urlopen('file:///etc/hostname')",
    ],
)
def test_the_block_holds(attempt: str, tmp_path: Path) -> None:
    done = python(BLOCKED.split("from planner")[0] + attempt, cwd=tmp_path)
    assert "the network was touched" in done.stderr
