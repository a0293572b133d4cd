"""The pruned search against solving every candidate; laws of whole plans; one answer a question."""

import json
from functools import cache
from typing import Any

import numpy as np
import pytest

from planner.base.errors import InfeasibleError
from planner.lookup import load_device, load_model
from planner.planning.plan.record import Plan
from planner.planning.question.given_values import GivenValues
from planner.planning.question.question import OBJECTIVES
from planner.planning.question.resolve import build_question
from planner.planning.search.formulate import bounds
from planner.planning.search.grid_search import solve_candidate
from planner.planning.search.question_search import search
from planner.planning.search.spaces import grid_space
from planner.planning.space.memory import budget
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior
from tests.support.theory import plan

NEAR = 1.2
SAMPLE = 4
QUESTIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "dense": ("llama-3.1-8b", "l40s", {"devices": 4}),
    "experts": ("deepseek-v2-lite", "h100-sxm", {"devices": 2}),
    "limited": (
        "llama-3.1-8b",
        "h100-sxm",
        {"devices": 2, "tpot_seconds": 0.012, "ttft_seconds": 0.5},
    ),
    "four-bit": ("qwen3-30b-a3b", "b200-sxm", {"devices": 1, "max_loss": "nvfp4"}),
    "one": ("deepseek-v2-lite", "jetson-agx-orin-64gb", {}),
}


@cache
def once(model: str, device: str, asked: tuple[tuple[str, Any], ...]) -> Plan:
    return plan(model, device, **dict(asked))


def planned(model: str, device: str, **asked: Any) -> Plan:
    """A plan, made once for all tests that look at it."""
    return once(model, device, tuple(sorted(asked.items())))


def model_of(name: str, **more: Any) -> CostModel:
    model, device, asked = QUESTIONS[name]
    question = build_question(
        load_model(model),
        load_device(device),
        GivenValues(**{**asked, **more}),
        None,
        uniform=None,
        given=None,
    )
    return build_model(question, load_prior())


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("name", "objective"),
    [
        *(("dense", objective) for objective in OBJECTIVES),
        ("experts", "throughput"),
        *(
            pytest.param("experts", objective, marks=pytest.mark.exhaustive)
            for objective in OBJECTIVES
            if objective != "throughput"
        ),
    ],
)
def test_no_candidate_beats_the_search(name: str, objective: str) -> None:
    every_candidate(model_of(name, objective=objective))


@pytest.mark.parametrize("name", ["limited", "four-bit", "one"])
def test_no_candidate_beats_the_search_under_limits(name: str) -> None:
    every_candidate(model_of(name))


def every_candidate(model: CostModel) -> None:
    """All candidates whose bound comes near the answer are solved, of the others one in SAMPLE: a
    bound that is too high would show there."""
    space = grid_space(model)
    assert space is not None
    lower = bounds(space)
    found = search(model)
    assert found is not None
    values = np.full(len(space), np.inf)
    for c in range(len(space)):
        if c % SAMPLE and lower[c] > found.value * NEAR:
            continue
        solution, _ = solve_candidate(space, c)
        if solution.has_assignment:
            values[c] = solution.value
            assert lower[c] <= solution.value * (1 + 1e-9) + 1e-15
    assert np.isfinite(values).any()
    assert found.value <= values.min() * (1 + 1e-9) + 1e-15
    assert found.bound <= found.value * (1 + 1e-12)


@pytest.mark.exhaustive
def test_every_slot_between_grid_points_was_a_candidate_too() -> None:
    model = model_of("dense")
    found = search(model)
    assert found is not None
    layout = found.space.tables.layouts[found.space.pts.layout[found.candidate]]
    slot = int(found.space.pts.slot[found.candidate])
    pinned = {"tp": layout.tp, "dp": layout.dp, "pp": layout.pp, "ep": layout.ep}
    for other in (slot - 1, slot + 1):
        if other < 1:
            continue
        near = search(model_of("dense", batch=other * layout.dp * layout.pp, **pinned))
        if near is not None:
            assert near.value >= found.value * 0.99


def no_worse(ours: float, theirs: float) -> bool:
    """Within the solver's tolerance and what re-pricing of fused kernels may move."""
    return ours <= theirs + 1e-3 * abs(theirs) + 1e-12


def objective_value(result: Plan, objective: str) -> float:
    if objective == "throughput":
        return -result.performance.output_tokens_per_second_per_device.value
    if objective == "latency":
        return result.performance.tpot_seconds.value
    if objective == "memory":
        return float(result.memory_per_device.total_bytes * result.device.count)
    return result.quality.loss


@pytest.mark.exhaustive
@pytest.mark.parametrize("objective", ["throughput", "latency", "memory", "quality"])
def test_each_objective_wins_at_its_own_game(objective: str) -> None:
    ours = objective_value(
        planned("llama-3.1-8b", "h100-sxm", devices=4, objective=objective), objective
    )
    for other in ("throughput", "latency", "memory", "quality"):
        theirs = planned("llama-3.1-8b", "h100-sxm", devices=4, objective=other)
        assert no_worse(ours, objective_value(theirs, objective))


def test_memory_is_counted_over_all_devices() -> None:
    result = plan("llama-3.1-8b", "h100-sxm", devices=8, objective="memory")
    assert (result.device.count, result.layout.replicas) == (8, 1)
    assert result.memory_per_device.total_bytes * 8 < 24 * 2**30


def test_equal_loss_goes_to_the_faster_format_not_to_the_first_named() -> None:
    for untie in (False, True):
        result = plan("llama-3.1-8b", "h100-sxm", devices=2, objective="quality", untie=untie)
        assert result.quality.loss == 0
        assert {u.scheme for u in result.units if u.kv_layout is None} == {"bf16"}


@pytest.mark.sample(1)
@pytest.mark.parametrize("limit", [0.005, 0.010, 0.050])
def test_a_tighter_tpot_never_raises_throughput(limit: float) -> None:
    free = planned("llama-3.1-8b", "h100-sxm", devices=1)
    bound = plan("llama-3.1-8b", "h100-sxm", devices=1, tpot_seconds=limit)
    assert bound.performance.tpot_seconds.value <= limit * (1 + 1e-9)
    assert no_worse(objective_value(free, "throughput"), objective_value(bound, "throughput"))


@pytest.mark.exhaustive
def test_tighter_loss_memory_and_fewer_schemes_never_help() -> None:
    ask = ("qwen3-30b-a3b", "b200-sxm")
    free = objective_value(plan(*ask, devices=1, max_loss="nvfp4"), "throughput")
    for changed in (
        {"max_loss": "fp8-block"},
        {"memory_bytes": 60 * 2**30},
        {"schemes": ["bf16", "fp8-block"]},
        {"kv": "bf16"},
    ):
        tight = plan(*ask, devices=1, **{"max_loss": "nvfp4", **changed})  # type: ignore[arg-type]
        assert no_worse(free, objective_value(tight, "throughput"))


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("model", "device", "asked"),
    [
        ("deepseek-v2-lite", "jetson-agx-orin-64gb", {"max_loss": "int8-w8a8", "batch": 16}),
        ("llama-3.1-8b", "h100-sxm", {"devices": 1, "max_loss": "fp8-channel"}),
        ("deepseek-v2-lite", "l40s", {"tp": 1, "pp": 2, "devices": 2, "objective": "quality"}),
    ],
)
def test_untied_is_never_worse_than_tied(model: str, device: str, asked: dict[str, Any]) -> None:
    tied, untied = (plan(model, device, untie=untie, **asked) for untie in (False, True))
    objective = asked.get("objective", "throughput")
    assert no_worse(objective_value(untied, objective), objective_value(tied, objective))
    assert any(a.key == "untied layers" for a in untied.assumptions)
    covered: dict[str, list[int]] = {}
    for unit in untied.units:
        covered.setdefault(unit.kind, []).extend(unit.layers)
    for layers in covered.values():
        assert len(layers) == len(set(layers))


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "name",
    [
        "dense",
        "limited",
        "four-bit",
        *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("experts", "one")),
    ],
)
def test_two_runs_print_the_same_json(name: str) -> None:
    model, device, asked = QUESTIONS[name]
    runs = [json.dumps(run(model, device, **asked).to_dict()) for run in (plan, planned)]
    assert runs[0] == runs[1]


@pytest.mark.exhaustive
def test_the_order_of_schemes_does_not_matter() -> None:
    names = ["bf16", "fp8-block", "fp8-channel", "int8-w8a8"]
    found = [
        plan("llama-3.1-8b", "h100-sxm", devices=1, schemes=order).to_dict()
        for order in (names, names[::-1])
    ]
    for one in found:
        one["assumptions"] = [a for a in one["assumptions"] if a["key"] != "asked"]
    assert found[0] == found[1]


def test_ties_go_to_the_catalogue_order() -> None:
    """On a machine where FP16 and BF16 cost the same, under no loss: BF16 comes first."""
    result = plan("llama-3.1-8b", "h100-sxm", devices=1, schemes=["fp16", "bf16"], max_loss="fp16")
    assert {u.scheme for u in result.units if u.kv_layout is None} == {"bf16"}


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_limits_hold_for_what_is_printed(name: str) -> None:
    model, device, asked = QUESTIONS[name]
    result = planned(model, device, **asked)
    question = model_of(name).question
    assert result.memory_per_device.total_bytes <= budget(question)
    if "tpot_seconds" in asked:
        assert result.performance.tpot_seconds.value <= asked["tpot_seconds"] * (1 + 1e-9)
        assert result.performance.ttft_seconds.value <= asked["ttft_seconds"] * (1 + 1e-9)
    assert result.solver.status == "optimal"
    assert result.solver.proved
    assert result.solver.gap <= 1e-6


@pytest.mark.exhaustive
@pytest.mark.parametrize("untie", [False, True])
@pytest.mark.parametrize(
    ("limit", "fixed"),
    [
        (0.060, {"tp": 1, "dp": 8, "ep": 8, "pp": 2}),
        (0.055, {"tp": 8, "dp": 1, "ep": 8, "pp": 2}),
        (0.080, {"tp": 4, "dp": 1, "ep": 4, "pp": 4}),
    ],
)
def test_a_pipeline_keeps_tpot_at_the_pace_of_its_slowest_stage(
    limit: float, fixed: dict[str, int], untie: bool
) -> None:
    result = plan("deepseek-v3", "h100-sxm", devices=16, tpot_seconds=limit, untie=untie, **fixed)
    assert result.layout.pp == fixed["pp"]
    assert result.performance.tpot_seconds.value <= limit * (1 + 1e-9)
    if result.performance.tpot_seconds.value < 0.9 * limit:  # one sequence more on every rank
        more = result.workload.batch + fixed["dp"] * fixed["pp"]
        asked: dict[str, Any] = {"devices": 16, "tpot_seconds": limit, "untie": untie, **fixed}
        with pytest.raises(InfeasibleError):
            plan("deepseek-v3", "h100-sxm", batch=more, **asked)


@pytest.mark.exhaustive
def test_the_uniform_rival_keeps_tpot_too() -> None:
    result = plan("llama-3.1-70b", "l40s", tpot_seconds=0.1)
    assert result.performance.tpot_seconds.value <= 0.1 * (1 + 1e-9)
    assert result.comparison.gain >= 0


def test_an_impossible_pair_of_limits_is_refused() -> None:
    with pytest.raises(InfeasibleError):
        plan("llama-3.1-8b", "h100-sxm", devices=1, tpot_seconds=0.002, ttft_seconds=0.001)
