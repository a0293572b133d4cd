"""The runs that the project shows: proved, within usable bytes, and saying what they gain."""

from functools import cache
from typing import Any

import pytest

from planner.planning.plan.record import Plan
from tests.support.theory import plan

RUNS: list[tuple[str, str, dict[str, Any]]] = [
    ("deepseek-v3", "h100-sxm", {"context": 131072}),
    ("deepseek-v3", "b200-sxm", {"context": 131072}),
    ("deepseek-v3.2", "h200-sxm", {}),
    ("deepseek-v3", "xeon-6980p", {"devices": 2, "context": 32768}),
    ("deepseek-v2-lite", "jetson-agx-orin-64gb", {"context": 8192}),
    ("deepseek-v2-lite", "jetson-agx-thor-t5000", {"context": 32768}),
    ("llama-3.1-70b", "h100-sxm", {}),
    ("qwen3-30b-a3b", "l40s", {}),
    ("llama-3.1-8b", "xeon-platinum-8480", {}),
]
LINEAR = ("attention-", "mla-", "mlp-", "experts-", "shared-")


@cache
def shown(number: int) -> Plan:
    """The plan of a run, made once for all tests that look at it."""
    model, device, asked = RUNS[number]
    return plan(model, device, **asked)


@pytest.mark.sample(1)
@pytest.mark.parametrize("number", range(len(RUNS)))
def test_optimal_proved_and_within_capacity(number: int) -> None:
    found = shown(number)
    assert found.solver.status == "optimal"
    by_the_loop = any(note.key == "closed loop" for note in found.assumptions)
    assert found.solver.proved != by_the_loop
    assert found.solver.gap <= (0.02 if by_the_loop else 1e-6)
    assert found.solver.candidates > 1
    memory = found.memory_per_device
    assert memory.total_bytes <= memory.usable_bytes <= memory.capacity_bytes
    assert found.capacity.max_concurrency_at_context >= found.workload.batch
    schemes = {u.scheme for u in found.units if u.kind.startswith(LINEAR)}
    assert len(schemes) > 1 or found.comparison.text
    assert found.comparison.text
    assert found.baselines
    assert any(a.key == "repricing" for a in found.assumptions)
    assert {a.key for a in found.assumptions} >= {"max-loss", "time basis", "loss basis"}
    for baseline in found.baselines:
        assert baseline.feasible or baseline.reason
        if baseline.feasible:
            assert baseline.total_bytes_per_device <= memory.usable_bytes


def test_the_default_context_is_said() -> None:
    found = shown(6)
    assert any(a.key == "workload" and "8192" in a.value for a in found.assumptions)


def test_no_plan_is_lossier_than_its_limit() -> None:
    found = shown(0)
    assert found.quality.loss <= 1.0 + 1e-9
    found = shown(4)
    uniform = next(b for b in found.baselines if b.name == "int8-w8a8")
    assert found.quality.loss <= uniform.loss * (1 + 1e-9)
