"""``plan explain`` of a plan in pools as text: each pool, other numbers of workers, limits."""

from __future__ import annotations

from planner.planning.explain.records import PoolChoices, PoolsExplanation, PoolSplit
from planner.report.terminal.choice import limits_text, unit_lines
from planner.report.terminal.columns import table_lines, wrapped
from planner.report.terminal.headline import headline
from planner.units import format_rate, format_seconds

PASS = {"prefill": ("pass", "fullest pass"), "decode": ("step", "step at the plan's batch")}
"""What a pool's worker repeats, in a word and in words."""


def pool_choice_text(found: PoolsExplanation) -> str:
    """The whole answer; ends with a newline."""
    parts = [
        "\n".join(line for part in headline(found.plan) for line in wrapped(part)),
        "\n".join(_optimum(found) + _limited(found)),
    ]
    parts += [_pool(one) for one in found.pools]
    parts += [_splits(found), limits_text(found)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _optimum(found: PoolsExplanation) -> list[str]:
    """What the best pools have over the plan's."""
    gain = found.better_by
    if abs(gain) < 1e-4:
        return []
    told = (
        f"recommended for being simple; the best pools (--exact) are {gain:.1%} better on paper"
        if gain > 0
        else "recommended; the best pools at the limit on loss itself "
        f"(--exact) are {-gain:.1%} worse"
    )
    return wrapped(told, "  ")


def _limited(found: PoolsExplanation) -> list[str]:
    """Which pool sets the rate, and what the other has to spare."""
    pools = found.plan.deployment
    assert pools is not None
    one, two = pools.prefill, pools.decode
    if pools.limit == "transfer":
        return wrapped("the link sets the rate: neither pool gains by being faster", "  ")
    if pools.limit == "prefill":
        told = (
            "prefill sets the rate: what shortens its passes gives tokens/s, what shortens a "
            "decode step gives only TPOT: at full batches decode has "
            f"{1 - two.utilisation:.0%} to spare"
        )
    else:
        told = (
            "decode sets the rate: what shortens its steps gives tokens/s, what shortens a "
            f"pass of prefill gives only TTFT: it is {one.utilisation:.0%} busy, 90% at most"
        )
    return wrapped(told, "  ")


def _pool(one: PoolChoices) -> str:
    noun, words = PASS[one.name]
    kept = "" if one.again else ", others kept"
    text = (
        f"{one.name}, {format_seconds(one.seconds)} a {words}: why each unit has its scheme, "
        f"and what the next best costs the {noun}{kept}"
    )
    fixed = wrapped("kept as released: " + ", ".join(one.released), "  ") if one.released else []
    return "\n".join([*wrapped(text), *unit_lines("latency", (noun, "time"), one.units), *fixed])


def _splits(found: PoolsExplanation) -> str:
    """Other numbers of the plan's workers."""
    if len(found.splits) < 2:
        return ""
    rows = [
        ("prefill", "decode", "devices", "tokens/s", "set by", ""),
        *(_split(one) for one in found.splits),
    ]
    return "\n".join(
        [
            *wrapped("other numbers of these workers, at full batches"),
            *table_lines(rows, left=(4, 5), gap=2),
        ]
    )


def _split(one: PoolSplit) -> tuple[str, ...]:
    return (
        str(one.prefill_workers),
        str(one.decode_workers),
        str(one.devices),
        format_rate(one.output_tokens_per_second),
        one.limit,
        "this plan" if one.own else "",
    )
