"""Which limit leaves a question without a plan: memory, one limit, or several together."""

from dataclasses import replace

import pytest
from support.questions import model_of, question_of

from planner.base.errors import InputError
from planner.base.units import GIB
from planner.planning.infeasible.binding_limit import binding, excluded_by, over_memory
from planner.planning.infeasible.conflicting_limits import limits_of, without


def test_the_memory_of_the_device_or_a_limit_of_bytes() -> None:
    own = binding([question_of("llama-3.1-70b", uniform="bf16")])
    assert own.limits == ("memory",)
    assert own.text.endswith("usable")
    least = over_memory(question_of(memory_bytes=GIB), 2 * GIB, 4)
    assert least.limits == ("memory-bytes",)
    assert least.text == "memory-bytes: 2.00 GiB at least on each of 4 × h100-sxm, 1.00 GiB given"


@pytest.mark.parametrize(
    ("name", "limit"), [("tpot", {"tpot_seconds": 1e-9}), ("ttft", {"ttft_seconds": 1e-9})]
)
def test_one_limit_of_time(name: str, limit: dict[str, float]) -> None:
    found = binding([question_of(**limit)])
    assert found.limits == (name,)
    assert found.text.startswith(f"{name} ")
    assert "excludes every plan" in found.text


def test_several_limits_and_memory_beside_all() -> None:
    model = model_of(tpot_seconds=0.001, ttft_seconds=0.5)
    both = excluded_by(model, ("tpot", "ttft"))
    where = f"{model.question.spec.id} on {model.question.device.id}"
    assert both.text == f"tpot 1 ms and ttft 500 ms exclude every plan for {where}"
    assert excluded_by(model, ()).limits == ("memory", *limits_of(model))


def test_a_limit_is_left_out_alone() -> None:
    question = question_of(tpot_seconds=0.1, ttft_seconds=0.2, memory_bytes=GIB, max_loss="bf16")
    assert without(question, "tpot") == replace(question, tpot_seconds=None)
    assert without(question, "ttft") == replace(question, ttft_seconds=None)
    assert without(question, "memory-bytes") == replace(question, memory_bytes=None)
    assert without(question, "max-loss") == replace(question, loss_scheme=None, loss_limit=None)


def test_a_layout_that_does_not_exist_is_bad_input() -> None:
    with pytest.raises(InputError):
        binding([question_of(tp=3, devices=3)])
