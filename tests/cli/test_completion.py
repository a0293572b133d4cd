"""The shell is told names of models, devices, formats and scenarios; nothing heavy is loaded."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.wheels import ROOT, checked, clean_environment

from planner.cli.completion import HOW, MODES, SHELLS, WORDS
from planner.cli.main import cli, run
from planner.hardware.catalog import device_ids
from planner.models.catalog import model_ids

HEAVY = {"numpy", "pandas", "pydantic", "matplotlib", "rich", "scipy", "jinja2", "highspy"}
_SCRIPT = """
import json, sys
from planner.cli import main
try:
    main([])
except SystemExit as stop:
    code = stop.code or 0
print(json.dumps([code, sorted(sys.modules)]))
"""


def told(line: str, folder: Path, shell: str = "bash", **more: str) -> tuple[list[str], set[str]]:
    """What a shell is told when the last word of ``line`` is to be completed, and the modules."""
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    if shell == "fish":
        asked = {"COMP_WORDS": line, "COMP_CWORD": words[-1]}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=folder,
        check=True,
        text=True,
        env={
            **clean_environment(),
            "PYTHONPATH": str(ROOT),
            **asked,
            **more,
            "_PLAN_COMPLETE": f"{shell}_complete",
        },
        capture_output=True,
    )
    *lines, last = done.stdout.splitlines()
    code, modules = json.loads(last)
    assert code == 0
    assert done.stderr == ""
    return lines, set(modules)


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plan deepseek-v3", "deepseek-v3.2"),
        ("plan expl", "explain"),
        ("plan deepseek-v3 h1", "h100-sxm"),
        ("plan meta-llama/Llama-3.1-7", "meta-llama/Llama-3.1-70B"),
        ("plan --scen", "--scenario"),
        ("plan --scenario orin", "orin-int8"),
        ("plan estimate llama-3.1-8b l40s --scheme fp8-b", "fp8-block"),
        ("plan llama-3.1-8b l40s --schemes bf16,int8-w8", "bf16,int8-w8a8"),
        ("plan llama-3.1-8b l40s --objective la", "latency"),
        ("plan llama-3.1-8b l40s --kv fp8-", "fp8-ds-mla"),
        ("plan llama-3.1-8b l40s --engine vl", "vllm"),
        ("plan devices jetson-agx-t", "jetson-agx-thor-t5000"),
        ("plan formats --device xeon-6", "xeon-6980p"),
        ("plan devices hos", "host"),
        ("plan explain llama-3.1-8b l40s --module mlp-d", "mlp-down"),
        ("plan sensitivity llama-3.1-8b --exclude GLM-4,kimi-k", "GLM-4,Kimi-K2"),
        ("plan sensitivity llama-3.1-8b --names g", "gguf"),
        ("plan completion z", "zsh"),
    ],
)
def test_names_are_completed(line: str, expected: str, tmp_path: Path) -> None:
    lines, modules = told(line, tmp_path)
    values = [text.partition(",")[2] for text in lines]
    assert expected in values
    last = line.rsplit(" ", 1)[1]
    assert all(value.lower().startswith(last.lower()) for value in values)
    assert modules & HEAVY == set()


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_is_told_the_same_names(shell: str, tmp_path: Path) -> None:
    lines, _ = told("plan llama-3.1-8b b", tmp_path, shell)
    text = "\n".join(lines)
    assert [d for d in device_ids() if d.startswith("b")] == [
        d for d in device_ids() if d in text and d.startswith("b")
    ]


def test_all_models_are_offered_after_a_command(tmp_path: Path) -> None:
    lines, _ = told("plan inventory ", tmp_path)
    assert {text.partition(",")[2] for text in lines} == set(model_ids())


def test_a_path_is_left_to_the_shell(tmp_path: Path) -> None:
    assert told("plan ./mod", tmp_path)[0] == ["file,./mod"]
    assert told("plan report ", tmp_path)[0] == ["file,"]


def test_devices_of_your_own_are_offered(tmp_path: Path) -> None:
    (tmp_path / "own-42.toml").write_text("", encoding="utf-8")
    by_flag, _ = told(f"plan llama-3.1-8b --hardware-dir {tmp_path} ow", tmp_path)
    by_variable, _ = told("plan llama-3.1-8b ow", tmp_path, PLAN_HARDWARE_PATH=str(tmp_path))
    assert by_flag == by_variable == ["plain,own-42"]


def test_the_words_are_those_the_commands_take() -> None:
    """Each list stands in the help of its flag, or is what the core accepts."""
    from planner.planning.question.question import OBJECTIVES
    from planner.quality.profile import TIERS

    assert WORDS["objective"] == OBJECTIVES
    assert WORDS["tier"] == tuple(TIERS)
    for name in set(WORDS) - {"objective", "tier"}:
        found = [p for command in cli.commands.values() for p in command.params if p.name == name]
        assert found, name
        for parameter in found:
            text = f"{parameter.metavar} {getattr(parameter, 'help', '')}"
            missing = [w for w in WORDS[name] if w not in text]
            assert isinstance(parameter, click.Parameter)
            assert not missing, (name, missing, text)


@pytest.mark.parametrize("command", MODES)
def test_a_mode_is_one_of_its_command(command: str) -> None:
    mode = next(p for p in cli.commands[command].params if p.name == "mode")
    assert isinstance(mode, click.Option)
    assert [w for w in MODES[command] if w not in f"{mode.metavar} {mode.help}"] == []
    words = [
        item.value
        for item in mode.type.shell_complete(
            click.Context(cli.commands[command], info_name=command), mode, ""
        )
    ]
    assert words == list(MODES[command])


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_every_shell(
    shell: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["completion", shell]) == 0
    script = capfd.readouterr().out
    assert "_PLAN_COMPLETE" in script
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed: its script is printed but not read by it")
    (tmp_path / "script").write_text(script, encoding="utf-8")
    checked([program, "-n", str(tmp_path / "script")], tmp_path)


def test_how_to_switch_it_on(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["completion"]) == 0
    out = capfd.readouterr().out
    assert all(line in out for line in HOW.values())
    assert run(["completion", "tcsh"]) == 2
    assert "hint: one of bash, zsh, fish" in capfd.readouterr().err
