"""What the what-if page looks up: every position's texts, written once and numbered.

A row holds the texts of one plan, as the report would write them, joined by ``|``; positions share
rows, and rows share layouts, strips of formats and sentences by number. The page does no arithmetic
on plans: it shows rows.
"""

from __future__ import annotations

from typing import Any

from planner.placement.modules import AS_RELEASED_KINDS
from planner.planning.plan.deployment import PoolLayout
from planner.planning.plan.picture import fill, ink, runs
from planner.planning.plan.record import Estimate, Plan
from planner.planning.whatif.grid import Grid, Infeasible, Planned, PooledPoint
from planner.planning.whatif.grid_axes import AUTO, Axis
from planner.report import words
from planner.report.page.pools import schemes_told
from planner.report.phrases import Phrases
from planner.report.terminal.headline import room
from planner.report.terminal.pool_lines import layout_words
from planner.units import GIB

ROW = ("batch", "together", "layout", "rate", "low", "high", "each", "each_range", "tpot",
       "tpot_range", "ttft", "ttft_range", "loss", "loss_range", "weights", "cache", "activations",
       "runtime", "used", "users", "basis", "ttft_basis", "formats")
"""Fields of a row, in order."""


class Numbered:
    """Values in the order of their first use."""

    def __init__(self) -> None:
        self.of: dict[Any, int] = {}

    def __call__(self, value: Any) -> int:
        return self.of.setdefault(value, len(self.of))

    @property
    def all(self) -> list[Any]:
        """The values by number."""
        return list(self.of)


def page_data(grid: Grid, plan: Plan, t: Phrases, w: Phrases) -> dict[str, Any]:
    """The page's data as JSON values; ``t`` has the report's texts, ``w`` the page's own."""
    made = _Made(t, plan)
    index = [made.row(p) if isinstance(p, Planned) else -1 - made.refusal(p) for p in grid.points]
    memory = plan.memory_per_device
    return {
        "fields": list(ROW), "axes": [axis_data(axis, plan, w) for axis in grid.axes],
        "command": grid.command, "index": index, "rows": made.rows.all,
        "refused": made.refusals.all, "layouts": made.layouts.all,
        "formats": made.formats.all, "strips": made.strips.all, "kinds": made.kinds.all,
        "schemes": [[name, fill(name), ink(fill(name))] for name in made.schemes.all],
        "usable": f"{memory.usable_bytes / GIB:.1f}", "capacity": memory.capacity_bytes / GIB,
        "own": own(plan), "matches": matches(grid, plan),
        "pools": [_pools(point, t, w) for point in grid.pools],
        "loss_unit": _loss_unit(plan), "device": plan.device.id,
        "basis": {k.partition(".")[2]: v for k, v in t.texts.items() if k.startswith("basis.")},
        "memory": {name: t(f"memory.{name}") for name in (
            "weights", "cache", "activations", "runtime", "free")},
        "texts": dict(w.texts)}


def axis_data(axis: Axis, plan: Plan, w: Phrases) -> dict[str, Any]:
    """One axis: values as in a link, their labels, their short labels, flags."""
    return {"name": axis.name, "label": w(f"axis.{axis.name}"), "values": list(axis.values),
            "labels": [value_label(axis.name, v, plan, w) for v in axis.values],
            "ticks": [_tick(axis.name, v, w) for v in axis.values],
            "flags": list(axis.flags), "base": axis.base}


def value_label(name: str, value: str, plan: Plan, w: Phrases) -> str:
    """A value of an axis in words."""
    if value == AUTO:
        return w(f"value.{name}-auto")
    if name == "max-loss" and value[:1].isdigit():
        return w("value.max-loss-nats", value=value)
    shown = words.count(int(value)) if value.isdigit() else value.replace("+", ", ")
    return w(f"value.{name}", value=shown, device=plan.device.id)


def _tick(name: str, value: str, w: Phrases) -> str:
    if value == AUTO:
        return w(f"value.{name}-auto")
    return words.count(int(value)) if value.isdigit() else value


def own(plan: Plan) -> dict[str, Any]:
    """The report's plan beside the positions."""
    perf = plan.performance
    return {"context": str(plan.workload.context_tokens),
            "rate": perf.output_tokens_per_second.value,
            "each": perf.output_tokens_per_second_per_device.value, "users": room(plan)}


def matches(grid: Grid, plan: Plan) -> bool:
    """Whether the base position is the report's plan."""
    point, memory = grid.points[grid.base], plan.memory_per_device
    return isinstance(point, Planned) \
        and point.performance == plan.performance and point.memory.total == memory.total_bytes


def _pools(point: PooledPoint | None, t: Phrases, w: Phrases) -> list[Any]:
    """[sentence, tokens/s] of the pools beside positions; tokens/s 0 where none keep the limits."""
    if point is None:
        return [w("pools.none"), 0]
    rate = point.output_tokens_per_second
    said = [f"{count} × {layout_words(PoolLayout(la.tp, la.dp, la.pp, la.ep))}, "
            f"{schemes_told(schemes)}" for count, la, schemes in (point.prefill, point.decode)]
    return [w("pools.told", prefill=said[0], decode=said[1], kv=point.kv, rate=words.three(rate),
              tpot=words.span(point.tpot_seconds), ttft=words.span(point.ttft_seconds)), rate]


def _loss_unit(plan: Plan) -> str:
    """The scheme that a relative loss of 1 stands for; empty where losses are nats."""
    return plan.quality.unit.partition("uniform ")[2].partition(" on ")[0].rstrip(")")


class _Made:
    """Rows, refusals and what they share, numbered as they come."""

    def __init__(self, t: Phrases, plan: Plan) -> None:
        self.t, self.layers = t, 1 + max((n for u in plan.units for n in u.layers), default=-1)
        self.rows, self.refusals, self.layouts = Numbered(), Numbered(), Numbered()
        self.strips, self.kinds, self.schemes = Numbered(), Numbered(), Numbered()
        self.formats = Numbered()
        self._known: dict[Any, int] = {}

    def row(self, point: Planned) -> int:
        """The number of the row of a plan."""
        t, perf, memory = self.t, point.performance, point.memory
        rate, each = perf.output_tokens_per_second, perf.output_tokens_per_second_per_device
        tpot, ttft = (words.duration(t, "", e) for e in (perf.tpot_seconds, perf.ttft_seconds))
        loss = point.quality
        return self.rows("|".join((
            words.count(point.batch), t.counted("sequence", point.batch * point.replicas),
            str(self.layouts(self._layout(point))),
            words.three(rate.value), words.three(rate.low), words.three(rate.high),
            words.three(each.value), _range(each),
            f"{tpot.value} {tpot.unit}", tpot.interval, f"{ttft.value} {ttft.unit}", ttft.interval,
            words.loss(loss.loss), f"{words.loss(loss.low)} – {words.loss(loss.high)}",
            *(f"{size / GIB:.2f}" for size in (memory.weights, memory.cache, memory.activation,
                                               memory.runtime)),
            f"{memory.total / GIB:.1f}", words.count(point.room * point.replicas),
            perf.tpot_seconds.basis, perf.ttft_seconds.basis, str(self._formats(point)))))

    def refusal(self, point: Infeasible) -> int:
        """The number of a reason, its sizes in GiB."""
        return self.refusals((point.limit, f"{point.need / GIB:.1f}", f"{point.have / GIB:.1f}"))

    def _layout(self, point: Planned) -> str:
        la = point.layout
        shape = " ".join(f"{name}{value}" for name, value in (
            ("tp", la.tp), ("dp", la.dp), ("pp", la.pp), ("ep", la.ep)) if value > 1)
        copies = self.t.counted("replica", point.replicas) if point.replicas > 1 else ""
        return ", ".join(filter(None, (shape or "tp1", copies)))

    def _formats(self, point: Planned) -> int:
        """The number of [sentence, [strip of each kind, -1 where a kind is absent]]."""
        if point.formats not in self._known:
            self._known[point.formats] = self.formats(self._described(point))
        return self._known[point.formats]

    def _described(self, point: Planned) -> tuple[Any, ...]:
        rows: dict[str, list[str]] = {}
        sizes: dict[str, int] = {}
        caches: dict[str, int] = {}
        for kind, layers, name, size in point.formats:
            if kind.startswith("kv-"):
                caches[name] = caches.get(name, 0) + len(layers)
            elif size:
                sizes[name] = sizes.get(name, 0) + size
            if layers and kind not in AS_RELEASED_KINDS:
                for layer in layers:
                    rows.setdefault(kind, [""] * self.layers)[layer] = name
        found = {self.kinds(kind): self.strips(tuple(
            (run.count, self.schemes(run.scheme) if run.scheme else -1) for run in runs(row)))
            for kind, row in rows.items()}
        return (words.named_formats(self.t, sizes, caches),
                tuple(found.get(n, -1) for n in range(len(self.kinds.of))))


def _range(estimate: Estimate) -> str:
    return f"{words.three(estimate.low)} – {words.three(estimate.high)}"
