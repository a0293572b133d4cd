"""Which kernels an engine runs a plan's schemes and caches on, by compute capability: a line each.

From the engines' own selectors (:mod:`planner.throughput.engine_kernels`); where they were not read
for a device nothing is said. What is widened has a line of its
own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Message, Note, Text, message
from planner.placement.cache_entries import cache_units
from planner.planning.engines.routes import EXPERTS, cache_choice, route_words, scheme_choice
from planner.planning.engines.rules import PLAIN, cache_group, kind_group, requantised
from planner.planning.plan.record import UnitPlan
from planner.planning.question.engine_questions import engine_of
from planner.planning.question.question import Question
from planner.throughput.engine_kernels import KernelChoice

KEY = "kernels"


def kernel_notes(question: Question, units: Sequence[UnitPlan]) -> list[Note]:
    """The kernels of the schemes and caches that ``units`` take."""
    engine = engine_of(question)
    if engine is None:
        return []
    uses = dict.fromkeys((kind_group(u.kind), u.scheme) for u in units if u.kv_layout is None)
    caches = dict.fromkeys(u.scheme for u in units if u.kv_layout is not None)
    groups = dict.fromkeys(cache_group(u) for u in cache_units(question.spec))
    return kernel_assumptions(
        engine,
        question.device,
        uses,
        question.container,
        [(group, name) for group in groups for name in caches],
    )


def kernel_assumptions(
    engine: Engine,
    device: DeviceProfile,
    uses: Iterable[tuple[str, str]],
    container: str,
    caches: Iterable[tuple[str, str]] = (),
) -> list[Note]:
    """One assumption of all kernels that are known; none where none is."""
    found: list[tuple[str, KernelChoice | None]] = [
        (
            f"{group} {scheme}",
            scheme_choice(engine, device, scheme, group, "" if scheme in PLAIN else container),
        )
        for group, scheme in uses
        if group in ("dense", EXPERTS)
    ]
    found += [(f"KV {name}", cache_choice(engine, device, name, group)) for group, name in caches]
    known = {what: choice for what, choice in found if choice is not None}
    if not known:
        return []
    read = dict.fromkeys(f"{engine.name} {one.read_in}" for one in known.values())
    slow = [
        message("structure.named", name=what, text=one.reason)
        for what, one in known.items()
        if one.reason
    ]
    capability, read_in = str(device.compute_capability), ", ".join(read)
    sources = "; ".join(dict.fromkeys(one.source for one in known.values()))
    return [
        Note(
            KEY,
            message("structure.clauses", parts=tuple(_kernel(*item) for item in known.items())),
            message(
                "assumptions.kernels_by_selectors_with_reasons",
                engine=engine.label,
                capability=capability,
                read_in=read_in,
                reasons=message("structure.semicolons", parts=tuple(dict.fromkeys(slow))),
                sources=sources,
            )
            if slow
            else message(
                "assumptions.kernels_by_selectors",
                engine=engine.label,
                capability=capability,
                read_in=read_in,
                sources=sources,
            ),
        )
    ]


def _kernel(use: str, choice: KernelChoice) -> Message:
    """The kernel of a use, and how it takes what it is given where that is not natively."""
    kernel: Text = choice.kernel.partition(":")[2] or choice.kernel
    if choice.path != "native":
        kernel = message("structure.remark", text=kernel, remark=choice.path)
    return message("structure.named", name=use, text=kernel)


def route_notes(question: Question, units: Sequence[UnitPlan]) -> list[Note]:
    """A line for every scheme of ``units`` whose weights the question's engine widens although
    quantised activations are asked for; its time is that of the weight-only kernel."""
    engine = engine_of(question)
    if engine is None:
        return []
    used = {(kind_group(u.kind), u.scheme) for u in units if u.kv_layout is None}
    out = [
        route_words(engine, question.device, found, found.group)
        for found in question.routes
        if (found.group, found.asked) in used
    ]
    for name in sorted({scheme for _, scheme in used}):
        changed = requantised(engine, question.device, name)
        if changed is not None:
            out.append(Note(f"scales of {name}", message("assumptions.as_stored"), changed.reason))
    return out
