"""Limits that are no limits end with exit code 2, contradictory ones with 1 and a smallest set."""

import itertools
import re
from typing import Any

import pytest

import planner
from planner.base.errors import InfeasibleError, InputError
from planner.cli.main import run
from planner.planning.infeasible.binding_limit import binding
from planner.planning.infeasible.conflicting_limits import contradictions
from planner.planning.search.question_search import solve_questions
from tests.support import theory

MODEL, DEVICE = "llama-3.2-1b", "b200-sxm"
BAD = ("0", "-1", "inf", "-inf", "nan")
NAMES = {
    "memory_bytes": "memory-bytes",
    "tpot_seconds": "tpot",
    "ttft_seconds": "ttft",
    "max_loss": "max-loss",
}
ASKED: dict[str, Any] = {"devices": 1, "isl": 4096, "osl": 64, "batch": 1}


@pytest.mark.parametrize("flag", ["--tpot-ms", "--ttft-ms", "--memory-bytes", "--max-loss"])
@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("verb", ["plan", "estimate"])
def test_no_limit_on_the_command_line(
    capsys: pytest.CaptureFixture[str], verb: str, flag: str, value: str
) -> None:
    if flag == "--max-loss" and (verb == "estimate" or value == "0"):
        flag = "--tpot-ms"  # an estimate has no limit on loss, and a loss of 0 is one
    assert run([verb, MODEL, DEVICE, "--quiet", f"{flag}={value}"]) == 2
    out, err = capsys.readouterr()
    assert not out
    lines = err.strip().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"], err
    assert all(line.partition(": ")[2].strip() for line in lines)
    assert flag.removeprefix("--").removesuffix("-ms") in lines[0].replace("_", "-")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [float(text) for text in BAD])
def test_no_limit_in_python(name: str, value: float) -> None:
    given: Any = int(value) if name == "memory_bytes" and value in (0.0, -1.0) else value
    for verb in (theory.plan, planner.frontier):
        if verb is planner.frontier and name == "max_loss":
            continue  # it has every limit on loss
        if (name, value) == ("max_loss", 0.0):
            continue  # a limit like any other
        with pytest.raises(InputError) as caught:
            verb(MODEL, DEVICE, **{name: given})
        assert not isinstance(caught.value, InfeasibleError)
        assert caught.value.exit_code == 2
        assert name in caught.value.message.replace("-", "_")
        assert caught.value.hint


def has_plan(limits: dict[str, Any], **asked: Any) -> bool:
    """By the search as it is asked, with the loosest scheme where no limit on loss is meant."""
    loose = {"max_loss": "int4-w4a16"} if "max_loss" not in limits else {}
    return (
        solve_questions(
            theory.ask(MODEL, DEVICE, **{**ASKED, **loose, **limits, **asked}).questions()
        )
        is not None
    )


CONTRADICTORY: list[dict[str, Any]] = [
    {"memory_bytes": 2_600_000_000, "max_loss": "bf16"},
    {"memory_bytes": 2_600_000_000, "max_loss": "fp8-block"},
    {"ttft_seconds": 7.2e-3, "max_loss": "fp8-block"},
    {"tpot_seconds": 0.97e-3, "max_loss": "bf16"},
    {"memory_bytes": 2_850_000_000, "ttft_seconds": 7.8e-3, "max_loss": "fp8-block"},
]


@pytest.mark.parametrize("limits", CONTRADICTORY, ids=lambda limits: "+".join(limits))
def test_the_set_is_named_and_irreducible(limits: dict[str, Any]) -> None:
    questions = theory.ask(MODEL, DEVICE, **ASKED, **limits).questions()
    assert set(binding(questions).limits) == {NAMES[name] for name in limits}
    assert not has_plan(limits)
    for name in limits:
        assert has_plan({k: v for k, v in limits.items() if k != name}), name


@pytest.mark.parametrize(
    "limits",
    [*CONTRADICTORY[:2], pytest.param(CONTRADICTORY[-1], marks=pytest.mark.exhaustive)],
    ids=lambda limits: "+".join(limits),
)
def test_the_message_names_the_set(limits: dict[str, Any]) -> None:
    with pytest.raises(InfeasibleError, match="contradict each other") as caught:
        theory.plan(MODEL, DEVICE, **ASKED, **limits)
    assert caught.value.exit_code == 1
    assert all(NAMES[name] in caught.value.message for name in limits)
    assert caught.value.hint


def test_the_set_holds_over_all_ways_of_an_engine() -> None:
    """BF16 caches, the first way, break the bytes alone; FP8 caches do with the loss of BF16."""
    asked = {**ASKED, "batch": 512, "engine": "vllm", "memory_bytes": 60 << 30}
    questions = theory.ask(MODEL, DEVICE, **asked, max_loss="bf16").questions()
    assert len(questions) > 1
    first = theory.ask(MODEL, DEVICE, **asked, max_loss="int4-w4a16", kv="bf16").questions()
    assert binding(first).limits == ("memory-bytes",)
    assert set(binding(questions).limits) == {"memory-bytes", "max-loss"}


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "pair",
    list(
        itertools.combinations(
            ({"memory_bytes": 10**8}, {"tpot_seconds": 1e-5}, {"ttft_seconds": 1e-5}), 2
        )
    ),
    ids=str,
)
def test_limits_that_each_exclude_every_plan_are_sets_of_one(pair: Any) -> None:
    limits = {**pair[0], **pair[1]}
    found = contradictions(theory.ask(MODEL, DEVICE, **ASKED, **limits).questions())
    assert found == tuple((NAMES[name],) for name in limits)
    with pytest.raises(InfeasibleError) as caught:
        theory.plan(MODEL, DEVICE, **ASKED, **limits)
    for name in limits:
        assert name.partition("_")[0] in caught.value.hint


@pytest.mark.exhaustive
def test_a_scheme_without_a_loss_in_some_kind_is_no_way_out() -> None:
    """Types that need an importance matrix have no loss in experts: none is offered as a limit."""
    with pytest.raises(InfeasibleError, match="max-loss fp8-block excludes every plan") as caught:
        planner.plan("kimi-k2.6-nvfp4", "gb200", devices=1, workload="batch")
    assert "--devices 4" in caught.value.hint
    assert re.search(r"--max-loss [\w-]+$", caught.value.hint)
