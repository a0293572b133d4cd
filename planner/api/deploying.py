"""What ``planner.plan`` and ``planner.estimate`` are asked about a whole deployment: pools, drafted
tokens, prefixes, and which of them go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.errors import InputError

if TYPE_CHECKING:
    from planner.api.ask import Ask
    from planner.api.pool_flags import PoolFlags
    from planner.api.prefixes import PrefixAsk
    from planner.planning.plan.record import Plan


def planned(ask: Ask, flags: PoolFlags) -> Plan:
    """The best plan of a question, with what it is asked of its deployment.

    Raises:
        InfeasibleError: nothing satisfies the limits.
        InputError: what is asked is not planned together.
    """
    from planner.api import pooled

    flags.check()
    drafts, prefixes = drafts_asked(ask), prefixes_of(ask)
    if drafts:
        from planner.api.speculation import planned as drafted

        alone = flags.of_one_pool("--speculation")
        return drafted(ask, lambda plain: pooled.planned(plain, alone))
    if prefixes is not None:
        from planner.api.prefixes import planned_with_prefixes

        flags.of_one_pool("--reuse")
        return planned_with_prefixes(ask, prefixes)
    return pooled.planned(ask, flags)


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
        raise InputError("speculation and reuse are planned one after the other",
                         hint="leave out --speculation, then give the hit rate that is found with "
                         "it: --prefix-hit RATE --speculation …")
    return asked
