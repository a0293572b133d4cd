"""``planner.diff``: two plans compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planner.base.typed import typed
from planner.planning.plan.diff import Difference, difference, parse_gate

if TYPE_CHECKING:
    from planner.planning.plan.record import Plan


@typed
def diff(old: Plan, new: Plan, *, fail_if: Sequence[str] = ()) -> Difference:
    """``new`` against ``old``; ``fail_if`` are gates such as ``tpot>+5%`` (change against ``old``),
    ``loss>1.1`` (the new value) or ``memory>+2GiB``.

    Raises:
        InputError: plans of different models, or a malformed gate.
    """
    gates = [parse_gate(text) for text in fail_if]
    return difference(old, new, gates)
