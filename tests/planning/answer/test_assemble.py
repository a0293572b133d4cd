"""From a winner to the record: sums over units, bytes that add up, what a given plan claims."""

import pytest
from support.questions import found_of, model_of, plan_of, unit_plan

from planner.planning.answer.assemble import assemble
from planner.planning.answer.units import module_view, scheme_of


def test_units_of_one_kind_and_scheme_are_summed_in_order() -> None:
    rows = module_view(
        [
            unit_plan("mlp-down", "bf16", (0, 1), weight_bytes=10, decode_seconds=1.0, loss=0.5),
            unit_plan("mlp-down", "fp8-block", (2,), weight_bytes=3, prefill_seconds=2.0),
            unit_plan("mlp-down", "bf16", (3,), weight_bytes=5, decode_seconds=0.25, loss=0.125),
        ]
    )
    assert [(r.kind, r.scheme, r.weight_bytes) for r in rows] == [
        ("mlp-down", "bf16", 15),
        ("mlp-down", "fp8-block", 3),
    ]
    assert (rows[0].decode_seconds, rows[0].loss, rows[0].layers) == (1.25, 0.625, "0-1, 3")
    assert (rows[1].prefill_seconds, rows[1].layers) == (2.0, "2")


def test_units_hold_the_bytes_and_the_loss_of_the_whole() -> None:
    plan = plan_of()
    held = sum(unit.weight_bytes_per_device for unit in plan.units)
    assert held == plan.memory_per_device.weights_bytes > 0
    grown = plan.quality.loss - plan.quality.floor
    assert sum(unit.loss for unit in plan.units) == pytest.approx(grown)
    assert sum(row.weight_bytes for row in plan.modules) == sum(
        unit.weight_bytes for unit in plan.units
    )


def test_a_given_assignment_is_priced_and_claims_no_proof() -> None:
    given, searched = assemble(found_of()), plan_of()
    assert (given.solver.status, given.solver.proved) == ("given", False)
    assert searched.solver.proved
    assert given.performance == searched.performance
    assert {unit.reason for unit in given.units} == {"given"}


def test_what_stays_as_released_is_named_by_its_elements() -> None:
    model = model_of()
    norm = next(u for u in model.units if u.role == "released" and u.kind == "norm")
    assert scheme_of(model, norm.role, norm.row, -1) == ("bf16", "bf16", "bf16")
    fp8 = model.choices.index("fp8-block")
    assert scheme_of(model, "module", 0, fp8) == ("fp8-block", "e4m3fn", "e4m3fn")
    assert scheme_of(model, "cache", 0, len(model.choices) - 1) == (model.choices[-1], None, None)
