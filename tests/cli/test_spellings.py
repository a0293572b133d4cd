"""Flags and numbers as engines and people write them."""

from __future__ import annotations

import json

import click
import pytest

from planner.cli.main import cli, run
from planner.cli.spellings import SPELLINGS

QUESTION = ["qwen3-8b", "h200-sxm", "--tp", "2", "--devices", "2", "--context", "16384"]


def answered(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert run(["plan", *words, "--json", "--quiet"]) == 0
    out: dict[str, object] = json.loads(capsys.readouterr().out)
    return out


def test_spellings_of_engines_are_ours(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["qwen3-8b", "H200 SXM", "--gpus", "2", "--tp-size=2", "--max-model-len", "16k"]
    assert answered(words, capsys) == answered(QUESTION, capsys)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_accepted_and_shown_nowhere(spelling: str) -> None:
    command = cli.commands["plan"]
    context = click.Context(command, info_name="plan", **command.context_settings)
    assert f"--{spelling} " not in command.get_help(context)
    with pytest.raises(click.BadOptionUsage, match=f"--{SPELLINGS[spelling]}"):
        command.make_parser(context).parse_args([f"--{spelling}"])


def test_a_command_without_the_flag_refuses_the_spelling_as_it_was_typed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["models", "--gpus", "2"]) == 2
    assert "unknown option --gpus" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "tokens"),
    [("32k", 32768), ("32K", 32768), ("0.0625M", 1 << 16), ("0.5k", 512), ("8Ki", 8192)],
)
def test_suffixes_are_powers_of_1024(
    typed: str, tokens: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["memory", "llama-3.1-8b", "h200", "--context", typed, "--json", "--quiet"]) == 0
    assert f'"context_tokens": {tokens}' in capsys.readouterr().out


def test_a_suffix_that_makes_no_whole_number_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["memory", "llama-3.1-8b", "h200", "--context", "1.0001k"]) == 2
    assert "write 1024 or 1025" in capsys.readouterr().err
