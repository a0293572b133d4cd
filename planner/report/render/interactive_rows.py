"""Rows of the what-if page: the texts of each plan as a report writes them, every one only once."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Sequence
from typing import Any

from planner.base.units import GIB
from planner.placement.modules import AS_RELEASED_KINDS
from planner.planning.plan.picture import format_runs
from planner.planning.plan.record import Estimate, Plan
from planner.planning.what_if.grid import InfeasiblePoint, PlannedPoint
from planner.report import key_figures, words
from planner.report.phrases import Phrases

TABLE_OF = {
    **dict.fromkeys(("rate", "low", "high", "each", "each_low", "each_high"), "rate"),
    **dict.fromkeys(("tpot", "ttft"), "time"),
    **dict.fromkeys(("tpot_low", "tpot_high", "ttft_low", "ttft_high"), "end"),
    **dict.fromkeys(("loss", "loss_low", "loss_high"), "loss"),
    **dict.fromkeys(("weights", "cache", "activations", "runtime", "used"), "gib"),
    **dict.fromkeys(("batch", "users"), "count"),
    "together": "sequences",
    **dict.fromkeys(("basis", "ttft_basis", "joules_basis"), "basis"),
    **dict.fromkeys(("joules", "joules_low", "joules_high"), "energy"),
    "layout": "layout",
    "engine": "engine",
    "formats": "formats",
}
"""The table that the texts of a field stand in."""
SPEEDS = ("speed", "speed_low", "speed_high")
"""Tokens/s of a device, as numbers: what a price is divided by."""


class PlannedTexts:
    """Rows and reasons, numbered as they come, with the tables that they share."""

    def __init__(self, t: Phrases, plan: Plan) -> None:
        self.t, self.layers = t, 1 + max((n for u in plan.units for n in u.layers), default=-1)
        self.tables = {name: FirstUseNumbers() for name in dict.fromkeys(TABLE_OF.values())}
        self.rows, self.refusals = FirstUseNumbers(), FirstUseNumbers()
        self.strips, self.kinds, self.schemes = (
            FirstUseNumbers(),
            FirstUseNumbers(),
            FirstUseNumbers(),
        )
        self._known: dict[Any, int] = {}

    def row(self, point: PlannedPoint) -> int:
        """The number of the row of a plan."""
        texts = self._texts(point)
        each = point.performance.output_tokens_per_second_per_device
        return self.rows(
            (
                tuple(self.tables[table](texts[name]) for name, table in TABLE_OF.items()),
                tuple(packed_number(v) for v in (each.value, each.low, each.high)),
            )
        )

    def refusal(self, point: InfeasiblePoint) -> int:
        """The number of a reason, its sizes in GiB (tokens where the context is too short)."""
        if point.limit == "context":
            return self.refusals(
                (
                    point.limit,
                    words.count(point.need),
                    words.count(point.have),
                    words.count(point.need - point.have),
                )
            )
        return self.refusals(
            (
                point.limit,
                *(
                    f"{size / GIB:.1f}"
                    for size in (point.need, point.have, max(point.need - point.have, 0))
                ),
            )
        )

    def columns(self) -> dict[str, Any]:
        """Fields of all rows as packed text, and the tables that they count in."""
        rows = self.rows.all
        fields = {
            name: [table, packed_integers((texts[n] for texts, _ in rows), len(self.tables[table]))]
            for n, (name, table) in enumerate(TABLE_OF.items())
        }
        numbers = {
            name: ["", "".join(speeds[n] for _, speeds in rows)] for n, name in enumerate(SPEEDS)
        }
        return {
            "rows": len(rows),
            "columns": {**fields, **numbers},
            "tables": {name: joined_table(table.all) for name, table in self.tables.items()},
        }

    def _texts(self, point: PlannedPoint) -> dict[str, Any]:
        perf, memory, loss = point.performance, point.memory, point.quality
        energy = perf.joules_per_output_token
        texts: dict[str, Any] = {
            "batch": words.count(point.batch),
            "users": words.count(point.room * point.replicas),
            "together": self.t.counted("sequence", point.batch * point.replicas),
            "basis": perf.tpot_seconds.basis,
            "ttft_basis": perf.ttft_seconds.basis,
            "joules_basis": energy.basis if energy is not None else "",
            "layout": self._layout(point),
            "engine": point.engine,
            "formats": self._described(point),
            "used": f"{memory.total / GIB:.1f}",
            "loss": words.loss(loss.loss),
            "loss_low": words.loss(loss.low),
            "loss_high": words.loss(loss.high),
        }
        texts |= _ends("rate", perf.output_tokens_per_second, "low", "high")
        texts |= _ends("each", perf.output_tokens_per_second_per_device)
        texts |= self._time("tpot", perf.tpot_seconds) | self._time("ttft", perf.ttft_seconds)
        for end, value in zip(
            ("joules", "joules_low", "joules_high"),
            (
                ("", "", "")
                if energy is None
                else (f"{v:.3g}" for v in (energy.value, energy.low, energy.high))
            ),
            strict=True,
        ):
            texts[end] = value
        for name, size in (
            ("weights", memory.weights),
            ("cache", memory.cache),
            ("activations", memory.activation),
            ("runtime", memory.runtime),
        ):
            texts[name] = f"{size / GIB:.2f}"
        return texts

    def _time(self, name: str, estimate: Estimate) -> dict[str, str]:
        made = key_figures.duration(self.t, "", estimate)
        low, _, high = made.interval.partition(" – ")
        return {name: f"{made.value} {made.unit}", f"{name}_low": low, f"{name}_high": high}

    def _layout(self, point: PlannedPoint) -> str:
        la = point.layout
        shape = " ".join(
            f"{name}{value}"
            for name, value in (("tp", la.tp), ("dp", la.dp), ("pp", la.pp), ("ep", la.ep))
            if value > 1
        )
        copies = self.t.counted("replica", point.replicas) if point.replicas > 1 else ""
        return ", ".join(filter(None, (shape or "tp1", copies)))

    def _described(self, point: PlannedPoint) -> Any:
        """(sentence, (strip of each kind, -1 where a kind is absent))."""
        if point.formats not in self._known:
            self._known[point.formats] = self._formats(point)
        return self._known[point.formats]

    def _formats(self, point: PlannedPoint) -> Any:
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
        strips = {
            self.kinds(kind): self.strips(
                tuple(
                    (run.count, self.schemes(run.scheme) if run.scheme else -1)
                    for run in format_runs(row)
                )
            )
            for kind, row in rows.items()
        }
        return (
            words.named_formats(self.t, sizes, caches),
            tuple(strips.get(n, -1) for n in range(len(self.kinds))),
        )


def _ends(name: str, estimate: Estimate, low: str = "", high: str = "") -> dict[str, str]:
    return {
        name: words.three_digits(estimate.value),
        low or f"{name}_low": words.three_digits(estimate.low),
        high or f"{name}_high": words.three_digits(estimate.high),
    }


DIGITS = string.digits + string.ascii_letters + "-_"
"""The digits from 0 to 63: none that JSON or HTML would escape."""
FIGURES = 7
"""Decimal figures of a packed number: more than any text of the page shows."""
MANTISSA, NUMBER = 4, 5
"""Characters of ten to the figures, and with the power of ten in front."""
POWERS = len(DIGITS) // 2
SEPARATOR = "|"


class FirstUseNumbers:
    """Values in the order of their first use."""

    def __init__(self) -> None:
        self.of: dict[Any, int] = {}

    def __call__(self, value: Any) -> int:
        return self.of.setdefault(value, len(self.of))

    def __len__(self) -> int:
        return len(self.of)

    @property
    def all(self) -> list[Any]:
        """The values by number."""
        return list(self.of)


def packed_integers(numbers: Iterable[int], size: int) -> str:
    """Whole numbers below ``size``, each as wide as the largest needs."""
    width = 1
    while len(DIGITS) ** width < size:
        width += 1
    return "".join(_digits(number, width) for number in numbers)


def packed_number(value: float) -> str:
    """A number from 0 with :data:`FIGURES` decimal figures: its power of ten, then the figures."""
    if value == 0:
        return _digits(0, NUMBER)
    power = math.floor(math.log10(value)) - FIGURES + 1
    mantissa = round(value / 10.0**power)
    return _digits(power + POWERS, 1) + _digits(mantissa, MANTISSA)


def joined_table(texts: Sequence[Any]) -> str | list[Any]:
    """A table of texts as one; as it is where entries are no texts, or hold the separator."""
    if any(not isinstance(text, str) or SEPARATOR in text for text in texts):
        return list(texts)
    return SEPARATOR.join(texts)


def _digits(number: int, width: int) -> str:
    out = ""
    for _ in range(width):
        number, digit = divmod(number, len(DIGITS))
        out = DIGITS[digit] + out
    return out
