"""Small questions, their models and answers, made once for all tests that look at one step."""

from functools import cache
from typing import Any

from planner.lookup import load_device, load_model
from planner.planning.answer.assemble import recommended
from planner.planning.choose.selection import choose
from planner.planning.plan.record import Plan, UnitPlan
from planner.planning.question.given_values import GivenValues
from planner.planning.question.question import Question
from planner.planning.question.resolve import build_question
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.question_search import search
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior

SMALL, DEVICE = "qwen2.5-0.5b", "h100-sxm"


@cache
def question_of(
    model: str = SMALL, device: str = DEVICE, *, uniform: str | None = None, **asked: Any
) -> Question:
    """What is asked, defaults filled in; one device and a context of 2048 unless told otherwise."""
    values = {"devices": 1, "context": 2048, "batch": 8, **asked}
    return build_question(
        load_model(model),
        load_device(device),
        GivenValues(**values),
        None,
        uniform=uniform,
        given=None,
    )


@cache
def model_of(
    model: str = SMALL, device: str = DEVICE, *, uniform: str | None = None, **asked: Any
) -> CostModel:
    return build_model(question_of(model, device, uniform=uniform, **asked), load_prior())


@cache
def found_of(model: str = SMALL, device: str = DEVICE, **asked: Any) -> SearchResult:
    """The best answer, which there must be."""
    found = search(model_of(model, device, **asked))
    assert found is not None
    return found


@cache
def plan_of(model: str = SMALL, device: str = DEVICE, **asked: Any) -> Plan:
    """The optimum as a plan."""
    found = found_of(model, device, **asked)
    return recommended(choose((found.grid,), found, exact=True))


def unit_plan(kind: str, scheme: str, layers: tuple[int, ...] = (0,), **figures: Any) -> UnitPlan:
    """A row of a plan; what is not given is zero."""
    values: dict[str, Any] = {
        "unit": kind,
        "multiplicity": 1,
        "weight_format": None,
        "activation_format": None,
        "weight_bytes": 0,
        "weight_bytes_per_device": 0,
        "prefill_seconds": 0.0,
        "decode_seconds": 0.0,
        "bound": "memory",
        "loss": 0.0,
        "reason": "",
        "next_best": None,
    }
    return UnitPlan(kind=kind, scheme=scheme, layers=layers, **{**values, **figures})
