"""What of a model lives in the memory of a host, as part of a question: who computes it and where.

An engine keeps the modules of the first layers there, or the least popular experts of every layer
(:mod:`planner.planning.engines.offloads`). How many is part of the answer: every number that may
fit is a question of its own, and all stand in one search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from planner.base.errors import InputError, UnsupportedError
from planner.base.records import record
from planner.base.units import GIB
from planner.formats.schemes import in_catalogue_order
from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.messages.message import Note, message
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout
from planner.placement.modules import Module, modules
from planner.placement.shards import shard_byte_table
from planner.planning.engines.offloads import KINDS_OF, OffloadWay, offload_way
from planner.planning.question.decisions import split_modules
from planner.planning.question.host_place import Offload
from planner.throughput.kernels import refusal

if TYPE_CHECKING:
    from planner.planning.plan.record import Plan
    from planner.planning.question.assumed_hosts import AssumedHost
    from planner.planning.question.question import Question

KEY = "host"
MOST_RESIDENT = 16
"""Numbers of resident experts that are tried at most: beyond it, evenly spread ones."""


@record
class HostRequest:
    """The host as it was asked for; None: one socket, and what its profile says. ``assumed``:
    nobody asked for it."""

    cpu: DeviceProfile
    sockets: int | None = None
    memory_bytes: int | None = None
    assumed: AssumedHost | None = None


def with_offload(question: Question, engine: Engine | None, host: HostRequest) -> Question:
    """``question`` with a host beside its device; what lives there is not said yet.

    Raises:
        InputError: sockets or devices out of range.
        UnsupportedError: no CPU, no link, an engine or a model that leaves nothing there.
    """
    cpu, device = host.cpu, question.device
    if cpu.kind != "cpu":
        raise UnsupportedError(
            f"--host {cpu.id}: it is no CPU",
            hint="name the CPU beside the device: see `plan list devices`",
        )
    if device.kind != "gpu" or device.unified_memory:
        raise UnsupportedError(
            f"{device.id} has no host with a memory of its own beside it", hint="leave --host out"
        )
    if engine is None:
        raise UnsupportedError(
            "what lives in host memory follows an engine's rules: engine any has none",
            hint="name an engine, or leave --engine out",
        )
    sockets = host.sockets or 1
    if not 1 <= sockets <= cpu.devices_per_node:
        raise InputError(
            f"--host-sockets {sockets}: a node has {cpu.devices_per_node} of {cpu.id}",
            hint=f"from 1 to {cpu.devices_per_node}",
        )
    if question.devices_given and question.sizes != (1,):
        raise InputError(
            f"--host beside {max(question.sizes)} devices: one is planned for",
            hint="leave --devices out, or leave --host out",
        )
    way = offload_way(engine, device, cpu)
    kinds = offloaded_kinds(question.spec, way)
    if not kinds:
        raise UnsupportedError(
            f"{engine.label} keeps {' or '.join(way.groups)} in host memory; "
            f"{question.spec.id} has none",
            hint="another engine",
        )
    memory = host.memory_bytes
    if memory is None:
        memory = int(cpu.capacity_bytes.value * cpu.usable_fraction.value) * sockets
    from planner.throughput.residency import host_link

    offload = Offload(cpu, sockets, memory, host_link(device), way, kinds)
    if host.assumed is not None:
        offload = replace(offload, assumed_sigma=host.assumed.sigma)
    note = Note(
        KEY,
        message("assumptions.gib_for_weights", sockets=sockets, c=cpu.id, m=f"{memory / GIB:.0f}"),
        message(
            "assumptions.link_gb_s",
            reason=way.reason,
            r=f"{offload.link.bytes_per_s / 1e9:.3g}",
            source=offload.link.source,
        ),
    )
    if host.assumed is None:
        notes = tuple(n for n in question.notes if n[0] != "devices")
    else:
        from planner.planning.question.assumed_hosts import assumed_notes

        notes = (*question.notes, *assumed_notes(host.assumed, cpu))
    return replace(
        question,
        offload=offload,
        sizes=(1,),
        more_sizes=(),
        notes=(*notes, note),
    )


def offloaded_kinds(spec: ModelSpec, way: OffloadWay) -> tuple[str, ...]:
    """Kinds of the first of the way's groups that ``spec`` has."""
    own = {m.kind for m in modules(spec)}
    for group in way.groups:
        own_kinds = tuple(kind for kind in KINDS_OF[group] if kind in own)
        if own_kinds:
            return own_kinds
    return ()


def offloaded_ways(ways: Sequence[Question], *, named: bool = False) -> tuple[Question, ...]:
    """A question for everything that may live in host memory, for every way; those without a host
    as they are. ``named``: the schemes were named, and no others are added for the host.

    Raises:
        UnsupportedError: the engine keeps other schemes there than may be chosen.
    """
    out: list[Question] = []
    made: dict[tuple[int, tuple[int, ...], int, tuple[str, ...]], Offload] = {}
    for way in ways:
        if way.offload is None:
            out.append(way)
            continue
        for question in _host_schemes(way, named):
            fitting = _fitting(question)
            some = _spread(fitting) if way.offload.by_experts else fitting
            if len(some) < len(fitting):
                question = replace(
                    question,
                    notes=(
                        *question.notes,
                        Note(
                            "resident experts",
                            message(
                                "assumptions.of_numbers_are_tried",
                                some=len(some),
                                fitting=len(fitting),
                            ),
                            message("assumptions.evenly_spread_fewest_and_most"),
                        ),
                    ),
                )
            for offload in some:
                key = id(way.offload), offload.layers, offload.resident, offload.schemes
                out.append(replace(question, offload=made.setdefault(key, offload)))
    base = next((way.offload for way in ways if way.offload is not None), None)
    if out or base is None:
        return tuple(out)
    raise UnsupportedError(
        f"{ways[0].engine} keeps {', '.join(base.way.schemes)} in the memory of {base.host.id}; "
        f"none of these is a choice here",
        hint="name one of them in --schemes, or another engine",
    )


def given_offload(question: Question, plan: Plan) -> Question:
    """``question`` with what a plan file keeps in host memory."""
    offload, said = question.offload, plan.offload
    if offload is None or said is None:
        return question
    experts = question.spec.experts
    each = said.experts_on_device // len(experts.layers) if experts is not None else 0
    own = said.scheme_host if offload.way.schemes else ()
    placed = replace(
        offload,
        layers=() if offload.by_experts else said.layers,
        schemes=own,
        resident=each if offload.by_experts else 0,
    )
    return _with_schemes(replace(question, offload=placed), own)


def without_host_schemes(question: Question, plan: Plan) -> Question:
    """``question`` without the schemes of ``plan`` that live in host memory alone, where an engine
    converts those by itself: its checkpoint formats do not carry them."""
    offload = question.offload
    if offload is None or not offload.way.schemes:
        return question
    here = {u.scheme for u in plan.units if not u.place}
    return replace(question, schemes=tuple(s for s in question.schemes if s in here))


def _host_schemes(question: Question, named: bool) -> list[Question]:
    """The question with one scheme for the host where the engine converts weights for it: each is
    a question of its own. Schemes that only the host takes are barred on the device."""
    offload = question.offload
    assert offload is not None
    if not offload.way.schemes:
        return [question]
    able = [
        s
        for s in offload.way.schemes
        if not refusal(offload.host, scheme_by_id(s))
        and not refusal(question.device, scheme_by_id(s))
    ]
    if named or question.as_released or question.named:
        able = [s for s in able if s in question.schemes]
    if question.as_released:
        stored = {m.released_as for m in modules(question.spec) if m.kind in offload.kinds}
        able = [s for s in able if s in stored]
    return [
        _with_schemes(replace(question, offload=replace(offload, schemes=(name,))), (name,))
        for name in able
    ]


def _with_schemes(question: Question, names: Sequence[str]) -> Question:
    """``question`` with ``names`` for what lives in host memory, barred on the device where they
    are no choice there."""
    more = [name for name in names if name not in question.schemes]
    kinds = {m.kind for m in split_modules(modules(question.spec), question.dropped)[0]}
    return replace(
        question,
        schemes=tuple(in_catalogue_order((*question.schemes, *more))),
        barred=question.barred | {(kind, name) for kind in kinds for name in more},
    )


def _fitting(question: Question) -> list[Offload]:
    """What may live in host memory so that the smallest formats fit both memories; where none may,
    all that the device has room for: the search says what is missing. All of it in host memory
    stays a candidate."""
    first = question.offload
    assert first is not None
    sizes = _least(question)
    room = (
        question.usable_bytes
        if question.memory_bytes is None
        else min(question.usable_bytes, question.memory_bytes)
    )
    offloads: list[Offload] = []
    short: list[Offload] = []
    for i, candidate in enumerate(_candidates(question.spec, first)):
        kept, moved = sizes(candidate)
        if kept > room and i:
            break  # less in host memory takes more on the device
        (offloads if moved <= first.memory_bytes else short).append(candidate)
    return offloads or short


def _spread(offloads: list[Offload]) -> list[Offload]:
    """At most MOST_RESIDENT of ``offloads``, evenly spread, both ends among them."""
    last = len(offloads) - 1
    if last < MOST_RESIDENT:
        return offloads
    places = {round(n * last / (MOST_RESIDENT - 1)) for n in range(MOST_RESIDENT)}
    return [offloads[i] for i in sorted(places)]


def offload_layers(spec: ModelSpec, offload: Offload) -> tuple[int, ...]:
    """The layers that have modules of the kinds that may live in host memory."""
    return tuple(sorted({n for m in modules(spec) if m.kind in offload.kinds for n in m.layers}))


def _candidates(spec: ModelSpec, offload: Offload) -> list[Offload]:
    """From everything in host memory to nothing."""
    if offload.by_experts:
        assert spec.experts is not None
        return [replace(offload, resident=n) for n in range(spec.experts.count + 1)]
    layers = offload_layers(spec, offload)
    return [replace(offload, layers=layers[:n]) for n in range(len(layers), -1, -1)]


def _least(question: Question) -> Callable[[Offload], tuple[int, int]]:
    """(bytes on the device, bytes in host memory) of an offload under the smallest schemes; no
    legal choice is below them."""
    first = question.offload
    assert first is not None
    planned, released = split_modules(modules(question.spec), question.dropped)
    here, there = (
        shard_byte_table(planned, names, [Layout(1, 1, 1, 1)])[0].min(axis=1).tolist()
        for names in (question.schemes, first.schemes or question.schemes)
    )
    fixed = sum(
        m.stored_bytes * max(1, len(m.layers))
        for m in released
        if m.kind not in ("embedding", "head")
    )

    def of(offload: Offload) -> tuple[int, int]:
        kept, moved = float(fixed), 0.0
        for module, small, smaller in zip(planned, here, there, strict=True):
            on_device, in_host = _divided(module, offload)
            kept += small * on_device
            moved += smaller * in_host
        return int(kept), int(moved)

    return of


def _divided(module: Module, offload: Offload) -> tuple[float, float]:
    """Layers of a module on the device and in host memory; parts of layers by experts."""
    layers = max(1, len(module.layers))
    if module.kind not in offload.kinds:
        return layers, 0
    if offload.by_experts:
        share = offload.resident / module.experts
        return layers * share, layers * (1 - share)
    own = len(set(module.layers) & set(offload.layers))
    return layers - own, own
