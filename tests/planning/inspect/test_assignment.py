"""A plan file's units as segments of the model: all of it once, and at its own price."""

from collections import Counter
from dataclasses import replace

import pytest
from support.questions import found_of, model_of, plan_of

from planner.base.errors import InfeasibleError, InputError
from planner.planning.inspect.assignment import (
    _check_roles,
    given_assignment,
    plan_segments,
)
from planner.planning.plan.record import Plan


def test_every_layer_of_every_unit_has_one_segment() -> None:
    model, plan = model_of(), plan_of()
    taken = Counter((s.unit, layer) for s in plan_segments(model, plan) for layer in s.layers)
    assert taken == Counter((i, layer) for i, u in enumerate(model.units) for layer in u.layers)


def test_it_is_priced_as_it_was_planned() -> None:
    found = given_assignment(model_of(), plan_of())
    assert found.solution.status == "given"
    assert set(found.segments) == set(found_of().segments)


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ((0,), "has no unit"),
        (tuple(range(25)), "has no mlp-down in layer 24"),
        ((*range(24), 3), "decided twice"),
    ],
)
def test_layers_missing_unknown_or_twice(layers: tuple[int, ...], why: str) -> None:
    plan = plan_of(kv="bf16", schemes=("bf16",))
    one = next(u for u in plan.units if u.kind == "mlp-down")
    units = (*(u for u in plan.units if u.kind != "mlp-down"), replace(one, layers=layers))
    with pytest.raises(InputError, match=why):
        plan_segments(model_of(kv="bf16", schemes=("bf16",)), replace(plan, units=units))


def test_another_scheme_is_refused() -> None:
    units = tuple(replace(u, scheme="none") if u.kind == "mlp-down" else u for u in plan_of().units)
    with pytest.raises(InputError, match="'none' is not possible here"):
        plan_segments(model_of(), replace(plan_of(), units=units))


def typed_apart(*qkv: str) -> Plan:
    """A plan with q, k and v of the first half of the layers typed by themselves."""
    plan, half = plan_of(kv="bf16", schemes=("bf16",)), tuple(range(12))
    whole = next(u for u in plan.units if u.kind == "attention-qkv")
    parts = tuple(
        replace(whole, unit=f"attention-qkv.{part}", part=part, scheme=scheme, layers=half)
        for part, scheme in zip("qkv", qkv, strict=False)
    )
    rest = (
        replace(u, layers=tuple(sorted({*u.layers} - {*half}))) if u.kind == whole.kind else u
        for u in plan.units
    )
    return replace(plan, units=(*parts, *rest))


def test_matrices_typed_apart_are_joined_for_an_engine_that_reads_them_as_one() -> None:
    model = model_of(kv="bf16", schemes=("bf16",))
    joined = given_assignment(model, typed_apart("bf16", "bf16", "bf16"))
    whole = given_assignment(model, plan_of(kv="bf16", schemes=("bf16",)))
    taken = Counter((s.unit, layer) for s in joined.segments for layer in s.layers)
    assert taken == Counter((i, layer) for i, u in enumerate(model.units) for layer in u.layers)
    assert joined.value == pytest.approx(whole.value, rel=1e-12)


@pytest.mark.parametrize(
    ("qkv", "why"),
    [
        (("bf16", "bf16", "fp8-tensor"), r"typed apart \(q bf16, k bf16, v fp8-tensor\)"),
        (("bf16", "bf16"), "not each of q, k, v once"),
    ],
)
def test_matrices_that_cannot_be_joined(qkv: tuple[str, ...], why: str) -> None:
    with pytest.raises(InputError, match=why):
        plan_segments(model_of(kv="bf16", schemes=("bf16",)), typed_apart(*qkv))


def test_too_little_memory_or_time_is_no_plan() -> None:
    model, plan = model_of(), plan_of()
    small = replace(
        model, question=replace(model.question, usable_bytes=plan.memory_per_device.total_bytes - 1)
    )
    with pytest.raises(InfeasibleError, match="memory"):
        given_assignment(small, plan)
    tpot = plan.performance.tpot_seconds.value
    for limit, ok in ((tpot * 0.99, False), (tpot * 1.01, True)):
        timed = replace(model, question=replace(model.question, tpot_seconds=limit))
        if ok:
            assert given_assignment(timed, plan).segments
        else:
            with pytest.raises(InfeasibleError, match="tpot"):
                given_assignment(timed, plan)


def test_a_plan_without_caches_or_without_weights_names_what_it_lacks() -> None:
    model = model_of()
    for lacks, names in (("kv", "kv"), ("schemes", "embedding|attention|mlp|head")):
        bare = replace(model, question=replace(model.question, **{lacks: ()}))
        with pytest.raises(InputError, match=f"no unit is of the ({names})"):
            _check_roles(bare)
    _check_roles(model)
