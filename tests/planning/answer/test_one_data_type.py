"""What no format narrows has one data type in a server, whichever modules are in it."""

from dataclasses import replace

import pytest
from support.questions import plan_of

from planner.lookup import load_device, load_model
from planner.planning.answer.servability import Verdict, verdicts

TOLD = "bf16 and fp16 in one server"


def judged(engine: str, **schemes: str) -> Verdict:
    """A plan in BF16, some kinds of modules in something else."""
    plan = plan_of(schemes=("bf16",))
    units = tuple(replace(u, scheme=schemes.get(u.kind.replace("-", "_"), u.scheme))
                  for u in plan.units)
    (found,) = verdicts(load_model(plan.model.id), load_device(plan.device.id), units, plan.layout,
                        [engine])
    return found


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_two_plain_types_are_no_server(engine: str) -> None:
    assert TOLD not in judged(engine).reason
    some = judged(engine, mlp_down="fp16")
    assert some.status == "no"
    assert TOLD in some.reason
    kinds = {u.kind for u in plan_of(schemes=("bf16",)).units if u.scheme == "bf16"
             and u.kv_layout is None}
    alike = judged(engine, **{kind.replace("-", "_"): "fp16" for kind in kinds})
    assert TOLD not in alike.reason
