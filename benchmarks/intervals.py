"""``python benchmarks/intervals.py DIR``: what composed TPOT and TTFT are off beside the errors of
their operators, from the rows of ``e2e_silicon*.csv`` in DIR, as
planner/planning/data/composition_errors.toml; and the coverage that follows, group by group.

σ of an entry is the least that, in quadrature with the operators' own, holds 80 % of the residuals
of its rows, each group (software, model, device, format) weighing alike. An entry ``without`` a
model serves that model on that engine and rests on all other pairs of model and engine of its
kind, so that no row sets its own width. Other models of an engine take the spread of its own rows
where those are of two models in three groups or more, else that of all engines.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import hypot, log, sqrt
from pathlib import Path

from planner.lab.validation.e2e_silicon import engine_of
from planner.lab.validation.records import Outcome
from planner.lab.validation.run import validate
from planner.lab.validation.served import spec_of
from planner.planning.price.measured_errors import KINDS, Z80, common_sigma

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "planner" / "planning" / "data" / "composition_errors.toml"
METRICS = ("tpot", "ttft")
HEADLINES = {"aggregated": "", "disaggregated": "pooled"}
FEWEST_GROUPS = 3
LEAST = 0.02
"""What repeats of one configuration differ by."""
INSIDE = 0.80
FEW = 10


@dataclass(frozen=True)
class Residual:
    """log(measured/predicted) of a row and the operators' standard deviation of it."""

    metric: str
    engine: str
    kind: str
    model: str
    group: tuple[str, ...]
    size: float
    operators: float


def residuals(outcomes: Iterable[Outcome]) -> list[Residual]:
    """Of all headline rows."""
    found = []
    for one in outcomes:
        if one.predicted is None or one.regime not in HEADLINES:
            continue
        engine, experts = engine_of(one.software), spec_of(one.model).experts is not None
        kind = HEADLINES[one.regime] or ("moe" if experts else "dense")
        common = common_sigma(one.metric, engine, one.model, kind)
        whole = log(one.high / one.predicted) / Z80
        found.append(
            Residual(
                one.metric,
                engine,
                kind,
                one.model,
                (one.software, one.model, one.device, one.format, kind),
                abs(log(one.measured / one.predicted)),
                sqrt(max(whole**2 - common**2, 0.0)),
            )
        )
    return found


def least_sigma(rows: Sequence[Residual]) -> float:
    """The least common term that holds INSIDE of ``rows``, groups weighing alike."""
    sizes = Counter(r.group for r in rows)

    def held(common: float) -> float:
        return sum(
            1 / sizes[r.group] for r in rows if r.size <= Z80 * hypot(r.operators, common)
        ) / len(sizes)

    low, high = LEAST, 3.0
    if held(low) >= INSIDE:
        return low
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if held(middle) >= INSIDE else (middle, high)
    return high


def rows_for(
    rows: Sequence[Residual],
    metric: str,
    engine: str,
    kind: str,
    without: str,
) -> tuple[str, list[Residual]]:
    """(whose they are, rows) that an entry rests on."""
    mine = [r for r in rows if r.metric == metric and r.kind == kind]
    if without:
        left = [r for r in mine if (r.model, r.engine) != (without, engine)]
        return f"other models and engines, {kind}", left or mine
    own = [r for r in mine if r.engine == engine]
    if len({r.group for r in own}) >= FEWEST_GROUPS and len({r.model for r in own}) >= 2:
        return f"{kind} on {engine}", own
    return f"{kind} on all engines", mine


def entries(rows: Sequence[Residual]) -> str:
    """The data file."""
    lines = [
        "# Written by `python benchmarks/intervals.py DIR` from the headline rows of",
        "# e2e_silicon_shared.csv and e2e_silicon_shared_2.csv (served models of PyPI",
        "# aiconfigurator-core 0.12.0, NVIDIA, Apache-2.0). `rows`, `groups`: its evidence.",
    ]
    pairs = sorted({(r.kind, r.engine, r.model) for r in rows})
    engines = sorted({r.engine for r in rows})
    for metric in METRICS:
        for kind in KINDS:
            wanted = [(engine, "") for engine in (*engines, "any")]
            wanted += [(engine, model) for k, engine, model in pairs if k == kind]
            for engine, without in sorted(wanted):
                name, some = rows_for(rows, metric, engine, kind, without)
                lines += [
                    "[[entry]]",
                    f'metric = "{metric}"',
                    f'engine = "{engine}"',
                    f'kind = "{kind}"',
                    f'without = "{without}"',
                    f"sigma = {least_sigma(some):.3f}",
                    f'of = "{name}"',
                    f"rows = {len(some)}",
                    f"groups = {len({r.group for r in some})}",
                ]
    return "\n".join(lines) + "\n"


def coverage(outcomes: Iterable[Outcome]) -> str:
    """Share of groups with enough rows whose coverage is from 72 to 88 %, by metric."""
    groups: dict[tuple[str, ...], list[bool]] = {}
    for one in outcomes:
        if one.predicted is not None and one.regime in HEADLINES:
            groups.setdefault(
                (one.metric, one.software, one.model, one.device, one.format, one.regime), []
            ).append(one.inside)
    lines = []
    for metric in METRICS:
        mine = {k: v for k, v in groups.items() if k[0] == metric and len(v) >= FEW}
        good = sum(0.72 <= sum(v) / len(v) <= 0.88 for v in mine.values())
        rows = [x for v in mine.values() for x in v]
        lines.append(
            f"{metric}: {good} of {len(mine)} groups in 72 to 88 %, "
            f"{sum(sum(v) / len(v) < 0.72 for v in mine.values())} below; all rows "
            f"{sum(rows) / max(len(rows), 1):.0%}"
        )
    return "\n".join(lines)


def main(directory: str) -> None:
    """Write the data file; say what it makes of the coverage."""
    outcomes = validate(directory, only="e2e_silicon").outcomes
    print("before\n" + coverage(outcomes))
    DATA.write_text(entries(residuals(outcomes)), encoding="utf-8")
    print(f"written: {DATA.relative_to(ROOT)}; run again to see the coverage that follows")


if __name__ == "__main__":
    main(sys.argv[1])
