"""The verdict in words: what to serve, what another plan would bring, why it is not taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from planner.base.units import format_bytes, format_rate, format_seconds
from planner.messages.message import Message, message
from planner.messages.words import english
from planner.planning.choose.rule import SURE
from planner.planning.plan.recommendation import GainRange, Verdict

_AN = "AEFHILMNORSX8"
"""Letters whose names begin with a vowel, as initials are read."""
SMALL = 0.0005
"""Gains below this would print as 0.0 %."""
MORE = {
    "throughput": ("more", "fewer"),
    "cost": ("cheaper", "dearer"),
    "latency": ("less", "more"),
    "memory": ("less", "more"),
    "quality": ("less", "more"),
}


class _Words(NamedTuple):
    """Ids of what is said of a plan that is better by an objective, and of one that is worse."""

    better: str
    is_better: str
    and_is_better: str
    is_no_better: str
    is_worse: str


_FASTER = _Words(
    "reasons.faster",
    "reasons.is_faster",
    "reasons.x_and_is_p_faster_c",
    "reasons.is_no_faster",
    "reasons.p_slower",
)
_WORDS = {
    "throughput": _FASTER,
    "latency": _FASTER,
    "cost": _Words(
        "reasons.cheaper",
        "reasons.is_cheaper",
        "reasons.x_and_is_p_cheaper_c",
        "reasons.is_no_cheaper",
        "reasons.p_dearer",
    ),
    "memory": _Words(
        "reasons.smaller",
        "reasons.is_smaller",
        "reasons.x_and_is_p_smaller_c",
        "reasons.is_no_smaller",
        "reasons.p_larger",
    ),
    "quality": _Words(
        "reasons.less_lossy",
        "reasons.is_less_lossy",
        "reasons.x_and_is_p_less_lossy",
        "reasons.is_no_less_lossy",
        "reasons.p_more_lossy",
    ),
}


def format_word(scheme: str) -> str:
    """A scheme or cache layout as people call it: ``FP8`` for fp8-block, ``Q4_K`` for ggml-q4_k."""
    head, _, rest = scheme.partition("-")
    return (rest if head == "ggml" else head).upper()


def article(word: str) -> str:
    """``word`` with its article."""
    return f"{'an' if word[:1].upper() in _AN else 'a'} {word}"


def and_list(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def serve_text(verdict: Verdict, released: str, schemes: Sequence[str], kv: str, made: str) -> str:
    """What to serve; ``kv`` are the cache layouts, empty where there is no cache; ``made`` says
    where the weights come from (:func:`made_text`)."""
    words = list(dict.fromkeys(map(format_word, filter(None, kv.split(", ")))))
    cache = f" with {article(and_list(words))} cache" if words else ""
    if verdict == "as-released":
        return f"Serve the released {format_word(released)} checkpoint{cache}"
    if verdict == "uniform":
        return f"Serve uniform {schemes[0]}{made}{cache}"
    return f"Serve a mix of {and_list(schemes)}{made}{cache}"


def made_text(new_weights: bool, checkpoint: str, command: str) -> str:
    """Where the weights come from, in brackets; empty for those that are released."""
    if checkpoint:
        return f" ({checkpoint})"
    if command:
        return f" (made while loading: {command})"
    return " (new weights)" if new_weights else ""


def value_text(objective: str, rate: float, tpot: float, memory_bytes: int, loss: str) -> str:
    """The objective as people read it."""
    return {
        "latency": f"{format_seconds(tpot)} a token",
        "memory": format_bytes(memory_bytes),
        "quality": f"loss {loss}",
    }.get(objective, f"{format_rate(rate)} tokens/s")


def stated_gain(objective: str, gain: float) -> float:
    """A gain as its words count it: of cost, what is saved, where a gain is more tokens for it."""
    return 1 - 1 / (1 + gain) if objective == "cost" and gain > -1 else gain


def gain_text(objective: str, gain: GainRange) -> str:
    """``3 to 9 % more``; the middle alone where the interval holds zero."""
    gain = GainRange(*(stated_gain(objective, end) for end in (gain.value, gain.low, gain.high)))
    more, less = MORE[objective]
    noun = {"latency": " time a token", "memory": " memory", "quality": " loss"}.get(objective, "")
    if gain.high <= 0:
        return f"{span(-gain.high, -gain.low)} {less}{noun}"
    if gain.low < 0:
        return f"about {percent(gain.value)} {more if gain.value >= 0 else less}{noun}"
    return f"{span(gain.low, gain.high)} {more}{noun}"


def span(low: float, high: float) -> str:
    """``3 to 9 %``; one figure where both round to it."""
    first, second = percent(low), percent(high)
    return second if first == second else f"{first.removesuffix(' %')} to {second}"


def percent(share: float) -> str:
    """A share without its sign, whole from ten percent on."""
    size = abs(100 * share)
    return f"{size:.0f} %" if size >= 9.95 else f"{size:.1f} %"


def _number(share: float) -> str:
    """A share in percent without its sign and mark."""
    return percent(share).removesuffix(" %")


def _worse(objective: str, gain: float) -> Message:
    """How much worse; losses differ by orders of magnitude, where percents are hard to read."""
    if objective == "quality" and gain <= -9:
        return message("reasons.p_more", p=f"{1 - gain:.0f}")
    return message(_WORDS[objective].is_worse, p=_number(gain))


def signed(share: float) -> str:
    """A share with its sign."""
    return f"{'−' if share < 0 else '+'}{percent(share)}"


def chance_text(objective: str, chance: float) -> str:
    """``7 in 10 that it is faster``."""
    return f"{english(in_ten(chance))} that it is {english(message(_WORDS[objective].better))}"


def in_ten(chance: float) -> Message:
    """A chance in tenths; beyond these, that it is nearly sure."""
    if chance >= 0.95:
        return message("reasons.nearly_sure")
    tenths = round(10 * chance)
    if not tenths:
        return message("reasons.less_than_1_in_10")
    return message("reasons.in_10", tenths=tenths)


def why_not(
    objective: str,
    *,
    gain: float,
    chance: float,
    is_simpler: bool,
    exact: bool,
    needs: Sequence[Message],
) -> Message:
    """Why a plan that keeps the limits is not taken: ``gain`` is its objective's over the taken
    plan, ``chance`` that it is better, ``needs`` what it needs beside; ``exact``: the optimum was
    asked for."""
    words = _WORDS[objective]
    gain = stated_gain(objective, gain)
    if gain < -SMALL:
        worse = _worse(objective, gain)
        if 1 - chance < SURE:
            worse = message("structure.remark", text=worse, remark=in_ten(1 - chance))
        return worse if is_simpler else _clauses(worse, *needs)
    if is_simpler and not exact:  # another plan beats it, not the one that is taken
        return message("reasons.another_plan_is_surely", better=message(words.better))
    if gain > SMALL:
        share, sure = _number(gain), in_ten(chance)
        if needs:
            return message(words.and_is_better, x=_clauses(*needs), p=share, c=sure)
        return message("structure.remark", text=message(words.is_better, p=share), remark=sure)
    if not needs:
        return message(words.is_no_better)
    if objective == "quality":
        return message("reasons.and_is_no_less_lossy", x=_clauses(*needs))
    return message("reasons.and_is_no", x=_clauses(*needs), y=message(words.better))


def _clauses(*parts: Message) -> Message:
    return parts[0] if len(parts) == 1 else message("structure.clauses", parts=parts)
