"""What a report shows beside the plan file, computed from the file, the model and the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from planner.base.errors import PlannerError
from planner.planning.inspect.layout_frontier import FrontierReach, own_frontier
from planner.planning.inspect.loss_origin import LossOrigin, loss_origin
from planner.planning.inspect.provenance import Premise, premises
from planner.planning.inspect.reprice import reprice
from planner.planning.inspect.roofline import Operators, operators
from planner.planning.inspect.sensitivity import Sensitivity, sensitivity
from planner.planning.inspect.users import UsersPoint, users_that_fit
from planner.planning.plan.record import Plan
from planner.planning.question.scenario import Scenario

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DerivedFigures:
    """Each part is None where it could not be computed; ``reasons`` says why, by its name. ``loss``
    is also None where a profile of the model gives the losses."""

    operators: Operators | None = None
    frontier: tuple[FrontierReach, ...] | None = None
    sensitivity: Sensitivity | None = None
    room: tuple[UsersPoint, ...] | None = None
    premises: tuple[Premise, ...] = ()
    reasons: tuple[tuple[str, str], ...] = ()
    loss: LossOrigin | None = None

    def why_not(self, part: str) -> str:
        """Why ``part`` is None; empty where it is not."""
        return dict(self.reasons).get(part, "")


PARTS = ("operators", "frontier", "sensitivity", "room")


def derive_figures(
    plan: Plan, *, scenario: Scenario | None = None, folders: Sequence[Path] = ()
) -> DerivedFigures:
    """Everything that can be computed for ``plan``."""
    try:
        it = reprice(plan, scenario=scenario, folders=folders)
    except PlannerError as error:
        return DerivedFigures(reasons=tuple((part, error.text) for part in PARTS))
    reasons: list[tuple[str, str]] = []

    def tried(name: str, run: Callable[[], T]) -> T | None:
        try:
            return run()
        except PlannerError as error:
            reasons.append((name, error.text))
            return None

    return DerivedFigures(
        tried("operators", lambda: operators(it.question, plan)),
        tried("frontier", lambda: own_frontier(it, scenario=scenario)),
        tried("sensitivity", lambda: sensitivity(it)),
        tried("room", lambda: users_that_fit(it)),
        premises(plan, it.question.device),
        tuple(reasons),
        None
        if it.question.profile is not None or not plan.quality.tier.startswith("T0")
        else loss_origin(it.question.spec),
    )
