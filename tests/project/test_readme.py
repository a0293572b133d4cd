"""What the README, the page that starts one off, and CONTRIBUTING show is run as shown."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.wheels import ROOT, clean_environment

import planner
from planner.cli.main import run

_BLOCK = re.compile(r"^```([\w-]*)[^\n]*\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
PROMPT = "$ "


def blocks(name: str) -> list[tuple[str, str]]:
    """Fenced blocks of a Markdown file: language and text."""
    return [
        (found[1], found[2]) for found in _BLOCK.finditer((ROOT / name).read_text(encoding="utf-8"))
    ]


def commands(name: str) -> list[str]:
    """Lines `$ plan …` of the console blocks of a Markdown file, continued lines joined."""
    joined = (text.replace("\\\n", " ") for language, text in blocks(name) if language == "console")
    lines = (
        line.removeprefix(PROMPT).strip()
        for text in joined
        for line in text.splitlines()
        if line.startswith(PROMPT)
    )
    return [line for line in lines if line.split()[0] == "plan"]


LONG = {
    "plan sweep scenarios/sweeps/two-devices.toml -o table.csv",
    "plan explain qwen2.5-0.5b jetson-orin-nano-8gb --devices 1 --tpot-ms 60 --solves 12",
}
"""Commands of many solves, which `make exhaustive` runs as shown."""
SHELL = set("|<>$&;*`")
RUN = ("README.md", "docs/guide/start.md", "docs/guide/replay.md")
COMMANDS = list(dict.fromkeys(command for page in RUN for command in commands(page)))


def test_the_first_block_is_the_two_commands() -> None:
    language, text = blocks("README.md")[0]
    assert language in ("", "console", "sh", "bash", "shell")
    assert [
        line.removeprefix(PROMPT).split("#")[0].strip()
        for line in text.splitlines()
        if line.strip()
    ] == ["make demo", "make test"]


def test_the_readme_shows_commands() -> None:
    assert len(commands("README.md")) >= 10
    assert len(COMMANDS) > 30


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["README.md", "docs/reference/api.md"])
def test_what_is_shown_of_python_runs(name: str) -> None:
    shown = [text for language, text in blocks(name) if language == "python"]
    assert shown
    for text in shown:
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning:planner", "-c", text],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{text}\n{done.stderr}"


def test_the_bytes_in_the_readme_are_right() -> None:
    said = re.search(
        r'inventory\("([\w.-]+)"\)\.payload_bytes +# ([\d_]+)',
        (ROOT / "README.md").read_text(encoding="utf-8"),
    )
    assert said is not None
    assert planner.inventory(said[1]).payload_bytes == int(said[2])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run, one after the other: the data folders are there, the code is not."""
    made = tmp_path_factory.mktemp("readme")
    for name in ("hardware_profiles", "scenarios"):
        (made / name).symlink_to(ROOT / name)
    return made


def made_by(command: str) -> list[str]:
    """Files and folders that a command writes."""
    words = command.split()
    named = [words[i + 1] for i, word in enumerate(words[:-1]) if word in (">", "-o", "--report")]
    return named + ([words[3]] if words[:2] == ["plan", "export"] else [])


def made_before(command: str, folder: Path) -> None:
    """Run the commands above ``command`` that make what it reads and is not there.

    Tests of this file may run in several processes, each with a folder of its own.
    """
    for earlier in COMMANDS[: COMMANDS.index(command)]:
        for made in made_by(earlier):
            reads = any(word == made or word.startswith(f"{made}/") for word in command.split())
            if reads and not (folder / made).exists():
                made_before(earlier, folder)
                assert in_a_shell(earlier, folder).returncode == 0


def in_a_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``command`` in a process of its own, by bash."""
    environment = clean_environment()
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), environment.get("PATH", "")]
    )
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    "command",
    [pytest.param(one, marks=pytest.mark.exhaustive) if one in LONG else one for one in COMMANDS],
)
def test_a_command_of_the_readme(
    command: str, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process where a shell would do nothing but start it."""
    if all((folder / made).exists() for made in made_by(command)) and made_by(command):
        return  # it was run, and succeeded, for a later command
    made_before(command, folder)
    if set(command) & SHELL:
        done = in_a_shell(command, folder)
        code, out, err = done.returncode, done.stdout, done.stderr
    else:
        monkeypatch.chdir(folder)
        code = run(shlex.split(command)[1:])
        out, err = capfd.readouterr()
    assert code == 0, f"{command}\n{err}"
    assert out.strip() or ">" in command


@pytest.mark.exhaustive
def test_long_commands_are_understood(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what makes them long left out: solves of ``explain``, most questions of the sweep."""
    explain, sweep = sorted(LONG)
    assert set(COMMANDS) >= LONG
    monkeypatch.chdir(folder)
    assert run([*shlex.split(explain)[1:-1], "0", "--batch", "8"]) == 0
    words = shlex.split(sweep)[1:]
    text = Path(words[1]).read_text(encoding="utf-8")
    few = text.replace('["h100-sxm", "l40s"]', '["l40s"]').replace(
        "[4096, 16_384, 65_536]", "[4096]"
    )
    assert len(few) < len(text) - 20
    Path("few.toml").write_text(few, encoding="utf-8")
    assert run([words[0], "few.toml", "-o", "few.csv"]) == 0
    assert capfd.readouterr().out.strip()
    assert Path("few.csv").read_text(encoding="utf-8").count("\n") == 4


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_that_are_named_exist(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    text = (ROOT / name).read_text(encoding="utf-8")
    in_blocks = [
        line.removeprefix(PROMPT)
        for _, block in _BLOCK.findall(text)
        for line in block.splitlines()
    ]
    named = {found for line in in_blocks for found in re.findall(r"^make ([a-z]+)", line)}
    named |= set(re.findall(r"`make ([a-z]+)`", text))
    assert named
    assert named - targets == set()
