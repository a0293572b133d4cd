"""Rules by themselves: which kinds they hold, which layers and types they keep, what they cost."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.questions import question_of, unit_plan

from planner.base.errors import InputError, UnknownNameError
from planner.lookup import load_model
from planner.planning.plan.notes import written
from planner.planning.question.policies import (
    dropped_kinds,
    kept_layers,
    other_types,
    policy_notes,
    rule_notes,
)


@given(st.integers(1, 80), st.integers(0, 80), st.integers(0, 80))
def test_both_ends_are_kept(layers: int, first: int, last: int) -> None:
    if first + last > layers:
        with pytest.raises(InputError, match="exceed"):
            kept_layers(layers, first, last)
        return
    kept = kept_layers(layers, first, last)
    assert kept == tuple(n for n in range(layers) if n < first or n >= layers - last)


def test_a_rule_is_dropped_by_name_or_by_leaving_it_out() -> None:
    spec = load_model("llama-3.1-8b")
    assert dropped_kinds(spec, None, None) == ()
    assert dropped_kinds(spec, None, ("head",)) == ("head",)
    assert dropped_kinds(spec, ("embedding", "norm"), None) == ("head",)  # it has no router
    assert dropped_kinds(spec, (), ()) == ("embedding", "norm", "head")
    with pytest.raises(UnknownNameError):
        dropped_kinds(spec, None, ("heads",))
    tied = load_model("qwen2.5-0.5b")
    with pytest.raises(InputError, match="one matrix"):
        dropped_kinds(tied, None, ("head",))


@pytest.mark.parametrize(
    ("released", "left_out"),
    [("bf16", ("fp16",)), ("fp16", ("bf16",)), ("fp8-block", ("fp16",)), ("fp32", ("fp16",))],
)
def test_one_data_type_is_that_of_the_release(released: str, left_out: tuple[str, ...]) -> None:
    found = other_types(("fp8-block", "bf16", "fp16"), released)
    assert found == left_out
    assert other_types(("fp8-block",), released) == ()


def test_a_better_plan_without_kept_layers_binds() -> None:
    question = replace(question_of(), kept=(0, 1, 23))
    (free,) = written(policy_notes(question, 2.0, lambda q: 2.0))
    assert "does not bind" in free.value
    (bound,) = written(policy_notes(question, 2.0, lambda q: 1.0 if len(q.kept) <= 1 else 1.5))
    assert (
        bound.value == "0-1, 23 as released; binds: 50.0% better without (the first 50.0%, "
        "the last 25.0%)"
    )
    assert policy_notes(question_of(), 2.0, lambda q: 1.0) == []


def test_what_the_rules_take_is_a_share_of_the_step() -> None:
    units = [
        unit_plan("head", "bf16", (), decode_seconds=1.0, weight_bytes_per_device=1 << 30),
        unit_plan("mlp-down", "fp8-block", decode_seconds=3.0),
    ]
    (note,) = written(rule_notes(units, (), {"head": 0.1}))
    assert note.value == "head as released: 25.0% of the step, 1.00 GiB a device"
    assert note.reason.startswith("head binds (10.0% better without)")
    (dropped,) = written(rule_notes(units, ("head",), None))
    assert (dropped.key, dropped.value) == ("policy dropped", "head: planned: bf16")
