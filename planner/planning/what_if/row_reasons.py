"""What is said of plans beside the one that was chosen: how likely each is better, and why it is
not taken. A plan of the choice has the reason that the plan's own answer gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.messages.message import message
from planner.planning.answer.recommend import DIGITS, rejected_because
from planner.planning.choose.more_options import place_of, with_options
from planner.planning.choose.option import Option, in_the_loop
from planner.planning.choose.selection import Selection, allowed_loss
from planner.planning.search.rivals import as_result, rival_of, uniform_name
from planner.planning.search.uniform import PlacedUniform
from planner.planning.solver.problem import TOLERANCE
from planner.planning.space.losses import saturated_loss


def loss_limit(choice: Selection) -> float | None:
    """The most that a plan may lose to be chosen, as losses are printed; None: any loss."""
    allowed = allowed_loss(choice.exact)
    return None if allowed is None else saturated_loss(choice.exact.space.model, allowed)


def said_of(choice: Selection, place: int) -> dict[str, Any]:
    """The chance and the reason of option ``place``; nothing of the plan that is taken."""
    option = choice.options[place]
    if option.same_as(choice.option):
        return {}
    allowed, model = allowed_loss(choice.exact), option.space.model
    reason = rejected_because(choice, place)
    if allowed is not None and option.priced.loss > allowed * (1 + TOLERANCE):
        default = choice.exact.space.model.question.loss_default
        reason = message(
            f"comparison.loses_more_than_{'default' if default else 'limit'}",
            limit=f"{saturated_loss(model, allowed):.3g}",
        )
    return {
        "probability_better": float(f"{choice.better[place, choice.taken]:.{DIGITS}g}"),
        "why_not": reason,
    }


def served_options(placed: Mapping[str, PlacedUniform]) -> dict[str, Option]:
    """Assignments by name at the batch that keeps their limits in the loop of their requests;
    without those that keep them at none."""
    served = {
        name: in_the_loop(rival_of(uniform_name(uniform), "uniform", as_result(uniform)))
        for name, uniform in placed.items()
    }
    return {name: option for name, option in served.items() if option is not None}


def reasons_of_rows(choice: Selection, options: Mapping[str, Option]) -> dict[str, dict[str, Any]]:
    """Of each option by its name, what a row says of it beside what was chosen; nothing of the plan
    that is taken."""
    known = {name: place_of(choice, option) for name, option in options.items()}
    new = [name for name, place in known.items() if place is None]
    all_options = with_options(choice, [options[name] for name in new])
    places = {**known, **{name: len(choice.options) + i for i, name in enumerate(new)}}
    return {
        name: said_of(all_options, place) for name, place in places.items() if place is not None
    }
