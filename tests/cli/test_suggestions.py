"""A misspelt command, a model and a device the wrong way round, a plan file's objective."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import planner
from planner.base.errors import DataError, PlannerError, UnknownNameError
from planner.cli.main import cli, run
from planner.cli.suggest import unknown_command
from planner.cli.types import Hinted
from planner.models.catalog import known_names

BOTH = [
    name
    for name, command in cli.commands.items()
    if [p.name for p in command.params[:2]] == ["model", "device"]
]
NEEDED = {
    "explain": ["--module", "mlp-down"],
    "capacity": ["--rate", "2", "--ttft-ms", "900"],
    "replay": ["--rate", "2"],
}


def told(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[str, str]:
    assert run(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    error, hint = err.splitlines()
    return error.removeprefix("error: "), hint.removeprefix("hint: ")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("estimat", "estimate"),
        ("estmate", "estimate"),
        ("modls", "models"),
        ("Devices", "devices"),
        ("fronteir", "frontier"),
        ("reprot", "report"),
        ("swep", "sweep"),
        ("explian", "explain"),
        ("pln", "plan"),
        ("inventry", "inventory"),
    ],
)
@pytest.mark.parametrize("rest", [[], ["deepseek-v3", "h100-sxm"], ["--help"]], ids=len)
def test_a_misspelt_command(
    word: str, meant: str, rest: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert told([word, *rest], capfd) == (f"unknown command {word!r}", f"did you mean `{meant}`?")


def test_a_word_that_is_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert told(["price", "deepseek-v3", "h100-sxm"], capfd) == (
        "unknown command 'price'",
        "`plan --help` lists the commands",
    )
    error, _ = told(["deepseek-v3", "h100-sxm", "surplus"], capfd)
    assert "surplus" in error


def test_no_model_is_taken_for_a_command() -> None:
    for name in known_names():
        unknown_command(name, cli.commands)


def test_a_file_is_not_taken_for_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Hinted):
        unknown_command("estimat", cli.commands)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "estimat").mkdir()
    unknown_command("estimat", cli.commands)
    unknown_command("./model", cli.commands)


@pytest.mark.parametrize("word", ["deepseek-v33", "lama-3.1-8b", "qwen3-236b"])
def test_a_misspelt_model_stays_one(word: str, capfd: pytest.CaptureFixture[str]) -> None:
    error, _ = told([word, "h100-sxm"], capfd)
    assert error == f"unknown model {word!r}"


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("device", ["h100-sxm", "orin", "h100"])
def test_swapped_names_in_every_command(
    name: str, device: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The hint is the command in the right order, also for an alias and an unknown device."""
    more = [*NEEDED.get(name, []), "--quiet"]
    error, hint = told([name, device, "deepseek-v3", *more], capfd)
    assert error.startswith(f"unknown model {device!r}")
    right = shlex.split(hint.partition(": ")[2])
    assert right == ["plan", name, "deepseek-v3", device, *more]


def test_many_commands_take_both() -> None:
    assert {
        "plan",
        "estimate",
        "memory",
        "explain",
        "serve",
        "frontier",
        "experts",
        "train",
    } <= set(BOTH)


@pytest.mark.parametrize(
    "call",
    [
        lambda: planner.plan("h100-sxm", "deepseek-v3"),
        lambda: planner.estimate("h100-sxm", "deepseek-v3"),
        lambda: planner.frontier("h100-sxm", "deepseek-v3"),
        lambda: planner.serve("h100-sxm", "deepseek-v3"),
        lambda: planner.explain("h100-sxm", "deepseek-v3"),
        lambda: planner.experts("h100-sxm", "deepseek-v3"),
        lambda: planner.train("h100-sxm", "deepseek-v3"),
        lambda: planner.load_model("h100-sxm"),
    ],
)
def test_swapped_names_in_python(call: Callable[[], object]) -> None:
    with pytest.raises(UnknownNameError, match="unknown model 'h100-sxm': it is a device") as error:
        call()
    assert "the model comes first" in str(error.value)


def test_a_model_for_a_device() -> None:
    with pytest.raises(UnknownNameError, match="unknown device 'deepseek-v3': it is a model"):
        planner.load_device("deepseek-v3")


@pytest.fixture
def wrong_objective(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> str:
    assert run(["smollm2-135m", "l40s", "--devices", "1", "--json", "--quiet"]) == 0
    data = json.loads(capfd.readouterr().out)
    (tmp_path / "right.json").write_text(json.dumps(data), encoding="utf-8")
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**data, "objective": "foo"}), encoding="utf-8")
    return str(path)


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "command",
    [
        ["report", "PLAN"],
        ["report", "PLAN", "-o", "x.html"],
        ["estimate", "--plan", "PLAN"],
        ["diff", "PLAN", "RIGHT"],
        ["diff", "RIGHT", "PLAN"],
        ["explain", "--plan", "PLAN"],
        ["export", "PLAN", "out", "--to", "compressed-tensors"],
        ["memory", "--plan", "PLAN"],
        ["serve", "--plan", "PLAN"],
    ],
    ids=" ".join,
)
def test_a_plan_file_with_another_objective(
    command: list[str],
    wrong_objective: str,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    right = wrong_objective.replace("plan.json", "right.json")
    error, hint = told(
        [{"PLAN": wrong_objective, "RIGHT": right}.get(w, w) for w in command], capfd
    )
    assert "objective" in error
    assert "'foo'" in error
    assert hint == "one of throughput, latency, memory, quality, cost"
    assert {p.name for p in tmp_path.iterdir()} == {"plan.json", "right.json"}


@pytest.mark.exhaustive
def test_python_refuses_it_too(wrong_objective: str) -> None:
    with pytest.raises(DataError, match="objective"):
        planner.read_plan(json.loads(Path(wrong_objective).read_text(encoding="utf-8")))
    assert issubclass(DataError, PlannerError)
