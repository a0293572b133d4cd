"""What a plan file keeps in host memory is what its question keeps there."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from planner.planning.plan.record import Plan
from planner.planning.question.input import QuestionInput
from planner.planning.question.offload import given_offload


def told(**values: Any) -> Plan:
    """A plan of which the part in host memory alone is looked at."""
    return cast(Plan, SimpleNamespace(offload=SimpleNamespace(**values)))


@pytest.mark.parametrize(
    ("model", "engine", "by_experts"),
    [("qwen2.5-0.5b", "llama.cpp", False), ("qwen3-30b-a3b", "sglang", True)],
)
def test_layers_are_kept_by_layer_and_experts_by_their_number(
    model: str, engine: str, by_experts: bool
) -> None:
    question = QuestionInput(
        model=model, device="rtx-4090", engine=engine, host="xeon-6980p", context=1024
    ).questions()[0]
    assert question.offload is not None
    assert question.offload.by_experts == by_experts
    experts = question.spec.experts
    held = 7 * len(experts.layers) if experts else 0
    scheme = question.schemes[:1]
    made = given_offload(
        question, told(layers=(0, 1), experts_on_device=held, scheme_host=scheme)
    ).offload
    assert made is not None
    assert (made.layers, made.resident) == (((), 7) if by_experts else ((0, 1), 0))


@pytest.mark.parametrize("named", [(), ("bf16", "int8-w8a8")])
def test_what_is_named_holds_in_host_memory_too(named: tuple[str, ...]) -> None:
    questions = QuestionInput(
        model="qwen3-30b-a3b",
        device="rtx-4090",
        engine="sglang",
        host="xeon-6980p",
        context=1024,
        schemes=named or None,
    ).questions()
    there = {name for one in questions if one.offload is not None for name in one.offload.schemes}
    assert there
    assert (there <= set(named)) == bool(named)
