"""Arguments as a question keeps them, and plans that it cannot take up."""

from __future__ import annotations

from collections.abc import Sequence

from planner.errors import InputError, UnsupportedError
from planner.models.spec import ModelSpec
from planner.planning.plan.record import Plan
from planner.planning.question.speculation import DRAFT_MODEL, NONE, Speculation


def refuse_pools(plan: Plan, done: str) -> None:
    """Refuse a plan of two pools where its units stand for a whole deployment.

    Raises:
        UnsupportedError: it has pools.
    """
    if plan.deployment is not None:
        raise UnsupportedError(
            f"the plan has pools of prefill and decode workers, and is not {done}",
            hint="make the plan with --mode aggregated",
        )


def drafting_name(wanted: str | ModelSpec | Speculation | None) -> str | None:
    """What drafts tokens, as the flag names it."""
    if isinstance(wanted, Speculation):
        return wanted.name if wanted.kind == DRAFT_MODEL else wanted.kind
    if isinstance(wanted, ModelSpec):
        return wanted.id
    return None if wanted == NONE else wanted


def names_of_list(argument: str, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """A list of names, None for none; a single text is no list of its letters.

    Raises:
        InputError: a single text.
    """
    if isinstance(names, str):
        raise InputError(
            f"{argument} = {names!r} is one text", hint=f"a list of names: [{names!r}]"
        )
    return tuple(names) if names is not None else None
