"""Bounds on what a plan file may hold: it comes from elsewhere and is never trusted.

Names and paths in a plan that is written come from users; characters that no file may hold are
escaped, so that what is written can be read again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any
from unicodedata import category

from planner.base.errors import DataError
from planner.messages.message import Message
from planner.models.fields import MAX_LAYERS
from planner.planning.plan.deployment import AggregatedPlan, DecodePool, PoolLayout, PrefillPool
from planner.planning.plan.offload import OffloadInfo
from planner.planning.plan.prefix_cache import CacheWorth
from planner.planning.plan.recommendation import GainRange, NextLossStep, OtherPlan
from planner.planning.plan.record import (
    DeviceInfo,
    Estimate,
    LayoutInfo,
    Plan,
    QualityInfo,
    SpeculationInfo,
    WorkloadInfo,
)

MOST_DRAFTED = 16
"""Tokens drafted a step that may be asked for."""
MOST_ITEMS = 200_000
MOST_LAYERS = 2 * MAX_LAYERS
"""A model's own and those that draft: pictures and tables have a place for each."""
MOST_CHARACTERS = 4_000
MOST_OF_AN_ID = 200
LARGEST_COUNT = 1 << 62
MOST_DEVICES = 1 << 20
"""Devices of a plan, and so workers or replicas: an export names every one of them."""
LARGEST_FIGURE = 1e30
SIGNED = frozenset({"gain", "delta", "gap", "signed"})
"""Figures that may be below 0, and those of a :class:`GainRange`; no other is."""
_POOL = ("workers", "devices_per_worker", "batch")
_RANKS = ("tp", "dp", "pp", "ep")
COUNTED: Mapping[type, tuple[str, ...]] = {
    DeviceInfo: ("count",),
    LayoutInfo: (*_RANKS, "replicas"),
    PoolLayout: _RANKS,
    PrefillPool: _POOL,
    DecodePool: _POOL,
    OffloadInfo: ("sockets",),
    OtherPlan: ("devices",),
    NextLossStep: ("devices",),
    AggregatedPlan: ("replicas", "devices", "batch"),
    CacheWorth: ("devices", "batch"),
    WorkloadInfo: ("context_tokens", "isl", "osl", "batch"),
}
"""What there is at least one of."""
_DEVICES = frozenset({"count", "replicas", "devices", "workers", "devices_per_worker"})
_ID = re.compile(r"[\w][\w.+:@ -]*")


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that no text of a plan file holds: what a terminal or an editor would obey."""
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that cannot be seen, and of bytes of a path that are not UTF-8."""


def check_bounds(plan: Plan) -> None:
    """Refuse lists and texts without measure, control characters, numbers that are not finite,
    counts and sizes that nothing has, intervals that do not hold their value, a plan without units,
    and ids that could be read as paths or markup.

    Raises:
        DataError: with the place.
    """
    check_measure(plan)
    if not plan.units:
        raise DataError(
            "plan file: units: there are none", hint="a plan file is the output of --json"
        )
    names = {
        "model.id": plan.model.id,
        "device.id": plan.device.id,
        "engine.name": plan.engine.name,
    }
    check_ids(
        names
        | {
            f"units.{i}.{key}": getattr(unit, key)
            for i, unit in enumerate(plan.units)
            for key in ("unit", "kind", "scheme")
        }
        | _pool_ids(plan)
    )
    check_sizes((u.layers, u.weight_bytes, u.multiplicity) for u in plan.units)
    if plan.speculation is not None:
        _check_speculation(plan.speculation)


def _check_speculation(info: SpeculationInfo) -> None:
    """Refuse what no drafting is."""
    check_ids(
        {
            "speculation.kind": info.kind,
            "speculation.scheme": info.scheme,
            "speculation.cache_layout": info.cache_layout,
        }
    )
    rate, count = info.acceptance, info.draft_tokens
    if not (
        1 <= count <= MOST_DRAFTED
        and 0 <= rate.low <= rate.value <= rate.high <= 1
        and 1 <= info.accepted_tokens <= count + 1
        and info.bytes >= 0
    ):
        raise DataError(
            "plan file: speculation: tokens or acceptance out of range",
            hint=f"1 to {MOST_DRAFTED} tokens drafted, acceptance from 0 to 1",
        )


def _pool_ids(plan: Plan) -> dict[str, str]:
    """Ids of a deployment in pools, by place; none of a plan without."""
    pools = plan.deployment
    if pools is None:
        return {}
    ids = {"deployment.kv": pools.kv}
    for name, pool in (("prefill", pools.prefill), ("decode", pools.decode)):
        ids[f"deployment.{name}.device"] = pool.device
        ids |= {
            f"deployment.{name}.units.{i}.{key}": getattr(unit, key)
            for i, unit in enumerate(pool.units)
            for key in ("kind", "scheme")
        }
    return ids


def check_measure(record: object) -> None:
    """Refuse lists and texts without measure, control characters, numbers that are not finite, that
    are below 0 or 1 where nothing is, and intervals that do not hold their value.

    Raises:
        DataError: with the place.
    """
    _walk(record, "")


def check_ids(names: Mapping[str, str]) -> None:
    """Refuse ids, by place, that could be read as paths or markup.

    Raises:
        DataError: with the place.
    """
    for place, name in names.items():
        if len(name) > MOST_OF_AN_ID or not _ID.fullmatch(name):
            raise DataError(
                f"plan file: {place}: {name[:60]!r} is not an id",
                hint="ids are words with . - _ and digits; paths are not read from plan files",
            )


def check_sizes(units: Iterable[tuple[tuple[int, ...], int, int]]) -> None:
    """Refuse units, as (layers, weight_bytes, multiplicity), of layers named twice or below 0, and
    of sizes that nothing has.

    Raises:
        DataError: with the place.
    """
    for i, (layers, weight_bytes, multiplicity) in enumerate(units):
        if len(set(layers)) != len(layers) or any(n < 0 for n in layers):
            raise DataError(
                f"plan file: units.{i}.layers: a layer is repeated or negative",
                hint="each layer is named once",
            )
        if weight_bytes < 0 or multiplicity < 1:
            raise DataError(
                f"plan file: units.{i}: weight_bytes or multiplicity out of range",
                hint="bytes are at least 0, multiplicity at least 1",
            )


def _check_figures(value: object, place: str) -> None:
    """Refuse figures of one record that are less than there can be."""
    if isinstance(value, GainRange):
        return
    ones = COUNTED.get(type(value), ())
    for item in fields(value):  # type: ignore[arg-type]
        figure = getattr(value, item.name)
        least = 1 if item.name in ones else 0
        if isinstance(figure, int | float) and figure < least and item.name not in SIGNED:
            raise DataError(
                f"plan file: {place}.{item.name}: {figure!r} is less than {least}",
                hint=f"{item.name} is at least {least}",
            )
        if item.name in ones and item.name in _DEVICES and figure > MOST_DEVICES:
            raise DataError(
                f"plan file: {place}.{item.name}: {figure!r} is more than {MOST_DEVICES}",
                hint="no plan has as many devices",
            )
    for n in _layers(value):
        if n >= MOST_LAYERS:
            raise DataError(
                f"plan file: {place}.layers: layer {n} is none of {MOST_LAYERS}",
                hint="layers are counted from 0",
            )
    if isinstance(value, QualityInfo) and value.top1 is not None and value.top1 > 1:
        raise DataError(
            f"plan file: {place}.top1: {value.top1!r} is more than 1", hint="top1 is a share"
        )
    if isinstance(value, Estimate) and not value.low <= value.value <= value.high:
        raise DataError(
            f"plan file: {place}: {value.value!r} is not from low to high",
            hint="a value lies within its interval",
        )


def _layers(value: object) -> Iterator[int]:
    """Numbers of layers that a record names."""
    for name in ("layer", "layers"):
        named = getattr(value, name, ())
        yield from (
            n for n in (named if isinstance(named, tuple) else (named,)) if isinstance(n, int)
        )


def _walk(value: object, place: str) -> None:
    if is_dataclass(value):
        _check_figures(value, place)
        for item in fields(value):
            _walk(getattr(value, item.name), f"{place}.{item.name}" if place else item.name)
    elif isinstance(value, tuple):
        if len(value) > MOST_ITEMS:
            raise DataError(
                f"plan file: {place}: {len(value)} items, at most {MOST_ITEMS}",
                hint="a plan file is the output of --json",
            )
        for i, item in enumerate(value):
            _walk(item, f"{place}.{i}")
    elif isinstance(value, str):
        if len(value) > MOST_CHARACTERS or CONTROL.search(value):
            raise DataError(
                f"plan file: {place}: text of {len(value)} characters, or with control characters",
                hint="a plan file is the output of --json",
            )
    elif isinstance(value, float) and not abs(value) <= LARGEST_FIGURE:
        raise DataError(
            f"plan file: {place}: not a number up to {LARGEST_FIGURE:g}",
            hint="a plan file is the output of --json",
        )
    elif isinstance(value, int) and abs(value) > LARGEST_COUNT:
        raise DataError(
            f"plan file: {place}: an integer of {value.bit_length()} bits",
            hint="a plan file is the output of --json",
        )


def escape_control_characters(plan: Plan) -> Plan:
    """``plan`` with characters that cannot be seen (of :data:`UNSEEN`, which no plan file may hold)
    as ``\\x1b`` and ``\\u202e`` are written in Python; the same record where there are none."""
    escaped: Plan = _escaped(plan)
    return escaped


def _escaped(value: Any) -> Any:
    """``value`` itself where nothing in it changes."""
    if isinstance(value, Message):
        values = tuple((hole, _escaped(held)) for hole, held in value.values)
        return value if values == value.values else Message(value.id, values)
    if isinstance(value, str):
        if (value.isascii() and value.isprintable()) or UNSEEN.isdisjoint(map(category, value)):
            return value
        return "".join(ascii(c)[1:-1] if category(c) in UNSEEN else c for c in value)
    if isinstance(value, tuple):
        items = tuple(map(_escaped, value))
        return value if all(map(_same, items, value)) else items
    if not is_dataclass(value) or isinstance(value, type):
        return value
    named = {item.name: getattr(value, item.name) for item in fields(value)}
    new = {name: _escaped(member) for name, member in named.items()}
    changed = {name: member for name, member in new.items() if not _same(member, named[name])}
    return replace(value, **changed) if changed else value


def _same(new: object, old: object) -> bool:
    return new is old or (isinstance(old, str) and new == old)
