"""docs/evidence/closed-loop.md from what the loop measured; what is missing is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.closed_loop.tables import (
    ANSWER,
    COUNTED,
    QUANTITIES,
    THE_ANSWER,
    Figure,
    beaten_by,
    coverage,
    figures,
    names,
    ratio_error,
    rivals,
    unseen,
)
from evaluation.pages import moved
from planner.lab.verifying.predict import LESS

HEAD = """# Plans run by real engines

Plans made for this machine ({machine}) are quantised, loaded and run by llama.cpp and vLLM, beside
the engine's own types, and compared with what was predicted. Both models are moved off the 4-bit
grid of their releases (`evaluation/closed_loop/off_grid.py`); *loss* is the mean KL from that BF16
checkpoint [nats], *flips* the share of changed top-1 tokens. In the data a prediction with its 80
% interval stands before the slash, the measured value after it; **bold** lies outside. Made by
`make engines` in about an hour on two free cores.
"""
ON_VLLM = (
    "file_bytes",
    "weight_bytes",
    "cache_tokens",
    "decode_seconds",
    "tokens_second",
    "prefill_seconds",
    "kl",
    "flips",
)
_UNITS = {
    "file_bytes": "MB",
    "weight_bytes": "MB loaded",
    "cache_tokens": "tokens of cache",
    "tokens_second": "tokens/s",
    "decode_seconds": "ms a token",
    "prefill_seconds": "ms of the prompt",
    "kl": "loss",
    "flips": "flips",
}


def page(
    loops: Sequence[Mapping[str, Any]],
    vllm: Sequence[Mapping[str, Any]],
    missing: Mapping[str, str],
    machine: str,
    head: str = HEAD,
) -> str:
    """The whole page."""
    single = [once(loop) for loop in loops]
    before = [row for loop in single for row in figures(loop, "before")]
    after = [row for loop in single for row in figures(loop, "after")]
    parts = [head.format(machine=machine)]
    if missing:
        parts.append(
            "\n".join(
                [
                    "## Missing from this run",
                    "",
                    *(f"* **{name}**: {why}" for name, why in missing.items()),
                ]
            )
        )
    if before:
        parts += [summary(before, after), errors(single)]
    for loop in loops:
        parts += [model_part(loop)]
    parts += [vllm_part(found) for found in vllm]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def summary(before: Sequence[Figure], after: Sequence[Figure]) -> str:
    """How often intervals hold, over all rows."""
    inside, told = coverage(before)
    learned, all_learned = coverage(after)
    return (
        f"**Inside the 80 % intervals: {inside} of {told} figures before anything was learned "
        f"here, {learned} of {all_learned} after** (the engine's own types and the answer, "
        "from which was learned, count on both sides)."
    )


def errors(loops: Sequence[Mapping[str, Any]]) -> str:
    """Median factor between predicted and measured, before and after learning."""
    out = [
        "## Errors before and after learning",
        "",
        "Before: a prior, for a machine that was only looked at. After: with the profile and the "
        "operator times that the run of the engine's own types left (`plan measure`, `plan "
        "calibrate`). *New* are plans that had no part in what they are predicted with; a file "
        "that two rounds chose counts once. Median factors, with the number of figures:",
        "",
    ]
    sides = [[list(figures(loop, when)) for loop in loops] for when in ("before", "after")]
    rounds = list(dict.fromkeys(r.round for side in sides[0] for r in side))
    kinds = [*((f"new, losses from {one}", one, True) for one in rounds), ("of a type", "", False)]
    out += [
        "| quantity | " + " | ".join(told for told, _, _ in kinds) + " |",
        "|---|" + "---|" * len(kinds),
    ]
    for quantity in COUNTED:
        cells = [
            _before_after(
                *(
                    [
                        r
                        for every in side
                        for r in _plans(every, new=new)
                        if r.quantity == quantity and round_ in ("", r.round)
                    ]
                    for side in sides
                )
            )
            for _, round_, new in kinds
        ]
        if any(cell != "–" for cell in cells):
            out.append(f"| {quantity} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def _before_after(before: Sequence[Figure], after: Sequence[Figure]) -> str:
    """Median factors before and after learning, with how many figures they are of."""
    first, then = ratio_error(before), ratio_error(after)
    if first is None:
        return "–"
    return f"{first:.2f} → {'–' if then is None else f'{then:.2f}'} ({len(before)})"


def once(loop: Mapping[str, Any]) -> dict[str, Any]:
    """The loop without the plans whose file an earlier round made: they were run once."""
    return {**loop, "runs": [run for run in loop["runs"] if "same_as" not in run]}


def _plans(rows: Sequence[Figure], *, new: bool) -> list[Figure]:
    """The rows of plans at the limits, of those that are ``new`` or of the others, round by
    round."""
    types = [row for row in rows if not row.name.startswith("plan")]
    out: list[Figure] = []
    for round_ in dict.fromkeys(row.round for row in rows if row.name.startswith("plan")):
        plans = [row for row in rows if row.round == round_ and row.name.startswith("plan")]
        fresh = {row.name for row in unseen([*rivals(types, round_), *plans])}
        out += [row for row in plans if (row.name in fresh) is new]
    return out


def model_part(loop: Mapping[str, Any]) -> str:
    """What was run, round by round, as data; which plans a type of the engine beats."""
    rows = list(figures(loop, "before"))
    types = [row for row in rows if not row.name.startswith("plan")]
    out: list[str] = []
    said: dict[str, None] = {}
    for round_ in dict.fromkeys(row.round for row in rows if row.name.startswith("plan")):
        of_round = [r for r in rows if r.round == round_ and r.name.startswith("plan")]
        held = [*rivals(types, round_), *of_round]
        out += [f"## Losses from {round_}", "", *table(held), ""]
        said[domination(held)] = None
    if not out:
        out += [*table(types), ""]
    after = [row for row in figures(loop, "after") if row.name.startswith("plan")]
    for round_ in dict.fromkeys(row.round for row in after):
        out += [
            f"## Losses from {round_}, predicted again after learning",
            "",
            *table([row for row in after if row.round == round_]),
            "",
        ]
    mixes = [_mix(run) for run in loop["runs"] if "formats" in run]
    parts = [
        f"## {loop['model']} on llama.cpp",
        "",
        *said,
        moved(f"closed-loop-{loop['model']}-llama.cpp", "Every run", out),
    ]
    if mixes:
        parts.append(moved(f"closed-loop-{loop['model']}-mixes", "Modules by format", mixes))
    return "\n".join(parts)


def _mix(run: Mapping[str, Any]) -> str:
    """Modules by format of the plan of a limit, and whose file it is where that was made before."""
    where = f"{run['round']}, " if "round" in run else ""
    told = ", ".join(f"{scheme} {count}" for scheme, count in run["formats"].items())
    same = f" (the file of {run['same_as']}, run once)" if "same_as" in run else ""
    return f"* {where}≤ {run['limit']}: {told}{same}"


def table(rows: Sequence[Figure], quantities: Sequence[str] = QUANTITIES) -> list[str]:
    """One line for each thing that was run, the largest file first."""
    heads = [_UNITS[quantity] for quantity in quantities]
    out = ["| what | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for name in names(rows):
        cells = [
            cell(next((r for r in rows if (r.name, r.quantity) == (name, quantity)), None))
            for quantity in quantities
        ]
        out.append(f"| {name} | " + " | ".join(cells) + " |")
    return out


def cell(row: Figure | None) -> str:
    """Predicted [interval] / measured; bold where it lies outside."""
    if row is None:
        return "–"
    said = "–" if row.measured is None else number(row.measured, row.quantity)
    if row.inside is False:
        said = f"**{said}**"
    if row.predicted is None or row.low is None or row.high is None:
        return f"– / {said}"
    return (
        f"{number(row.predicted, row.quantity)} [{number(row.low, row.quantity)}, "
        f"{number(row.high, row.quantity)}] / {said}"
    )


def number(value: float, quantity: str) -> str:
    """A value in the unit of its column."""
    if quantity in ("file_bytes", "weight_bytes"):
        return f"{value / 1e6:.1f}"
    if quantity == "cache_tokens":
        return f"{value:,.0f}"
    if quantity.endswith("_seconds"):
        return f"{value * 1e3:.3g}"
    return f"{value:.1%}" if quantity == "flips" else f"{value:.3g}"


def domination(rows: Sequence[Figure]) -> str:
    """Which plans, the answer among them, one of the engine's types beats in bytes, loss and time
    together; pairs that were not measured in all three are counted."""
    plans = [name for name in names(rows) if name.startswith(("plan", THE_ANSWER))]
    types = [name for name in names(rows) if name not in plans]
    found = {(plan, other): beaten_by(rows, plan, other) for plan in plans for other in types}
    beaten = [pair for pair, worse in found.items() if worse]
    open_ = sum(worse is None for worse in found.values())
    left = f" {open_} of {len(found)} pairs were not measured in all three." if open_ else ""
    if not beaten:
        return (
            "No plan is beaten by one of the engine's types in bytes, loss and time together."
            + left
        )
    return (
        "Beaten in bytes, loss and time together: "
        + "; ".join(f"{plan} by {other}" for plan, other in beaten)
        + "."
        + left
    )


def vllm_part(found: Mapping[str, Any]) -> str:
    """What was run on vLLM: each checkpoint's sizes, cache, times and losses."""
    plans = found.get("plans", [])
    rows = list(
        figures(
            {
                "model": found["model"],
                "runs": [
                    {"name": ANSWER, "round": "", "limit": "", "before": found},
                    *(
                        {"name": "", "round": "", "limit": one["limit"], "before": one["found"]}
                        for one in plans
                        if "found" in one
                    ),
                ],
            },
            "before",
        )
    )
    setting = found["setting"]
    fewer = [note.replace(f"{LESS}: ", "") for note in found["notes"] if LESS in note]
    name = f"closed-loop-{found['model']}-vllm"
    out = [
        f"## {found['model']} on vLLM {found['engine']['version']}, CPU back end",
        "",
        f"{setting['threads']} threads, one sequence: {setting['prompt_tokens']} tokens of "
        f"prompt, {setting['output_tokens']} after it, the least of {setting['repeats']} runs; "
        f"losses on {setting['kl_chunks']} pieces of {setting['kl_context_tokens']} tokens. "
        + "".join(f"Less was measured: {note}. " for note in fewer)
        + (f"*The answer* is {found['plan_is']} throughout. " if found.get("plan_is") else ""),
        moved(name, "Every run", table([*rows, *map(per_second, rows)], ON_VLLM)),
    ]
    if plans:
        out.append(moved(f"{name}-mixes", "Modules by format", map(_mix, plans)))
    return "\n".join(out)


def per_second(row: Figure) -> Figure:
    """The row of decoded tokens per second of one of seconds per token; others as they are."""
    if row.quantity != "decode_seconds":
        return row
    turned = [
        None if not value else 1 / value
        for value in (row.predicted, row.high, row.low, row.measured)
    ]
    return Figure(row.model, row.engine, row.round, row.name, "tokens_second", *turned, 0.0)
