"""Policies: named rules that keep modules as released, and whether they cost anything.

``embedding``, ``head``, ``norm``, ``router`` and ``indexer`` stay as released in every plan: their
loss and time in another format are not modelled, so these rules cannot be dropped. A scenario's
``keep_first_layers`` and ``keep_last_layers`` do the same for the linears of layers at the ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from planner.errors import InputError, UnknownNameError, UnsupportedError
from planner.placement.modules import AS_RELEASED_KINDS
from planner.planning.plan import Assumption, layer_range
from planner.planning.question import Question


def check_policies(named: Sequence[str] | None) -> None:
    """Refuse unknown rules, and a list that drops one that cannot be dropped (None: all hold).

    Raises:
        UnknownNameError, UnsupportedError: naming the rule.
    """
    if named is None:
        return
    for name in named:
        if name not in AS_RELEASED_KINDS:
            raise UnknownNameError("policy", name, AS_RELEASED_KINDS)
    for name in AS_RELEASED_KINDS:
        if name not in named:
            raise UnsupportedError(
                f"policies: {name} cannot be dropped: its loss and time in another format are not "
                "modelled", hint="policies = [" + ", ".join(f'"{n}"' for n in AS_RELEASED_KINDS)
                + "], or leave it out")


def kept_layers(layers: int, first: int, last: int) -> tuple[int, ...]:
    """The first and last layers of ``layers`` that stay as released, in order.

    Raises:
        InputError: the model has fewer.
    """
    if first + last > layers:
        raise InputError(f"keep_first_layers {first} + keep_last_layers {last} exceed the model's "
                         f"{layers} layers", hint="keep fewer")
    return tuple(range(first)) + tuple(range(layers - last, layers))


def kept_scheme(question: Question, released: str) -> str:
    """What a kept module runs in: as it was released where that is a choice, else BF16."""
    return released if released in question.schemes else "bf16"


def policy_notes(question: Question, value: float, free: float | None) -> list[Assumption]:
    """What the kept layers cost: ``value`` is the best objective with them, ``free`` without."""
    better = 0.0 if free is None or not value else (value - free) / abs(value)
    words = f"binds: {better:.1%} better without" if better > 1e-6 else "does not bind"
    return [Assumption("policy: kept layers", f"{layer_range(question.kept)} as released; {words}",
                       "keep_first_layers, keep_last_layers of the scenario")]
