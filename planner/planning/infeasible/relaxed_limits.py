"""Limits raised to the least value with a plan, by the full price of the plan that is found."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

from planner.base.errors import UnsupportedError
from planner.base.units import format_bytes, format_seconds, milliseconds_up
from planner.formats.schemes import in_catalogue_order
from planner.messages.message import message
from planner.planning.infeasible.case import LOOSE, Remedy, RemedyKind, State, Unserved
from planner.planning.infeasible.feasible import (
    any_plan,
    best_smallest_batch,
    first_feasible_plan,
    first_plan,
    least_memory,
)
from planner.planning.price.price import Priced, file_bytes_of, price
from planner.planning.question.question import Question, with_time_limit
from planner.planning.search.formulate import loss_limit
from planner.planning.search.requery import Optimum
from planner.planning.space.file_bytes import smallest_file
from planner.planning.space.losses import loss_word, saturated_loss
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior

CLOSE = 1.005
"""A raised limit is within this factor of one that has no plan."""
BISECTIONS = 12
STRIDE = 1.3
"""What a value is divided by at most before it is tried again: the least is seldom far below."""
REACHED = {
    "tpot": "refusals.fastest_plan_reaches_raise_tpot",
    "ttft": "refusals.first_token_can_come_in",
    "e2e": "refusals.request_can_take",
}
CLIMB = (1.0, 1.001, 1.01, 1.05, 1.2, 2.0)
"""Factors on the figure of a plan that is found, until the search finds a plan under it."""


def relax_limit(case: Unserved, name: str) -> RemedyKind:
    """The change of a limit by its name in messages."""
    if name == "max-loss":
        return MoreLoss(case)
    if name == "memory-bytes":
        return MoreBytes(case)
    if name == "file-bytes":
        return LargerFile(case)
    return MoreTime(case, name)


Figure = Callable[[Question, float], float | None]
"""What the plan of one way under a limit has of it; None without a plan."""


def least_feasible_value(
    ways: Sequence[tuple[Question, float]], high: float, figure: Figure
) -> float:
    """A value near the least that is feasible in any of ``ways``, each with a bound from below, and
    ``high``, which is feasible in some. A way that is not better by more than CLOSE is left at one
    question."""
    for way, low in ways:
        better = high / CLOSE
        if low < better and figure(way, better) is not None:
            high = _squeezed(low, better, partial(figure, way))
    return high


def _squeezed(low: float, high: float, figure: Callable[[float], float | None]) -> float:
    """The same of one way, in which ``high`` is feasible."""
    sure = high
    for _ in range(BISECTIONS):
        if high <= low * CLOSE:
            break
        middle = max(math.sqrt(low * high), high / STRIDE)
        value = figure(middle)
        if value is None:
            low = middle
        else:
            sure, high = middle, min(middle, max(value, low))
    return high if high == sure or figure(high) is not None else sure


@dataclass(frozen=True)
class MoreTime:
    """A limit on time raised."""

    case: Unserved
    name: str

    @property
    def _field(self) -> str:
        return f"{self.name}_seconds"

    @property
    def loosest(self) -> State:
        return {self._field: LOOSE}

    def nearest(self, state: State) -> Remedy | None:
        ways = self.case.at({**state, **self.loosest})
        fastest = best_smallest_batch(ways, "latency")
        if fastest is None:
            return None

        def figure(way: Question, seconds: float) -> float | None:
            plan = first_plan(self._limited([way], seconds))
            return None if plan is None else self._of(plan)

        start = self._of(fastest[1])
        high = next(
            (
                value
                for factor in CLIMB
                if any_plan(self._limited(ways, value := _up(start * factor)))
            ),
            None,
        )
        if high is None:
            return None
        given_limit = self.case.first.time_limits.get(self.name, 0.0)
        low = max(given_limit, fastest[0].bound if self.name == "tpot" else 0.0)
        needed_seconds = _up(least_feasible_value([(way, low) for way in ways], high, figure))
        return Remedy(
            {self._field: needed_seconds},
            message(
                REACHED[self.name],
                x=format_seconds(needed_seconds),
                y=f"{needed_seconds * 1e3:.6g}",
            ),
        )

    def _limited(self, ways: Sequence[Question], seconds: float) -> list[Question]:
        return [with_time_limit(way, self.name, seconds) for way in ways]

    def _of(self, priced: Priced) -> float:
        return self.case.first.limited_times(priced.ttft, priced.tpot)[self.name]


def _up(seconds: float) -> float:
    """The seconds of :func:`planner.base.units.milliseconds_up`, as the command line reads them."""
    return milliseconds_up(seconds) * 1e-3


@dataclass(frozen=True)
class MoreBytes:
    """The limit on bytes raised, within what the device has."""

    case: Unserved

    @property
    def loosest(self) -> State:
        return {"memory_bytes": LOOSE}

    def nearest(self, state: State) -> Remedy | None:
        ways = self.case.at({**state, **self.loosest})
        least, roomy = least_memory(ways), best_smallest_batch(ways, "latency")
        if least is None or roomy is None:
            return None

        def figure(way: Question, total: float) -> float | None:
            plan = first_plan([replace(way, memory_bytes=int(total))])
            return None if plan is None else float(plan.fullest.total)

        own = figure(least.question, float(least.total))
        total = math.ceil(
            own
            if own is not None
            else least_feasible_value(
                [
                    (way, float(least_bytes.total))
                    for way in ways
                    if (least_bytes := least_memory([way])) is not None
                ],
                float(roomy[1].fullest.total),
                figure,
            )
        )
        return Remedy(
            {"memory_bytes": total},
            message("refusals.raise_memory_bytes_to", n=total, x=format_bytes(total)),
        )


@dataclass(frozen=True)
class LargerFile:
    """The limit on the file raised, to the smallest file with which there is a plan."""

    case: Unserved

    @property
    def loosest(self) -> State:
        return {"file_bytes": LOOSE}

    def nearest(self, state: State) -> Remedy | None:
        ways = self.case.at({**state, **self.loosest})
        free = first_feasible_plan(ways)
        if free is None:
            return None

        def figure(way: Question, total: float) -> float | None:
            found = first_feasible_plan([replace(way, file_bytes=int(total))])
            return None if found is None else float(_file_of(found))

        lows = [(way, float(smallest_file(build_model(way, load_prior())))) for way in ways]
        own = min((size for way, low in lows if (size := figure(way, low)) is not None), default=0)
        total = math.ceil(own or least_feasible_value(lows, float(_file_of(free)), figure))
        return Remedy(
            {"file_bytes": total},
            message("refusals.raise_file_bytes_to", n=total, x=format_bytes(total)),
        )


def _file_of(best: Optimum) -> int:
    return file_bytes_of(best.space.model, price(best.space, best.candidate, best.segments))


@dataclass(frozen=True)
class MoreLoss:
    """The scheme of least uniform loss that admits a plan, or the number where none does; with a
    profile always the number."""

    case: Unserved

    @property
    def loosest(self) -> State:
        return {"max_loss": LOOSE}

    def nearest(self, state: State) -> Remedy | None:
        ways = self.case.at({**state, **self.loosest})
        least = best_smallest_batch(ways, "quality")
        if least is None:
            return None
        model = build_model(ways[0], load_prior())
        loss = saturated_loss(model, least[1].loss)
        number = f"{loss * (1 + 1e-6):.6g}"
        number = number if float(number) >= loss else f"{loss * (1 + 2e-5):.6g}"
        served = {name for way in ways for name in way.schemes}
        names = (
            []
            if self.case.first.profile is not None
            else [name for _, name in self._admitting(model, least[1].loss, served)]
        )
        for name in [*names, number]:
            if any_plan(self.case.at({**state, "max_loss": name})):
                return Remedy(
                    {"max_loss": name},
                    message(
                        "refusals.least_lossy_plan_that_fits",
                        loss=f"{loss:.3g}",
                        model=loss_word(model),
                        y=name,
                    ),
                )
        return None

    @staticmethod
    def _admitting(
        model: CostModel,
        loss: float,
        served: Collection[str],
    ) -> list[tuple[float, str]]:
        """Schemes of those ``served`` by the summed loss that each admits, which is ``loss`` at
        least; one that a kind of matrix has no loss in is no limit."""
        admitting = []
        for name in in_catalogue_order(served):
            try:
                limit = loss_limit(
                    replace(model, question=replace(model.question, loss_scheme=name))
                )
            except UnsupportedError:
                continue
            if limit is not None and limit >= loss * (1 + 1e-9):
                admitting.append((limit, name))
        return sorted(admitting)
