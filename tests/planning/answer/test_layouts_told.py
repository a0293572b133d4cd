"""A plan tells every layout that was considered once: searched, or left out for a reason."""

from collections.abc import Callable

import pytest
from support.questions import question_of

import planner
from planner.base.errors import InputError
from planner.placement.layout import Layout
from planner.planning.answer.layouts import conventional_optimum
from planner.planning.plan.record import LayoutsInfo, Plan
from planner.planning.space.layouts import considered
from planner.report.render.plan_text import plan_text
from tests.support.theory import estimate, plan


def named(layout: Layout) -> str:
    return f"tp{layout.tp} dp{layout.dp} pp{layout.pp} ep{layout.ep}"


def told(made: Plan) -> LayoutsInfo:
    assert made.layouts is not None
    return made.layouts


def reasons(made: Plan) -> dict[str, str]:
    """Reason by layout; each layout stands once."""
    listed = [(name, one.reason) for one in told(made).skipped for name in one.layouts]
    assert len({name for name, _ in listed}) == len(listed)
    return dict(listed)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("model", "devices"),
    [("qwen3-30b-a3b", 12), ("llama-3.1-8b", 6), ("smollm2-135m", 12), ("llama-3.1-8b", None)],
)
def test_every_considered_layout_is_told_once(model: str, devices: int | None) -> None:
    made = plan(model, "h100-sxm", devices=devices, context=2048)
    all_of_them = dict(considered(question_of(model, devices=devices, context=2048)))
    why, info = reasons(made), told(made)
    assert set(why) <= {named(layout) for layout in all_of_them}
    assert info.considered == len(all_of_them) == info.searched + len(why)
    for layout, problem in all_of_them.items():
        assert why.get(named(layout), "") == problem
    layout = made.layout
    assert named(Layout(layout.tp, layout.dp, layout.pp, layout.ep)) not in why
    assert devices is None or made.device.count == devices


def test_what_has_no_room_is_told() -> None:
    made = plan("llama-3.1-70b", "h100-sxm", devices=4, schemes=["bf16"], context=2048)
    why, info = reasons(made), told(made)
    assert info.considered == info.searched + len(why)
    assert why["tp1 dp1 pp1 ep1"] == "does not fit in memory at any batch"
    assert "tp4 dp1 pp1 ep1" not in why


def test_a_batch_that_does_not_divide_is_told() -> None:
    why = reasons(plan("llama-3.1-8b", "h100-sxm", devices=4, batch=6, context=2048))
    assert why["tp1 dp1 pp4 ep1"] == "batch 6 is not a multiple of dp·pp"


@pytest.mark.exhaustive
def test_the_rule_of_the_engine_is_told_with_its_source() -> None:
    why = reasons(plan("qwen3-30b-a3b", "h100-sxm", devices=4, engine="vllm", context=2048))
    assert "vllm-project/vllm#28889" in why["tp4 dp1 pp1 ep2"]
    assert "tp4 dp1 pp1 ep4" not in why
    free = reasons(plan("qwen3-30b-a3b", "h100-sxm", devices=4, context=2048))
    assert "tp4 dp1 pp1 ep2" not in free


@pytest.mark.exhaustive
@pytest.mark.parametrize(("model", "tp"), [("smollm2-135m", 3), ("minimax-m2", 24)])
def test_a_width_of_three_is_planned_where_heads_divide(model: str, tp: int) -> None:
    made = plan(model, "h100-sxm", tp=tp, devices=tp, context=2048)
    assert (made.layout.tp, made.device.count) == (tp, tp)


@pytest.mark.exhaustive
@pytest.mark.parametrize("verb", [plan, estimate])
def test_a_layout_that_the_engine_lacks_is_refused_with_its_rule(verb: Callable[..., Plan]) -> None:
    with pytest.raises(InputError, match=r"ep 2: vllm .*spreads experts.*#28889") as caught:
        verb("qwen3-30b-a3b", "h100-sxm", devices=4, tp=4, ep=2, engine="vllm")
    assert "--engine any" in caught.value.hint
    made = verb("qwen3-30b-a3b", "h100-sxm", devices=4, tp=4, ep=2, engine="sglang", context=2048)
    assert made.layout.ep == 2


def test_an_optimum_over_conventional_layouts_says_so() -> None:
    """Where pipelines inside a domain were left out; not where all layouts were searched, where
    there is one alone, or in pools, whose search leaves none out."""
    given = {"devices": 2, "engine": "vllm", "context": 2048}
    some = planner.plan("qwen3-0.6b", "h100-sxm", **given)
    assert conventional_optimum(some)
    text = " ".join(plan_text(some, details=True).split())
    assert "optimum of vllm's conventional layouts proved" in text
    for more in ({"exact": True}, {"devices": 1}, {"mode": "disaggregated"}):
        every = planner.plan("qwen3-0.6b", "h100-sxm", **{**given, **more})
        assert not conventional_optimum(every), more
        assert "conventional layouts" not in plan_text(every, details=True)
