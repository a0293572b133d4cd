"""What would make a memory question fit: another layout of its devices, smaller formats, else more
devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from planner.base.errors import PlannerError
from planner.base.units import format_bytes
from planner.hardware.profile import DeviceProfile
from planner.memory.breakdown import Breakdown, breakdown
from planner.memory.caches import KvOf
from planner.memory.resident import FormatOf
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout, layout_problem
from planner.throughput.collectives import fabric

WIDENINGS = (2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class MemoryQuestion:
    """A question of memory: a model on a device (None: a limit of bytes alone) of ``usable``
    bytes."""

    spec: ModelSpec
    device: DeviceProfile | None
    usable: int


def memory_way_out(
    memory: MemoryQuestion,
    split: Breakdown,
    formats: Mapping[str, FormatOf],
    caches: Mapping[str, str | KvOf],
    chosen: tuple[FormatOf, str | KvOf] | None = None,
    allowed: Callable[[Layout], bool] = lambda layout: True,
) -> str:
    """The ``allowed`` layout of as many devices that holds what is ``chosen``, weights and cache,
    where one does; the smallest of ``formats`` and ``caches`` where they fit on the layout of
    ``split``; else the layout that holds them, else what is missing even so."""
    if chosen is not None and (other := _other_layout(memory, split, *chosen, allowed)):
        return other
    fitting = [
        (split_bytes.fullest.total_bytes, names, split_bytes)
        for names, split_bytes in _tried(memory, split, split.layout, formats, caches)
    ]
    if not fitting:
        return "name a device with more memory, or a shorter context"
    least, (scheme, kv), _ = min(fitting, key=lambda item: item[0])
    flags = " ".join(
        part
        for part, wanted in (
            (f"--scheme {scheme}", len(formats) > 1),
            (f"--kv {kv}", len(caches) > 1),
        )
        if wanted
    )
    if least <= memory.usable:
        return f"{flags} fits: {format_bytes(least)} a device"
    missing = f"{format_bytes(least - memory.usable)} a device are missing" + (
        f" even with {flags}" if flags else ""
    )
    reach = fabric(memory.device).reach() if memory.device is not None else 1 << 20
    if reach <= split.layout.ranks:
        return (
            f"{missing}, and {memory.device.id if memory.device else 'it'} has no link for more "
            "devices: use one with more memory, or a shorter context"
        )
    for layout in _wider(memory.spec, split.layout, reach):
        for _, one in _tried(memory, split, layout, {scheme: formats[scheme]}, {kv: caches[kv]}):
            if one.fullest.total_bytes <= memory.usable:
                return f"{missing}; {layout.ranks} devices hold it ({_words(layout)})"
    return (
        f"{missing}, and more devices do not hold it: use one with more memory, or a shorter "
        "context"
    )


def _other_layout(
    memory: MemoryQuestion,
    split: Breakdown,
    format_of: FormatOf,
    kv: str | KvOf,
    allowed: Callable[[Layout], bool],
) -> str:
    """The layout of the same devices and stages that needs least of them, where that fits."""
    fitting = [
        (split_bytes.fullest.total_bytes, _changes(split.layout, layout))
        for layout in _rearranged(memory.spec, split.layout)
        if allowed(layout)
        for _, split_bytes in _tried(memory, split, layout, {"": format_of}, {"": kv})
    ]
    least, words = min(fitting, default=(memory.usable + 1, ""))
    return f"{words} fits: {format_bytes(least)} a device" if least <= memory.usable else ""


def _rearranged(spec: ModelSpec, layout: Layout) -> Sequence[Layout]:
    """Layouts of the same ranks and stages: other shares of tensor and data parallelism, experts
    over one rank and over all."""
    width = layout.tp * layout.dp
    trials = [
        replace(layout, tp=tp, dp=width // tp, ep=ep)
        for tp in range(1, width + 1)
        if width % tp == 0
        for ep in ((1,) if spec.experts is None else (1, width))
    ]
    return [trial for trial in trials if trial != layout and not layout_problem(spec, trial)]


def _tried(
    memory: MemoryQuestion,
    split: Breakdown,
    layout: Layout,
    formats: Mapping[str, FormatOf],
    caches: Mapping[str, str | KvOf],
) -> Iterable[tuple[tuple[str, str], Breakdown]]:
    """The breakdowns that the model and layout allow: every format beside each cache layout."""
    for name, format_of in formats.items():
        for kv, layout_of in caches.items():
            try:
                split_bytes = breakdown(
                    memory.spec,
                    layout,
                    split.use,
                    format_of=format_of,
                    kv=layout_of,
                    device=memory.device,
                )
            except PlannerError:
                continue
            yield (name, kv), split_bytes


def _wider(spec: ModelSpec, layout: Layout, reach: float) -> Sequence[Layout]:
    """Layouts of more devices: the same with tensor or pipeline parallelism widened."""
    layouts = []
    for times in WIDENINGS:
        for tp, pp in ((times, 1), (1, times), (8, times // 8)):
            if tp * pp != times:
                continue
            trial = replace(layout, tp=layout.tp * tp, pp=layout.pp * pp)
            options = (
                [trial] if spec.experts is None else [replace(trial, ep=trial.tp * trial.dp), trial]
            )
            layouts += [
                option
                for option in options
                if option.ranks <= reach and not layout_problem(spec, option)
            ]
    return layouts


def _words(layout: Layout) -> str:
    return " ".join(
        f"--{name} {value}"
        for name, value in (
            ("tp", layout.tp),
            ("dp", layout.dp),
            ("pp", layout.pp),
            ("ep", layout.ep),
        )
        if value > 1
    )


def _changes(layout: Layout, other: Layout) -> str:
    """The flags that make ``other`` of ``layout``."""
    axes = ("tp", "dp", "pp", "ep")
    return " ".join(
        f"--{axis} {getattr(other, axis)}"
        for axis in axes
        if getattr(other, axis) != getattr(layout, axis)
    )
