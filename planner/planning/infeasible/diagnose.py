"""When nothing is feasible: which limit binds, and the nearest changes with which there is a plan.

All ways to serve count: what is told to be the least or the fewest is so over every checkpoint
format and set of caches. Changes are told in the order of nearness: fewer users, smaller caches,
shorter sequences, a free layout, more devices, limits raised, more formats; several at once where
one is not enough; then another engine and other devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from planner.base.errors import InfeasibleError
from planner.base.units import format_bytes
from planner.hardware.profile import DeviceProfile
from planner.messages.message import LINKED, Message, Text, joined, message, with_name
from planner.planning.infeasible.binding_limit import limited, no_legal_scheme, not_placed
from planner.planning.infeasible.case import Remedy, RemedyKind, Unserved
from planner.planning.infeasible.conflicting_limits import (
    contradictions,
    limit_words,
    limits_of,
)
from planner.planning.infeasible.feasible import ILLEGAL, LeastBytes, any_plan, least_memory
from planner.planning.infeasible.larger_devices import larger_devices, other_engine
from planner.planning.infeasible.nearest_changes import (
    FreeLayout,
    MoreDevices,
    MoreFormats,
    ShorterSequences,
    nearest_feasible,
)
from planner.planning.infeasible.relaxed_limits import relax_limit
from planner.planning.question.question import Question
from planner.planning.space.candidates import first_slot
from planner.planning.space.memory import budget
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior
from planner.throughput.calibration import ANY_ENGINE

Devices = Callable[[], Sequence[DeviceProfile]]


FAR = (MoreDevices, ShorterSequences, FreeLayout)
"""What is left out first where several changes are needed."""


def _none() -> Sequence[DeviceProfile]:
    return ()


def no_plan_error(case: Unserved, devices: Devices = _none) -> Exception:
    """The error to raise for a question without a feasible plan; ``devices`` are others that could
    be named where nothing else helps."""
    first = case.first
    least = least_memory(case.questions)
    if least is None:
        return not_placed(case.questions)
    if least.total >= ILLEGAL:
        return InfeasibleError(
            no_legal_scheme(first).text,
            hint=_words([MoreFormats(case).nearest({})]) or message("refusals.name_another_device"),
        )
    if least.total > budget(first):
        blamed = ["memory-bytes"] if limited(first, least.total) else []
        hint = (
            _one_change(case, blamed) or _combined_changes(case) or _elsewhere(case, least, devices)
        )
        return InfeasibleError(_memory(case, least), hint=_unstated(first, hint))
    sets = contradictions(case.questions)
    hint = (
        (_one_change(case, list(sets[0])) if len(sets) == 1 else "")
        or _combined_changes(case)
        or _elsewhere(case, least, devices)
    )
    return InfeasibleError(_limits(first, sets), hint=_unstated(first, hint))


def _unstated(question: Question, hint: Text) -> Text:
    """``hint`` after what a short profile leaves out that engines go by: with it more formats may
    be served."""
    device = question.device
    if not device.classes or device.platform or question.engine == ANY_ENGINE:
        return hint
    return message("refusals.state_compute_capability", d=device.id, x=hint)


def _memory(case: Unserved, least: LeastBytes) -> Text:
    """That the fewest bytes of all ways are too many, with the way where it is not the first."""
    first = case.first
    given, work = limited(first, least.total), first.workload
    batch = first.batch
    if first.concurrency is not None:
        layout = least.layout
        batch = (first_slot(least.question, layout) or 1) * layout.dp * layout.pp
    size = message("refusals.at_context", n=work.context)
    if work.cached_tokens < work.context:
        size = message("refusals.at_context_requests", n=work.context, r=work.cached_tokens)
    if batch is not None:
        size = message("refusals.and_batch", x=size, s=batch)
    text = message(
        "refusals.needs_at_least_given" if given else "refusals.needs_at_least",
        m=first.spec.id,
        size=size,
        b=format_bytes(least.total),
        k=least.layout.ranks,
        d=first.device.id,
        h=format_bytes(budget(first) if given else first.usable_bytes),
    )
    return with_name("memory-bytes" if given else "memory", _with_way(text, first, least.question))


def _with_way(text: Message, first: Question, other: Question) -> Message:
    """``text`` with what another way to serve has that the first has not."""
    parts = [
        message(f"refusals.{what}_in", x=", ".join(theirs))
        for what, mine, theirs in (
            ("caches", first.kv, other.kv),
            ("linears", first.schemes, other.schemes),
        )
        if mine != theirs
    ]
    if not parts:
        return text
    return message("refusals.least_of_all_ways_to", x=text, y=joined(parts, LINKED))


def _limits(question: Question, sets: Sequence[tuple[str, ...]]) -> Text:
    """Memory suffices for some plan: limits, alone or together, exclude all."""
    where = {"m": question.spec.id, "d": question.device.id}
    values = limits_of(build_model(question, load_prior()))
    if not sets:
        names = joined(list(values), LINKED) or "memory"
        return message("refusals.together_with_memory", x=names, **where)
    texts = [joined([limit_words(name, values[name]) for name in names], LINKED) for names in sets]
    if len(sets) == 1 and len(sets[0]) > 1:
        return message(
            "refusals.contradict_each_other"
            if len(sets[0]) == 2
            else "refusals.contradict_each_other_all",
            x=texts[0],
            **where,
        )
    first = "excludes" if len(sets[0]) == 1 else "exclude"
    text = message(f"refusals.{first}_every_plan", x=texts[0], **where)
    for others, more in zip(sets[1:], texts[1:], strict=True):
        does = "does" if len(others) == 1 else "do"
        text = message(f"refusals.and_so_{does}", x=text, y=more)
    return text


def _one_change(case: Unserved, blamed: Sequence[str]) -> Text:
    """The nearest single changes that are enough, two at most, in words: the limit that is to blame
    is one of them; empty where none is enough."""
    remedies: list[Remedy] = []
    kinds = nearest_feasible(case)
    kinds += [] if blamed else _formats(case)
    for kind in kinds:
        if len(remedies) < (1 if blamed else 2) and (change := kind.nearest({})) is not None:
            remedies.append(change)
    for name in blamed:
        if len(remedies) < 2 and (change := relax_limit(case, name).nearest({})) is not None:
            remedies.append(change)
    return _words(remedies)


def _formats(case: Unserved) -> list[RemedyKind]:
    """More formats, where some were named."""
    named = case.given.get("schemes") is not None
    return [MoreFormats(case)] if named or not case.searched else []


def _combined_changes(case: Unserved) -> Text:
    """Several changes that are enough together and of which none can be left out, in words; empty
    where all of them are not enough. Those that alter the service or its price are left out first;
    the near ones are made as small as the others allow."""
    limits = limits_of(build_model(case.first, load_prior()))
    kinds = [
        *nearest_feasible(case),
        *(relax_limit(case, name) for name in limits),
        *_formats(case),
    ]

    def loosest(some: Sequence[RemedyKind]) -> dict[str, object]:
        return {name: value for kind in some for name, value in kind.loosest.items()}

    if not any_plan(case.at(loosest(kinds))):
        return ""
    far = [kind for kind in kinds if isinstance(kind, FAR)]
    near = [kind for kind in kinds if not isinstance(kind, FAR)]
    for kind in (*reversed(far), *reversed(near)):
        fewer = [remedy_kind for remedy_kind in kinds if remedy_kind is not kind]
        if any_plan(case.at(loosest(fewer))):
            kinds = fewer
    done: list[Remedy] = []
    for i, kind in enumerate(kinds):
        beside = loosest(kinds[i + 1 :]) | {
            k: v for remedy in done for k, v in remedy.state.items()
        }
        change = kind.nearest(beside)
        if change is None:
            return ""
        done.append(change)
    formats = [remedy for remedy in done if {"scheme", "schemes"} & remedy.state.keys()]
    ordered = (*formats, *(d for d in done if d not in formats))
    return joined([remedy.text for remedy in ordered], "structure.and_besides")


def _elsewhere(case: Unserved, least: LeastBytes, devices: Devices) -> Text:
    """How much is missing even so, and the engine or devices that have a plan."""
    question = case.first
    compared = bool(question.chosen_from)
    one_engine = question.engine != ANY_ENGINE and not compared
    short = least.total - budget(question)
    missing = message("refusals.no_change_of_question_is")
    if short > 0:
        of = {"x": format_bytes(short), "d": question.device.id}
        missing = (
            message("refusals.device_are_missing_even_with", **of)
            if compared
            else message("refusals.device_are_missing_even_with_smallest", e=question.engine, **of)
            if one_engine
            else message("refusals.device_are_missing_even_with_smallest_formats", **of)
        )
    engine = other_engine(case) if one_engine else ""
    other = "" if engine else larger_devices(case, devices(), least.total * least.layout.ranks)
    elsewhere = (
        message("refusals.another_engine_has_plan_engine", engine=engine)
        if engine
        else message("refusals.it_fits_on", x=other)
        if other
        else message("refusals.use_devices_with_more_memory")
    )
    return joined([missing, elsewhere])


def _words(changes: Sequence[Remedy | None]) -> Text:
    return joined([c.text for c in changes if c is not None], "structure.or_else")
