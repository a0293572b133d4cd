"""What evidence there is for an engine on a device: ``planning/data/evidence_ledger.csv``.

``python -m benchmarks.ledger`` counts it from the compared rows of served models, the published
deployments and the operators of device profiles. Nothing is weighed by hand but what rows of a
relative and words of a family count (RELATIVE, FAMILY).
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from pathlib import Path

from planner.base.records import record

LEDGER = Path(__file__).resolve().parents[1] / "data" / "evidence_ledger.csv"
OPERATORS = ("measured", "composed", "prior")
"""How operators of a row are timed, the surest first."""
RELATIVE = 0.1
"""What a served row counts on another device of the architecture."""
FAMILY = 0.25
"""What a recipe counts whose device is a family of devices."""
FAMILIES = {
    "nvidia": ("Turing", "Ampere", "Ada", "Hopper", "Blackwell", "Rubin"),
    "amd": ("CDNA", "RDNA"),
}
"""Words of recipes for devices that they do not name, and how their architectures begin."""
Counts = tuple[tuple[str, int], ...]


@record
class LedgerRow:
    """The evidence of one kind of deployment.

    ``version`` is a minor (``0.21``, ``>=0.11``), empty where not known; ``device`` a bundled id,
    or a word of FAMILIES with an empty ``architecture``; ``layout`` a class of
    :mod:`planner.placement.deployment_kinds`; ``format`` a scheme, a mixture or a word of
    published practice; ``cache`` and ``speculation`` are empty for the default and for none.
    ``served`` rows were compared: ``bias`` is the median of log(measured ÷ predicted) of a token's
    time, ``spread`` its standard deviation, None without enough rows. ``models`` have rows or
    recipes. ``operators`` is of OPERATORS. Of ``recipes`` that were published, ``guides`` are a
    guide's or a shipped configuration's; ``latency`` are published for latency alone,
    ``throughput`` for throughput alone.
    """

    engine: str
    version: str
    device: str
    architecture: str
    model_class: str
    layout: str
    format: str
    cache: str
    speculation: str
    served: int
    bias: float | None
    spread: float | None
    models: int
    operators: str
    recipes: int
    guides: int
    latency: int
    throughput: int


@record
class EngineStanding:
    """How much stands behind an engine for a class of models on a device: ``served`` rows, and
    published recipes of the class and of any class; relatives and families count in part."""

    served: float
    class_recipes: float
    device_recipes: float


@cache
def ledger() -> tuple[LedgerRow, ...]:
    """All rows of the file."""
    with LEDGER.open(encoding="utf-8", newline="") as file:
        return tuple(map(_row, csv.DictReader(line for line in file if not line.startswith("#"))))


@lru_cache(maxsize=4096)
def engine_standing(
    engine: str, device: str, architecture: str, model_class: str
) -> EngineStanding:
    """What stands behind ``engine`` for ``model_class`` on ``device`` of ``architecture``."""
    served = class_recipes = device_recipes = 0.0
    for row in _of_engine(engine):
        same_class = row.model_class == model_class
        if row.device == device:
            served += row.served * same_class
            class_recipes += row.recipes * same_class
            device_recipes += row.recipes
        elif same_class and row.architecture == architecture:
            served += RELATIVE * row.served
        elif same_class and row.device == family_of(architecture):
            class_recipes += FAMILY * row.recipes
    return EngineStanding(served, class_recipes, device_recipes)


@lru_cache(maxsize=4096)
def published_layouts(
    engine: str, device: str, architecture: str, model_class: str, *, throughput: bool = True
) -> Counts:
    """(class of layout, recipes) for ``model_class``, the most published first.

    Those of ``device``; where there are none those of ``architecture``, else of all devices.
    ``engine`` may be empty for all engines. With ``throughput`` recipes for latency alone are left
    out, without it those for throughput alone.
    """
    rows = [row for row in _of_engine(engine) if row.model_class == model_class]
    return _nearest(
        rows,
        device,
        architecture,
        lambda row: row.layout,
        lambda row: row.recipes - (row.latency if throughput else row.throughput),
    )


@lru_cache(maxsize=4096)
def practised_caches(engine: str, architecture: str) -> frozenset[str]:
    """Layouts of the cache that served rows or recipes of ``engine`` name on ``architecture``; on
    all where none there names one. An engine's default has no name here."""
    named = [row for row in _of_engine(engine) if row.cache]
    near = [row for row in named if row.architecture == architecture]
    return frozenset(row.cache for row in near or named)


@lru_cache(maxsize=4096)
def published_formats(device: str, architecture: str, model_class: str) -> Counts:
    """(format of weights, recipes) for ``model_class`` by any engine, the most published first; the
    devices as of :func:`published_layouts`."""
    rows = [row for row in ledger() if row.model_class == model_class and row.format]
    return _nearest(rows, device, architecture, lambda row: row.format, lambda row: row.recipes)


def family_of(architecture: str) -> str:
    """The word of FAMILIES for an architecture; empty where there is none."""
    return next((word for word, begins in FAMILIES.items() if architecture.startswith(begins)), "")


def _nearest(
    rows: Iterable[LedgerRow],
    device: str,
    architecture: str,
    name: Callable[[LedgerRow], str],
    number: Callable[[LedgerRow], int],
) -> Counts:
    """Names by their number, on the device, else on the architecture, else on all."""
    counts = [(row, number(row)) for row in rows]
    some = [(row, n) for row, n in counts if n]
    near = [(row, n) for row, n in some if row.device == device]
    alike = [(row, n) for row, n in some if row.architecture == architecture]
    totals: Counter[str] = Counter()
    for row, n in near or alike or some:
        totals[name(row)] += n
    return tuple(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def _of_engine(engine: str) -> tuple[LedgerRow, ...]:
    return _by_engine().get(engine, ()) if engine else ledger()


@cache
def _by_engine() -> dict[str, tuple[LedgerRow, ...]]:
    rows: defaultdict[str, list[LedgerRow]] = defaultdict(list)
    for row in ledger():
        rows[row.engine].append(row)
    return {engine: tuple(some) for engine, some in rows.items()}


def _row(cells: dict[str, str]) -> LedgerRow:
    return LedgerRow(
        engine=cells["engine"],
        version=cells["version"],
        device=cells["device"],
        architecture=cells["architecture"],
        model_class=cells["model_class"],
        layout=cells["layout"],
        format=cells["format"],
        cache=cells["cache"],
        speculation=cells["speculation"],
        served=int(cells["served"]),
        bias=_figure(cells["bias"]),
        spread=_figure(cells["spread"]),
        models=int(cells["models"]),
        operators=cells["operators"],
        recipes=int(cells["recipes"]),
        guides=int(cells["guides"]),
        latency=int(cells["latency"]),
        throughput=int(cells["throughput"]),
    )


def _figure(text: str) -> float | None:
    return float(text) if text else None
