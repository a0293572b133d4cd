"""Statistics of percent errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from planner.base.errors import PlannerError
from planner.lab.validation.records import (
    EXCLUDED,
    REASONS,
    WITHOUT_HOST,
    Group,
    Outcome,
    Uncovered,
    Validation,
)
from planner.models.catalog import resolve_model


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """Errors of ``n`` predictions [%]; every figure None for none."""

    n: int
    mape: float | None
    median_ape: float | None
    p90_ape: float | None
    bias: float | None


def summarise(errors: Sequence[float]) -> ErrorSummary:
    """Mean, median and 90th percentile of absolute errors, and the mean signed error [%]."""
    if not errors:
        return ErrorSummary(0, None, None, None, None)
    sizes = sorted(abs(error) for error in errors)
    return ErrorSummary(
        len(errors),
        sum(sizes) / len(sizes),
        quantile(sizes, 0.5),
        quantile(sizes, 0.9),
        sum(errors) / len(errors),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The ``share`` quantile of ascending values, linear between neighbours."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


REPEATED = EXCLUDED + WITHOUT_HOST
"""Rows that are predicted a second time: no exclusion."""
SERVED = ("aggregated", "disaggregated")
HELD_OUT = "held-out"
METRIC_WORDS = {"tpot": "TPOT", "ttft": "TTFT", "throughput": "throughput"}
_OPERATORS = {
    "op_gemm": "GEMM",
    "op_attn_context": "prefill attention",
    "op_attn_generation": "decode attention",
    "op_mla": "MLA",
    "op_moe_a2a": "exchange",
    "op_moe": "experts",
    "op_comm": "collectives",
    "op_quantize": "quantise",
    "op_attn_module": "attention modules",
    "op_linear_attention": "linear attention",
}
BAND = (72.0, 88.0)
"""Coverage [%] of an interval that says 80 %, in a group of LEAST_GROUP rows or more."""
LEAST_GROUP = 10


@dataclass(frozen=True, slots=True)
class Headline:
    """One figure: errors [%] without the excluded rows, with them, and the share [%] of the former
    inside their interval."""

    what: str
    without: ErrorSummary
    coverage80: float | None
    together: ErrorSummary

    def to_dict(self) -> dict[str, Any]:
        """The figure as JSON values: n, median, mean and coverage80, then ``all_`` of the first
        three."""
        mine, both = self.without, self.together
        return {
            "what": self.what,
            "n": mine.n,
            "median": mine.median_ape,
            "mean": mine.mape,
            "coverage80": self.coverage80,
            "all_n": both.n,
            "all_median": both.median_ape,
            "all_mean": both.mape,
        }


@dataclass(frozen=True, slots=True)
class Covered:
    """Of ``groups`` with LEAST_GROUP rows or more, those whose coverage lies in BAND."""

    what: str
    groups: int
    inside: int


def headlines(outcomes: Iterable[Outcome]) -> tuple[Headline, ...]:
    """Figures of served models by kind and pools, of operators on shapes no fit saw."""
    by_name: dict[str, tuple[list[Outcome], list[Outcome]]] = {}
    for o in outcomes:
        name = _what(o)
        if name and o.predicted is not None and o.regime != REPEATED:
            included, left = by_name.setdefault(name, ([], []))
            (left if o.regime.startswith(EXCLUDED) else included).append(o)
    return tuple(_headline(name, *by_name[name]) for name in sorted(by_name) if by_name[name][0])


def covered(outcomes: Iterable[Outcome]) -> tuple[Covered, ...]:
    """Coverage of served models by model, engine version, device and format."""
    members: dict[str, dict[tuple[str, ...], list[bool]]] = {}
    for o in outcomes:
        if o.predicted is not None and o.regime in SERVED and o.table.startswith("e2e_silicon"):
            key = (o.model, o.software, o.device, o.format, o.regime)
            members.setdefault(o.metric, {}).setdefault(key, []).append(o.inside)
    return tuple(_covered(metric, list(groups.values())) for metric, groups in members.items())


def _covered(metric: str, groups: Sequence[Sequence[bool]]) -> Covered:
    shares = [100 * sum(g) / len(g) for g in groups if len(g) >= LEAST_GROUP]
    return Covered(metric, len(shares), sum(BAND[0] <= s <= BAND[1] for s in shares))


def _headline(name: str, included: Sequence[Outcome], left: Sequence[Outcome]) -> Headline:
    errors = [o.error_percent for o in included]
    return Headline(
        name,
        summarise(errors),
        100 * sum(o.inside for o in included) / len(included),
        summarise([*errors, *(o.error_percent for o in left)]),
    )


def _what(o: Outcome) -> str:
    """The figure that a row belongs to, empty for none."""
    if o.table.startswith("e2e_silicon"):
        pools = "two pools" if o.mode == "disagg" else "one pool"
        return f"{METRIC_WORDS[o.metric]}, {_class(o.model)}, {pools}"
    for kind in sorted(_OPERATORS, key=len, reverse=True):
        if o.table == kind or o.table.startswith(kind + "_"):
            if o.regime != HELD_OUT and not o.regime.startswith(EXCLUDED):
                return ""
            words = _OPERATORS[kind]
            return f"{words}, {o.format}" if kind == "op_gemm" else words
    return ""


@cache
def _class(model: str) -> str:
    try:
        return "experts" if resolve_model(model).experts is not None else "dense"
    except PlannerError:
        return "unknown model"


_KEY = (
    "table",
    "metric",
    "device",
    "software",
    "model",
    "format",
    "regime",
    "engine",
    "quantity",
    "mode",
)


def group(outcomes: Iterable[Outcome]) -> tuple[Group, ...]:
    """Groups of outcomes that agree in all of the group's keys, in order of the keys."""
    members: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        key = tuple(str(getattr(outcome, name)) for name in _KEY)
        members.setdefault(key, []).append(outcome)
    return tuple(_group(key, members[key]) for key in sorted(members))


def summary(outcomes: Iterable[Outcome]) -> tuple[Group, ...]:
    """Groups without telling devices, versions, models and formats apart, for people."""
    return group(replace(o, device="", software="", model="", format="") for o in outcomes)


def _group(key: tuple[str, ...], members: Sequence[Outcome]) -> Group:
    done = [o for o in members if o.predicted is not None]
    errors = summarise([o.error_percent for o in done])
    inside = 100.0 * sum(o.inside for o in done) / len(done) if done else None
    table, metric, device, software, model, fmt, regime, engine, quantity, mode = key
    return Group(
        table=table,
        metric=metric,
        device=device,
        software=software,
        model=model,
        format=fmt,
        regime=regime,
        engine=engine,
        quantity=quantity,
        mode=mode,
        n=errors.n,
        n_rows=len(members),
        mape=errors.mape,
        median_ape=errors.median_ape,
        p90_ape=errors.p90_ape,
        bias=errors.bias,
        coverage80=inside,
    )


def uncovered(outcomes: Iterable[Outcome]) -> tuple[Uncovered, ...]:
    """Rows without a prediction by table and reason; a row counts once for each reason."""
    rows: dict[tuple[str, str], set[int]] = {}
    for outcome in outcomes:
        if outcome.predicted is None:
            rows.setdefault((outcome.table, outcome.reason), set()).add(outcome.row)
    return tuple(
        Uncovered(table, reason, len(lines)) for (table, reason), lines in sorted(rows.items())
    )


def worst(outcomes: Iterable[Outcome], count: int = 10) -> list[Outcome]:
    """The predictions furthest off, excluded rows left out, the largest error first."""
    done = [o for o in outcomes if o.predicted is not None and not o.regime.startswith("excluded")]
    return sorted(done, key=lambda o: (-abs(o.error_percent), o.table, o.row, o.mode))[:count]


def row_ranges(outcomes: Iterable[Outcome]) -> dict[tuple[str, str], str]:
    """(table, reason) → the numbers of the rows without a prediction, e.g. ``3-5, 9``."""
    rows: dict[tuple[str, str], set[int]] = {}
    for outcome in outcomes:
        if outcome.predicted is None:
            rows.setdefault((outcome.table, outcome.reason), set()).add(outcome.row + 1)
    return {key: _ranges(sorted(numbers)) for key, numbers in rows.items()}


def people(
    report: Validation,
) -> tuple[list[dict[str, Any]], ...]:
    """(headlines, kinds, groups, worst rows, reasons) of a report as the terminal shows them."""
    rows = row_ranges(report.outcomes)
    return (
        [h.to_dict() for h in headlines(report.outcomes)],
        [kind.to_dict() for kind in report.kinds],
        [g.to_dict() for g in summary(report.outcomes)],
        [o.to_dict() for o in worst(report.outcomes)],
        [
            {
                "table": u.table,
                "reason": u.reason,
                "n": u.n,
                "meaning": REASONS[u.reason],
                "rows": rows.get((u.table, u.reason), ""),
            }
            for u in report.uncovered
        ],
    )


def _ranges(numbers: Sequence[int]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(str(n) for n in part) for part in parts)
