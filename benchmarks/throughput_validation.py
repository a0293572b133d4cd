"""``python benchmarks/throughput_validation.py DIR [DATE]``: the errors of ``plan validate --data
DIR`` as docs/evidence/validation.md with the date of the run (today). What plans quote of them is
written by benchmarks/evidence.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

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
MARKS = ("<!-- served models -->\n", "<!-- end of served models -->\n")
SERVED = ("aggregated", "disaggregated")
INTRODUCTION = """# Predictions against measurements

How far predicted times are from measured ones. Written by `make evaluate-throughput DATA=DIR`; each
figure is computed by `plan validate`. Errors are (predicted − measured) / measured in percent: n of
the group's rows predicted, mean, median and 90th percentile of their size, bias (the mean with its
sign), and the share of rows inside the 80 % interval. Means hide errors that cancel between models,
so every model and engine stands alone.

Operators are fitted to two thirds of the shapes of the operator tables of PyPI aiconfigurator-core
0.12.0 (NVIDIA, Apache-2.0); **held-out** rows are of the other third. Time per token is composed of
operators and not fitted to served models, but for two figures of the host by engine version that
were read off served rows: its work a step (five rows of Qwen3-32B, which then serve most of the
dense rows) and the least time of a layer of a prompt. Rows that supplied them are excluded, and
every row is predicted again without the host's work ("host time left out"). Rows with a stated
reason are predicted and counted as **excluded: REASON**; the first table has every figure with them
and without. The "in 80 %" of a *fitted* group is near 80 by construction: the width of its interval
was taken from those rows. By device, stack and scheme:
[validation-operators.md](validation-operators.md); memory:
[validation-memory.md](validation-memory.md). `plan validate` alone runs on a sample of these rows
that ships with the package, `--plot FILE.svg` draws it.
"""


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
    """Every headline without and with the excluded rows, and how intervals cover."""
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
    told = [
        f"{c.what.upper()}: {c.inside} of {c.groups} groups (model, engine version, device, "
        f"format, pools) with at least {LEAST_GROUP} rows have {BAND[0]:.0f} to "
        f"{BAND[1]:.0f} % of them inside the 80 % interval."
        for c in covered(outcomes)
    ]
    return "\n".join([*lines, "", *told]) + "\n"


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


def between(text: str, table: str) -> str:
    """``text`` with what stands between its MARKS replaced by ``table``."""
    head, _, rest = text.partition(MARKS[0])
    _, _, tail = rest.partition(MARKS[1])
    return head + MARKS[0] + "\n" + table + "\n" + MARKS[1] + tail


def page(report: Validation, day: str) -> str:
    """docs/evidence/validation.md of a run on ``day``."""
    timed = [o for o in report.outcomes if o.metric != "memory"]
    served = [o for o in timed if o.table.startswith("e2e_")]
    operators = [o for o in timed if o.table.startswith("op_")]
    left = [
        f"| {u.table} | {u.reason} | {u.n} |"
        for u in report.uncovered
        if u.table.startswith(("op_", "e2e_"))
    ]
    return "\n".join(
        (
            INTRODUCTION,
            f"Run on {day}.\n",
            "## Headlines\n",
            headline_table(timed),
            "## All tables\n",
            table_of(summary(timed), ("table", "metric", "regime")),
            "## Served models, by model and engine\n",
            table_of(
                group(served),
                ("table", "metric", "regime", "model", "device", "format", "software"),
            ),
            "## Operators on shapes that no fit saw\n",
            table_of(
                group(o for o in operators if o.regime == "held-out"),
                ("table", "device", "software", "format"),
            ),
            "## Rows without a prediction\n",
            "| table | reason | rows |\n|---|---|---:|\n" + "\n".join(left) + "\n",
        )
    )


def main() -> None:
    """Write both files from the tables in the folder named on the command line."""
    report = validate(Path(sys.argv[1]))
    day = sys.argv[2] if len(sys.argv) > 2 else date.today().isoformat()
    PAGE.write_text(page(report, day), encoding="utf-8")
    both = headline_table([o for o in report.outcomes if o.table.startswith("e2e_silicon")])
    SERVED_PAGE.write_text(
        between(
            SERVED_PAGE.read_text(encoding="utf-8"),
            f"Run on {day}.\n\n{both}\n{served_table(report.outcomes)}",
        ),
        encoding="utf-8",
    )
    print("wrote", *(p.relative_to(ROOT) for p in (PAGE, SERVED_PAGE)))


if __name__ == "__main__":
    main()
