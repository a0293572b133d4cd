"""Many estimates of one model on one device as arrays: those that leave nothing to search.

An estimate is of this kind where the batch is given and one layout answers it. The rows are those
that :mod:`planner.sweeping.answer` makes one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from planner.base.errors import InputError, PlannerError
from planner.messages.message import message
from planner.placement.layout import Layout
from planner.planning.infeasible.binding_limit import (
    excluded_by,
    no_legal_scheme,
    over_memory,
)
from planner.planning.plan.record import Estimate
from planner.planning.price.estimate_batch import EstimateBatch
from planner.planning.price.estimates import (
    BATCH,
    CHOICE,
    MEMORY,
    OVER_TIME,
    REASONS,
    Estimates,
    estimate_batched,
    only_choice,
)
from planner.planning.price.intervals import BASES
from planner.planning.price.token_costs import joules_estimate, usd_estimate
from planner.planning.question.given_values import GivenValues
from planner.planning.question.question import Question
from planner.planning.question.workload import Workload, workload
from planner.planning.space.assignment import tied_segments
from planner.planning.space.candidates import possible_layouts
from planner.planning.space.memory import budget
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior
from planner.sweeping.answer import (
    Context,
    Row,
    assignment,
    cost_cells,
    excluded,
    layout_text,
    loss_cells,
    served_by,
    serving,
)
from planner.sweeping.columns import ten
from planner.sweeping.record import SweepQuestion
from planner.throughput.energy import energy
from planner.workloads import load_workload

PLACE = ("devices", "tp", "dp", "pp", "ep")
WORK = ("context", "isl", "osl")


@dataclass(frozen=True, slots=True)
class Placed:
    """A question with the only layout that answers it, and its replicas."""

    question: Question
    layout: Layout
    replicas: int


@dataclass(frozen=True, slots=True)
class Ready:
    """One estimate: its place in the chunk, layout and workload."""

    at: int
    placed: Placed
    work: Workload
    batch: int


def fast_rows(context: Context, asks: Sequence[SweepQuestion]) -> dict[int, Row]:
    """Rows by place in ``asks``; what is missing has to be answered one by one."""
    groups: dict[tuple[Any, ...], list[Ready]] = {}
    places: dict[tuple[Any, ...], tuple[Placed, ...]] = {}
    works: dict[tuple[Any, ...], Workload | None] = {}
    for at, question in enumerate(asks):
        values = dict(question.values)
        batch = values.pop("batch", None)
        if question.verb != "estimate" or batch is None:
            continue
        work = (*(values.pop(name, None) for name in WORK), values.get("workload"))
        others = tuple((k, v) for k, v in values.items() if k not in PLACE)
        key = (others, *(values.get(name) for name in PLACE))
        if key not in places:
            places[key] = _placed(context, question)
        if work not in works:
            works[work] = _work(context, work)
        placed, tokens = places[key], works[work]
        if tokens is not None:
            for way, there in enumerate(placed):
                groups.setdefault((others, way, len(placed)), []).append(
                    Ready(at, there, tokens, batch)
                )
    out: dict[int, list[WayAnswer]] = {}
    for members in groups.values():
        rows = _group(members)
        for member in members:
            row, least = rows.get(member.at, (None, None))
            out.setdefault(member.at, []).append(WayAnswer(member.placed, row, least))
    return {at: row for at, ways in out.items() if (row := _best(ways)) is not None}


@dataclass(frozen=True, slots=True)
class WayAnswer:
    """An estimate served in one way: its row, None where it is not answered here, and the bytes
    that are more than there are, None where they are not the reason."""

    placed: Placed
    row: Row | None
    least: int | None


def _best(ways: Sequence[WayAnswer]) -> Row | None:
    """The best of an estimate's ways to serve, the first of equals; None where they must be told
    apart otherwise: one is not answered here, or none of several is a plan, and not for want of
    memory."""
    first = ways[0].placed.question
    if len(ways) == 1:
        return ways[0].row
    if any(way.row is None for way in ways) or first.objective not in ORDERS:
        return None
    plans = [way.row for way in ways if way.row and way.row["status"] == "ok"]
    if plans:
        return min(plans, key=ORDERS[first.objective])
    sizes = [(way.least, way.placed.layout.ranks) for way in ways if way.least is not None]
    if len(sizes) < len(ways):
        return None
    least, ranks = min(sizes, key=lambda size: size[0])
    return excluded(over_memory(first, least, ranks)) if least > budget(first) else None


ORDERS: dict[str, Callable[[Row], tuple[float, ...]]] = {
    "throughput": lambda row: (-row["output_tokens_per_second_per_device"],),
    "cost": lambda row: (-row["output_tokens_per_second_per_device"],),
    "latency": lambda row: (row["tpot_seconds"], row["ttft_seconds"]),
    "memory": lambda row: (row["total_bytes"] * row["devices"],),
}
"""What the least of rows is the best by, of the objectives that rows tell."""


def _placed(context: Context, sweep_question: SweepQuestion) -> tuple[Placed, ...]:
    """The ways to serve ``sweep_question``, each on its only layout; none where a way has
    several."""
    free = SweepQuestion(
        sweep_question.verb,
        sweep_question.model,
        sweep_question.device,
        sweep_question.service,
        tuple((k, v) for k, v in sweep_question.values if k not in (*WORK, "batch")),
    )
    try:
        # The default limit narrows nothing where layout and batch are given: it would be dropped.
        questions = serving(context, free, defaults=False)
    except PlannerError:
        return ()
    if any(question.is_batch_given for question in questions):
        return ()
    out = []
    for question in questions:
        layouts = possible_layouts(question)
        if len(layouts) > 1 or (len(questions) == 1 and not layouts):
            return ()
        out += [Placed(question, layout, question.replicas(layout.ranks)) for layout in layouts]
    return tuple(out)


def _work(context: Context, given: tuple[Any, ...]) -> Workload | None:
    context_tokens, isl, osl, name = given
    try:
        full = GivenValues(
            context=context_tokens,
            isl=isl,
            osl=osl,
            workload=None if name is None else load_workload(name),
        ).with_scenario(context.scenario)
        return workload(
            context.spec.max_context,
            context=full.context,
            isl=full.isl,
            osl=full.osl,
            named=full.workload,
        )
    except InputError:
        return None


def _group(members: Sequence[Ready]) -> dict[int, tuple[Row, int | None]]:
    """Rows of estimates that share one assignment and its limits, with the bytes that are more than
    there are."""
    model = build_model(members[0].placed.question, load_prior())
    try:
        choice = only_choice(model)
    except InputError:
        return {}
    layouts = np.array(
        [[getattr(m.placed.layout, axis) for axis in ("tp", "dp", "pp", "ep")] for m in members],
        dtype=np.int64,
    ).T
    asks = EstimateBatch(
        *layouts,
        *(
            np.array(column, dtype=np.int64)
            for column in (
                [m.placed.replicas for m in members],
                [m.batch for m in members],
                [m.work.context for m in members],
                [m.work.isl for m in members],
                [m.work.osl for m in members],
            )
        ),
    )
    estimates = estimate_batched(model, asks)
    text = "" if choice is None else assignment(model, tied_segments(model, list(choice)))
    cells = _Cells(model, asks, estimates, text)
    return {m.at: (cells.row(i, m), cells.excess(i)) for i, m in enumerate(members)}


class _Cells:
    """Columns of a group, as plain numbers."""

    def __init__(
        self, model: CostModel, asks: EstimateBatch, estimates: Estimates, text: str
    ) -> None:
        self._model, self._text = model, text
        self._asks = {f.name: getattr(asks, f.name).tolist() for f in fields(asks)}
        self._found = {
            f.name: getattr(estimates, f.name).tolist()
            for f in fields(estimates)
            if f.name not in ("loss", "cached_loss")
        }
        self._bounds = (*self._found["tpot_ends"], *self._found["ttft_ends"])
        losses = zip(estimates.loss.tolist(), estimates.cached_loss.tolist(), strict=True)
        self._losses = list(losses)
        self._told = {pair: loss_cells(model, *pair) for pair in set(self._losses)}

    def row(self, i: int, member: Ready) -> Row:
        """The row of the estimate at ``i``."""
        reason = self._found["reason"][i]
        if reason:
            return self._refused(i, reason, member)
        asks, values, question = self._asks, self._found, self._model.question
        ranks = asks["tp"][i] * asks["dp"][i] * asks["pp"][i]
        low, high, first, last = (bound[i] for bound in self._bounds)
        return {
            "status": "ok",
            "served_by": served_by(question),
            "replicas": asks["replicas"][i],
            "devices": asks["replicas"][i] * ranks,
            "tp": asks["tp"][i],
            "dp": asks["dp"][i],
            "pp": asks["pp"][i],
            "ep": asks["ep"][i],
            "layout": layout_text(*(asks[axis][i] for axis in ("tp", "dp", "pp", "ep"))),
            "context_tokens": asks["context"][i],
            "isl": asks["isl"][i],
            "osl": asks["osl"][i],
            "batch": asks["batch"][i],
            "tpot_seconds": ten(values["tpot_seconds"][i]),
            "tpot_seconds_low": ten(low),
            "tpot_seconds_high": ten(high),
            "tpot_basis": BASES[values["tpot_basis"][i]],
            "ttft_seconds": ten(values["ttft_seconds"][i]),
            "ttft_seconds_low": ten(first),
            "ttft_seconds_high": ten(last),
            "ttft_basis": BASES[values["ttft_basis"][i]],
            **self._rates(i),
            **self._costs(i, ranks),
            **{
                name: values[name][i]
                for name in (
                    "weights_bytes",
                    "kv_cache_bytes",
                    "activation_bytes",
                    "runtime_bytes",
                    "total_bytes",
                )
            },
            "usable_bytes": question.usable_bytes,
            **self._told[self._losses[i]],
            "assignment": self._text,
        }

    def excess(self, i: int) -> int | None:
        """The bytes of the estimate at ``i`` where they are the reason why it is no plan."""
        size: int = self._found["total_bytes"][i]
        return size if self._found["reason"][i] == MEMORY else None

    def _rates(self, i: int) -> Row:
        """Rates with their interval."""
        asks, found = self._asks, self._found
        low, high = (ends[i] for ends in found["throughput_ends"])
        devices = asks["replicas"][i] * asks["tp"][i] * asks["dp"][i] * asks["pp"][i]
        name, each = "output_tokens_per_second", "output_tokens_per_second_per_device"
        return {
            name: ten(found[name][i]),
            f"{name}_low": ten(low),
            f"{name}_high": ten(high),
            each: ten(found[each][i]),
            f"{each}_low": ten(low / devices),
            f"{each}_high": ten(high / devices),
        }

    def _costs(self, i: int, ranks: int) -> Row:
        """Money and energy of the estimate at ``i``, on ``ranks`` devices a replica."""
        question, values = self._model.question, self._found
        rate = values["output_tokens_per_second_per_device"][i] * ranks
        return cost_cells(
            usd_estimate(
                question.price_per_hour,
                ranks,
                rate,
                Estimate(
                    values["output_tokens_per_second"][i],
                    values["throughput_ends"][0][i],
                    values["throughput_ends"][1][i],
                    BASES[values["tpot_basis"][i]],
                ),
            ),
            joules_estimate(
                energy(
                    question.device,
                    activity_share=values["activity"][i],
                    devices=ranks,
                    tokens_per_second=rate,
                )
            ),
        )

    def _refused(self, i: int, reason: int, member: Ready) -> Row:
        """The row of an estimate that is no plan."""
        question = self._model.question
        if reason == BATCH:
            return {
                "status": "invalid",
                "reason": str(message("refusals.batch_is_not_multiple_of_dp", batch=member.batch)),
            }
        if reason == MEMORY:
            return excluded(
                over_memory(question, self._found["total_bytes"][i], member.placed.layout.ranks)
            )
        if reason in OVER_TIME:
            return excluded(excluded_by(self._model, (REASONS[reason],)))
        assert reason == CHOICE, REASONS[reason]
        return excluded(no_legal_scheme(question))
