"""Points of a roofline: what was counted in the plan's own seconds, and what is left out."""

from dataclasses import replace

import pytest
from support.questions import plan_of, question_of

from planner.planning.inspect.roofline import operators, unit_work
from planner.quality.prior import load_prior

ASKED = {"schemes": ("bf16",), "kv": "bf16"}


def test_points_hold_all_work_and_time_of_what_multiplies() -> None:
    plan, question = plan_of(**ASKED), question_of(**ASKED)
    found = operators(question, plan)
    counted = unit_work(question, plan, load_prior())
    for phase, work, seconds in (
        ("decode", "decode_flop", "decode_seconds"),
        ("prefill", "prefill_flop", "prefill_seconds"),
    ):
        points = [p for p in found.points if p.phase == phase]
        kinds = {p.kind for p in points}
        assert kinds >= {"attention-qkv", "mlp-down", "head"}
        assert sum(p.flop for p in points) == pytest.approx(
            sum(getattr(one, work) for (matrix, _), one in counted.items() if matrix in kinds)
        )
        assert sum(p.seconds for p in points) == pytest.approx(
            sum(getattr(u, seconds) for u in plan.units if u.kind in kinds)
        )
        assert all(p.flop > 0 and p.moved_bytes > 0 for p in points)
        assert all(0 < found.share_of_roof(p) <= 1.0 + 1e-9 for p in points)
    assert "embedding" in found.unplaced
    assert set(found.unplaced).isdisjoint(p.kind for p in found.points)


def test_a_unit_that_takes_no_time_has_no_point() -> None:
    plan, question = plan_of(**ASKED), question_of(**ASKED)
    quick = replace(plan, units=tuple(replace(u, decode_seconds=0.0) for u in plan.units))
    assert {p.phase for p in operators(question, quick).points} == {"prefill"}
