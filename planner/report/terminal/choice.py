"""``plan explain`` of a plan's choice as text: units, limits with their prices, tipping points."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from planner.base.units import GIB, format_bytes, format_rate, format_seconds
from planner.planning.explain.records import (
    Alternative,
    ChoiceExplanation,
    LimitPrice,
    PoolChoices,
    PoolsExplanation,
    PoolSplit,
    SwitchingPoint,
    UnitChoice,
)
from planner.planning.explain.switching_points import nearest_switch
from planner.planning.plan.record import Plan
from planner.planning.question.question import RATES
from planner.report.columns import table_lines, width_of_output, wrapped
from planner.report.phrases import phrases_on
from planner.report.render.terminal import text_of_view
from planner.report.view.answer import answer_head

MOST_CHANGES = 3
"""Differences between two plans that are printed; --json has all."""
WORDS = {
    "throughput": ("tokens/s", "more tokens/s"),
    "cost": ("cost", "cheaper tokens"),
    "latency": ("worse", "less TPOT"),
    "memory": ("memory", "less memory"),
    "quality": ("", "less loss"),
}


def choice_text(explanation: ChoiceExplanation) -> str:
    """The whole answer; ends with a newline."""
    parts = [head_text(explanation.plan)]
    if not explanation.best:
        parts.append(_not_best(explanation))
    parts += [_units(explanation), limits_text(explanation), _tipping(explanation)]
    return "\n\n".join(parts) + "\n"


def head_text(plan: Plan) -> str:
    """The plan's sentence and labelled lines."""
    return text_of_view(answer_head(phrases_on(plan.device.id, "en"), plan)).rstrip("\n")


def basis_text(explanation: ChoiceExplanation | PoolsExplanation) -> str:
    """How each part was found, for stderr."""
    lines = ["basis:"] + [line for text in explanation.basis for line in _wrap("  " + text, "    ")]
    return "\n".join([*lines, f"  solves: {explanation.solves} questions solved again"]) + "\n"


def _other(explanation: ChoiceExplanation) -> str:
    """What the optimum has over a plan, which may have been taken for being simple."""
    gain = f"{abs(explanation.better_by):.1%}"
    if explanation.plan.recommendation is None:
        return "another plan answers the question" + (
            f" {gain} better" if explanation.better_by > 0 else ""
        )
    if explanation.better_by < 0:  # its loss is inside the band of the limit that the optimum keeps
        return f"recommended; the optimum at the limit on loss itself (--exact) is {gain} worse"
    return f"recommended for being simple; the optimum (--exact) is {gain} better on paper"


def _not_best(explanation: ChoiceExplanation) -> str:
    texts = [f"this plan breaks the limit {explanation.breaks}"] if explanation.breaks else []
    if explanation.differs:
        texts.append(_other(explanation))
        texts.append("it has " + _some(explanation.differs))
        texts.append("prices and changes below are of that plan")
    return "\n".join(line for text in texts for line in _wrap(text, "  "))


def _units(explanation: ChoiceExplanation) -> str:
    lines = unit_lines(
        explanation.plan.objective,
        (WORDS[explanation.plan.objective][0], "TPOT"),
        explanation.units,
    )
    kept = all(unit.next_best is None for unit in explanation.units)
    text = "why each unit has its scheme, and what the next best costs the plan" + (
        ", others kept" if kept else ""
    )
    fixed = (
        _wrap("kept as released: " + ", ".join(explanation.released), "  ")
        if explanation.released
        else []
    )
    return "\n".join([*_wrap(text), *lines, *fixed])


def unit_lines(objective: str, nouns: tuple[str, str], units: Sequence[UnitChoice]) -> list[str]:
    """A table of units with their next best choices and what keeps better ones away; ``nouns`` are
    what the objective and the seconds are of."""
    head = ("unit", "scheme", "next best", *nouns, "GiB", "loss")
    table = _table([head, *(_row(objective, unit) for unit in units)])
    lines = [table[0]]
    for unit, text in zip(units, table[1:], strict=True):
        lines.append(text)
        lines += _note(unit)
    return lines


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line a row; where that is too wide, names stand on lines of their own."""
    lines = _aligned(rows, (0, 1, 2)).split("\n")
    if max(map(len, lines)) <= width_of_output():
        return lines
    rest = _aligned([row[1:] for row in rows], (0, 1)).split("\n")
    if max(map(len, rest)) + 2 > width_of_output():
        return [
            row[0] + "\n" + "\n".join(_wrap("  " + _words(rows[0], row), "    ")) for row in rows
        ]
    return [f"{row[0]}\n  {line}" for row, line in zip(rows, rest, strict=True)]


def _words(head: Sequence[str], row: Sequence[str]) -> str:
    """A row without its name in words: ``int8-w8a16, next best bf16: tokens/s -0.01%, TPOT …``."""
    if row is head:
        return ", ".join(row[1:])
    figures = ", ".join(
        f"{name} {cell}" for name, cell in zip(head[3:], row[3:], strict=True) if cell
    )
    return f"{row[1]}, next best {row[2]}" + (f": {figures}" if figures else "")


def _row(objective: str, unit: UnitChoice) -> tuple[str, ...]:
    name = unit.units[0] if len(unit.units) == 1 else f"{unit.units[0]} +{len(unit.units) - 1}"
    other = unit.next_best or unit.alone
    if other is None:
        return (name, unit.scheme, "none", "", "", "", "")
    first, *more = other.scheme.split(" + ")
    taken = first + (f" +{len(more)}" if more else "") + ("*" if other.where else "")
    return (
        name,
        unit.scheme,
        taken,
        _worse(objective, other),
        _signed_seconds(other.tpot_seconds),
        f"{other.bytes_per_device / GIB:+.2f}",
        f"{other.loss:+.1e}",
    )


def _worse(objective: str, other: Alternative) -> str:
    """The change of the objective: fewer tokens/s, more of what is to be small."""
    if objective == "quality":
        return ""
    if objective in RATES:
        change = 1 / (1 + other.objective) - 1
        return f"{change if objective == 'throughput' else other.objective:+.2%}"
    return f"{other.objective:+.2%}"


def _note(unit: UnitChoice) -> list[str]:
    """What keeps a better choice away, and where else the next best is."""
    tag, _, rest = unit.reason.partition(": ")
    texts = [unit.reason] if rest and tag not in ("best", "limits") else []
    if tag == "limits":
        texts.append("alone, every other choice breaks a limit")
    if unit.next_best is None and tag != "only":
        texts += ["no other choice was found that fits"] if unit.alone is None else []
    elif unit.next_best is not None and unit.next_best.where:
        texts.append(f"* at {unit.next_best.where}")
    return [line for text in texts for line in _wrap("  " + text, "    ")]


def limits_text(explanation: ChoiceExplanation | PoolsExplanation) -> str:
    """What each limit costs, and which bind."""
    noun = WORDS[explanation.plan.objective][1]
    lines = _wrap(f"what each limit costs ({noun}; solved again over all layouts and batches)")
    for price in explanation.limits:
        lines += _wrap(_limit(explanation, price), "  ")
    return "\n".join([*lines, *_wrap(f"binding: {explanation.binding}", "  ")])


def _limit(explanation: ChoiceExplanation | PoolsExplanation, price: LimitPrice) -> str:
    used = f"; used {_amount(price.unit, price.used)}" if price.step else ""
    amount = (
        _amount(price.unit, price.value)
        if price.step or price.unit == "bytes/s"
        else f"{price.value:g}"
    )
    value = f"{price.name} {amount} ({price.origin}{used})"
    texts = []
    if price.step and price.unit != "devices":
        step = f"{_amount(price.unit, price.step)} more"
        texts.append(f"{step} is worth {_worth(explanation, price.gain)}")
        if price.at_layout is not None and price.at_layout > 0:
            texts[-1] += f", {_share(explanation, price.at_layout)} at this layout and batch"
        if price.loss is not None and price.gain > 0 and price.name != "max-loss":
            unit = "nats" if explanation.loss_unit.startswith("nats") else "of relative loss"
            texts[-1] += f", as much as {price.loss:.2g} {unit}"
    texts.append(f"{price.removed}: {_worth(explanation, price.without)}")
    return f"{value}: {'; '.join(texts)}"


def _worth(explanation: ChoiceExplanation | PoolsExplanation, gain: float) -> str:
    if gain <= 0:
        return "nothing"
    share, size = _share(explanation, gain), gain * explanation.value
    if explanation.plan.objective == "throughput":
        return f"+{format_rate(size)} tokens/s a device ({share})"
    if explanation.plan.objective == "latency":
        return f"{format_seconds(-size)} of TPOT ({share})"
    if explanation.plan.objective == "memory":
        return f"{format_bytes(-size)} ({share})"
    if explanation.plan.objective == "quality":
        return f"{-size:.3g} of loss ({share})"
    return f"{share} tokens for the price"


def _share(explanation: ChoiceExplanation | PoolsExplanation, gain: float) -> str:
    more = explanation.plan.objective in RATES
    return f"{gain if more else -gain:+.2%}"


def _tipping(explanation: ChoiceExplanation) -> str:
    lines = _wrap("what would change the answer (the smallest change found, each way)")
    first = nearest_switch(explanation.tipping)
    if first is not None and first.other is not None:
        lines += _wrap(f"nearest: {first.figure} by {first.other / first.start - 1:+.1%}", "  ")
    same: list[str] = []
    left: list[str] = []
    for tip in explanation.tipping:
        if tip.status == "not tried":
            left.append(f"{tip.figure} {tip.direction}")
        elif tip.status == "none":
            same.append(f"{tip.figure} {_amount(tip.unit, tip.same)}")
        elif tip.other is not None:
            lines += _wrap(_tip(tip), "  ")
    if same:
        lines += _wrap("same plan as far as " + ", ".join(same), "  ")
    if left:
        lines += _wrap("not tried, raise --solves: " + ", ".join(left), "  ")
    return "\n".join(lines)


def _tip(tip: SwitchingPoint) -> str:
    assert tip.other is not None
    change = tip.other / tip.start - 1
    what = "no plan fits" if tip.status == "infeasible" else _some(tip.changes)
    same = "" if tip.same == tip.start else f", same plan to {_amount(tip.unit, tip.same)}"
    start = _amount(tip.unit, tip.start).removesuffix(f" {tip.unit}")
    return f"{tip.figure} {start} → {_amount(tip.unit, tip.other)} ({change:+.1%}{same}): {what}"


def _some(changes: Sequence[str]) -> str:
    more = len(changes) - MOST_CHANGES
    return "; ".join(changes[:MOST_CHANGES]) + (f"; and {more} more" if more > 0 else "")


def _amount(unit: str, value: float) -> str:
    if unit == "bytes a device":
        return format_bytes(value)
    if unit == "bytes/s":
        return f"{value / 1e9:,.0f} GB/s"
    if unit == "s":
        return format_seconds(value)
    if unit == "loss":
        return f"{value:.3g}"
    return f"{value:,.0f} {unit}".removesuffix(" devices")


def _signed_seconds(seconds: float) -> str:
    return (
        "0"
        if abs(seconds) < 5e-9
        else f"{seconds * 1e6:+.0f} µs"
        if abs(seconds) < 1e-3
        else f"{seconds * 1e3:+.3g} ms"
    )


def _wrap(line: str, indent: str = "") -> list[str]:
    start = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line.strip(),
        width_of_output(),
        initial_indent=start,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def _aligned(rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        " ".join(
            cell.ljust(w) if i in left else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


PASS = {"prefill": ("pass", "fullest pass"), "decode": ("step", "step at the plan's batch")}
"""What a pool's worker repeats, in a word and in words."""


def pool_choice_text(explanation: PoolsExplanation) -> str:
    """The whole answer; ends with a newline."""
    parts = [
        head_text(explanation.plan),
        "\n".join(_optimum(explanation) + _limited(explanation)),
    ]
    parts += [_pool(pool) for pool in explanation.pools]
    parts += [_splits(explanation), limits_text(explanation)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _optimum(explanation: PoolsExplanation) -> list[str]:
    """What the best pools have over the plan's."""
    gain = explanation.better_by
    if abs(gain) < 1e-4:
        return []
    text = (
        f"recommended for being simple; the best pools (--exact) are {gain:.1%} better on paper"
        if gain > 0
        else "recommended; the best pools at the limit on loss itself "
        f"(--exact) are {-gain:.1%} worse"
    )
    return wrapped(text, "  ")


def _limited(explanation: PoolsExplanation) -> list[str]:
    """Which pool sets the rate, and what the other has to spare."""
    pools = explanation.plan.deployment
    assert pools is not None
    pool, two = pools.prefill, pools.decode
    if pools.limit == "transfer":
        return wrapped("the link sets the rate: neither pool gains by being faster", "  ")
    if pools.limit == "prefill":
        text = (
            "prefill sets the rate: what shortens its passes gives tokens/s, what shortens a "
            "decode step gives only TPOT: at full batches decode has "
            f"{1 - two.utilisation:.0%} to spare"
        )
    else:
        text = (
            "decode sets the rate: what shortens its steps gives tokens/s, what shortens a "
            f"pass of prefill gives only TTFT: it is {pool.utilisation:.0%} busy, 90% at most"
        )
    return wrapped(text, "  ")


def _pool(choices: PoolChoices) -> str:
    noun, words = PASS[choices.name]
    kept = "" if choices.again else ", others kept"
    text = (
        f"{choices.name}, {format_seconds(choices.seconds)} a {words}: why each unit has its "
        f"scheme, and what the next best costs the {noun}{kept}"
    )
    fixed = (
        wrapped("kept as released: " + ", ".join(choices.released), "  ")
        if choices.released
        else []
    )
    return "\n".join(
        [*wrapped(text), *unit_lines("latency", (noun, "time"), choices.units), *fixed]
    )


def _splits(explanation: PoolsExplanation) -> str:
    """Other numbers of the plan's workers."""
    if len(explanation.splits) < 2:
        return ""
    rows = [
        ("prefill", "decode", "devices", "tokens/s", "set by", ""),
        *(_split(split) for split in explanation.splits),
    ]
    return "\n".join(
        [
            *wrapped("other numbers of these workers, at full batches"),
            *table_lines(rows, left=(4, 5), gap=2),
        ]
    )


def _split(split: PoolSplit) -> tuple[str, ...]:
    return (
        str(split.prefill_workers),
        str(split.decode_workers),
        str(split.devices),
        format_rate(split.output_tokens_per_second),
        split.limit,
        "this plan" if split.own else "",
    )
