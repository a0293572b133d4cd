"""The view of ``plan frontier``: the points, the knee named, and the map of regimes."""

from __future__ import annotations

from planner.base.units import GIB, format_seconds
from planner.planning.what_if.frontier import Frontier, FrontierPoint
from planner.planning.what_if.regimes import PhaseMap
from planner.report.phrases import Phrases
from planner.report.view.record import Fact, Items, Prose, Section, Table, View
from planner.report.view.verb_words import loss_unit, verb_phrases
from planner.throughput.calibration import ANY_ENGINE

VERB = "frontier"
LETTERS = {
    "weights": "W",
    "kv": "K",
    "compute": "C",
    "network": "N",
    "launch": "L",
    "convert": "V",
    "": "-",
}
HEADS = ("loss", "rate", "gib", "tpot", "batch", "dense", "experts", "kv", "mark")


def frontier_view(frontier: Frontier, lang: str) -> View:
    """The points, then the map where there is one."""
    t = verb_phrases(VERB, lang)
    title = t(
        "head.title",
        model=frontier.model,
        device=frontier.device,
        engine=t("head.theory") if frontier.engine == ANY_ENGINE else frontier.engine,
        context=f"{frontier.context:,}",
        n=len(frontier.points),
    )
    knee = Fact(t("fact.knee"), _knee(t, frontier.knee))
    points = Table(
        tuple(t(f"table.{head}") if head != "mark" else "" for head in HEADS),
        tuple(_row(t, point) for point in frontier.points),
        (0, 5, 6, 7, 8),
        (t("table.note", unit=loss_unit(t, frontier.loss_unit), gap=f"{frontier.gap:.1%}"),),
    )
    sections = [Section("", (points,))]
    if frontier.map is not None:
        sections.append(_map(t, frontier.map))
    return View(title, (knee,), tuple(sections))


def _row(t: Phrases, p: FrontierPoint) -> tuple[str, ...]:
    return (
        f"{p.loss:.3g}",
        f"{p.output_tokens_per_second_per_device:,.1f}",
        f"{p.total_bytes_per_device / GIB:.1f}",
        format_seconds(p.tpot_seconds),
        f"{p.batch:,}",
        p.dense or "-",
        p.experts or "-",
        p.kv or "-",
        t("table.knee") if p.knee else "",
    )


def _knee(t: Phrases, point: FrontierPoint | None) -> str:
    if point is None:
        return t("knee.none")
    rate = f"{point.output_tokens_per_second_per_device:,.1f}"
    return t("knee.text", loss=f"{point.loss:.3g}", rate=rate)


def _map(t: Phrases, phase_map: PhaseMap) -> Section:
    cells = {(c.context, c.batch): c for c in phase_map.cells}
    rows = tuple(
        (
            f"{context:,}",
            *(
                f"{LETTERS[cell.regime]} {cell.plan + 1}" if cell.regime else "-"
                for cell in (cells[context, b] for b in phase_map.batches)
            ),
        )
        for context in phase_map.contexts
    )
    heads = (t("map.context"), *(t("map.batch", n=f"{b:,}") for b in phase_map.batches))
    plans: dict[int, str] = {}
    for c in phase_map.cells:
        if c.plan >= 0 and c.plan not in plans:
            kv = t("map.kv", names=", ".join(c.kv)) if c.kv else ""
            plans[c.plan] = f"{c.plan + 1}: {', '.join(c.schemes)}{kv}"
    return Section(
        t("map.title"),
        (Table(heads, rows), Prose(t("map.legend")), Items(tuple(plans.values()))),
    )
