"""Where a search looks first: layouts, caches and engines that somebody published or measured.

An optimum over everything walks to where nobody measured, by a law that nothing there validates. So
a question is searched over what is conventional; all of it is searched where nothing of that fits,
where the exact optimum is asked for, or where plans without evidence shall compete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from planner.messages.message import Note, message
from planner.planning.engines.defaults import engine_default
from planner.planning.practice.recipes import Recipe
from planner.planning.price.evidence import served_caches
from planner.planning.price.kinds import model_class
from planner.planning.price.ledger import engine_standing
from planner.planning.price.plan_kinds import recipes_here
from planner.planning.question.question import Question
from planner.throughput.calibration import ANY_ENGINE

UNCONVENTIONAL = Note(
    "unconventional",
    message("assumptions.all_layouts_and_caches"),
    message("assumptions.no_conventional_fits"),
)
"""That nothing conventional keeps the limits, so that everything was searched."""
STRENGTH = {"guide": 1.0, "config": 0.5, "sweep": 0.25, "generator": 0.125}
"""What a published deployment counts by its kind of source."""
SOME, OF_CLASS = 40.0, 1.0
"""Published deployments of the class that count fully, and what they count: as much as a guide."""
MANY, SERVED = 20.0, 0.2
"""Served rows that count fully, and what they count. With these weights the engine preferred for a
model whose own deployments are left out is one that somebody published in 339 of 396 pairs of model
and device; where served rows weigh as much as recipes in 306, alone in 289: laboratories measure
what they sell (``python -m evaluation.practice.engines``)."""
PLAIN_CACHES = ("bf16", "fp16", "fp32")


def conventional_first(questions: Sequence[Question]) -> Iterator[tuple[Question, ...]]:
    """The questions as they are searched: with what is conventional, then with all that engines
    serve. One item where nothing is left out."""
    kept = {
        name: _caches([q for q in questions if q.engine == name]) for name in _engines(questions)
    }
    first = tuple(
        replace(q, conventional=True, kv=kv)
        if q.engine != ANY_ENGINE and not q.allow_unmeasured
        else q
        for q in questions
        if (kv := tuple(name for name in q.kv if name in kept[q.engine]))
        and (not q.kv_of_layer or kv == q.kv)
    )
    if first:
        yield first
    if first != tuple(questions):
        yield tuple(replace(q, notes=(*q.notes, UNCONVENTIONAL)) for q in questions)


def _engines(questions: Sequence[Question]) -> list[str]:
    return list(dict.fromkeys(q.engine for q in questions))


def _caches(questions: Sequence[Question]) -> frozenset[str]:
    """Cache layouts of an engine's questions that it defaults to, that it served on the
    architecture, or that were published for the model there; all where they are named, and where
    none of them is known."""
    first = questions[0]
    device, spec = first.device, first.spec
    every = frozenset(name for question in questions for name in question.kv)
    if first.kv_given or first.allow_unmeasured or first.engine == ANY_ENGINE:
        return every
    default = engine_default(first.engine, device, spec, (spec.quantization,))
    known = {
        *PLAIN_CACHES,
        *served_caches(first.engine, device.architecture),
        *(r.kv for r in recipes_here(first) if r.engine == first.engine),
        *([] if default is None else [default.kv]),
    }
    return every & known or every


def by_preference(questions: Sequence[Question]) -> list[tuple[Question, ...]]:
    """The questions by engine, that first for which published practice and measured deployments
    speak most: the strongest published deployment of the model there, served rows of its class on
    the device, and what is published for the class; of equals, what is for the device."""
    engines = _engines(questions)
    if len(engines) == 1:
        return [tuple(questions)]
    first = questions[0]
    known = recipes_here(first)

    def order(name: str) -> tuple[float, ...]:
        device = first.device
        mine = engine_standing(name, device.id, device.architecture, model_class(first.spec))
        published = max((strength(r, device.id) for r in known if r.engine == name), default=0.0)
        served = SERVED * min(mine.served / MANY, 1.0)
        of_class = OF_CLASS * min(mine.class_recipes / SOME, 1.0)
        return -published - served - of_class, -mine.class_recipes, -mine.device_recipes

    if not any(any(order(name)) for name in engines):
        return [tuple(questions)]
    return [tuple(q for q in questions if q.engine == name) for name in sorted(engines, key=order)]


def strength(recipe: Recipe, device: str) -> float:
    """What a published deployment counts: by the kind of its source, half where it is for whatever
    a maker sells."""
    return STRENGTH[recipe.kind] * (1.0 if recipe.device == device else 0.5)
