"""A candidate as a problem of the solver, and back: options by decision to layers by choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import SolverError
from planner.base.records import cached_record, record
from planner.placement.layout import stage_of_layer
from planner.planning.question.question import TIMED
from planner.planning.search.formulate import (
    loss_limit,
    other_stages,
    score_scale,
    single_problem,
    stage_limits,
    stage_rooms,
    step_weights,
)
from planner.planning.solver.highs import GAP
from planner.planning.solver.problem import PACE, Array, Problem, Row, Solution, is_minimax
from planner.planning.solver.solve import LAYERS_GAP, STAGES_GAP
from planner.planning.space.assignment import Segment, tied_segments
from planner.planning.space.candidates import Space
from planner.planning.space.decisions import DecidedKernel
from planner.planning.space.file_bytes import file_bytes, file_room
from planner.planning.space.losses import saturated_loss
from planner.planning.space.memory import bytes_per_layer, host_bytes, host_room
from planner.planning.space.model import CostModel

Number = TypeVar("Number", np.float64, np.int64)
Int = NDArray[np.int64]
Summed = Callable[[Array], Array]


@cached_record
class CandidateProblem:
    """Candidate ``c`` of ``space`` as ``problem``, without its limit on TTFT; ``parts`` where
    layers are counted."""

    space: Space
    c: int
    problem: Problem
    parts: tuple[StagePart, ...]

    @property
    def gap(self) -> float:
        """The relative gap to which the optimum is proved."""
        if self.space.model.question.untie:
            return STAGES_GAP if is_minimax(self.problem) else GAP
        return GAP if self.space.model.question.profile is None else LAYERS_GAP

    def total(self, values: Array) -> Array:
        """Sum kernel values [K, O] of one layer into the problem's decisions [D, O]."""
        decided = self.space.model.decided
        if self.parts:
            return part_sum(self.parts, values)
        return decided.total(values, decided.layers)

    def tpot(self, counts: NDArray[np.int64]) -> float:
        """Seconds of the step of ``counts`` [D, O] as the solver adds them up: pp × the slowest
        stage, and the hops."""
        stages = [
            float((seconds * counts).sum()) + released for seconds, released in self.stage_seconds()
        ]
        if len(stages) == 1:
            return stages[0]
        return len(stages) * max(stages) + float(self.space.hop_step[self.c])

    def stage_seconds(self, *, exact: bool = False) -> list[tuple[Array, float]]:
        """(seconds by option [D, O], those of what is as released) of a step on each pipeline
        stage; ``exact``: of the first slot that the candidate stands for."""
        space, decided = self.space.for_limits if exact else self.space, self.space.model.decided
        layers = space.stages[space.pts.layout[self.c]].counts
        return [
            (
                part_sum(self.parts, space.decode[self.c], stage=stage)
                if self.parts
                else decided.total(space.decode[self.c], here.astype(np.float64)),
                float(space.released_stages[self.c, stage]),
            )
            for stage, here in enumerate(layers)
        ]

    def rows_of(self, decision: int) -> list[int]:
        """The problem's rows of a decision: one, or one for every pipeline stage."""
        if not self.parts:
            return [decision]
        kernels = self.space.model.decided.kernels
        return sorted({p.decision for p in self.parts if kernels[p.kernel].decision == decision})

    def segments(self, solution: Solution) -> tuple[Segment, ...]:
        """The layers and choices of a solution that was found."""
        model = self.space.model
        if self.parts:
            return untied_segments(model, self.parts, solution)
        return tied_segments(model, model.decided.unit_choices(options_of(solution.counts)))


def options_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The option of every decision [D] of a tied solution."""
    return np.asarray(counts.argmax(axis=1))


def candidate_problem(space: Space, c: int) -> CandidateProblem:
    """Candidate ``c``, tied or layer by layer as its question says."""
    if space.model.question.untie:
        return CandidateProblem(space, c, *untied_problem(space, c))
    return CandidateProblem(space, c, single_problem(space, c), ())


@contextmanager
def error_context(space: Space, c: int) -> Iterator[None]:
    """An error of the solver inside says the question and the candidate that it was asked about.

    Raises:
        SolverError: as it came, with these data in its message.
    """
    try:
        yield
    except SolverError as error:
        raise SolverError(
            f"{error.message}; asked: {question_line(space, c)}", hint=error.hint
        ) from None


def question_line(space: Space, c: int) -> str:
    """Model, device, candidate, objective and limits in one line, as flags where there are some."""
    question, la = space.model.question, space.tables.layouts[space.pts.layout[c]]
    told = question.loss_limit and saturated_loss(space.model, question.loss_limit)
    limits = {
        **{f"{name}-ms": f"{s * 1e3:.12g}" for name, s in question.time_limits.items()},
        "memory-bytes": question.memory_bytes,
        "file-bytes": question.file_bytes,
        "max-loss": question.loss_scheme or told,
    }
    parts = [
        f"{question.spec.id} {question.device.id}",
        f"--tp {la.tp} --dp {la.dp} --pp {la.pp} --ep {la.ep}",
        f"--batch {space.pts.batch[c]:.0f} --context {question.workload.context} "
        f"--isl {question.workload.isl} --osl {question.workload.osl}",
        f"--objective {question.objective}",
        *(f"--{name} {value}" for name, value in limits.items() if value is not None),
        f"--schemes {','.join(question.schemes)}",
        f"--engine {question.engine}",
    ]
    return " ".join([*parts, *(["--untie"] if question.untie else [])])


@record
class StagePart:
    """Layers of a kernel inside one pipeline stage, decided layer by layer."""

    kernel: int
    layers: tuple[int, ...]
    stage: int
    decision: int


def stage_parts(kernels: Sequence[DecidedKernel], stages: Sequence[int]) -> tuple[StagePart, ...]:
    """Kernels cut at stage borders; parts of one decision in one stage share a decision."""
    numbers: dict[tuple[int, int], int] = {}
    out, last = [], max(stages)
    for k, kernel in enumerate(kernels):
        if kernel.decision < 0:
            continue
        by_stage: dict[int, list[int]] = {}
        for layer in kernel.layers:
            by_stage.setdefault(stages[layer], []).append(layer)
        if not kernel.layers:
            by_stage[0 if kernel.kind == "embedding" else last] = []
        for stage, layers in by_stage.items():
            decision = numbers.setdefault((kernel.decision, stage), len(numbers))
            out.append(StagePart(k, tuple(layers), stage, decision))
    return tuple(out)


def untied_problem(space: Space, c: int) -> tuple[Problem, tuple[StagePart, ...]]:
    """Candidate ``c`` with a free choice for every layer, without the limit on TTFT: identical
    layers are counted."""
    model, question = space.model, space.model.question
    parts = stage_parts(
        model.decided.kernels, stage_of_layer(question.spec.layers, space.layout(c).pp)
    )
    decisions = 1 + max(p.decision for p in parts)
    multiplicity = np.zeros(decisions, dtype=np.int64)
    legal = np.ones((decisions, model.decided.width), dtype=bool)
    for part in parts:
        multiplicity[part.decision] = max(1, len(part.layers))
        legal[part.decision] &= space.legal[c, part.kernel]

    def total(values: Array) -> Array:
        return part_sum(parts, values)

    objective, constant = _objective(space, c, parts, total)
    rows = _rows(space, c, parts, total)
    if question.objective in TIMED:
        rows += _pace_rows(space, c, parts)
    return Problem(objective, constant, legal, multiplicity, tuple(rows)), parts


def part_sum(
    parts: Sequence[StagePart], values: NDArray[Number], *, stage: int | None = None
) -> NDArray[Number]:
    """Sum kernel values [K, O] into the decisions of ``parts`` [D, O], per layer; those of one
    ``stage`` alone where it is given."""
    out = np.zeros((1 + max(p.decision for p in parts), values.shape[-1]), dtype=values.dtype)
    finite = np.where(np.isfinite(values), values, 0).astype(values.dtype)
    for part in parts:
        if stage is None or part.stage == stage:
            out[part.decision] += finite[part.kernel]
    return out


def _objective(
    space: Space,
    c: int,
    parts: Sequence[StagePart],
    total: Summed,
) -> tuple[Array, float]:
    question, decided = space.model.question, space.model.decided
    if question.objective == "quality":
        return total(decided.loss), 0.0
    if question.objective == "memory":
        layout, slot = int(space.pts.layout[c]), int(space.pts.slot[c])
        la, stage = space.layout(c), space.stages[layout]
        size = decided.by_option(bytes_per_layer(space.model, space.tables, layout, slot))
        group = la.tp * la.dp * question.replicas(la.ranks)
        beside = stage.fixed.sum() + stage.caches(slot * la.pp).sum()
        return total(size.astype(np.float64)) * group, float(
            (beside + int(space.extra[c]) * la.pp) * group
        )
    candidate_space = space.take(np.array([c], dtype=np.int64))
    scale = float(score_scale(candidate_space)[0])
    return _of_stage(space, c, parts, int(candidate_space.pacing[0])) * scale, float(
        step_weights(candidate_space, bound=False)[1][0]
    ) * scale


def _of_stage(space: Space, c: int, parts: Sequence[StagePart], stage: int) -> Array:
    """Seconds that a layer adds to the pace of ``stage`` [D, O]: pp × its own."""
    return part_sum(parts, space.decode[c], stage=stage) * float(space.layout(c).pp)


def _pace_rows(space: Space, c: int, parts: Sequence[StagePart]) -> list[Row]:
    """The stages that may be slower than the objective's: all, as each decides for itself."""
    candidate_space = space.take(np.array([c], dtype=np.int64))
    scale = float(score_scale(candidate_space)[0])
    own = _of_stage(space, c, parts, int(candidate_space.pacing[0]))
    return [
        Row(PACE, (_of_stage(space, c, parts, s) - own) * scale, room * scale)
        for s, room in other_stages(candidate_space, 0)
    ]


def _rows(space: Space, c: int, parts: Sequence[StagePart], total: Summed) -> list[Row]:
    model, question, decided = space.model, space.model.question, space.model.decided
    size = decided.by_option(
        bytes_per_layer(model, space.tables, int(space.pts.layout[c]), int(space.pts.slot[c]))
    )
    rows = []
    for stage, room in enumerate(stage_rooms(space, c)):
        exact = part_sum(parts, size, stage=stage)
        rows.append(Row("memory", exact.astype(np.float64), float(room), exact, room))
    if (there := host_room(question)) is not None:
        exact = part_sum(parts, decided.by_option(host_bytes(model, space.tables)))
        rows.append(Row("host memory", exact.astype(np.float64), float(there), exact, there))
    if (most := file_room(model)) is not None:
        exact = part_sum(parts, decided.by_option(file_bytes(model)))
        rows.append(Row("file", exact.astype(np.float64), float(most), exact, most))
    bound = loss_limit(model)
    if bound is not None:
        rows.append(Row("max-loss", total(decided.loss), bound))
    if (limit := question.step_limit) is not None:
        slots = space.for_limits
        rows += [
            Row(limit[0], part_sum(parts, slots.decode[c], stage=s), pace)
            for s, pace in enumerate(stage_limits(slots, c, limit[1]))
        ]
    return rows


def untied_segments(
    model: CostModel,
    parts: Sequence[StagePart],
    solution: Solution,
) -> tuple[Segment, ...]:
    """Give the counted options to layers: the least lossy go to the layers nearest the ends. What
    is decided together takes the same option in the same layer."""
    decided, total = model.decided, model.question.spec.layers
    layers_by_choice: dict[tuple[int, int], list[int]] = {}
    shared = part_sum(parts, decided.loss)
    for part in parts:
        counts, kernel = solution.counts[part.decision], decided.kernels[part.kernel]
        picks = decided.picks(kernel)
        if not part.layers:
            for unit, choice in zip(kernel.units, picks[counts.argmax()].tolist(), strict=True):
                layers_by_choice[unit, choice] = []
            continue
        losses = shared[part.decision]
        taken = sorted((o for o in range(len(counts)) if counts[o]), key=lambda o: (losses[o], o))
        layers = sorted(part.layers, key=lambda n: (min(n, total - 1 - n), n))
        for option in taken:
            give, layers = layers[: counts[option]], layers[counts[option] :]
            for unit, choice in zip(kernel.units, picks[option].tolist(), strict=True):
                layers_by_choice.setdefault((unit, choice), []).extend(give)
    out = [
        Segment(unit, tuple(sorted(layers)), choice)
        for (unit, choice), layers in layers_by_choice.items()
    ]
    out += [Segment(i, u.layers, -1) for i, u in enumerate(model.units) if u.decision < 0]
    return tuple(sorted(out, key=lambda s: (s.unit, s.choice)))
