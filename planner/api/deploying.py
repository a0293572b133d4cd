"""What ``planner.plan`` and ``planner.estimate`` are asked about a whole deployment: pools, drafted
tokens, prefixes, and which of them go together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.api.pool_flags import PoolFlags
from planner.errors import InputError
from planner.planning.plan.deployment import AGGREGATED
from planner.planning.plan.record import Assumption, Plan

if TYPE_CHECKING:
    from planner.api.ask import Ask
    from planner.api.prefixes import PrefixAsk


def planned(ask: Ask, flags: PoolFlags) -> Plan:
    """The best plan of a question, with what it is asked of its deployment.

    Raises:
        InfeasibleError: nothing satisfies the limits.
        InputError: what is asked is not planned together.
    """
    from planner.api import modes

    flags.check()
    drafts, prefixes = drafts_asked(ask), prefixes_of(ask)
    if drafts:
        return _drafted(ask, flags)
    if prefixes is not None:
        from planner.api.prefixes import planned_with_prefixes

        flags.of_one_pool("--reuse")
        return planned_with_prefixes(ask, prefixes)
    return modes.planned(ask, flags)


def _drafted(ask: Ask, flags: PoolFlags) -> Plan:
    """The best plan with what is asked of drafted tokens: what drafts is settled by workers that do
    both, then both pools are searched with it."""
    from planner.api import modes, speculation
    from planner.planning.answer.modes import KEY

    one = PoolFlags(AGGREGATED)
    alone = speculation.planned(ask, lambda plain: modes.planned(plain, one))
    if flags.mode == AGGREGATED:
        return alone
    if alone.speculation is None:
        bare = modes.planned(speculation.without_drafts(ask), flags)
        return replace(bare, assumptions=(*bare.assumptions, *_notes(alone, speculation.KEY)))
    found = modes.planned(ask.drafting_as(alone), flags)
    if found.deployment is None or found.deployment.mode == AGGREGATED:
        return replace(
            alone,
            deployment=found.deployment,
            assumptions=(*alone.assumptions, *_notes(found, KEY)),
        )
    return found


def _notes(plan: Plan, key: str) -> list[Assumption]:
    return [note for note in plan.assumptions if note.key == key]


def drafts_asked(ask: Ask) -> bool:
    """Whether drafted tokens are asked for; what belongs to them alone is refused without."""
    if ask.speculation is None and ask.draft_tokens is None and ask.acceptance is None:
        return False
    from planner.api.speculation import asks_for_drafts

    return asks_for_drafts(ask)


def prefixes_of(ask: Ask) -> PrefixAsk | None:
    """What is asked of prefixes, None where nothing is.

    Raises:
        InputError: drafted tokens are asked for as well.
    """
    if not ask.asks_prefixes:
        return None
    from planner.api.prefixes import prefixes_asked

    asked = prefixes_asked(ask)
    if asked is not None and drafts_asked(ask):
        raise InputError(
            "speculation and reuse are planned one after the other",
            hint="leave out --speculation, then give the hit rate that is found with "
            "it: --prefix-hit RATE --speculation …",
        )
    return asked
