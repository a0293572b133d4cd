"""Pages of --help: examples first, options in groups, what few ask for by --help-all alone."""

from __future__ import annotations

import json

import click
import pytest

from planner.cli.groups import HIDDEN, LAB, LISTS
from planner.cli.help_pages import ADVANCED, ALL, FIRST, GROUPS, USUAL, HelpfulCommand
from planner.cli.main import cli, run
from planner.cli.types import POOLS


def page(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return str(out)


def flags(name: str) -> list[str]:
    command = cli.commands[name]
    return [
        max(p.opts, key=len) for p in command.params if isinstance(p, click.Option) and not p.hidden
    ]


def test_examples_stand_before_options_and_the_usual_come_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = page(["plan", "--help"], capsys)
    places = [out.index(text) for text in ("Examples:", "Usual options:", "  --devices", "--isl")]
    assert places == sorted(places)
    assert "--prefill-device" not in out
    assert f"{ALL} shows" in out


@pytest.mark.parametrize("words", [["plan", ALL], ["help", "plan"]], ids=" ".join)
def test_every_option_is_on_the_full_page_once(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = page(words, capsys)
    for flag in flags("plan"):
        lines = [line for line in out.splitlines() if line.strip().split(" ")[0].strip(",") == flag]
        assert len(lines) == 1 or f", {flag} " in out, flag


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_no_option_is_lost_between_the_groups(name: str) -> None:
    command = cli.commands[name]
    if not isinstance(command, HelpfulCommand):
        return
    with click.Context(command, info_name=name) as context:
        _, _, short = command.get_help(context).partition("ptions:\n")
        hidden = {max(p.opts, key=len) for p in command.advanced()}
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.help and not parameter.hidden:
                flag = max(parameter.opts, key=len)
                assert (flag in short) is (flag not in hidden or flag == ALL), flag


def test_groups_name_parameters_that_exist() -> None:
    known = {p.name for name in cli.commands for p in cli.commands[name].params}
    named = [*USUAL, *(n for _, names in (*GROUPS, *ADVANCED) for n in names)]
    assert set(named) <= known
    assert set(POOLS) <= set(named)


@pytest.mark.parametrize("group", [("list", LISTS), ("lab", LAB)], ids=lambda g: str(g[0]))
def test_groups_have_the_commands_of_the_program(
    group: tuple[str, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    name, lines = group
    out = page([name], capsys)
    for command in lines:
        assert f"\n  {command} " in out
        assert command in HIDDEN
        assert page([name, command, "--help"], capsys).startswith(f"Usage: plan {name} {command}")
        assert page([command, "--help"], capsys).startswith(f"Usage: plan {command}")


def test_a_misspelt_command_of_a_group_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "model"]) == 2
    err = capsys.readouterr().err
    assert "unknown plan list command 'model'" in err
    assert "did you mean models?" in err


def test_help_of_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", "plam"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_engines_and_workloads_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    engines = json.loads(page(["list", "engines", "--json"], capsys))
    assert {"vllm", "sglang", "tensorrt-llm", "llama.cpp"} <= {row["id"] for row in engines}
    assert all(row["default_version"] for row in engines if row["versions"])
    text = page(["list", "engines"], capsys)
    assert "Q4_K_M" in text
    workloads = json.loads(page(["list", "workloads", "--json"], capsys))
    rag = next(row for row in workloads if row["id"] == "rag")
    assert (rag["isl"], rag["osl"]) == (8192, 1024)
    assert "8,192 tokens in, 1,024 out" in page(["list", "workloads"], capsys)


def test_what_a_command_is_about_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    for name, first in FIRST.items():
        assert set(first) <= {p.name for p in cli.commands[name].params}, name
    out = page(["capacity", "--help"], capsys)
    assert out.index("--rate") < out.index("--engine") < out.index("--isl")
