"""``python benchmarks/throughput_validation.py DIR [DATE]``: the errors of ``plan validate --data
DIR`` as docs/evidence/validation.md with the date of the run (today). What plans quote of them is
written by benchmarks/evidence.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from evaluation.pages import insert, moved, narrow
from planner.lab.validation.grouping import (
    BAND,
    LEAST_GROUP,
    REPEATED,
    covered,
    group,
    headlines,
    summarise,
    summary,
)
from planner.lab.validation.records import Group, Outcome, Validation
from planner.lab.validation.run import validate

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evidence" / "validation.md"
SERVED_PAGE = ROOT / "docs" / "evidence" / "validation-throughput.md"
SERVED = ("aggregated", "disaggregated")


def table_of(groups: Iterable[Group], names: Sequence[str]) -> str:
    """A Markdown table of ``groups`` with the columns ``names`` before the errors."""
    lines = [
        "| " + " | ".join((*names, "n", "mean", "median", "p90", "bias", "in 80 %")) + " |",
        "|" + "---|" * len(names) + "---:|" * 6,
    ]
    for g in groups:
        cells = [str(getattr(g, name)).replace("|", "/") or "-" for name in names]
        cells += [
            f"{g.n}/{g.n_rows}",
            _number(g.mape),
            _number(g.median_ape),
            _number(g.p90_ape),
            _number(g.bias, "+"),
            _number(g.coverage80, digits=0),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float | None, sign: str = "", digits: int = 1) -> str:
    return "-" if value is None else f"{value:{sign}.{digits}f}"


def headline_table(outcomes: Sequence[Outcome]) -> str:
    """Every headline without and with the excluded rows."""
    lines = [
        "| figure | n | mean | median | p90 | in 80 % | all rows: n | mean | median |",
        "|---|" + "---:|" * 8,
    ]
    for h in headlines(outcomes):
        a, b = h.without, h.together
        lines.append(
            f"| {h.what} | {a.n} | {_number(a.mape)} | {_number(a.median_ape)} | "
            f"{_number(a.p90_ape)} | {_number(h.coverage80, digits=0)} | {b.n} | "
            f"{_number(b.mape)} | {_number(b.median_ape)} |"
        )
    return "\n".join(lines)


def coverage_words(outcomes: Sequence[Outcome]) -> str:
    """In how many groups of rows the 80 % interval holds what it says."""
    found = " and ".join(
        f"{c.inside} of {c.groups} for {c.what.upper()}" for c in covered(outcomes)
    )
    return (
        f"Of groups (model, engine version, device, format, pools) with at least {LEAST_GROUP} "
        f"rows, {found} have {BAND[0]:.0f} to {BAND[1]:.0f} % of them inside the 80 % interval."
    )


def _shown(outcomes: Sequence[Outcome], day: str) -> str:
    """The headlines without the rows that are left out; with them as data."""
    table = headline_table(outcomes)
    every = moved("validation-headlines", "p90, and with the rows that are left out", table)
    return "\n\n".join(
        (f"Run on {day}.", narrow(table, (0, 1, 2, 3, 5)), coverage_words(outcomes), every)
    )


def served_table(outcomes: Iterable[Outcome]) -> str:
    """Served models by model, engine version, device and format: TPOT with the host's work and
    without it, TTFT."""
    lines = [
        "| model | engine | device | format | pools | n | mean | median | bias | in 80 % | "
        "without host: mean | TTFT median | bias | in 80 % |",
        "|---|---|---|---|---|" + "---:|" * 9,
    ]
    found: dict[tuple[str, ...], dict[str, list[Outcome]]] = {}
    for o in outcomes:
        kind = "bare" if o.regime == REPEATED else "kept" if o.regime in SERVED else ""
        if o.table.startswith("e2e_silicon") and o.predicted is not None and kind:
            pools = "two" if o.mode == "disagg" else "one"
            row = found.setdefault((o.model, o.software, o.device, o.format, pools), {})
            row.setdefault(f"{kind} {o.metric}", []).append(o)
    for key, row in sorted(found.items()):
        tpot, bare, ttft = (
            summary_of(row.get(name, ())) for name in ("kept tpot", "bare tpot", "kept ttft")
        )
        cells = [
            *key,
            str(tpot[0]),
            tpot[1],
            tpot[2],
            tpot[3],
            tpot[4],
            bare[1],
            ttft[2],
            ttft[3],
            ttft[4],
        ]
        if tpot[0]:
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def summary_of(rows: Sequence[Outcome]) -> tuple[int, str, str, str, str]:
    """(rows, mean, median, bias, share inside the interval) as a table shows them."""
    errors = summarise([o.error_percent for o in rows])
    inside = 100 * sum(o.inside for o in rows) / len(rows) if rows else None
    return (
        errors.n,
        _number(errors.mape),
        _number(errors.median_ape),
        _number(errors.bias, "+"),
        _number(inside, digits=0),
    )


def page(report: Validation, day: str) -> str:
    """The part of docs/evidence/validation.md that a run on ``day`` writes."""
    timed = [o for o in report.outcomes if o.metric != "memory"]
    served = [o for o in timed if o.table.startswith("e2e_")]
    kept_back = [o for o in timed if o.table.startswith("op_") and o.regime == "held-out"]
    left = [
        f"| {u.table} | {u.reason} | {u.n} |"
        for u in report.uncovered
        if u.table.startswith(("op_", "e2e_"))
    ]
    names = ("table", "metric", "regime")
    more = ("model", "device", "format", "software")
    tables = (
        ("validation-tables", "All tables", table_of(summary(timed), names)),
        ("validation-served", "By model and engine", table_of(group(served), (*names, *more))),
        (
            "validation-operators",
            "Operators by device, software and format",
            table_of(group(kept_back), ("table", "device", "software", "format")),
        ),
        (
            "validation-not-predicted",
            "Rows without a prediction",
            ["| table | reason | rows |", "|---|---|---:|", *left],
        ),
    )
    every = (moved(*one) for one in tables)
    return "\n".join((_shown(timed, day), *every))


def main() -> None:
    """Write both files from the tables in the folder named on the command line."""
    report = validate(Path(sys.argv[1]))
    day = sys.argv[2] if len(sys.argv) > 2 else date.today().isoformat()
    insert(PAGE, page(report, day), "times")
    silicon = [o for o in report.outcomes if o.table.startswith("e2e_silicon")]
    every = moved("served-models", "By model and engine", served_table(report.outcomes))
    both = moved("served-headlines", "p90, and with left-out rows", headline_table(silicon))
    told = f"Run on {day}; headlines and coverage stand with [all times](validation.md#times)."
    insert(SERVED_PAGE, f"{told}\n\n{both}\n{every}", "served models")
    print("wrote", *(p.relative_to(ROOT) for p in (PAGE, SERVED_PAGE)))


if __name__ == "__main__":
    main()
