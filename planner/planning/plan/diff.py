"""Two plans compared: figures, units that changed, and gates such as ``tpot>+5%``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from planner.base.display import as_text
from planner.base.errors import InputError, UnknownNameError
from planner.base.records import record
from planner.messages.message import message
from planner.planning.plan.record import Estimate, Plan, QualityInfo
from planner.quality.loss_units import indistinguishable, unit_text

METRICS: dict[str, tuple[str, Callable[[Plan], float]]] = {
    "tpot": ("s", lambda p: p.performance.tpot_seconds.value),
    "ttft": ("s", lambda p: p.performance.ttft_seconds.value),
    "throughput": (
        "tok/s/device",
        lambda p: p.performance.output_tokens_per_second_per_device.value,
    ),
    "loss": ("", lambda p: p.quality.loss),
    "memory": ("B/device", lambda p: p.memory_per_device.total_bytes),
    "weights": ("B/device", lambda p: p.memory_per_device.weights_bytes),
}
"""Name → unit and figure. ``throughput`` is per device, bytes are of the fullest device."""
SCALES = {
    "": 1.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "b": 1.0,
    "kib": 2.0**10,
    "mib": 2.0**20,
    "gib": 2.0**30,
    "tok/s": 1.0,
}
_UNITS = {
    "tpot": ("", "s", "ms", "us"),
    "ttft": ("", "s", "ms", "us"),
    "throughput": ("", "tok/s"),
    "loss": ("",),
    "memory": ("", "b", "kib", "mib", "gib"),
    "weights": ("", "b", "kib", "mib", "gib"),
}
_GATE = re.compile(
    r"\s*([a-z_]+)\s*(>=|<=|>|<)\s*([+-]?)(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*"
    r"(%|[a-z/]*)\s*",
    re.IGNORECASE,
)
_EXAMPLE = 'for example --fail-if "tpot>+5%", "loss>1.1", "memory>+2GiB"'
ROOM = 1e-12
LONGEST_GATE = 100


@record
class Gate:
    """``metric`` compared with ``limit``: of the new value, or (signed) of the change.

    ``kind``: ``relative`` (change ÷ old), ``change`` (new − old), ``value`` (new). ``limit`` is a
    fraction or in the metric's unit.
    """

    text: str
    metric: str
    operator: str
    kind: str
    limit: float

    def trips(self, old: float, new: float) -> bool:
        """Whether the comparison holds; a relative change from 0 is of infinite size."""
        if self.kind == "value":
            return _holds(self.operator, new, self.limit, abs(self.limit))
        if self.kind == "change":
            return _holds(self.operator, new - old, self.limit, max(abs(old), abs(new)))
        if old == 0:
            change = 0.0 if new == 0 else float("inf")
            return _holds(self.operator, change, self.limit, 1.0)
        return _holds(self.operator, (new - old) / abs(old), self.limit, 1.0)


@record
class Change:
    """A figure of both plans. ``relative`` is None where the old one is 0; ``apart`` says whether
    they differ beyond their uncertainty (80 % intervals of times and rates do not overlap; losses
    beyond their band); None where the figure has no interval."""

    metric: str
    unit: str
    old: float
    new: float
    relative: float | None
    apart: bool | None


@record
class UnitChange:
    """A unit whose scheme or layers differ; empty where the other plan has no such unit."""

    unit: str
    old: str
    new: str


@record
class Difference:
    """What differs between two plans of one model. ``settings`` are (name, old, new)."""

    model: str
    changes: tuple[Change, ...]
    units: tuple[UnitChange, ...]
    settings: tuple[tuple[str, str, str], ...]
    tripped: tuple[Gate, ...]
    gates: tuple[Gate, ...]

    __str__ = as_text

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "model": self.model,
            "metrics": [asdict(change) for change in self.changes],
            "settings": [{"name": n, "old": old, "new": new} for n, old, new in self.settings],
            "units": [asdict(unit) for unit in self.units],
            "gates": [{**asdict(gate), "tripped": gate in self.tripped} for gate in self.gates],
            "failed": bool(self.tripped),
        }


def parse_gate(text: str) -> Gate:
    """``METRIC OP VALUE``: a sign means the change (``+5%``, ``-2ms``), no sign the new value.

    Raises:
        InputError: not of this form, a unit that the metric does not have, % without a sign.
        UnknownNameError: no such metric.
    """
    match = _GATE.fullmatch(text) if len(text) <= LONGEST_GATE else None
    if match is None:
        raise InputError(f"--fail-if {text[:60]!r} is not METRIC OP VALUE", hint=_EXAMPLE)
    metric, operator, sign, digits, unit = (part.lower() for part in match.groups())
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    if unit == "%":
        if not sign:
            raise InputError(
                f"--fail-if {text!r}: {digits}% of what?",
                hint=f"write +{digits}% for a change against the first plan",
            )
        return Gate(text, metric, operator, "relative", float(sign + digits) / 100)
    if unit not in _UNITS[metric]:
        raise InputError(
            f"--fail-if {text!r}: {metric} is not in {unit!r}",
            hint="units: " + (", ".join(u for u in _UNITS[metric] if u) or "none"),
        )
    return Gate(
        text, metric, operator, "change" if sign else "value", float(sign + digits) * SCALES[unit]
    )


def difference(old: Plan, new: Plan, gates: Sequence[Gate] = ()) -> Difference:
    """``new`` against ``old``.

    Raises:
        InputError: the plans are of different models, or their losses are in different units.
    """
    if old.model.id != new.model.id or old.model.config_sha256 != new.model.config_sha256:
        raise InputError(
            f"the plans are of different models: {_model(old)} and {_model(new)}",
            hint="compare plans of one model and configuration",
        )
    units = [unit_text(plan.quality.relative_to) for plan in (old, new)]
    if units[0] != units[1]:
        raise InputError(
            f"losses are in {units[0]} and {units[1]}",
            hint="give both the same --profile, or none; `plan estimate --plan FILE "
            "--json` prices a plan of version 1 as today",
        )
    changes = tuple(_change(name, old, new) for name in METRICS)
    values = {c.metric: c for c in changes}
    tripped = tuple(g for g in gates if g.trips(values[g.metric].old, values[g.metric].new))
    return Difference(
        old.model.id, changes, _units(old, new), _settings(old, new), tripped, tuple(gates)
    )


def _holds(operator: str, value: float, limit: float, scale: float) -> bool:
    """The comparison, where a difference of rounding alone counts as equal."""
    room = ROOM * scale
    if operator in (">", "<"):
        return value > limit + room if operator == ">" else value < limit - room
    return value >= limit - room if operator == ">=" else value <= limit + room


def _model(plan: Plan) -> str:
    return f"{plan.model.id} ({plan.model.config_sha256[:8] or 'no digest'})"


def _change(name: str, old: Plan, new: Plan) -> Change:
    unit, figure = METRICS[name]
    a, b = float(figure(old)), float(figure(new))
    apart = (
        _losses_distinct(old.quality, new.quality)
        if name == "loss"
        else _bands_disjoint(_band(old, name), _band(new, name))
    )
    return Change(name, unit, a, b, _relative(a, b), apart)


def _relative(old: float, new: float) -> float | None:
    """The change over ``old``; None where that is nothing, or so little that no double holds it."""
    if old == new:
        return 0.0
    ratio = (new - old) / abs(old) if old else math.inf
    return ratio if math.isfinite(ratio) else None


def _losses_distinct(old: QualityInfo, new: QualityInfo) -> bool:
    """Under the wider of both bands, should they differ, and by more than the floor of changes;
    an unchanged model differs from any other."""
    band = max([1.0, *(q.high / q.loss for q in (old, new) if q.loss > 0)])
    changed = min(old.loss, new.loss) > 0
    if changed and abs(old.loss - new.loss) < max(old.floor or 0.0, new.floor or 0.0):
        return False
    return not indistinguishable(old.loss, new.loss, band)


def _bands_disjoint(
    first: tuple[float, float] | None, two: tuple[float, float] | None
) -> bool | None:
    return None if first is None or two is None else first[1] < two[0] or two[1] < first[0]


def _band(plan: Plan, name: str) -> tuple[float, float] | None:
    perf = plan.performance
    known: dict[str, Estimate] = {
        "tpot": perf.tpot_seconds,
        "ttft": perf.ttft_seconds,
        "throughput": perf.output_tokens_per_second_per_device,
    }
    return (known[name].low, known[name].high) if name in known else None


def _units(old: Plan, new: Plan) -> tuple[UnitChange, ...]:
    """Compared by kind and layer, so that a tied and an untied plan can be compared."""
    pooled = old.deployment is not None or new.deployment is not None
    return scheme_runs(
        *(_by_layer(plan) | (_prefill_by_layer(plan) if pooled else {}) for plan in (old, new))
    )


def scheme_runs(
    before: Mapping[tuple[str, int], str],
    after: Mapping[tuple[str, int], str],
) -> tuple[UnitChange, ...]:
    """Where schemes by (kind, layer) differ, in runs of layers; empty: the other has no such."""
    runs: list[tuple[str, str, str, list[int]]] = []
    for kind, layer in sorted(before.keys() | after.keys()):
        a, b = before.get((kind, layer), ""), after.get((kind, layer), "")
        if a == b:
            continue
        if runs and runs[-1][:3] == (kind, a, b) and runs[-1][3][1] == layer - 1:
            runs[-1][3][1] = layer
        else:
            runs.append((kind, a, b, [layer, layer]))
    return tuple(UnitChange(kind + _layers(*span), a, b) for kind, a, b, span in runs)


def _by_layer(plan: Plan) -> dict[tuple[str, int], str]:
    return {(u.matrix, layer): u.scheme for u in plan.units for layer in (u.layers or (-1,))}


def _prefill_by_layer(plan: Plan) -> dict[tuple[str, int], str]:
    """What prompts are read with: the prefill workers' formats, of workers that do both theirs."""
    own = plan.deployment.prefill.units if plan.deployment is not None else ()
    given = {(u.matrix, layer): u.scheme for u in own for layer in (u.layers or (-1,))}
    return {
        (f"prefill {kind}", layer): scheme
        for (kind, layer), scheme in (_by_layer(plan) | given).items()
    }


def _layers(first: int, last: int) -> str:
    if last < 0:
        return ""
    return f" {first}" if first == last else f" {first}-{last}"


def _settings(old: Plan, new: Plan) -> tuple[tuple[str, str, str], ...]:
    pairs = [(_setting(old), _setting(new))]
    return tuple((name, a[name], b[name]) for a, b in pairs for name in a if a[name] != b[name])


def _prefill_workers(plan: Plan) -> str:
    """Workers that only read prompts; those that do both where there are none."""
    if plan.deployment is None:
        return message("verbs.workers_do_both")
    pool = plan.deployment.prefill
    la = pool.layout
    return f"{pool.workers} of tp {la.tp} dp {la.dp} pp {la.pp} ep {la.ep} on {pool.device}"


def _setting(plan: Plan) -> dict[str, str]:
    la, work = plan.layout, plan.workload
    hits = f" prefix-hit {work.prefix_hit_rate:g}" if work.prefix_hit_rate else ""
    return {
        "device": f"{plan.device.count} × {plan.device.id}",
        "device profile": plan.device.profile_sha256[:8],
        "engine": f"{plan.engine.name} {plan.engine.version or ''}".strip(),
        "layout": f"tp {la.tp} dp {la.dp} pp {la.pp} ep {la.ep} replicas {la.replicas}",
        "prefill workers": _prefill_workers(plan),
        "workload": f"context {work.context_tokens} isl {work.isl} osl {work.osl}{hits}",
        "batch": str(work.batch),
        "objective": plan.objective,
        "loss tier": plan.quality.tier,
    }
