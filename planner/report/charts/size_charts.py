"""Charts of sizes: memory of stages, stored bytes, places of experts, devices of a fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from planner.base.units import GIB
from planner.memory.answer import PARTS, MemoryAnswer
from planner.memory.training import COMPONENTS, TrainingMemory
from planner.report.charts.chart import (
    EDGE,
    INK,
    PLAIN,
    Bars,
    Chart,
    ChartAxis,
    Legend,
    Mark,
    ValueLine,
    Words,
    named_rows,
    values_in_words,
)

if TYPE_CHECKING:
    from planner.models.inventory import Inventory
    from planner.planning.serving.experts import ExpertUse

PARTS_OF_MEMORY = (
    PLAIN,
    "#5b8fc7",
    "#0b6f63",
    "#58a99e",
    "#8d95a1",
    "#c06c1f",
    "#e0ad7c",
    "#c3c9d1",
)
TYPES = (PLAIN, "#c06c1f", "#0b6f63", "#8d95a1", "#9d1f55", "#5b8fc7")
PLACES = {"device": PLAIN, "host": "#e0ad7c", "drive": "#c06c1f", "anywhere": "#8d95a1"}


def stage_memory_chart(result: MemoryAnswer | TrainingMemory) -> Chart:
    """What fills a device of every pipeline stage [GiB], against what may be used, if known."""
    parts: Mapping[str, Sequence[int]]
    if isinstance(result, MemoryAnswer):
        where = f" on {result.device}" if result.device else ""
        heading = f"{result.model}{where}, {result.scheme}, cache {result.kv}"
        parts = {n: [getattr(s, key) for s in result.parts.stages] for n, key in PARTS.items()}
    else:
        heading = (
            f"{result.model} on {result.layout.devices} × {result.device}, "
            f"{result.setup.recipe.id}, ZeRO {result.setup.zero}"
        )
        parts = {name: [int(getattr(s, name)) for s in result.stages] for name in COMPONENTS}
    count = len(next(iter(parts.values())))
    names = [f"stage {n}" for n in range(count)] if count > 1 else ["a device"]
    marks, base = list[Mark](), [0.0] * count
    for (name, sizes), colour in zip(parts.items(), (*PARTS_OF_MEMORY, EDGE), strict=False):
        if any(sizes):
            bars = tuple((y, base[y], size / GIB) for y, size in enumerate(sizes))
            marks.append(Bars(bars, colour, 0.7, name))
            base = [start + length for _, start, length in bars]
    usable = result.usable_bytes / GIB
    if usable:
        words = f"usable {usable:,.1f}"
        marks += [
            ValueLine(usable, dashed=True),
            Words(usable, 1, words, 8, INK, "right", "top", (-4, -2), y_of="chart", upright=True),
        ]
    return Chart(
        heading,
        ChartAxis("memory of one device [GiB]"),
        named_rows(names),
        tuple(marks),
        (f"{usable:,.1f} GiB usable. " if usable else "")
        + values_in_words(
            (
                name,
                ", ".join(
                    f"{part} {sizes[n] / GIB:.3g} GiB" for part, sizes in parts.items() if sizes[n]
                ),
            )
            for n, name in enumerate(names)
        ),
        (8.0, 1.5 + 0.4 * count),
        grid="x",
        legend=Legend("upper center", (0.5, -0.3 if count < 3 else -0.15), 4),
    )


def residency_chart(result: ExpertUse) -> Chart:
    """Where experts live: shares [%] by place of all experts, of those a step touches, of picks."""
    frame = result.to_frame()
    sums = (frame["experts"].sum(), max(frame["touched"].sum(), 1e-30), 1.0)
    base, marks, said = [0.0, 0.0, 0.0], list[Mark](), []
    for row in frame.to_dict("records"):
        place = row["place"]
        shares = [
            100 * row[name] / total
            for name, total in zip(("experts", "touched", "picks"), sums, strict=True)
        ]
        bars = tuple((y, base[y], share) for y, share in enumerate(shares))
        marks.append(Bars(bars, PLACES[place], 0.65, place))
        ink = "#ffffff" if place in ("device", "drive") else INK
        marks += [
            Words(start + share / 2, y, f"{share:.0f} %", 8, ink, "center", "center")
            for y, start, share in bars
            if share > 6
        ]
        said.append((place, ", ".join(f"{share:.1f} %" for share in shares)))
        base = [start + share for _, start, share in bars]
    return Chart(
        f"{result.model}, {result.batch} tokens a step"
        + (f", on {result.device}" if result.device else ""),
        ChartAxis("share [%]", ends=(0, 100)),
        named_rows(["experts", "touched by a step", "picks"]),
        tuple(marks),
        "Shares of experts, of those touched by a step and of picks: " + values_in_words(said),
        (7.0, 2.2),
        grid="x",
        legend=Legend("upper center", (0.5, -0.3), 4),
    )


def tensor_bytes_chart(result: Inventory) -> Chart:
    """Stored GiB by module kind, one colour a checkpoint type; the axis is logarithmic, so that
    scales and norms stand beside experts."""
    sums: dict[str, dict[str, int]] = {}
    for pattern in result.patterns:
        row = sums.setdefault(pattern.kind, {})
        row[pattern.dtype] = row.get(pattern.dtype, 0) + pattern.bytes
    kinds = sorted(sums, key=lambda kind: -sum(sums[kind].values()))
    types = sorted({dtype for row in sums.values() for dtype in row})
    high = 0.8 / len(types)
    return Chart(
        f"{result.spec.id}: stored bytes by module",
        ChartAxis("stored [GiB]", "log"),
        ChartAxis(ends=(len(kinds) - 0.5, -0.5), ticks=tuple(enumerate(kinds))),
        tuple(
            Bars(
                tuple(
                    (y + (i - (len(types) - 1) / 2) * high, 0, sums[kind].get(dtype, 0) / GIB)
                    for y, kind in enumerate(kinds)
                ),
                TYPES[i % len(TYPES)],
                high,
                dtype,
            )
            for i, dtype in enumerate(types)
        ),
        "Stored GiB by module and type: "
        + values_in_words(
            (kind, ", ".join(f"{dtype} {size / GIB:.3g}" for dtype, size in sums[kind].items()))
            for kind in kinds
        ),
        (7.5, 0.9 + 0.3 * len(kinds)),
        grid="x",
        legend=Legend(),
    )
