"""What a model's prediction layers would bring a plan without them: one line, of the right sign."""

import re
from collections.abc import Callable
from math import exp, log
from typing import Any

import pytest
from support.choices import choice_of

import planner
from planner.planning.answer.assemble import assemble
from planner.planning.choose.calibrated import calibration
from planner.planning.plan.recommendation import GainRange
from planner.planning.plan.record import Plan
from planner.planning.search.grid_search import SearchResult
from planner.planning.speculate import offer
from planner.planning.speculate.info import KEY
from planner.planning.speculate.offer import with_offer
from planner.throughput.acceptance import measured_draft_counts

DEEP: dict[str, Any] = {"devices": 8, "context": 4096, "engine": "sglang", "tpot_seconds": "none"}
PLAIN: dict[str, Any] = {"devices": 1, "engine": "vllm", "batch": 1}


def lines(plan: Plan) -> list[tuple[str, str]]:
    return [(a.value, a.reason) for a in plan.assumptions if a.key == KEY]


def said_gains(plan: Plan) -> tuple[float, float, float]:
    """(middle, low, high) by measured pairs, of the only line."""
    ((_, reason),) = lines(plan)
    _, middle, low, high = (int(text) / 100 for text in re.findall(r"([+-]\d+)%", reason))
    return middle, low, high


def answer(batch: int, objective: str = "throughput") -> SearchResult:
    return choice_of("deepseek-v3", "h200-sxm", batch=batch, objective=objective, **DEEP).result()


def offered(result: SearchResult) -> Plan:
    return with_offer(assemble(result), result)


def predicted(factor: float) -> Callable[..., GainRange]:
    """A gain of tokens that take ``factor`` of their time where something drafts."""
    return lambda *_: GainRange(1 / factor - 1, 1 / factor - 1.01, 1 / factor - 0.99)


def test_a_model_with_prediction_layers_gets_a_line() -> None:
    plan = planner.plan("deepseek-v3", "h200-sxm", batch=1, **DEEP)
    assert plan.speculation is None
    ((value, reason),) = lines(plan)
    count = int(re.findall(r"\((\d+) drafted a step\)", value)[0])
    assert count in measured_draft_counts("mtp", "deepseek-v3")
    assert "--speculation mtp" in reason
    middle, low, high = said_gains(plan)
    assert low < middle < high


@pytest.mark.parametrize(
    ("model", "device", "more"),
    [
        ("llama-3.1-8b", "h100-sxm", PLAIN),
        ("deepseek-v3", "h200-sxm", {**DEEP, "batch": 1, "objective": "memory"}),
        ("deepseek-v3", "h200-sxm", {**DEEP, "batch": 1, "engine": "any"}),
    ],
    ids=["no layers", "no time", "no engine"],
)
def test_others_get_none(model: str, device: str, more: dict[str, Any]) -> None:
    assert lines(planner.plan(model, device, **more)) == []


def test_what_drafts_already_is_offered_nothing_more() -> None:
    plan = planner.plan("deepseek-v3", "h200-sxm", batch=1, speculation="mtp", **DEEP)
    assert plan.speculation is not None
    assert not any("would" in value or "none;" in value for value, _ in lines(plan))


def test_the_gain_has_the_sign_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drafted token that takes less is a gain, one that takes more a loss, by what measured pairs
    say of it."""
    result = answer(1)
    worth = calibration(frozenset((KEY,)), "related", "deepseek-v3")
    assert 0 < worth.beta <= 1
    assert said_gains(offered(result))[0] > 0, "one sequence waits for bytes alone"
    for factor in (0.5, 0.8, 1.25, 2.0):
        monkeypatch.setattr(offer, "gain_of", predicted(factor))
        middle, low, high = said_gains(offered(result))
        assert middle == pytest.approx(exp(worth.beta * log(1 / factor)) - 1, abs=0.006)
        assert (middle > 0) == (factor < 1)
        assert low < middle < high


def test_of_several_numbers_the_best_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = measured_draft_counts("mtp", "deepseek-v3")
    for best in counts:
        monkeypatch.setattr(
            offer,
            "gain_of",
            lambda _new, _old, drafting, _share, best=best: predicted(
                0.5 if drafting.draft_tokens == best else 1.0
            )(),
        )
        ((value, _),) = lines(offered(answer(1)))
        assert f"({best} drafted" in value


def test_many_sequences_gain_less() -> None:
    """Reading the weights once for two tokens is worth most where nothing else takes time."""
    gains = [said_gains(offered(answer(batch)))[0] for batch in (1, 128)]
    assert gains[0] > gains[1]
    assert lines(offered(answer(256))) == [], "what drafts leaves no room for as many"


@pytest.mark.parametrize(
    ("model", "device", "asked"),
    [
        ("deepseek-v3", "h200-sxm", {"devices": 8, "workload": "rag"}),
        ("glm-4.5", "h200-sxm", {"devices": 8, "engine": "sglang"}),
    ],
)
def test_what_is_offered_is_what_planning_with_it_prints(
    model: str, device: str, asked: dict[str, Any]
) -> None:
    """On the layout of the plan, at the batch that keeps the limits with drafts."""
    plan = planner.plan(model, device, **asked)
    ((_, reason),) = lines(plan)
    offer_said = int(re.findall(r"([+-]\d+)%", reason)[0]) / 100
    count = next(int(a.value.split("(")[1].split()[0]) for a in plan.assumptions if a.key == KEY)
    layout = {name: getattr(plan.layout, name) for name in ("tp", "dp", "pp", "ep")}
    drafting = planner.plan(model, device, speculation="mtp", draft_tokens=count, **asked, **layout)
    each = (p.performance.output_tokens_per_second_per_device.value for p in (drafting, plan))
    new, old = each
    assert offer_said == pytest.approx(new / old - 1, abs=0.006)
