"""The requests that a plan serves: tokens in and out, what is cached, what each reserves."""

from __future__ import annotations

from planner.base.errors import InputError
from planner.base.records import record
from planner.messages.message import Note, Text, joined, message, with_name
from planner.throughput.calibration import ANY_ENGINE
from planner.workloads import NamedWorkload

DEFAULT_CONTEXT = 8192
DEFAULT_OSL = 1024
REQUESTS, FULL = "requests", "full"
SLOTS = (REQUESTS, FULL)
"""What a sequence takes of the cache: what it holds, or a slot of the whole context."""
SLOTS_KEY, SLOTS_ASKED = "slots", "asked for"
"""The assumption that tells what a sequence takes, and its reason where --slots does."""
RESERVING = frozenset(("llama.cpp",))
"""Engines that divide their cache into slots of one length when they start."""


@record
class Workload:
    """Tokens of one sequence: the longest that an engine takes, its prompt and its answer.

    ``reserved``: a slot of ``context`` tokens is kept for every sequence, else what it holds.
    ``prefix_hit_rate`` of a prompt's tokens are found in the cache; ``preset`` names the workload.
    """

    context: int
    isl: int
    osl: int
    assumed: Text
    reserved: bool = False
    prefix_hit_rate: float = 0.0
    preset: str = ""

    @property
    def cached(self) -> int:
        """Tokens of a prompt that are not computed, blocks aside; the last one always is."""
        return min(int(self.isl * self.prefix_hit_rate), self.isl - 1)

    @property
    def decode_length(self) -> float:
        """KV length at which decode is priced: isl + osl/2, the mean over a request's life."""
        return self.isl + self.osl / 2

    @property
    def cached_tokens(self) -> int:
        """Tokens whose cache a sequence holds at its end, which is what a batch must have room for;
        one of ``context`` must fit in that room too."""
        return self.context if self.reserved else self.isl + self.osl


def workload(
    model_limit: int,
    *,
    context: int | None,
    isl: int | None,
    osl: int | None,
    reserved: bool = False,
    prefix_hit_rate: float | None = None,
    named: NamedWorkload | None = None,
) -> Workload:
    """Fill in what the user left out, from a ``named`` workload and by the rules of the contract;
    divisions round down.

    Raises:
        InputError: a number out of range, osl alone, or a sum that exceeds the context.
    """
    rate = checked_rate(prefix_hit_rate)
    if named is not None:
        context, isl, osl = _of_named(named, model_limit, context, isl, osl)
        rate = named.prefix_hit_rate if prefix_hit_rate is None else rate
    for name, value in (("context", context), ("isl", isl), ("osl", osl)):
        if value is not None and value < 1:
            raise InputError(f"{name} = {value} is out of range", hint=f"{name} is at least 1")
    if osl is not None and isl is None and context is None:
        raise InputError(
            f"osl = {osl} alone does not set a workload", hint="give isl or context beside it"
        )
    context, isl, osl, assumed = _fill(model_limit, context, isl, osl)
    if isl < 1 or osl < 1 or isl + osl > context:
        raise InputError(
            f"isl {isl} + osl {osl} do not fit context {context}",
            hint="context is the longest sequence a slot must hold: at least isl + osl",
        )
    if context > model_limit:
        raise InputError(
            message(
                "refusals.context_exceeds_models_positions",
                context=context,
                model_limit=model_limit,
            ),
            hint=message("refusals.use_context_of_at_most", model_limit=model_limit)
            if named is None
            else message("refusals.isl_and_osl_of_at", model_limit=model_limit, w=named.id),
        )
    return Workload(context, isl, osl, assumed, reserved, rate, "" if named is None else named.id)


def _of_named(
    named: NamedWorkload, limit: int, context: int | None, isl: int | None, osl: int | None
) -> tuple[int | None, int | None, int | None]:
    """(context, isl, osl) of a named workload, of which some parts are given."""
    if named.fills_context:
        if context is None and isl is None:
            context = min(named.context or limit, limit)
        return context, isl, named.osl if osl is None and isl is None else osl
    if context is None and isl is None and osl is None:
        context = named.context
    return context, named.isl if isl is None else isl, named.osl if osl is None else osl


def workload_notes(work: Workload, named: NamedWorkload | None) -> tuple[Note, ...]:
    """Where the requests come from, and what is assumed of those that the cache knows."""
    notes: list[Note] = []
    if named is not None:
        parts: list[Text] = [
            message(f"assumptions.{word}_given", n=value)
            for word, value, own in (("isl", work.isl, named.isl), ("osl", work.osl, named.osl))
            if own not in (None, value)
        ]
        text = with_name(named.id, named.title) if named.title else named.id
        notes.append(Note("workload", joined([text, *parts]), named.source))
        if not named.latency_limit:
            notes.append(
                Note(
                    "latency limit",
                    message("assumptions.none_by_default"),
                    message("assumptions.workload_nobody_waits_for_token", x=named.id),
                )
            )
    if work.cached:
        notes.append(
            Note(
                "prefix cache",
                message("assumptions.of_prompt_tokens_are_not", cached=work.cached, isl=work.isl),
                message(
                    "assumptions.hit_rate_of_whole_blocks",
                    prefix_hit_rate=f"{work.prefix_hit_rate:g}",
                ),
            )
        )
    return tuple(notes)


def checked_rate(rate: float | None) -> float:
    """A prefix hit rate, 0 where none is given.

    Raises:
        InputError: it is no share of a prompt.
    """
    if rate is None:
        return 0.0
    if not 0 <= rate < 1:
        raise InputError(
            f"prefix hit rate {rate:g} is out of range",
            hint="the share of a prompt found in the cache: 0 to below 1",
        )
    return float(rate)


def _fill(
    limit: int,
    context: int | None,
    isl: int | None,
    osl: int | None,
) -> tuple[int, int, int, Text]:
    """(context, isl, osl, what was assumed)."""
    if context is None and isl is None:
        context = min(DEFAULT_CONTEXT, limit)
        osl = max(1, min(DEFAULT_OSL, context // 8))
        assumed = message("assumptions.context_nothing_given", context=context)
        return context, context - osl, osl, assumed
    if isl is None:
        assert context is not None
        if osl is not None:
            return context, context - osl, osl, ""
        osl = max(1, min(DEFAULT_OSL, context // 8))
        assumed = message("assumptions.osl_min_1024_context_8", answer=osl)
        return context, context - osl, osl, assumed
    if osl is None:
        osl = max(1, min(DEFAULT_OSL, isl // 8))
        if context is not None:
            osl = min(osl, max(context - isl, 0))
        return context or isl + osl, isl, osl, message("assumptions.osl_min_1024_isl_8", osl=osl)
    return context or isl + osl, isl, osl, ""


def reserves_context(slots: str | None, engine: str) -> bool:
    """Whether ``engine`` keeps a slot of the whole context for every sequence; ``slots`` says so
    for any.

    Raises:
        InputError: no such word, or an engine that cannot do without.
    """
    if slots is not None and slots not in SLOTS:
        raise InputError(f"slots = {slots!r}", hint=" or ".join(SLOTS))
    if slots == REQUESTS and engine in RESERVING:
        raise InputError(
            message("assumptions.keeps_slot_of_whole_context", engine=engine),
            hint=f"leave slots out, or slots {FULL}",
        )
    return slots == FULL or (slots is None and engine in RESERVING)


def slot_note(work: Workload, slots: str | None, engine: str) -> tuple[Note, ...]:
    """What a sequence takes of the cache; nothing where requests fill the context anyway."""
    if work.isl + work.osl == work.context:
        return ()
    if work.reserved:
        why = (
            SLOTS_ASKED
            if slots is not None
            else message("assumptions.divides_its_cache_into_slots", engine=engine)
        )
        return (
            Note(
                SLOTS_KEY,
                message("assumptions.tokens_of_cache_for_every", context=work.context),
                why,
            ),
        )
    who = message("assumptions.without_engine") if engine == ANY_ENGINE else engine
    return (
        Note(
            SLOTS_KEY,
            message("assumptions.tokens_of_cache_for_every_sequence", n=work.cached_tokens),
            message("assumptions.what_requests_hold_at_their", who=who, context=work.context),
        ),
    )
