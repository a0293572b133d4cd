"""``plan explain`` on the command line."""

import json
from pathlib import Path

import pytest

from planner.cli.main import run

BASE = ["explain", "llama-3.1-8b", "h100-sxm", "--module", "mlp-down"]


def test_text_has_the_sentence_the_splits_and_the_crossovers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([*BASE, "--scheme", "fp8-tensor", "--schemes", "bf16,fp8-block"]) == 0
    out, err = capsys.readouterr()
    for words in (
        "fp8-tensor is",
        "Decode, 64 tokens per rank",
        "Prefill, a prompt of",
        "Total by tokens",
        "quantising",
        "floor",
    ):
        assert words in out
    assert "batch: 64" in err
    assert max(len(line) for line in out.splitlines()) <= 80


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*BASE, "--batch", "8", "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert found["batch"] == 8
    module = found["modules"][0]
    assert {"unit", "schemes", "crossovers", "sentence"} <= set(module)
    assert {r["scheme"] for r in found["refused"]} >= {"nvfp4"}


CHOICE = [
    "explain",
    "qwen2.5-0.5b",
    "jetson-orin-nano-8gb",
    "--devices",
    "1",
    "--batch",
    "8",
    "--schemes",
    "bf16,int8-w8a8",
    "--solves",
    "0",
]


def test_without_a_module_the_choice_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*CHOICE, "--exact", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["best"]
    assert err.startswith("basis:")
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(found["plan"]), encoding="utf-8")
    assert run(["explain", "--plan", str(path), "--solves", "0", "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "What each limit costs" in text
    heads = next(line for line in text.splitlines() if line.startswith("module "))
    assert heads.endswith(("chosen because", "chosen"))
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain"],
        ["explain", "llama-3.1-8b"],
        ["explain", "llama-3.1-8b", "h100-sxm", "--scheme", "bf16"],
        [*BASE, "--tpot-ms", "5"],
        [*BASE, "--plan", "no.json"],
        [*BASE, "--solves", "-1"],
        [*BASE[:-1], "mlp-dwn"],
        [*BASE, "--schemes", ","],
        [*BASE, "--scheme", "nvfp4"],
        [*BASE, "--tp", "3"],
    ],
)
def test_bad_input(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("hint: ")
