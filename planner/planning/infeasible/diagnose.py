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
from planner.planning.infeasible.binding_limit import limited, not_placed, over_memory
from planner.planning.infeasible.case import Remedy, RemedyKind, Unserved
from planner.planning.infeasible.conflicting_limits import contradictions, limits_of
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
            f"no scheme among {', '.join(first.schemes)} is legal for every unit of "
            f"{first.spec.id} on {first.device.id}",
            hint=_words([MoreFormats(case).nearest({})]) or "name another device",
        )
    if least.total > budget(first):
        blamed = ["memory-bytes"] if limited(first, least.total) else []
        hint = (
            _one_change(case, blamed) or _combined_changes(case) or _elsewhere(case, least, devices)
        )
        return InfeasibleError(_memory(case, least), hint=_unstated(first) + hint)
    sets = contradictions(case.questions)
    hint = (
        (_one_change(case, list(sets[0])) if len(sets) == 1 else "")
        or _combined_changes(case)
        or _elsewhere(case, least, devices)
    )
    return InfeasibleError(_limits(first, sets), hint=_unstated(first) + hint)


def _unstated(question: Question) -> str:
    """What a short profile leaves out that engines go by: with it more formats may be served."""
    device = question.device
    if not device.classes or device.platform or question.engine == ANY_ENGINE:
        return ""
    return (
        f"state compute_capability (of NVIDIA's; else platform and target) in {device.id}: "
        "without it only what engines serve on every device counts; or else "
    )


def _memory(case: Unserved, least: LeastBytes) -> str:
    """That the fewest bytes of all ways are too many, with the way where it is not the first."""
    first = case.first
    text = over_memory(first, least.total, least.layout.ranks).text
    users = f" and batch {first.batch}" if first.batch is not None else ""
    if first.concurrency is not None:
        layout = least.layout
        slot = first_slot(least.question, layout) or 1
        users = f" and batch {slot * layout.dp * layout.pp}"
    name, _, rest = text.partition(": ")
    bytes_, _, have = rest.partition(" at least ")
    work = first.workload
    short = (
        f" (requests of {work.cached_tokens} tokens)" if work.cached_tokens < work.context else ""
    )
    return (
        f"{name}: {first.spec.id} at context {work.context}{short}{users} needs at least "
        f"{bytes_} {have}{_way(first, least.question)}"
    )


def _way(first: Question, other: Question) -> str:
    """What another way to serve has that the first has not."""
    parts = [
        f"{what} in {', '.join(theirs)}"
        for what, mine, theirs in (
            ("caches", first.kv, other.kv),
            ("linears", first.schemes, other.schemes),
        )
        if mine != theirs
    ]
    return f" (the least of all ways to serve: {' and '.join(parts)})" if parts else ""


def _limits(question: Question, sets: Sequence[tuple[str, ...]]) -> str:
    """Memory suffices for some plan: limits, alone or together, exclude all."""
    where = f"{question.spec.id} on {question.device.id}"
    values = limits_of(build_model(question, load_prior()))
    if not sets:
        names = " and ".join(values) or "memory"
        return f"{names} together with memory exclude every plan for {where}"
    texts = [" and ".join(f"{name} {values[name]}" for name in names) for names in sets]
    if len(sets) == 1 and len(sets[0]) > 1:
        return (
            f"{texts[0]} contradict each other for {where}: without "
            f"{'either' if len(sets[0]) == 2 else 'any of them'} a plan exists"
        )
    more = "".join(
        f", and so do{'es' if len(names) == 1 else ''} {text}"
        for names, text in zip(sets[1:], texts[1:], strict=True)
    )
    return f"{texts[0]} exclude{'s' if len(sets[0]) == 1 else ''} every plan for {where}{more}"


def _one_change(case: Unserved, blamed: Sequence[str]) -> str:
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


def _combined_changes(case: Unserved) -> str:
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
    formats = [remedy for remedy in done if remedy.text.startswith("allow more formats")]
    return "; and ".join(
        remedy.text for remedy in (*formats, *(d for d in done if d not in formats))
    )


def _elsewhere(case: Unserved, least: LeastBytes, devices: Devices) -> str:
    """How much is missing even so, and the engine or devices that have a plan."""
    question = case.first
    compared = bool(question.chosen_from)
    named = question.engine != ANY_ENGINE and not compared
    of = (
        "that an engine serves on"
        if compared
        else f"that {question.engine} serves on"
        if named
        else "of"
    )
    short = least.total - budget(question)
    missing = (
        f"{format_bytes(short)} a device are missing even with the smallest formats {of} "
        f"{question.device.id}"
        if short > 0
        else "no change of the question is enough"
    )
    engine = other_engine(case) if named else ""
    other = "" if engine else larger_devices(case, devices(), least.total * least.layout.ranks)
    return f"{missing}; " + (
        f"another engine has a plan: --engine {engine}"
        if engine
        else f"it fits on {other}"
        if other
        else "use devices with more memory"
    )


def _words(changes: Sequence[Remedy | None]) -> str:
    return "; or ".join(change.text for change in changes if change is not None)
