"""Refusals: bad input apart from no plan, and a printed limit that is enough."""

import re
from dataclasses import replace
from typing import Any

import pytest
from support.questions import DEVICE, SMALL, found_of, plan_of, question_of

from planner.base.errors import InfeasibleError, InputError
from planner.placement.layout import Layout
from planner.planning.infeasible import relaxed_limits as raising
from planner.planning.infeasible.binding_limit import no_layout, no_slot
from planner.planning.infeasible.case import Unserved, unserved_case
from planner.planning.infeasible.diagnose import no_plan_error
from planner.planning.infeasible.feasible import any_plan
from planner.planning.price.price import price
from planner.planning.search.question_search import search
from planner.planning.space.candidates import possible_layouts
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior
from tests.support import theory


def case_of(model: str = SMALL, device: str = DEVICE, **asked: Any) -> Unserved:
    """A question as :func:`question_of` fills it in."""
    return unserved_case(
        theory.ask(model, device, **{"devices": 1, "context": 2048, "batch": 8, **asked})
    )


def test_bad_input_is_told_from_no_plan() -> None:
    assert isinstance(no_plan_error(case_of(tp=3, devices=3)), InputError)
    assert isinstance(no_plan_error(case_of("llama-3.1-70b", schemes=("bf16",))), InfeasibleError)


def test_a_layout_or_batch_that_does_not_exist() -> None:
    question = replace(question_of(), fixed={"tp": 3, "dp": None, "pp": None, "ep": None})
    assert "layout tp 3" in str(no_layout(question))
    slot = no_slot(replace(question_of(), batch=7), [Layout(1, 4, 1, 1), Layout(1, 2, 1, 1)])
    assert str(slot).startswith("batch 7 is not a multiple")
    assert isinstance(slot, InputError)
    assert slot.hint.endswith("2, 4")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tp": 3}, "tp 3 does not divide the 32 attention heads"),
        ({"tp": 8, "devices": 12}, "tp·dp·pp = 8 does not divide 12 devices"),
        ({"tp": 8, "devices": 4}, "tp·dp·pp = 8 exceeds the 4 devices"),
        ({"dp": 2, "devices": 4}, "use replicas"),
        ({"pp": 33, "devices": 33}, "pp 33 exceeds the 32 layers"),
    ],
)
def test_a_fixed_layout_is_refused_by_what_it_meets(changes: dict[str, int], words: str) -> None:
    error = no_plan_error(case_of("llama-3.1-8b", **changes))
    assert isinstance(error, InputError)
    assert words in str(error)


@pytest.mark.parametrize("devices", [3, 5, 6, 7, 12, 24])
def test_any_number_of_devices_has_layouts(devices: int) -> None:
    layouts = possible_layouts(question_of("llama-3.1-8b", devices=devices))
    assert any(layout.ranks == devices for layout in layouts)


def raised(text: str) -> float:
    return float(text.split("to ")[1].split()[0])


def test_the_hint_on_tpot_is_enough_and_hardly_more() -> None:
    question = question_of(tpot_seconds=1e-6)
    error = no_plan_error(case_of(tpot_seconds=1e-6))
    assert isinstance(error, InfeasibleError)
    assert error.hint.startswith("the fastest plan reaches ")
    limit = raised(error.hint) * 1e-3

    def answered(seconds: float) -> bool:
        again = replace(question, tpot_seconds=seconds, loss_scheme=None, loss_limit=None)
        return search(build_model(again, load_prior())) is not None

    assert answered(limit)
    assert not answered(limit * 0.99)


@pytest.mark.parametrize("name", ["tpot", "ttft"])
def test_a_limit_is_raised_to_what_the_least_lossy_plan_under_it_takes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times what some plan keeps is asked for, and told is what that plan really takes."""
    limits: list[tuple[float, float]] = []

    def asked_once(ways: Any, high: float, figure: Any) -> float:
        found = figure(ways[0][0], 10 * high)
        assert found is not None
        limits.append((10 * high, found))
        return float(found)

    monkeypatch.setattr(raising, "least_feasible_value", asked_once)
    field = f"{name}_seconds"
    remedy = raising.relax_limit(case_of(**{field: 1e-6}), name).nearest({})
    assert remedy is not None
    ((limit, found),) = limits
    assert 0 < found <= limit * (1 + 1e-9)
    assert found <= remedy.state[field] <= found * 1.002
    again = found_of(objective="quality", **{field: limit})
    priced = price(again.space, again.candidate, again.segments)
    assert found == pytest.approx(priced.tpot if name == "tpot" else priced.ttft, rel=1e-6)


def test_the_hint_on_memory_names_devices_that_hold_it() -> None:
    error = no_plan_error(case_of("llama-3.1-70b", schemes=("bf16",)))
    assert isinstance(error, InfeasibleError)
    assert error.hint.split("; or ")[0] == "2 devices are the fewest with a plan: --devices 2"


def test_a_limit_of_bytes_is_raised_to_what_is_enough() -> None:
    error = no_plan_error(case_of(memory_bytes=1 << 20))
    assert isinstance(error, InfeasibleError)
    total = int(raised(error.hint))
    assert found_of(memory_bytes=total, max_loss="none").value > 0

    with pytest.raises(AssertionError):
        found_of(memory_bytes=1 << 20, max_loss="none")


def test_the_longest_context_on_a_device_without_links_is_told_to_a_token() -> None:
    """With the prompt and answer that the command line makes of it."""
    place = ("qwen2.5-0.5b", "jetson-orin-nano-8gb")
    asked: dict[str, Any] = {
        "batch": 1,
        "schemes": ("bf16",),
        "kv": "int4-token",
        "max_loss": "ggml-q2_k",
    }
    limit = plan_of(*place, **asked, context=20000).memory_per_device.total_bytes
    asked["memory_bytes"] = limit
    error = no_plan_error(case_of(*place, **{**asked, "context": 32768}))
    assert isinstance(error, InfeasibleError)
    told = re.match(
        r"the longest context with a plan is (\d+) tokens: --context \1; or raise ", error.hint
    )
    assert told
    longest = int(told[1])

    def held(context: int) -> bool:
        return any_plan([question_of(*place, **{**asked, "context": context})])

    assert longest >= 20000
    assert held(longest)
    assert not held(longest + 1)


def test_the_most_users_and_the_longest_context_of_all_ways() -> None:
    """The first way keeps BF16 caches, which need twice the bytes; a version that keeps one layout
    in all layers has them apart."""
    asked: dict[str, Any] = {
        "engine": "vllm@0.18",
        "devices": 1,
        "batch": 1536,
        "max_loss": "fp8-block",
    }
    error = no_plan_error(unserved_case(theory.ask(SMALL, "h100-sxm", **asked)))
    assert isinstance(error, InfeasibleError)
    assert "at least 75.75 GiB" in error.message
    assert "caches in fp8" in error.message
    told = re.search(
        r"^(\d+) users are the most with a plan: --batch \1; .* --context (\d+)$", error.hint
    )
    assert told
    for name, value in (("batch", int(told[1])), ("context", int(told[2]))):
        assert any_plan(theory.ask(SMALL, "h100-sxm", **{**asked, name: value}).questions())
        assert not any_plan(theory.ask(SMALL, "h100-sxm", **{**asked, name: value + 1}).questions())
    two = theory.ask(SMALL, "h100-sxm", **{**asked, "devices": 2})
    assert any_plan(two.questions())
