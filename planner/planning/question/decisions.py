"""Decision units: module kinds × depth buckets, caches included.

Under a prior the layers of one kind and bucket share one decision. What one kernel serves is
decided together, since its time is no sum: gate-up and down of the routed experts take the same
choice, keys and values any pair that the engine allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from planner.base.records import record
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units
from planner.placement.modules import (
    AS_RELEASED_KINDS,
    PLANNED_KINDS,
    Module,
    attention_label,
    kind_order,
)
from planner.placement.parts import Classes
from planner.quality.prior import OUTSIDE, bucket_of

BUCKETS = ("first", "middle", "last")
FUSED = {
    "kv-k": "attention",
    "kv-v": "attention",
    "experts-gate-up": "experts",
    "experts-down": "experts",
}
"""Kinds that one kernel serves, by its name; every other kind has a kernel of its own."""
CACHES = {kind: name for kind, name in FUSED.items() if kind.startswith("kv-")}
PAIRED = ("kv-k", "kv-v")
"""Kinds of one decision that need not take the same choice."""


@record
class DecisionUnit:
    """Layers of one kind that are alike and decided together.

    ``row`` indexes the planned modules, the cache kinds or the as-released modules, by ``role``.
    ``decision`` is shared by units that are decided together; -1 for as-released units, which have
    no choice.
    ``place`` is that of its module (:mod:`planner.placement.host_split`). ``layers`` is empty for
    embedding and head. ``part`` names the one matrix of the kind that is
    meant, empty for all of it.
    """

    id: str
    kind: str
    role: str
    row: int
    bucket: str
    layers: tuple[int, ...]
    decision: int
    part: str = ""
    place: str = ""

    @property
    def count(self) -> int:
        """Layers, at least one."""
        return max(1, len(self.layers))

    @property
    def matrix(self) -> str:
        """The kind, and the part where it is one matrix of it: ``attention-qkv.v``."""
        return f"{self.kind}.{self.part}" if self.part else self.kind


def split_modules(
    modules: Sequence[Module],
    without_rule: Collection[str] = (),
) -> tuple[list[Module], list[Module]]:
    """(planned, as released) modules, both in reading order; those of kinds ``without_rule``
    are planned."""
    planned = [m for m in modules if m.kind in PLANNED_KINDS or m.kind in without_rule]
    released = [m for m in modules if m.kind in AS_RELEASED_KINDS and m.kind not in without_rule]
    return planned, released


def build_units(
    spec: ModelSpec,
    planned: Sequence[Module],
    released: Sequence[Module],
    ends: int,
    *,
    by_layer: bool = False,
    fused: Sequence[tuple[str, ...]] = (),
    kept: Sequence[int] = (),
    classes: Classes | None = None,
    caches: Sequence[str] = (),
    caches_by_layer: bool = False,
) -> list[DecisionUnit]:
    """All units in reading order, decisions numbered in that order; ``by_layer`` makes every layer
    a unit of its own, which a profile can tell apart; kinds of a group in ``fused`` share the
    decision of the same layers; modules of layers that are ``kept`` are units of their own.
    ``classes``: layers of a module whose class differs are units of their own, and each module is
    decided by itself, as engines do that type every tensor. ``caches``: a word for each layer;
    caches of layers whose words differ are units of their own, and with ``caches_by_layer`` those
    of every layer."""
    tied = {kind: "+".join(group) for group in fused for kind in group}
    tied = (FUSED if classes is None else CACHES) | tied
    drafts: list[tuple[str, str, int, str, tuple[int, ...], str]] = []
    for row, module in enumerate(planned):
        buckets = _split_kept(_buckets(module.layers, spec.layers, ends, by_layer), frozenset(kept))
        if classes is not None:
            buckets = _split_classes(buckets, classes, module)
        drafts += [(module.kind, "module", row, b, layers, module.part) for b, layers in buckets]
    for row, unit in enumerate(cache_units(spec)):
        drafts += [
            (unit.kind, "cache", row, b, layers, "")
            for b, layers in _split_words(
                _buckets(unit.layers, spec.layers, ends, by_layer or caches_by_layer), caches
            )
        ]
    drafts += [(m.kind, "released", row, OUTSIDE, m.layers, "") for row, m in enumerate(released)]
    order = {part: row for row, part in reversed([*enumerate(m.part for m in planned)])}
    drafts.sort(key=lambda d: (kind_order(d[0]), order[d[5]] if d[5] else -1, d[4] or (0,)))
    units: list[DecisionUnit] = []
    numbers: dict[tuple[str, str, str, tuple[int, ...], str], int] = {}
    for kind, role, row, bucket, layers, part in drafts:
        decision, place = -1, planned[row].place if role == "module" else ""
        if role != "released":
            key = (tied.get(kind, kind), part, bucket, layers, place)
            decision = numbers.setdefault(key, len(numbers))
        units.append(DecisionUnit("", kind, role, row, bucket, layers, decision, part, place))
    return [
        replace(unit, id=name)
        for unit, name in zip(units, _names(spec, units, apart=classes is not None), strict=True)
    ]


def _split_classes(
    buckets: Sequence[tuple[str, tuple[int, ...]]], classes: Classes, module: Module
) -> list[tuple[str, tuple[int, ...]]]:
    """Buckets cut into layers of one class, those of the first layer first."""
    out = []
    for bucket, layers in buckets:
        layers_by_class: dict[object, list[int]] = {}
        for layer in layers:
            layers_by_class.setdefault(classes(module.kind, module.part, layer), []).append(layer)
        out += (
            [(bucket, tuple(own)) for own in layers_by_class.values()]
            if layers
            else [(bucket, layers)]
        )
    return out


def _split_words(
    buckets: Sequence[tuple[str, tuple[int, ...]]], words: Sequence[str]
) -> list[tuple[str, tuple[int, ...]]]:
    """Buckets cut into layers of one word, those of the first layer first."""
    if not words:
        return list(buckets)
    return [
        (bucket, tuple(n for n in layers if words[n] == word))
        for bucket, layers in buckets
        for word in dict.fromkeys(words[n] for n in layers)
    ]


def _names(spec: ModelSpec, units: Sequence[DecisionUnit], *, apart: bool) -> list[str]:
    """``kind.bucket``; in kinds where several units would share it, what the attention of their
    layers is called follows the kind, and a number where that does not tell them apart. ``apart``:
    units of one bucket may differ in nothing but their class, which the number alone tells."""

    def plain(unit: DecisionUnit, label: str) -> str:
        if unit.kind == "norm" and not unit.layers:
            return "norm.final"
        words = (
            unit.kind,
            unit.part,
            label,
            unit.place,
            "" if unit.bucket == OUTSIDE else unit.bucket,
        )
        return ".".join(word for word in words if word)

    short = Counter(plain(unit, "") for unit in units)
    labels: dict[str, set[str]] = {}
    for unit in units:
        labels.setdefault(plain(unit, ""), set()).add(_label(spec, unit))
    shared = {
        unit.kind
        for unit in units
        if short[plain(unit, "")] > 1 and not (apart and len(labels[plain(unit, "")]) == 1)
    }
    names = [plain(unit, _label(spec, unit) if unit.kind in shared else "") for unit in units]
    seen: Counter[str] = Counter()
    many = Counter(names)
    for i, name in enumerate(names):
        seen[name] += 1
        if many[name] > 1:
            names[i] = f"{name}.{seen[name]}"
    return names


def _label(spec: ModelSpec, unit: DecisionUnit) -> str:
    """What the attention of the unit's layers is called; empty where they differ."""
    labels = {attention_label(a) for a in spec.attention if set(unit.layers) & set(a.layers)}
    return labels.pop() if len(labels) == 1 else ""


def _buckets(
    layers: Sequence[int],
    total: int,
    ends: int,
    by_layer: bool,
) -> list[tuple[str, tuple[int, ...]]]:
    if not layers:
        return [(OUTSIDE, ())]
    if by_layer:
        return [(str(layer), (layer,)) for layer in layers]
    return _by_bucket(layers, total, ends)


def _split_kept(
    buckets: Sequence[tuple[str, tuple[int, ...]]],
    kept: frozenset[int],
) -> list[tuple[str, tuple[int, ...]]]:
    """Buckets cut into the layers that are kept and the others."""
    out = []
    for bucket, layers in buckets:
        parts = (tuple(n for n in layers if n in kept), tuple(n for n in layers if n not in kept))
        out += [(bucket, part) for part in parts if part] if layers else [(bucket, layers)]
    return out


def _by_bucket(
    layers: Sequence[int],
    total: int,
    ends: int,
) -> list[tuple[str, tuple[int, ...]]]:
    layers_by_bucket: dict[str, list[int]] = {}
    for layer in layers:
        layers_by_bucket.setdefault(bucket_of(layer, total, ends), []).append(layer)
    return [(b, tuple(layers_by_bucket[b])) for b in BUCKETS if b in layers_by_bucket]
