"""What no format narrows has one data type in a server; a scheme alone needs no file of several."""

from dataclasses import replace

import pytest
from support.questions import plan_of

from planner.lookup import load_device, load_model
from planner.placement.modules import PLANNED_KINDS
from planner.planning.answer.servability import ServingVerdict, verdicts

TOLD = "bf16 and fp16 in one server"


def judged(engine: str, device: str = "h100-sxm", **schemes: str) -> ServingVerdict:
    """A plan in BF16, some kinds of modules in something else."""
    plan = plan_of(schemes=("bf16",), kv="bf16")
    units = tuple(
        replace(u, scheme=schemes.get(u.kind.replace("-", "_"), u.scheme)) for u in plan.units
    )
    (found,) = verdicts(
        load_model(plan.model.id), load_device(device), units, plan.layout, [engine]
    )
    return found


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_two_plain_types_are_no_server(engine: str) -> None:
    assert TOLD not in judged(engine).reason
    some = judged(engine, mlp_down="fp16")
    assert some.status == "no"
    assert TOLD in some.reason
    kinds = {
        u.kind
        for u in plan_of(schemes=("bf16",), kv="bf16").units
        if u.scheme == "bf16" and u.kv_layout is None
    }
    alike = judged(engine, **{kind.replace("-", "_"): "fp16" for kind in kinds})
    assert TOLD not in alike.reason


@pytest.mark.parametrize(
    ("engine", "device", "scheme", "container"),
    [
        ("sglang", "a100-sxm", "int8-w8a8", "compressed-tensors"),
        ("tensorrt-llm", "b200-sxm", "fp8-tensor", "modelopt"),
        ("tensorrt-llm", "b200-sxm", "fp8-block-ue8m0", "fp8"),
    ],
)
def test_one_scheme_is_in_a_format_that_need_not_hold_several(
    engine: str, device: str, scheme: str, container: str
) -> None:
    linear = {
        u.kind.replace("-", "_"): scheme
        for u in plan_of(schemes=("bf16",), kv="bf16").units
        if u.kind in PLANNED_KINDS
    }
    found = judged(engine, device, **linear)
    assert (found.status, found.container) == ("yes", container), found.reason
