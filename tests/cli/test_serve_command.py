"""``plan serve`` on the command line."""

import json

import pytest

from planner.cli.main import run

BASE = ["serve", "llama-3.1-8b", "h100-sxm", "--devices", "1", "--isl", "1024", "--osl", "256"]


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*BASE, "--concurrency", "16", "--anchor", "tpot_ms=9"]) == 0
    out, err = capsys.readouterr()
    for words in (
        "16 requests in flight",
        "TPOT",
        "measured point: tpot_seconds",
        "shown, not used",
        "tok/s/user",
        "Throughput against interactivity",
    ):
        assert words in " ".join(out.split())
    for words in ("host time", "scheduler", "graph padding", "speculation"):
        assert words in err
    assert max(len(line) for line in out.splitlines()) <= 80


def test_json_without_a_concurrency_is_the_frontier(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*BASE, "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert found["point"] is None
    assert len(found["frontier"]) > 4
    assert {
        "tpot_seconds",
        "ttft_seconds",
        "output_tokens_per_second_per_device",
        "output_tokens_per_second_per_user",
        "pareto",
    } <= set(found["frontier"][0])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([*BASE, "--draft-tokens", "2"], 2),
        (["serve", "llama-3.1-8b"], 2),
        ([*BASE, "--graphs", "x"], 2),
        (["serve", "llama-3.1-405b", "h100-sxm", "--devices", "1"], 1),
    ],
)
def test_bad_input(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == code
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("hint: ")
