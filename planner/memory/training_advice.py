"""The smallest change after which a training step fits: cheap in time first, then more devices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

from planner.base.errors import PlannerError
from planner.hardware.profile import DeviceProfile
from planner.memory.training import (
    MAX_DEVICES,
    FittingChange,
    stages_of,
    train_problem,
)
from planner.memory.training_setup import TrainLayout, TrainSetup
from planner.models.spec import ModelSpec

Pair = tuple[TrainLayout, TrainSetup]


def smallest_change(
    spec: ModelSpec, device: DeviceProfile, layout: TrainLayout, setup: TrainSetup, usable: int
) -> FittingChange | None:
    """The first change that fits: one flag, then two, then everything with more devices.

    Flags are tried by what they cost in time: sequence parallelism, ZeRO 1, selective recompute,
    smaller micro-batches, a different split of the same devices, full recompute, ZeRO 2 and 3.
    None where nothing tried is enough.
    """
    start = (layout, setup)
    for size in (1, 2):
        for chosen in combinations(tuple(_moves(start)), size):
            moved = _apply(start, chosen)
            if (
                moved is not None
                and (total := _total(spec, device, moved)) is not None
                and total <= usable
            ):
                return FittingChange(_words(start, moved), total)
    return _with_more_devices(spec, device, start, usable)


def _moves(start: Pair) -> Iterator[dict[str, object]]:
    """Single changes as fields of layout or setup, cheapest in time first."""
    layout, setup = start
    if layout.tp > 1 and not setup.sequence_parallel:
        yield {"sequence_parallel": True}
    if setup.zero < 1 and layout.devices > 1:
        yield {"zero": 1}
    if setup.recompute == "none":
        yield {"recompute": "selective"}
    size = setup.micro_batch
    while size > 1:
        size //= 2
        if setup.micro_batch % size == 0:
            yield {"micro_batch": size}
    for name in ("pp", "tp", "cp"):
        for factor in (2, 4, 8):
            if layout.dp % factor == 0:
                yield {name: getattr(layout, name) * factor}
    for factor in (2, 4, 8, 16, 32, 64):
        if layout.expert_shards % factor == 0:
            yield {"ep": layout.ep * factor}
    if setup.recompute != "full":
        yield {"recompute": "full"}
    for stage in (2, 3):
        if setup.zero < stage and layout.devices > 1:
            yield {"zero": stage}


def _apply(start: Pair, moves: tuple[dict[str, object], ...]) -> Pair | None:
    """Both records after ``moves``; dp gives way so that the devices stay; None if it cannot."""
    layout, setup = start
    seen: set[str] = set()
    for move in moves:
        ((name, value),) = move.items()
        if name in seen:
            return None
        seen.add(name)
        if name in ("tp", "cp", "pp", "ep"):
            layout = _resplit(layout, name, int(str(value)))
            if layout.dp < 1 or layout.devices != start[0].devices:
                return None
        else:
            changed: dict[str, Any] = {name: value}
            setup = replace(setup, **changed)
            if name == "micro_batch" and setup.micro_batches is not None:
                factor = start[1].micro_batch // setup.micro_batch
                setup = replace(setup, micro_batches=setup.micro_batches * factor)
    if layout.dp != start[0].dp and setup.micro_batches is not None:
        factor = start[0].dp // layout.dp
        setup = replace(setup, micro_batches=setup.micro_batches * factor)
    return layout, setup


def _resplit(layout: TrainLayout, name: str, value: int) -> TrainLayout:
    if name == "ep":
        return replace(layout, ep=value)
    factor = value // getattr(layout, name)
    etp = value if name == "tp" and layout.etp == layout.tp else layout.etp
    fields = {name: value, "dp": layout.dp // factor, "etp": etp}
    return replace(layout, **fields)


def _total(spec: ModelSpec, device: DeviceProfile, pair: Pair) -> int | None:
    if train_problem(spec, *pair):
        return None
    try:
        return max(s.total for s in stages_of(spec, device, *pair))
    except PlannerError:
        return None


def _with_more_devices(
    spec: ModelSpec,
    device: DeviceProfile,
    start: Pair,
    usable: int,
) -> FittingChange | None:
    """Doublings of dp with every saving on; each state is then divided over more ranks."""
    layout, setup = start
    setup = replace(
        setup, zero=3, recompute="full", sequence_parallel=setup.sequence_parallel or layout.tp > 1
    )
    last = -1
    while True:
        layout = replace(layout, dp=layout.dp * 2)
        total = _total(spec, device, (layout, setup)) if layout.devices <= MAX_DEVICES else None
        if total is None or total == last:
            return None
        if total <= usable:
            return FittingChange(_words(start, (layout, setup)), total)
        last = total


def _words(start: Pair, end: Pair) -> str:
    """The flags that differ, as one would type them."""
    (before, was), (after, now) = start, end
    words = []
    if after.devices != before.devices:
        words.append(f"--devices {after.devices}")
    words += [
        f"--{name} {getattr(after, name)}"
        for name in ("tp", "cp", "pp", "ep", "etp")
        if getattr(after, name) != getattr(before, name)
    ]
    if after.dp != before.dp:
        words.append(f"--dp {after.dp}")
    for name in ("zero", "recompute", "micro_batch"):
        if getattr(now, name) != getattr(was, name):
            words.append(f"--{name.replace('_', '-')} {getattr(now, name)}")
    if now.sequence_parallel and not was.sequence_parallel:
        words.append("--sequence-parallel")
    return " ".join(words)
