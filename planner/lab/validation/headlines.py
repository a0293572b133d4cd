"""The few figures of a comparison that people quote, each with and without what is excluded.

An exclusion by a rule is honest only where the figure with it stands beside the one without.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from planner.errors import PlannerError
from planner.lab.validation.errors import ErrorSummary, summarise
from planner.lab.validation.records import EXCLUDED, WITHOUT_HOST, Outcome
from planner.models.catalog import resolve_model

REPEATED = EXCLUDED + WITHOUT_HOST
"""Rows that are predicted a second time: no exclusion."""
SERVED = ("aggregated", "disaggregated")
HELD_OUT = "held-out"
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
    found: dict[str, tuple[list[Outcome], list[Outcome]]] = {}
    for o in outcomes:
        name = _what(o)
        if name and o.predicted is not None and o.regime != REPEATED:
            kept, left = found.setdefault(name, ([], []))
            (left if o.regime.startswith(EXCLUDED) else kept).append(o)
    return tuple(_headline(name, *found[name]) for name in sorted(found) if found[name][0])


def covered(outcomes: Iterable[Outcome]) -> tuple[Covered, ...]:
    """Coverage of served models by model, engine version, device and format."""
    found: dict[str, dict[tuple[str, ...], list[bool]]] = {}
    for o in outcomes:
        if o.predicted is not None and o.regime in SERVED and o.table.startswith("e2e_silicon"):
            key = (o.model, o.software, o.device, o.format, o.regime)
            found.setdefault(o.metric, {}).setdefault(key, []).append(o.inside)
    return tuple(_covered(metric, list(groups.values())) for metric, groups in found.items())


def _covered(metric: str, groups: Sequence[Sequence[bool]]) -> Covered:
    shares = [100 * sum(g) / len(g) for g in groups if len(g) >= LEAST_GROUP]
    return Covered(metric, len(shares), sum(BAND[0] <= s <= BAND[1] for s in shares))


def _headline(name: str, kept: Sequence[Outcome], left: Sequence[Outcome]) -> Headline:
    errors = [o.error_percent for o in kept]
    return Headline(
        name,
        summarise(errors),
        100 * sum(o.inside for o in kept) / len(kept),
        summarise([*errors, *(o.error_percent for o in left)]),
    )


def _what(o: Outcome) -> str:
    """The figure that a row belongs to, empty for none."""
    if o.table.startswith("e2e_silicon"):
        pools = "two pools" if o.mode == "disagg" else "one pool"
        return f"{o.metric.upper()}, {_class(o.model)}, {pools}"
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
