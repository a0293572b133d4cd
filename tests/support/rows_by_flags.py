"""Measured rows as questions of ``planner.estimate``: its flags, or why there are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import planner
from planner.base.errors import PlannerError
from planner.lab.validation.e2e_silicon import ServedRow, resolved
from planner.lab.validation.records import NotCoveredError
from planner.lab.validation.served import device_of, layout_of, serve, spec_of

SAME = 1e-9


@dataclass
class Comparison:
    """Rows that were ``compared``, those that differ with the larger of both differences, and how
    many no flags ask for, by reason."""

    compared: int = 0
    differing: list[tuple[float, int, str]] = field(default_factory=list)
    listed: Counter[str] = field(default_factory=Counter)


def unasked(row: ServedRow) -> str:
    """Why no flags ask what a row was measured at; empty where they do."""
    if row.workers.prefill is not None:
        return "pools of prefill and decode workers: plan serve asks them"
    if row.software.partition(" ")[2].strip() in ("", "?"):
        return "version not stated"
    if not all(part.isdigit() for part in row.software.partition(" ")[2].split(".")[:2]):
        return "a version without a number"
    if row.case.one_sided:
        return "experts' tokens are written straight to their ranks"
    if row.policy.hold_steps or row.policy.balance_steps:
        return "prompts are held for others"
    return ""


def flags_of(row: ServedRow) -> dict[str, Any]:
    """The arguments of ``planner.estimate`` for a row that flags can ask."""
    case, recipe = row.case, row.case.recipe
    spec = spec_of(case.model)
    layout = layout_of(spec, case.engine, case.shape, recipe.experts)
    parts = [recipe.dense, *(f"{kind}={scheme}" for kind, scheme in recipe.kinds)]
    if spec.experts is not None:
        parts.insert(1, f"experts={recipe.experts}")
    schemes = {recipe.dense, recipe.experts, *(scheme for _, scheme in recipe.kinds)}
    return {
        "model": spec,
        "device": device_of(case.device),
        "devices": layout.ranks,
        **{axis: getattr(layout, axis) for axis in ("tp", "dp", "pp", "ep")},
        "batch": int(row.concurrency),
        "isl": case.isl,
        "osl": case.osl,
        "context": case.isl + case.osl,
        "kv": recipe.kv,
        "scheme": recipe.dense if len(schemes) == 1 else ",".join(parts),
        "engine": f"{case.engine}@" + ".".join(map(str, case.version)),
        "chunk_tokens": case.chunk,
        "requests": int(row.requests),
        "same_lengths": row.alike,
        "tpot_seconds": "none",
    }


def compare(rows: Iterable[tuple[int, Mapping[str, str]]]) -> Comparison:
    """What validation predicts for rows against what an estimate of their flags says."""
    out = Comparison()
    for number, row in rows:
        try:
            served = resolved(number, row)
            why = unasked(served)
            if why:
                out.listed[why] += 1
                continue
            wanted = serve(
                served.case,
                served.policy,
                served.concurrency,
                requests=served.requests,
                alike=served.alike,
            )
        except NotCoveredError as error:
            out.listed[f"no prediction: {error.reason}"] += 1
            continue
        if wanted.full:
            out.listed["the cache is full: an estimate refuses what does not fit"] += 1
            continue
        try:
            performance = planner.estimate(**flags_of(served)).performance
        except PlannerError as error:
            out.listed[f"refused: {error.message[:60]}"] += 1
            continue
        pairs = (
            (performance.tpot_seconds.value, wanted.tpot),
            (performance.ttft_seconds.value, wanted.ttft),
            (
                performance.output_tokens_per_second.value,
                served.concurrency
                * served.case.osl
                / (wanted.ttft + served.case.osl * wanted.tpot),
            ),
        )
        off = max(abs(ours / theirs - 1.0) for ours, theirs in pairs)
        out.compared += 1
        if off > SAME:
            out.differing.append((off, number, row["software"]))
    return out
