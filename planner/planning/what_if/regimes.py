"""Where the best plan changes over context × batch, and what the decode step is bound by there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.base.errors import InputError
from planner.planning.price.price import Priced
from planner.planning.question.question import Question
from planner.planning.question.workload import workload
from planner.planning.search.requery import Optimum, best_in, priced
from planner.planning.search.spaces import grid_space, with_question
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior

BATCHES = (1, 4, 16, 64, 256, 1024)
LEAST_CONTEXT = 2048
MOST_CELLS = 400


@dataclass(frozen=True, slots=True)
class MapCell:
    """The best plan at one context and batch.

    ``regime`` is where most of the decode step goes: ``weights`` (read), ``kv`` (cache read),
    ``compute``, ``network``, ``launch`` or ``convert``; ``share`` how much of it. ``plan`` numbers
    equal assignments (schemes and layouts of caches). Where nothing fits, ``regime`` is empty.
    """

    context: int
    batch: int
    regime: str
    share: float
    plan: int
    schemes: tuple[str, ...]
    kv: tuple[str, ...]
    layout: tuple[int, int, int, int]
    output_tokens_per_second_per_device: float


@dataclass(frozen=True, slots=True)
class PhaseMap:
    """Cells by context, then batch."""

    contexts: tuple[int, ...]
    batches: tuple[int, ...]
    cells: tuple[MapCell, ...]


def contexts_of(question: Question) -> tuple[int, ...]:
    """Powers of four from 2048 to the longest context that the model has, ends included."""
    most = question.spec.max_context
    contexts = []
    context = min(LEAST_CONTEXT, most)
    while context < most:
        contexts.append(context)
        context *= 4
    return (*contexts, most)


def phase_map(
    question: Question, contexts: Sequence[int] | None = None, batches: Sequence[int] = BATCHES
) -> PhaseMap:
    """The best plan for throughput at every context and batch, under the question's limits.

    Raises:
        InputError: too many cells.
    """
    rows = tuple(contexts or contexts_of(question))
    if len(rows) * len(batches) > MOST_CELLS:
        raise InputError(
            f"{len(rows) * len(batches)} cells are too many", hint=f"at most {MOST_CELLS}"
        )
    plans: dict[tuple[object, ...], int] = {}
    cells: list[MapCell] = []
    for context in rows:
        work = workload(
            question.spec.max_context,
            context=context,
            isl=None,
            osl=None,
            prefix_hit_rate=question.workload.prefix_hit_rate,
        )
        model = build_model(
            replace(question, workload=work, batch=None, concurrency=None, objective="throughput"),
            load_prior(),
        )
        cells += _row(model, context, batches, plans)
    return PhaseMap(rows, tuple(batches), tuple(cells))


def _row(
    model: CostModel, context: int, batches: Sequence[int], plans: dict[tuple[object, ...], int]
) -> list[MapCell]:
    space = grid_space(model)
    answers: list[Optimum | None] = []
    for batch in batches:
        if space is None:
            answers.append(None)
            continue
        here = np.where(space.pts.batch == batch, -np.inf, np.inf)
        answers.append(best_in(with_question(space), here)[0])
    prices = iter(priced(a for a in answers if a is not None))
    cells = []
    for batch, a in zip(batches, answers, strict=True):
        cell_price = None if a is None else next(prices)
        cells.append(
            MapCell(context, batch, "", 0.0, -1, (), (), (0, 0, 0, 0), 0.0)
            if a is None or cell_price is None
            else _cell(model, context, batch, a, cell_price, plans)
        )
    return cells


def _cell(
    model: CostModel,
    context: int,
    batch: int,
    answer: Optimum,
    cell_price: Priced,
    plans: dict[tuple[object, ...], int],
) -> MapCell:
    names: dict[str, list[str]] = {"module": [], "cache": []}
    for segment in answer.segments:
        if segment.choice >= 0:
            names[model.units[segment.unit].role].append(model.choices[segment.choice])
    key = tuple((s.unit, s.layers, s.choice) for s in answer.segments)
    regime, share = regime_of(model, cell_price)
    la = cell_price.layout
    replicas = model.question.replicas(la.ranks)
    return MapCell(
        context,
        batch,
        regime,
        share,
        plans.setdefault(key, len(plans)),
        tuple(dict.fromkeys(names["module"])),
        tuple(dict.fromkeys(names["cache"])),
        (la.tp, la.dp, la.pp, la.ep),
        cell_price.tokens_per_second(replicas) / (replicas * la.ranks),
    )


def regime_of(model: CostModel, cell_price: Priced) -> tuple[str, float]:
    """(what takes most of the decode step, its share); ties go to the name listed first."""
    words = {
        "memory": "weights",
        "compute": "compute",
        "communication": "network",
        "launch": "launch",
        "conversion": "convert",
    }
    sums: dict[str, float] = {}
    for cost in cell_price.costs:
        cache = model.units[cost.segment.unit].role == "cache"
        name = "kv" if cache and cost.bound == "memory" else words[cost.bound]
        sums[name] = sums.get(name, 0.0) + cost.decode_seconds
    total = sum(sums.values())
    best = max(sums, key=lambda n: sums[n])
    return best, sums[best] / total if total else 0.0
