"""Policies: named rules that keep modules as released, and whether they cost anything.

``embedding``, ``head``, ``norm``, ``router`` and ``indexer`` stay as released in every plan: their
loss and time in another format are not modelled, so these rules cannot be dropped. A scenario's
``keep_first_layers`` and ``keep_last_layers`` do the same for the linears of layers at the ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from planner.errors import InputError, UnknownNameError, UnsupportedError
from planner.placement.modules import AS_RELEASED_KINDS
from planner.planning.plan import Assumption, UnitPlan, layer_range
from planner.planning.question import Question
from planner.units import format_bytes

BINDS = 1e-6
"""Relative gain above which a rule binds."""


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


def policy_notes(question: Question, value: float, free: Callable[[Question], float | None],
                 ) -> list[Assumption]:
    """What the kept layers cost: ``value`` is the best objective with them, ``free`` that of a
    question without some of them; each end by itself where both are kept and it matters."""
    if not question.kept:
        return []
    better = _better(value, free(replace(question, kept=())))
    words = f"binds: {better:.1%} better without" if better > BINDS else "does not bind"
    half = question.spec.layers // 2
    ends = {"first": tuple(n for n in question.kept if n < half),
            "last": tuple(n for n in question.kept if n >= half)}
    if better > BINDS and all(ends.values()):
        alone = {name: _better(value, free(replace(
            question, kept=tuple(n for n in question.kept if n not in layers))))
            for name, layers in ends.items()}
        words += " (" + ", ".join(f"the {name} {gain:.1%}" if gain > BINDS else
                                  f"the {name} nothing" for name, gain in alone.items()) + ")"
    return [Assumption("policy: kept layers", f"{layer_range(question.kept)} as released; {words}",
                       "keep_first_layers, keep_last_layers of the scenario")]


def _better(value: float, free: float | None) -> float:
    return 0.0 if free is None or not value else (value - free) / abs(value)


def released_note(units: Sequence[UnitPlan]) -> Assumption:
    """The rules that always hold, and the most that they could cost: all that they take."""
    kept = [u for u in units if u.kind in AS_RELEASED_KINDS]
    step = sum(u.decode_seconds for u in units) or 1.0
    kinds = ", ".join(dict.fromkeys(u.kind for u in kept))
    share = sum(u.decode_seconds for u in kept) / step
    size = sum(u.weight_bytes_per_device for u in kept)
    return Assumption("policies", f"{kinds} as released: {share:.1%} of the step, "
                      f"{format_bytes(size)} a device",
                      "no more than that could be won; their loss in another format is not "
                      "modelled, so the rules cannot be dropped")
