"""The untied problem: a free choice for every layer of a unit, cut at the borders of stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.placement.layout import stage_of_layer
from planner.planning.question.decisions import DecisionUnit
from planner.planning.question.question import TIMED
from planner.planning.search.formulate import decision_legal, loss_limit, score_scale, stage_limits
from planner.planning.search.pipeline_pace import TIE, other_stages, step_weights
from planner.planning.solver.problem import PACE, Array, Problem, Row, Solution
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space
from planner.planning.space.memory import budget, bytes_per_layer
from planner.planning.space.model import CostModel
from planner.records import record

Int = NDArray[np.int64]
Summed = Callable[[Array], Array]


@record
class StagePart:
    """Layers of a unit inside one pipeline stage, decided layer by layer."""

    unit: int
    layers: tuple[int, ...]
    stage: int
    decision: int


def stage_parts(units: Sequence[DecisionUnit], stages: Sequence[int]) -> tuple[StagePart, ...]:
    """Units cut at stage borders; parts of tied units in one stage share a decision."""
    numbers: dict[tuple[int, int], int] = {}
    out, last = [], max(stages)
    for i, unit in enumerate(units):
        if unit.decision < 0:
            continue
        by_stage: dict[int, list[int]] = {}
        for layer in unit.layers:
            by_stage.setdefault(stages[layer], []).append(layer)
        if not unit.layers:
            by_stage[0 if unit.kind == "embedding" else last] = []
        for stage, layers in by_stage.items():
            decision = numbers.setdefault((unit.decision, stage), len(numbers))
            out.append(StagePart(i, tuple(layers), stage, decision))
    return tuple(out)


def untied_problem(space: Space, c: int) -> tuple[Problem, tuple[StagePart, ...]]:
    """Candidate ``c`` with a free choice for every layer: identical layers are counted."""
    model, question = space.model, space.model.question
    layout = space.tables.layouts[space.pts.layout[c]]
    parts = stage_parts(model.units, stage_of_layer(question.spec.layers, layout.pp))
    decisions = 1 + max(p.decision for p in parts)
    multiplicity = np.zeros(decisions, dtype=np.int64)
    unit_legal = decision_legal(model, space.legal[c])
    legal = np.ones((decisions, len(model.choices)), dtype=bool)
    for part in parts:
        multiplicity[part.decision] = max(1, len(part.layers))
        legal[part.decision] &= unit_legal[model.units[part.unit].decision]

    def total(values: Array) -> Array:
        return part_sum(parts, values)

    objective, constant = _objective(space, c, parts, total)
    rows = _rows(space, c, parts, total)
    if question.objective in TIMED:
        rows += _pace_rows(space, c, parts)
    return Problem(objective, constant, legal, multiplicity, tuple(rows)), parts


def part_sum(parts: Sequence[StagePart], values: Array, *, stage: int | None = None) -> Array:
    """Sum unit values [U, S] into the decisions of ``parts`` [D, S], per layer; those of one
    ``stage`` alone where it is given."""
    out = np.zeros((1 + max(p.decision for p in parts), values.shape[-1]), dtype=values.dtype)
    finite = np.where(np.isfinite(values), values, 0).astype(values.dtype)
    for part in parts:
        if stage is None or part.stage == stage:
            out[part.decision] += finite[part.unit]
    return out


def _objective(space: Space, c: int, parts: Sequence[StagePart], total: Summed,
               ) -> tuple[Array, float]:
    question = space.model.question
    if question.objective == "quality":
        return total(space.model.layer_loss), 0.0
    if question.objective == "memory":
        layout = space.tables.layouts[space.pts.layout[c]]
        size = bytes_per_layer(space.model, space.tables, int(space.pts.layout[c]),
                               int(space.pts.slot[c]))
        extra = int(space.extra[c])
        group = layout.tp * layout.dp * question.replicas(layout.ranks)
        fixed = (int(space.stages[space.pts.layout[c]].fixed.sum()) + extra * layout.pp) * group
        return total(size.astype(np.float64)) * group, float(fixed)
    one = space.take(np.array([c], dtype=np.int64))
    scale = float(score_scale(one)[0])
    return _of_stage(space, c, parts, int(one.pacing[0])) * scale, \
        float(step_weights(one, bound=False)[1][0]) * scale


def _of_stage(space: Space, c: int, parts: Sequence[StagePart], stage: int) -> Array:
    """Seconds that a layer adds to the pace of ``stage`` [D, S]; pp × that stage, where there are
    several, and TIE of the sum of all."""
    pp = len(space.stages[space.pts.layout[c]].fixed)
    own = part_sum(parts, space.decode[c], stage=stage)
    return own if pp == 1 else (1 - TIE) * pp * own + TIE * part_sum(parts, space.decode[c])


def _pace_rows(space: Space, c: int, parts: Sequence[StagePart]) -> list[Row]:
    """The stages that may be slower than the objective's: all, as each decides for itself."""
    one = space.take(np.array([c], dtype=np.int64))
    scale = float(score_scale(one)[0])
    own = _of_stage(space, c, parts, int(one.pacing[0]))
    return [Row(PACE, (_of_stage(space, c, parts, s) - own) * scale, room * scale)
            for s, room in other_stages(one, 0)]


def _rows(space: Space, c: int, parts: Sequence[StagePart], total: Summed) -> list[Row]:
    model, question = space.model, space.model.question
    layout, slot = int(space.pts.layout[c]), int(space.pts.slot[c])
    size = bytes_per_layer(model, space.tables, layout, slot)
    extra = int(space.extra[c])
    stage = space.stages[layout]
    rows = []
    decisions = 1 + max(p.decision for p in parts)
    for s in range(len(stage.fixed)):
        exact = np.zeros((decisions, len(model.choices)), dtype=np.int64)
        for part in parts:
            if part.stage == s:
                exact[part.decision] += size[part.unit]
        limit = budget(question) - extra - int(stage.fixed[s])
        rows.append(Row("memory", exact.astype(np.float64), float(limit), exact, limit))
    bound = loss_limit(model)
    if bound is not None:
        rows.append(Row("max-loss", total(model.layer_loss), bound))
    if question.tpot_seconds is not None:
        for s, seconds in enumerate(stage_limits(space, c, question.tpot_seconds)):
            here = np.zeros((decisions, len(model.choices)))
            for part in parts:
                if part.stage == s:
                    row = space.decode[c][part.unit]
                    here[part.decision] += np.where(np.isfinite(row), row, 0.0)
            rows.append(Row("tpot", here, seconds))
    if question.ttft_seconds is not None:
        rows.append(Row("ttft", total(space.prefill[c]),
                        float(space.prompt_limit[c] - space.prefill_constant[c])))
    return rows


def untied_segments(model: CostModel, parts: Sequence[StagePart], solution: Solution,
                    ) -> tuple[Segment, ...]:
    """Give the counted choices to layers: the least lossy go to the layers nearest the ends. Units
    that share a decision take the same choice in the same layer."""
    total = model.question.spec.layers
    found: dict[tuple[int, int], list[int]] = {}
    shared = part_sum(parts, model.layer_loss)
    for part in parts:
        counts = solution.counts[part.decision]
        if not part.layers:
            found[part.unit, int(counts.argmax())] = []
            continue
        losses = shared[part.decision]
        taken = sorted((s for s in range(len(counts)) if counts[s]), key=lambda s: (losses[s], s))
        layers = sorted(part.layers, key=lambda n: (min(n, total - 1 - n), n))
        for choice in taken:
            give, layers = layers[:counts[choice]], layers[counts[choice]:]
            found.setdefault((part.unit, choice), []).extend(give)
    out = [Segment(unit, tuple(sorted(layers)), choice)
           for (unit, choice), layers in found.items()]
    out += [Segment(i, u.layers, -1) for i, u in enumerate(model.units) if u.decision < 0]
    return tuple(sorted(out, key=lambda s: (s.unit, s.choice)))
