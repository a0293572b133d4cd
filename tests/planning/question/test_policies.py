"""Policies of a scenario: kept layers stay as released, the plan says whether they bind."""

import re
from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planner.base.errors import DataError, InputError, PlannerError, UnknownNameError
from planner.lookup import load_model
from planner.planning.answer import rule_gains
from planner.planning.engines.routes import same_weights
from planner.planning.plan.record import Plan
from planner.planning.question.policies import runs_as_released
from planner.planning.question.scenario import Scenario
from planner.planning.question.scenarios import parse_scenario
from planner.planning.search.engine_search import solve_objective
from planner.planning.search.grid_search import SearchResult
from planner.throughput.kernels import WEIGHT_ONLY_OF
from tests.support import theory
from tests.support.theory import estimate

plan = partial(theory.plan, exact=True)
HEAD = 'title = "t"\nquestion = "q"\nmodel = "llama-3.1-8b"\ndevice = "h100-sxm"\ndevices = 1\n'
RULES = ["embedding", "head", "indexer", "norm", "router"]
ALL = '["embedding", "head", "indexer", "norm", "router"]'


def scenario(more: str) -> Scenario:
    return parse_scenario((HEAD + more).encode(), place="t.toml", id="t")


def by_layer(found: Plan) -> dict[tuple[str, int], str]:
    """The choice of every kind in every layer; -1: outside the layers."""
    return {(u.kind, n): u.scheme for u in found.units for n in u.layers or (-1,)}


@pytest.mark.exhaustive
def test_the_ends_stay_as_released_and_the_price_is_told() -> None:
    kept = plan(scenario=scenario("keep_first_layers = 3\nkeep_last_layers = 1\n"))
    free = plan(scenario=scenario(""))
    released = load_model("llama-3.1-8b").quantization
    ends = {0, 1, 2, 31}
    for unit in kept.units:
        if (
            unit.kv_layout is None
            and ends & set(unit.layers)
            and unit.kind.startswith(("attention", "mlp"))
        ):
            assert unit.scheme == released
    words = {a.key: a.value for a in kept.assumptions}
    assert words["policy: kept layers"].startswith("0-2, 31 as released")
    assert "policy: kept layers" not in {a.key for a in free.assumptions}
    rates = [p.performance.output_tokens_per_second.value for p in (kept, free)]
    assert rates[0] <= rates[1] * (1 + 1e-3)
    binds = "does not bind" not in words["policy: kept layers"]
    assert binds == (rates[0] < rates[1] * (1 - 1e-6))


@pytest.mark.exhaustive
def test_each_end_has_its_own_price() -> None:
    """Against plans that keep one end only."""

    def best(more: str) -> float:
        return plan(scenario=scenario(more)).solver.bound

    kept = plan(scenario=scenario("keep_first_layers = 8\nkeep_last_layers = 6\n"))
    told = {a.key: a.value for a in kept.assumptions}["policy: kept layers"]
    found = re.search(
        r"binds: ([\d.]+)% better without \(the first ([\d.]+)%, the last ([\d.]+)%", told
    )
    assert found is not None
    both, first, last = (float(text) / 100 for text in found.groups())
    now = kept.solver.bound
    assert both == pytest.approx(1 - best("") / now, abs=6e-4)
    assert first == pytest.approx(1 - best("keep_last_layers = 6\n") / now, abs=6e-4)
    assert last == pytest.approx(1 - best("keep_first_layers = 8\n") / now, abs=6e-4)


def test_rules_that_hold_say_what_they_take_and_whether_they_bind() -> None:
    found = plan(scenario=scenario(""))
    told = {a.key: (a.value, a.reason) for a in found.assumptions}["policies"]
    kinds, _, rest = told[0].partition(" as released: ")
    assert set(kinds.split(", ")) == {"embedding", "head", "norm"}
    kept = [u for u in found.units if u.kind in ("embedding", "head", "norm")]
    share = sum(u.decode_seconds for u in kept) / sum(u.decode_seconds for u in found.units)
    assert rest.startswith(f"{share:.1%} of the step, ")
    assert "bind" in told[1]


EDGE: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "device": "jetson-agx-orin-64gb",
    "objective": "latency",
    "max_loss": "int4-w4a16",
    "context": 4096,
}


def test_what_a_rule_costs_is_what_dropping_it_wins() -> None:
    """At the plan's own layout and batch, as the search without the rule finds it there."""
    kept = plan(**EDGE)
    told = {a.key: a.reason for a in kept.assumptions}["policies"]
    found = re.search(r"head binds \(([\d.]+)% better without\)", told)
    assert found is not None
    layout = {k: getattr(kept.layout, k) for k in ("tp", "dp", "pp", "ep")}
    free = plan(**EDGE, drop_policies=["head"], batch=kept.workload.batch, devices=1, **layout)
    assert float(found[1]) / 100 == pytest.approx(
        1 - free.solver.bound / kept.solver.bound, abs=6e-4
    )
    assert float(found[1]) > 5
    head = next(u for u in free.units if u.kind == "head")
    assert head.scheme != "bf16"
    assert head.loss > 0
    assert head.next_best is not None
    assert {a.value for a in free.assumptions if a.key == "policy dropped"} == {
        f"head: planned: {head.scheme}"
    }
    assert "policy dropped" not in {a.key for a in kept.assumptions}


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("model", "device", "more"),
    [
        ("qwen3-30b-a3b", "l40s", {"devices": 2, "batch": 32}),
        ("llama-3.1-8b", "xeon-6980p", {"devices": 1}),
        ("deepseek-v2-lite", "h100-sxm", {"devices": 2, "pp": 2, "batch": 32, "untie": True}),
        ("qwen3-0.6b", "jetson-agx-orin-64gb", {"objective": "latency", "max_loss": "nvfp4-w4a16"}),
        ("deepseek-v3.2", "h200-sxm", {"devices": 8, "objective": "memory", "max_loss": "nvfp4"}),
    ],
)
def test_dropping_rules_never_worsens_a_plan(model: str, device: str, more: dict[str, Any]) -> None:
    kept = plan(model, device, context=4096, **more)
    free = plan(model, device, context=4096, drop_policies=RULES, **more)
    assert free.solver.bound <= kept.solver.bound * (1 + 1e-6)
    again = estimate(plan=free, model=model, device=device)
    for ours, theirs in (
        (free.performance.tpot_seconds, again.performance.tpot_seconds),
        (free.performance.ttft_seconds, again.performance.ttft_seconds),
    ):
        assert theirs.value == pytest.approx(ours.value, rel=1e-9)
    assert again.memory_per_device == free.memory_per_device
    assert again.quality.loss == pytest.approx(free.quality.loss, rel=1e-9)
    assert by_layer(again) == by_layer(free)
    assert sum(u.weight_bytes for u in again.units) == sum(u.weight_bytes for u in free.units)
    assert next(u for u in free.units if u.kind == "norm").scheme in ("bf16", "fp32")


def test_modules_of_dropped_rules_cost_the_same_as_released() -> None:
    """What is not changed has the price of a plan that keeps it, bytes and seconds."""
    kept = plan("qwen3-30b-a3b", "l40s", devices=2, pp=2, context=4096, schemes=["bf16"])
    free = plan(
        "qwen3-30b-a3b",
        "l40s",
        devices=2,
        pp=2,
        context=4096,
        schemes=["bf16"],
        drop_policies=RULES,
    )
    assert free.performance.tpot_seconds.value == pytest.approx(
        kept.performance.tpot_seconds.value, rel=1e-9
    )
    assert free.memory_per_device == kept.memory_per_device
    assert {m.kind: m.weight_bytes for m in free.modules} == {
        m.kind: m.weight_bytes for m in kept.modules
    }


def test_one_matrix_is_one_decision() -> None:
    """Embedding and head of a tied model: together or not at all."""
    with pytest.raises(InputError, match="one matrix"):
        plan("qwen3-0.6b", "l40s", drop_policies=["head"])
    free = plan(
        "qwen3-0.6b",
        "l40s",
        objective="memory",
        max_loss="mxfp4",
        drop_policies=["head", "embedding"],
        context=1024,
        batch=1,
        devices=1,
    )
    schemes = {u.kind: u.scheme for u in free.units if u.kind in ("embedding", "head")}
    assert schemes["embedding"] == schemes["head"] != "bf16"
    sizes = {u.kind: u.weight_bytes_per_device for u in free.units}
    assert sizes["embedding"] > 0
    assert sizes["head"] == 0


def test_a_router_in_eight_bits_is_dear() -> None:
    """The loss of a router in FP8 exceeds that of the layers' experts in it."""
    free = plan("qwen3-30b-a3b", "h100-sxm", devices=1, context=4096, drop_policies=["router"])
    assert {u.scheme for u in free.units if u.kind == "router"} <= {"bf16", "fp16", "fp32"}


def test_an_engine_says_what_it_does_with_a_head() -> None:
    """vLLM takes a head in INT4 from a checkpoint, and no router."""
    free = plan(
        "llama-3.1-8b",
        "a100-sxm",
        devices=1,
        context=4096,
        objective="latency",
        max_loss="int4-w4a16",
        engine="vllm",
        drop_policies=["head", "embedding"],
    )
    assert {u.scheme for u in free.units if u.kind == "embedding"} == {"bf16"}
    served = [a for a in free.assumptions if a.key.startswith("servable by vllm")]
    assert served
    assert served[0].value.startswith("yes")


@pytest.mark.exhaustive
def test_an_end_is_dropped_by_name() -> None:
    both = "keep_first_layers = 8\nkeep_last_layers = 6\n"
    last = plan(scenario=scenario("keep_last_layers = 6\n"))
    assert plan(
        scenario=scenario(both), drop_policies=["first-layers"]
    ).solver.bound == pytest.approx(last.solver.bound)
    assert plan(scenario=scenario(both + 'drop_policies = ["first-layers"]\n')).units == last.units


def test_a_limit_that_no_format_passes_does_not_bind() -> None:
    found = plan(scenario=scenario('keep_first_layers = 2\nschemes = ["bf16"]\n'))
    assert any("does not bind" in a.value for a in found.assumptions)


@pytest.mark.exhaustive
def test_untied_layers_are_kept_too() -> None:
    found = plan(scenario=scenario("keep_last_layers = 4\nuntie = true\n"))
    for unit in found.units:
        if unit.kind.startswith("mlp") and {28, 29, 30, 31} & set(unit.layers):
            assert unit.scheme == "bf16"


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ('drop_policies = ["routers"]\n', UnknownNameError),
        ('policies = ["routers"]\n', UnknownNameError),
        ("policies = 3\n", DataError),
        ("drop_policies = 3\n", DataError),
        ("keep_first_layers = 0\n", DataError),
        ("keep_first_layers = 30\nkeep_last_layers = 3\n", InputError),
        ("keep_layers = 3\n", DataError),
    ],
)
def test_rules_that_cannot_be_are_refused(more: str, error: type[PlannerError]) -> None:
    with pytest.raises(error):
        plan(scenario=scenario(more))


@pytest.mark.exhaustive
def test_the_rules_that_hold_anyway_may_be_named() -> None:
    assert plan(scenario=scenario(f"policies = {ALL}\n")).units == plan(scenario=scenario("")).units


def test_rules_that_are_not_named_do_not_hold() -> None:
    held = plan(scenario=scenario('policies = ["embedding", "norm"]\n'))
    told = [a.value for a in held.assumptions if a.key == "policy dropped"]
    assert [words.partition(":")[0] for words in told] == ["head"]


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("together", "alone", "told"),
    [(1.0, 1.0, {0.0}), (0.9999, 1.0, {1e-4}), (0.999, 1.0, {1e-3}), (0.9, 0.95, {0.05})],
)
def test_a_gain_of_rules_together_is_never_told_as_nothing(
    together: float, alone: float, told: set[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no rule alone would gain anything."""
    questions = theory.ask("llama-3.1-8b", "h100-sxm", devices=1).questions()
    found = solve_objective(questions)[0]
    assert found is not None

    of = rule_gains._Objective

    def value(found: SearchResult, kinds: Sequence[str], base: Any = None) -> Any:
        least = together if len(kinds) > 1 else alone
        assert base is not None
        kept = least <= 1 - rule_gains.BINDS
        return of(base.summed * least, base.served * least) if kept else of(np.inf, np.inf)

    monkeypatch.setattr(rule_gains, "_value", value)
    gains = rule_gains.rule_gains(found)
    assert gains is not None
    assert {round(gain, 9) for gain in gains.values()} == told


@pytest.mark.parametrize(
    ("groups", "told", "solves"),
    [
        ([["embedding"], ["head"]], {"embedding": 0.25, "head": 0.125}, 3),
        ([["embedding"]], {"embedding": 0.25}, 1),
    ],
)
def test_each_rule_is_told_its_own_gain_and_one_rule_is_asked_once(
    groups: list[list[str]], told: dict[str, float], solves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = SimpleNamespace(
        profile=None, dropped=(), left_out=(), untie=False, objective="throughput"
    )
    found: Any = SimpleNamespace(
        value=2.0, space=SimpleNamespace(model=SimpleNamespace(question=question, units=()))
    )
    asked: list[tuple[str, ...]] = []
    gain = {"embedding": 0.25, "head": 0.125}

    def value(found: SearchResult, kinds: Sequence[str], base: Any = None) -> Any:
        asked.append(tuple(kinds))
        left = 1 - sum(gain[kind] for kind in kinds)
        return rule_gains._Objective(found.value * left, 10 * found.value * left)

    monkeypatch.setattr(rule_gains, "_value", value)
    monkeypatch.setattr(rule_gains, "_base", lambda found: value(found, []))
    monkeypatch.setattr(rule_gains, "_groups", lambda *_: groups)
    gains = rule_gains.rule_gains(found)
    assert gains == pytest.approx(told)
    assert len(asked) == solves + 1  # and the plan itself


def test_the_weight_only_twin_stands_for_a_release_where_it_alone_is_a_choice() -> None:
    """Only where both have the same weights."""
    for released, twin in WEIGHT_ONLY_OF.items():
        for schemes, found in (
            ((released, twin), released),
            ((twin,), twin),
            (("bf16",), released),
            ((released,), released),
        ):
            question: Any = SimpleNamespace(schemes=schemes, as_released=False)
            stands = runs_as_released(question, released)
            assert stands == (found if same_weights(released) else released)
            question.as_released = True  # the weights that are stored are those that are widened
            assert runs_as_released(question, released) == found
    assert any(map(same_weights, WEIGHT_ONLY_OF))
