"""``plan explain`` on the command line."""

import json

import pytest

from planner.cli.main import run

BASE = ["explain", "llama-3.1-8b", "h100-sxm", "--module", "mlp-down"]


def test_text_has_the_sentence_the_splits_and_the_crossovers(
        capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*BASE, "--scheme", "fp8-tensor", "--schemes", "bf16,fp8-block"]) == 0
    out, err = capsys.readouterr()
    for words in ("fp8-tensor is", "decode, 64 tokens a rank", "prefill, a prompt of",
                  "total by tokens", "quantise", "floor"):
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


@pytest.mark.parametrize("arguments", [
    ["explain", "llama-3.1-8b", "h100-sxm"], [*BASE[:-1], "mlp-dwn"], [*BASE, "--schemes", ","],
    [*BASE, "--scheme", "nvfp4"], [*BASE, "--tp", "3"]])
def test_bad_input(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("hint: ")
