"""The optimum by trying everything: all assignments × all batches × all layouts, priced in full."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cache
from math import inf

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from planner.planning.choose.uncertainty import score
from planner.planning.price.price import Priced
from planner.planning.question.question import OBJECTIVES, TIMED, Question
from planner.planning.search.engine_search import solve_objective
from planner.planning.space.losses import saturated_loss
from support.answers import ROUNDING, least_of, planned
from support.examples import thorough
from support.full_price import Place, Setting, broken, parts_of, slots_of, value_of
from support.random_questions import Case, Pick, Value
from support.search_sums import SearchSums
from tests.support import theory

MODELS = ("synthetic-gqa-2", "synthetic-moe-2", "synthetic-mla-2")
LARGER = ("synthetic-gqa-3", "synthetic-moe-4")
SCHEMES = (
    ("bf16", "int8-w8a16"),
    ("bf16", "int8-w8a8"),
    ("bf16", "int4-w4a16"),
    ("int8-w8a16", "int4-w4a16-g32"),
    ("bf16", "int8-block", "int4-w4a16"),
)
CACHES = (
    ("bf16", "int8-token"),
    ("bf16", "int4-token"),
    ("int8-token", "int4-channel"),
    ("bf16", "int8-token", "int4-channel"),
    ("fp8", "int4-token", "bf16"),
)
FEW, MANY = 120, 3000
"""Prices of one instance at the most, in `make test` and in `make exhaustive`."""


@dataclass(frozen=True)
class Instance:
    """A case, the cache layouts to choose from, and limits relative to the free optimum:
    ``room`` sequences of the smallest caches fit, ``limits`` are factors of its figures."""

    case: Case
    kv: tuple[str, ...]
    room: int
    limits: tuple[tuple[str, float], ...]

    @property
    def base(self) -> Question:
        """The question without limits but that of the loss."""
        question = theory.ask(**self.case.arguments).questions()[0]
        able = tuple(k for k in question.kv if k in self.kv)
        return replace(question, kv=able or question.kv[:1])


@dataclass(frozen=True)
class Best:
    """The least objective of all that keeps the limits, inf where nothing does, and its figures."""

    value: float
    priced: Priced | None
    sums: SearchSums | None
    prices: int


def every(question: Question) -> Best:
    """The best assignment of a question, all of them priced in full."""
    setting = Setting.of(question)
    parts = parts_of(setting.model, by_layer=question.untie)
    best = Best(inf, None, None, 0)
    for layout in setting.layouts:
        for slot in slots_of(setting, layout):
            best, fits = _at(setting.place(layout, slot), parts, best)
            if not fits:
                break
    return best


def _at(
    place: Place,
    parts: list[tuple[tuple[int, tuple[int, ...]], ...]],
    best: Best,
) -> tuple[Best, bool]:
    """``best`` or what is better at ``place``; whether anything fits into the memory there."""
    fits, question = False, place.setting.question
    for taken in itertools.product(*(place.able(part) for part in parts)):
        segments = place.segments(parts, taken)
        priced, sums = place.priced(segments), place.sums(segments)
        best = replace(best, prices=best.prices + 1)
        over = broken(place.setting, priced, sums)
        fits |= "memory" not in over
        value = value_of(question, priced, sums)
        if not over and value < best.value:
            best = replace(best, value=value, priced=priced, sums=sums)
    return best, fits


def best_loop(question: Question) -> float:
    """The least objective of all assignments in the closed loops of their requests."""
    setting = Setting.of(question)
    parts, best = parts_of(setting.model, by_layer=question.untie), inf
    for layout in setting.layouts:
        for slot in slots_of(setting, layout):
            place, fits = setting.place(layout, slot), False
            for taken in itertools.product(*(place.able(part) for part in parts)):
                segments = place.segments(parts, taken)
                priced = place.priced(segments)
                over = broken(setting, priced, place.sums(segments))
                fits |= "memory" not in over
                if not over:
                    best = min(best, score(question, priced))
            if not fits:
                break
    return best


def prices(instance: Instance) -> int:
    """About how many prices an instance needs; they are tried twice where limits are relative."""
    setting = Setting.of(instance.base)
    able = setting.model.possible
    count = 1
    for part in parts_of(setting.model, by_layer=setting.question.untie):
        count *= max(1, int(np.logical_and.reduce([able[unit] for unit, _ in part]).sum()))
    return count * len(setting.layouts) * (1 if setting.question.batch else instance.room)


@cache
def limited(instance: Instance) -> Question:
    """The instance's question: memory for so many of the smallest sequences, and the limits."""
    question = instance.base
    setting = Setting.of(question)
    if question.batch is None:
        one, two = (_least(setting, slot) for slot in (1, 2))
        question = replace(question, memory_bytes=one + (two - one) * (instance.room - 1) + 1)
    if instance.limits:
        free = every(question).sums
        if free is not None:
            own = {"tpot_seconds": free.tpot, "ttft_seconds": free.ttft}
            question = replace(
                question, **{name: own[name] * factor for name, factor in instance.limits}
            )
    return question


def _least(setting: Setting, slot: int) -> int:
    """The least bytes of any assignment with ``slot`` sequences in the first layout."""
    place = setting.place(setting.layouts[0], slot)
    parts = parts_of(setting.model, by_layer=False)
    return min(
        place.priced(place.segments(parts, taken)).fullest.total
        for taken in itertools.product(*(place.able(part) for part in parts))
    )


def drawn(pick: Pick) -> Instance:
    """One instance, small enough to try everything."""
    model = pick((*MODELS, *LARGER) if thorough() else MODELS)
    device = pick(("h100-sxm", "l40s", "xeon-platinum-8480", "b200-sxm"))
    small = model in LARGER
    schemes, kv = pick(SCHEMES[:4] if small else SCHEMES), pick(CACHES[:3] if small else CACHES)
    batch, untie = pick((None, None, 2, 16, 96)), not small and pick((False, False, False, True))
    values: dict[str, Value | None] = {
        "objective": pick(("throughput", *OBJECTIVES)),
        "batch": batch,
        "devices": 1 if small or untie else pick((1, 1, 2)),
        "schemes": schemes[:2] if untie else schemes,
        "max_loss": pick(("int4-w4a16", "none", "int4-w4a16", "int8-w8a8")),
    }
    if untie:
        values |= {"untie": True, "schemes": schemes[:1], "max_loss": "none"}
    values |= pick(
        (
            {"context": 1024},
            {"context": 4096},
            {"isl": 1024, "osl": 16},
            {"isl": 256, "osl": 64, "context": 4096},
            {"isl": 1024, "osl": 16, "prefix_hit_rate": 0.75},
        )
    )
    names = pick(((), (), ("tpot_seconds",), ("ttft_seconds",), ("tpot_seconds", "ttft_seconds")))
    limits = tuple((name, pick((1.0001, 1.2, 0.995, 0.97, 0.9))) for name in names)
    return Instance(Case.of(model, device, **values), kv, pick((2, 3, 5)), limits)


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    """Random instances; see :func:`drawn`."""
    found = drawn(lambda options: draw(st.sampled_from(tuple(options))))
    assume(prices(found) <= (MANY if thorough() else FEW))
    return found


def searched(question: Question) -> tuple[float, float, float] | None:
    """(the least objective that is found, its gap, its relative precision): of times that of the
    search, of bytes and losses that of the plan; None where nothing keeps the limits."""
    if question.objective in TIMED:
        result, _ = solve_objective((question,))
        if result is None:
            return None
        return result.value, max(result.value - result.bound, 0.0) / result.value, 0.0
    plan = planned((question,))
    return None if plan is None else (least_of(plan)[0], plan.solver.gap, least_of(plan)[1])


def disagreement(instance: Instance, *, wide: bool) -> list[str] | None:
    """What the plan and brute force disagree about; None where the instance has too many prices."""
    if prices(instance) > (MANY if wide else FEW):
        return None
    question = limited(instance)
    best = every(question)
    found = searched(question)
    if best.priced is None and found is None:
        return []
    if best.priced is None or found is None:
        return [
            f"{'a' if found is not None else 'no'} plan, brute force: {best.value:.9g}: {instance}"
        ]
    value, gap, precise = found
    least = best.value
    if question.objective == "quality":  # plans print what the sum comes to
        least = saturated_loss(Setting.of(question).model, least)
    slack = gap + precise + ROUNDING
    if least * (1 - precise - ROUNDING) <= value <= least * (1 + slack):
        return []
    return [f"{value:.9g}, brute force {least:.9g}: {instance}"]
