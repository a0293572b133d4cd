"""The page of the ledger of evidence: docs/evidence/ledger.md."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from evaluation.pages import moved
from planner.hardware.catalog import device_ids
from planner.memory.engines.catalog import engine_names
from planner.placement.deployment_kinds import LAYOUT_CLASSES
from planner.planning.price.ledger import FAMILIES, OPERATORS, LedgerRow

CLASSES = ("dense", "moe", "mla", "compressed")
NOTHING = "·"
Place = tuple[str, str, str]
"""Device, class of model, engine."""


def page(rows: Sequence[LedgerRow]) -> str:
    """The page of all ``rows``, in Markdown."""
    engines = [name for name in engine_names() if any(row.engine == name for row in rows)]
    return "\n".join(
        (*_head(rows), *_totals(rows, engines), *_cells(rows, engines), *_gaps(rows, engines))
    )


def _head(rows: Sequence[LedgerRow]) -> Iterator[str]:
    served, recipes = sum(row.served for row in rows), sum(row.recipes for row in rows)
    both = sum(bool(row.served and row.recipes) for row in rows)
    yield "# The ledger of evidence"
    yield ""
    yield (
        "Which deployments have evidence. *Served* counts published results that were compared "
        "with predictions, *recipes* deployments in guides, configurations and sweeps, which say "
        "nothing of speed. Operators are *measured* on the row's engine and device, *composed* "
        "where some come from another, else a *prior*; the weakest counts. Made by "
        "`python -m benchmarks.ledger`; the rows are in "
        "`planner/planning/data/evidence_ledger.csv`."
    )
    yield ""
    yield (
        f"{len(rows):,} kinds of deployments: {served:,} served rows, {recipes:,} recipes; "
        f"{both:,} kinds have both."
    )


def _totals(rows: Sequence[LedgerRow], engines: Sequence[str]) -> Iterator[str]:
    yield from ("", "## By engine and by layout", "")
    yield "| engine | kinds | served | recipes | of guides | " + " | ".join(OPERATORS) + " |"
    yield "|---|" + "---:|" * (4 + len(OPERATORS))
    for engine in engines:
        mine = [row for row in rows if row.engine == engine]
        bases = Counter(row.operators for row in mine)
        yield _line(engine, len(mine), *_sums(mine), *(bases[word] for word in OPERATORS))
    yield from (
        "",
        "| layout | kinds | served | recipes | of guides |",
        "|---|---:|---:|---:|---:|",
    )
    for layout in LAYOUT_CLASSES:
        if mine := [row for row in rows if row.layout == layout]:
            yield _line(layout, len(mine), *_sums(mine))


def _sums(rows: Sequence[LedgerRow]) -> tuple[int, int, int]:
    return (
        sum(row.served for row in rows),
        sum(row.recipes for row in rows),
        sum(row.guides for row in rows),
    )


def _line(name: str, *numbers: int) -> str:
    return f"| {name} | " + " | ".join(f"{n:,}" for n in numbers) + " |"


def _cells(rows: Sequence[LedgerRow], engines: Sequence[str]) -> Iterator[str]:
    counts = _by_place(rows)
    lines = ["| device | class | " + " | ".join(engines) + " |"]
    lines.append("|---|---|" + "---:|" * len(engines))
    for device in (*FAMILIES, *device_ids()):
        for name in CLASSES:
            places = [counts.get((device, name, engine)) for engine in engines]
            if any(places):
                cells = (NOTHING if c is None else f"{c[0]:,} / {c[1]:,}" for c in places)
                lines.append(f"| {device} | {name} | " + " | ".join(cells) + " |")
    yield ""
    yield moved("ledger-devices", "Served / recipes by device, class and engine", lines)


def _gaps(rows: Sequence[LedgerRow], engines: Sequence[str]) -> Iterator[str]:
    """Cells without evidence: of devices that have some the classes, and the other devices."""
    counts = _by_place(rows)
    devices = [device for device in device_ids() if any(place[0] == device for place in counts)]
    pairs = sorted({(device, engine) for device, _, engine in counts if device in devices})
    cells = [(d, c, e) for d, e in pairs for c in CLASSES]
    empty = [place for place in cells if place not in counts]
    recipes_only = [place for place in cells if place in counts and not counts[place][0]]
    yield from ("", "## What has nothing", "")
    yield (
        f"{len(devices)} devices have evidence, of {len(pairs)} pairs with an engine. Of their "
        f"{len(cells):,} cells by class of model {len(empty):,} have neither a served row nor a "
        f"recipe, and {len(recipes_only):,} have recipes alone. {len(device_ids()) - len(devices)} "
        "devices have no evidence."
    )
    lines = ["| device | classes that no engine has evidence of |", "|---|---|"]
    for device in device_ids():
        lacking = [c for c in CLASSES if not any((device, c, e) in counts for e in engines)]
        if lacking:
            lines.append(f"| {device} | {', '.join(lacking)} |")
    yield moved("ledger-gaps", "Classes without evidence", lines)
    yield ""


def _by_place(rows: Sequence[LedgerRow]) -> dict[Place, tuple[int, int]]:
    """(served rows, recipes) by place; places without either are left out."""
    counts: defaultdict[Place, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for row in rows:
        place = (row.device, row.model_class, row.engine)
        served, recipes = counts[place]
        counts[place] = served + row.served, recipes + row.recipes
    return dict(counts)
