"""What Python shows: an error with its hint, a result as the terminal has it."""

import pickle
from collections.abc import Callable

import pytest

import planner
from planner.base.errors import PlannerError
from planner.cli.main import run
from planner.jobs.workers import LostWorkerError

EXCEPTIONS = (
    "PlannerError",
    "InputError",
    "UnknownNameError",
    "UnsupportedError",
    "DataError",
    "MissingPackageError",
    "InfeasibleError",
)
COMMANDS = [
    (
        ["llama-3.1-8b", "h100-sxm", "--devices", "1"],
        lambda: planner.plan("llama-3.1-8b", "h100-sxm", devices=1),
    ),
    (
        ["memory", "llama-3.1-8b", "h100-sxm"],
        lambda: planner.planning.inspect.memory.memory("llama-3.1-8b", "h100-sxm"),
    ),
    (["experts", "olmoe-1b-7b", "--batch", "4"], lambda: planner.experts("olmoe-1b-7b", batch=4)),
    (
        ["train", "llama-3.1-8b", "h100-sxm", "--devices", "8", "--zero", "3"],
        lambda: planner.train("llama-3.1-8b", "h100-sxm", devices=8, zero=3),
    ),
    (
        ["serve", "llama-3.1-8b", "h100-sxm", "--concurrency", "8", "--context", "4096"],
        lambda: planner.serve("llama-3.1-8b", "h100-sxm", concurrency=8, context=4096),
    ),
    (
        ["explain", "llama-3.1-8b", "h100-sxm", "--module", "mlp-down"],
        lambda: planner.explain("llama-3.1-8b", "h100-sxm", module="mlp-down"),
    ),
    (
        [
            "explain",
            "smollm2-135m",
            "l40s",
            "--devices",
            "1",
            "--batch",
            "8",
            "--schemes",
            "bf16,fp8-block",
            "--solves",
            "0",
        ],
        lambda: planner.explain(
            "smollm2-135m", "l40s", devices=1, batch=8, schemes=["bf16", "fp8-block"], solves=0
        ),
    ),
    (
        ["frontier", "smollm2-135m", "l40s", "--devices", "1", "--points", "3"],
        lambda: planner.frontier("smollm2-135m", "l40s", devices=1, points=3),
    ),
    (
        ["numerics", "smollm2-135m", "--module", "attention-out", "--schemes", "bf16"],
        lambda: planner.layer_error("smollm2-135m", module="attention-out", schemes=["bf16"]),
    ),
]


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("arguments", "result"), COMMANDS, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_print_gives_the_answer_of_the_terminal(
    arguments: list[str],
    result: Callable[[], object],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import planner.planning.inspect.memory  # noqa: F401

    monkeypatch.delenv("COLUMNS", raising=False)
    assert run(arguments) == 0
    shown = capfd.readouterr().out
    made = result()
    print(made)
    assert capfd.readouterr().out == shown
    monkeypatch.setenv("COLUMNS", "44")  # what is kept has 80 columns everywhere
    print(made)
    assert capfd.readouterr().out == shown


@pytest.mark.exhaustive
def test_a_plan_in_a_prompt_is_one_line() -> None:
    made = planner.plan("llama-3.1-8b", "h100-sxm", devices=1)
    rate = made.performance.output_tokens_per_second.value
    assert repr(made) == f"<Plan: llama-3.1-8b on 1 × h100-sxm, {rate:.4g} tokens/s>"


@pytest.mark.exhaustive
def test_the_terminal_does_not_colour_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = planner.plan("llama-3.1-8b", "h100-sxm", devices=1)
    before = str(made)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert str(made) == before
    assert "\x1b" not in before


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exceptions_are_the_packages(name: str) -> None:
    assert name in planner.__all__
    assert issubclass(getattr(planner, name), planner.PlannerError)


@pytest.mark.parametrize("name", ["Plan", "ModelSpec", "DeviceProfile", "Scenario"])
def test_records_are_the_packages(name: str) -> None:
    assert getattr(planner, name).__name__ == name
    loaded = {
        "ModelSpec": lambda: planner.load_model("llama-3.1-8b"),
        "DeviceProfile": lambda: planner.load_device("h100-sxm"),
        "Scenario": lambda: planner.load_scenario("orin-int8"),
    }
    if name in loaded:
        assert isinstance(loaded[name](), getattr(planner, name))


def test_an_error_says_the_hint_too(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(planner.UnknownNameError) as caught:
        planner.load_model("deepseek-v33")
    error = caught.value
    assert error.hint
    assert str(error) == f"{error.message}\nhint: {error.hint}"
    assert run(["inventory", "deepseek-v33"]) == 2
    said = capfd.readouterr().err
    assert said == f"error: {error.message}\nhint: {error.hint}\n"


def test_an_error_without_a_hint_is_its_message() -> None:
    assert str(PlannerError("nothing fits")) == "nothing fits"


@pytest.mark.parametrize(
    "error",
    [
        planner.UnknownNameError("model", "x", ["y"]),
        planner.MissingPackageError("torch", extra="a"),
        planner.DataError("broken", hint="mend it"),
        LostWorkerError("gone", hint="start it again"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_workers_error_comes_back_whole(error: planner.PlannerError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert (back.message, back.hint, str(back)) == (error.message, error.hint, str(error))
