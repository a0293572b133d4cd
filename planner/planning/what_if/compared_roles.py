"""What rows of a comparison are shown for: the few of each model and device that decide.

The recommended plan, the published checkpoint as it is, the published deployment, the fastest, the
cheapest, the least lossy, the commonest 4 bits, and those that the user named. One row may be
several; a plan that others than its own row are, is shown once, as the recommended one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import get_args

from planner.planning.engines.published import published_counts
from planner.planning.search.rivals import is_four_bit
from planner.planning.what_if.compared import Compared, ComparedPair, ComparedPlan, Role
from planner.quality.meaning import all_words

ROLES: tuple[Role, ...] = get_args(Role)
"""All of them, what is shown first before the others."""
DAMAGING = all_words()[-1]
"""The word of losses that most benchmarks notice: nothing is called fastest or cheapest that does
such damage, while anything else runs."""
MOST_ROWS = 12
"""Rows that a comparison shows, over all models and devices."""
SHARED = ("name", "kind", "reason", "within_limits", "measured_anchor", "roles", "why_not")
"""What two rows of one plan may differ in: how they are called, and what is said of them."""


def is_damaging(row: ComparedPlan) -> bool:
    """Whether the loss of a row is of the worst kind."""
    return row.meaning == DAMAGING


def same_plan(row: ComparedPlan, other: ComparedPlan) -> bool:
    """Whether two rows are one plan under two names, chances apart, which its own row has none
    of."""
    if other.kind == row.kind or row.within_limits != other.within_limits:
        return False
    alike = {name: getattr(other, name) for name in (*SHARED, "probability_better")}
    return replace(row, **alike) == other


def with_roles(
    rows: Sequence[ComparedPlan], objective: str, named: Collection[str] = ()
) -> tuple[ComparedPlan, ...]:
    """The rows of one model and device with what each is shown for; ``named``: schemes that the
    user named, whose rows are shown whatever they are."""
    able = [i for i, row in enumerate(rows) if row.feasible]
    kept = [i for i in able if rows[i].within_limits] or able
    sound = [i for i in kept if not is_damaging(rows[i])] or kept
    roles: dict[int, list[Role]] = {}

    def give(role: Role, i: int | None) -> None:
        if i is not None:
            first = next((j for j in able if j == i or same_plan(rows[j], rows[i])), i)
            roles.setdefault(first, []).append(role)

    for role in ("recommended", "released", "recipe"):
        give(role, next((i for i in able if rows[i].kind == role), None))
    give("fastest", _best(sound, rows, _slowness(objective)))
    give("cheapest", _best(sound, rows, _cost))
    give("least_loss", _best(sound, rows, _loss))
    give("common_4bit", _commonest_4bit(kept, rows))
    for i in able:
        if rows[i].kind == "uniform" and rows[i].name in named:
            give("named", i)
    return tuple(replace(row, roles=tuple(roles.get(i, ()))) for i, row in enumerate(rows))


def shown_rows(
    comparison: Compared, most: int = MOST_ROWS
) -> tuple[tuple[ComparedPair, tuple[ComparedPlan, ...]], ...]:
    """At most ``most`` rows over all models and devices, by pair: what comes first in ROLES goes
    before the rest, over all pairs."""

    def first_role(row: ComparedPlan) -> int:
        return min(ROLES.index(role) for role in row.roles)

    having_roles = [
        (first_role(row), n, place, row)
        for n, pair in enumerate(comparison.pairs)
        for place, row in enumerate(comparison.of(pair))
        if row.roles
    ]
    taken = sorted(having_roles, key=lambda one: one[:3])[:most]
    return tuple(
        (pair, tuple(row for _, at, _, row in taken if at == n))
        for n, pair in enumerate(comparison.pairs)
    )


def _best(
    places: Sequence[int],
    rows: Sequence[ComparedPlan],
    of: Callable[[ComparedPlan], tuple[float, ...] | None],
) -> int | None:
    """The place of the row with the least value, of equals the first; None where none has one."""
    known = [(value, i) for i in places if (value := of(rows[i])) is not None]
    return min(known)[1] if known else None


def _slowness(objective: str) -> Callable[[ComparedPlan], tuple[float, ...] | None]:
    def time(row: ComparedPlan) -> tuple[float, ...] | None:
        return None if row.tpot_seconds is None else (row.tpot_seconds.value,)

    def rate(row: ComparedPlan) -> tuple[float, ...] | None:
        value = row.output_tokens_per_second_per_device
        return None if value is None else (-value.value,)

    return time if objective == "latency" else rate


def _cost(row: ComparedPlan) -> tuple[float, ...] | None:
    usd = row.usd_per_million_output_tokens
    return None if usd is None else (usd.value,)


def _loss(row: ComparedPlan) -> tuple[float, ...] | None:
    """Of equal losses the fastest."""
    rate = row.output_tokens_per_second_per_device
    return None if row.loss is None or rate is None else (row.loss, -rate.value)


def _commonest_4bit(places: Sequence[int], rows: Sequence[ComparedPlan]) -> int | None:
    """The 4-bit row whose format most releases of the model have, of equals most releases of all
    models; None where no release has any of them."""
    counts = published_counts()

    def releases(row: ComparedPlan) -> tuple[int, int]:
        return counts.get((row.model, row.name), 0), counts.get(("", row.name), 0)

    known = [
        (releases(rows[i]), -i)
        for i in places
        if rows[i].kind == "uniform" and is_four_bit(rows[i].name) and releases(rows[i])[1]
    ]
    return -max(known)[1] if known else None
