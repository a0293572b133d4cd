"""What would make a memory question fit, the changes first that lose nothing: another layout of its
devices, more devices, a narrower cache, narrower weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from planner.base.errors import PlannerError
from planner.base.units import format_bytes
from planner.hardware.profile import DeviceProfile
from planner.memory.answer import MemoryProposal
from planner.memory.breakdown import Breakdown, breakdown
from planner.memory.caches import KvOf
from planner.memory.resident import FormatOf
from planner.messages.message import message
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout, layout_problem
from planner.throughput.collectives import fabric

WIDENINGS = (2, 4, 8, 16, 32, 64)
AXES = ("tp", "dp", "pp", "ep")
MOST_LAYOUTS, MOST_OTHERS = 3, 2
"""Proposals of another layout, and of each other kind."""
Choice = tuple[FormatOf, str | KvOf]
"""Formats of the weights, and the layout of caches."""
Allowed = Callable[[Layout], bool]


@dataclass(frozen=True)
class MemoryQuestion:
    """A question of memory: a model on a device (None: a limit of bytes alone) of ``usable``
    bytes."""

    spec: ModelSpec
    device: DeviceProfile | None
    usable: int

    @property
    def reach(self) -> float:
        """Devices that may hold one replica."""
        return fabric(self.device).reach() if self.device is not None else 1 << 20


def memory_proposals(
    memory: MemoryQuestion,
    split: Breakdown,
    formats: Mapping[str, FormatOf],
    caches: Mapping[str, str | KvOf],
    chosen: Choice,
    allowed: Allowed = lambda layout: True,
) -> tuple[MemoryProposal, ...]:
    """What fits, each with the bytes that result: ``allowed`` layouts of as many devices as
    ``split`` has with what is ``chosen``, weights and cache; of the fewest devices beyond; then the
    ``caches``, then the ``formats``, widest first, that fit on its own layout; where neither does,
    the two together that need least, on its layout or on more devices."""
    found = [
        *_other_layouts(memory, split, chosen, allowed),
        *_more_devices(memory, split, chosen, allowed),
        *_fitting(memory, split, {"": chosen[0]}, caches, "cache"),
        *_fitting(memory, split, formats, {"": chosen[1]}, "format"),
    ]
    if any(one.kind != "devices" for one in found):
        return tuple(found)
    both = _smallest(memory, split, formats, caches)
    if both is None:
        return tuple(found)
    least, (scheme, kv) = both
    flags = _format_flags(scheme, kv, formats, caches)
    if least <= memory.usable:
        return (*found, MemoryProposal("format", flags, split.layout.ranks, least))
    if found:
        return tuple(found)
    narrow = formats[scheme], caches[kv]
    return tuple(
        replace(one, flags=" ".join(filter(None, (one.flags, flags))))
        for one in _more_devices(memory, split, narrow, allowed)
    )


def memory_way_out(
    memory: MemoryQuestion,
    split: Breakdown,
    formats: Mapping[str, FormatOf],
    caches: Mapping[str, str | KvOf],
    proposals: Sequence[MemoryProposal],
) -> str:
    """The first of ``proposals`` in words; else what is missing even with the smallest of
    ``formats`` and ``caches``."""
    if proposals:
        first = proposals[0]
        size = format_bytes(first.bytes_per_device)
        return (
            message("memory.change_on_devices_fits", flags=first.flags, n=first.devices, bytes=size)
            if first.kind == "devices"
            else message("memory.change_fits", flags=first.flags, bytes=size)
        )
    both = _smallest(memory, split, formats, caches)
    if both is None:
        return message("memory.more_memory_or_shorter")
    least, (scheme, kv) = both
    flags = _format_flags(scheme, kv, formats, caches)
    alone = memory.reach <= split.layout.ranks
    name = f"memory.missing_{'alone' if alone else 'everywhere'}{'_with' if flags else ''}"
    values = {"bytes": format_bytes(least - memory.usable), "flags": flags}
    if alone:
        values["device"] = memory.device.id if memory.device else "it"
    return message(name, **values)


def _other_layouts(
    memory: MemoryQuestion, split: Breakdown, chosen: Choice, allowed: Allowed
) -> list[MemoryProposal]:
    """Layouts of as many devices that hold it, those with its own stages before the others, which
    few deployments have; of these the fewest bytes first."""
    return _layouts_that_fit(
        memory, split, chosen, _rearranged(memory.spec, split.layout), allowed, MOST_LAYOUTS
    )


def _more_devices(
    memory: MemoryQuestion, split: Breakdown, chosen: Choice, allowed: Allowed
) -> list[MemoryProposal]:
    """Layouts of the fewest devices beyond those of ``split`` that hold it."""
    for times in WIDENINGS:
        if split.layout.ranks * times > memory.reach:
            return []
        layouts = _wider(memory.spec, split.layout, times)
        found = _layouts_that_fit(memory, split, chosen, layouts, allowed, MOST_OTHERS)
        if found:
            return [replace(one, kind="devices") for one in found]
    return []


def _layouts_that_fit(
    memory: MemoryQuestion,
    split: Breakdown,
    chosen: Choice,
    layouts: Iterable[Layout],
    allowed: Allowed,
    most: int,
) -> list[MemoryProposal]:
    ranked = sorted(
        (layout.pp != split.layout.pp, size, n, layout)
        for n, layout in enumerate(layouts)
        if allowed(layout)
        for size in _bytes(memory, split, layout, chosen)
        if size <= memory.usable
    )
    return [
        MemoryProposal("layout", _changes(split.layout, layout), layout.ranks, size)
        for _, size, _, layout in ranked[:most]
    ]


def _fitting(
    memory: MemoryQuestion,
    split: Breakdown,
    formats: Mapping[str, FormatOf],
    caches: Mapping[str, str | KvOf],
    kind: str,
) -> list[MemoryProposal]:
    """The widest of formats or of caches that fit on the layout of ``split``; none of a single one,
    which is what is asked."""
    if max(len(formats), len(caches)) < 2:
        return []
    sizes = [
        (size, name, kv)
        for name, format_of in formats.items()
        for kv, layout_of in caches.items()
        for size in _bytes(memory, split, split.layout, (format_of, layout_of))
    ]
    fitting = sorted((one for one in sizes if one[0] <= memory.usable), key=lambda one: -one[0])
    return [
        MemoryProposal(
            "cache" if kind == "cache" else "format",
            _format_flags(name, kv, formats, caches),
            split.layout.ranks,
            size,
        )
        for size, name, kv in fitting[:MOST_OTHERS]
    ]


def _smallest(
    memory: MemoryQuestion,
    split: Breakdown,
    formats: Mapping[str, FormatOf],
    caches: Mapping[str, str | KvOf],
) -> tuple[int, tuple[str, str]] | None:
    """(bytes, (format, cache)) of what needs least on the layout of ``split``."""
    return min(
        (
            (size, (name, kv))
            for name, format_of in formats.items()
            for kv, layout_of in caches.items()
            for size in _bytes(memory, split, split.layout, (format_of, layout_of))
        ),
        default=None,
    )


def _bytes(
    memory: MemoryQuestion, split: Breakdown, layout: Layout, chosen: Choice
) -> Iterator[int]:
    """Bytes of the fullest device; none where the model or layout does not allow it."""
    try:
        split_bytes = breakdown(
            memory.spec,
            layout,
            split.use,
            format_of=chosen[0],
            kv=chosen[1],
            device=memory.device,
        )
    except PlannerError:
        return
    yield split_bytes.fullest.total_bytes


def _rearranged(spec: ModelSpec, layout: Layout) -> list[Layout]:
    """Layouts of the same ranks: other shares of tensor, data and pipeline parallelism, experts
    over one rank and over all of a stage."""
    ranks = layout.ranks
    trials = [
        replace(layout, tp=tp, dp=ranks // (tp * pp), pp=pp, ep=ep)
        for pp in range(1, ranks + 1)
        if ranks % pp == 0
        for tp in range(1, ranks // pp + 1)
        if (ranks // pp) % tp == 0
        for ep in ((1,) if spec.experts is None else (1, ranks // pp))
    ]
    possible = dict.fromkeys(trial for trial in trials if not layout_problem(spec, trial))
    return [trial for trial in possible if trial != layout]


def _wider(spec: ModelSpec, layout: Layout, times: int) -> list[Layout]:
    """Layouts of ``times`` as many devices: the same with one axis, or two, widened."""
    trials = []
    for tp, dp, pp in ((times, 1, 1), (1, times, 1), (1, 1, times), (8, 1, times // 8)):
        if tp * dp * pp == times:
            wide = replace(layout, tp=layout.tp * tp, dp=layout.dp * dp, pp=layout.pp * pp)
            experts = () if spec.experts is None else (replace(wide, ep=wide.tp * wide.dp),)
            trials += [*experts, replace(wide, ep=layout.ep)]
    return [one for one in dict.fromkeys(trials) if not layout_problem(spec, one)]


def _format_flags(
    scheme: str,
    kv: str,
    formats: Mapping[str, FormatOf],
    caches: Mapping[str, str | KvOf],
) -> str:
    """The flags of a format and a cache, where there are others."""
    pairs = (
        (f"--scheme {scheme}", len(formats) > 1),
        (f"--kv {kv}", len(caches) > 1),
    )
    return " ".join(part for part, wanted in pairs if wanted)


def _changes(layout: Layout, other: Layout) -> str:
    """The flags that make ``other`` of ``layout``."""
    return " ".join(
        f"--{axis} {getattr(other, axis)}"
        for axis in AXES
        if getattr(other, axis) != getattr(layout, axis)
    )
