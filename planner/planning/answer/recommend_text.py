"""The verdict in words: what to serve, what another plan would bring, why it is not taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from planner.base.units import format_bytes, format_rate, format_seconds
from planner.messages.catalogue import CLAUSES
from planner.messages.message import Message, Text, message
from planner.planning.choose.rule import SURE
from planner.planning.plan.recommendation import GainRange

_AN = "AEFHILMNORSX8"
"""Letters whose names begin with a vowel, as initials are read."""
SMALL = 0.0005
"""Gains below this would print as 0.0 %."""
MORE = {
    "throughput": ("recommendation.more", "recommendation.fewer"),
    "cost": ("recommendation.cheaper_by", "recommendation.dearer_by"),
    "latency": ("recommendation.less_time", "recommendation.more_time"),
    "memory": ("recommendation.less_memory", "recommendation.more_memory"),
    "quality": ("recommendation.less_loss", "recommendation.more_loss"),
}
"""Ids of a gain by an objective, and of a loss."""


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


_WORSE = {"reasons.p_more", *(words.is_worse for words in _WORDS.values())}
_WITH_CHANCE = {
    words.and_is_better: f"reasons.and_{words.is_better.removeprefix('reasons.')}"
    for words in _WORDS.values()
}
"""A reason without its chance, by the one with it."""
_CHANCES = ("reasons.nearly_sure", "reasons.less_than_1_in_10", "reasons.in_10")
_SEEN = ("reasons.has_format", "reasons.has_formats", "reasons.changes_more")
"""What the names and formats of a plan show beside its reason."""


def format_word(scheme: str) -> str:
    """A scheme or cache layout as people call it: ``FP8`` for fp8-block, ``Q4_K`` for ggml-q4_k,
    ``MLX 4-bit`` for mlx-4bit-g64."""
    head, _, rest = scheme.partition("-")
    if head == "mlx":
        return f"MLX {rest.partition('-')[0].replace('bit', '-bit').replace('mxfp', 'MXFP')}"
    return (rest if head == "ggml" else head).upper()


def cache_text(words: Sequence[str]) -> Message:
    """A cache of these layouts as people call them, with its article: ``an FP8 cache``."""
    vowel = words[0][:1].upper() in _AN
    name = "recommendation.cache_an" if vowel else "recommendation.cache_a"
    return message(name, layouts=_listed(words))


def _listed(names: Sequence[str]) -> Text:
    """``a, b and c``."""
    if len(names) == 1:
        return names[0]
    first = message("structure.names", parts=tuple(names[:-1]))
    return message("structure.last_of_names", names=first, last=names[-1])


def serve_text(
    formats: int,
    released: str,
    schemes: Sequence[str],
    kv: str,
    made: Text,
    value: Text,
) -> Message:
    """What to serve and its ``value`` (:func:`value_text`); ``kv`` are the cache layouts, empty
    where there is no cache; ``made`` says where the weights come from (:func:`made_text`)."""
    if not formats:
        what = message("recommendation.released_checkpoint", scheme=format_word(released))
    elif len(schemes) == 1:
        what = with_origin(message("reasons.uniform", x=schemes[0]), made)
    else:
        what = with_origin(message("recommendation.mix_of", schemes=_listed(schemes)), made)
    words = list(dict.fromkeys(map(format_word, filter(None, kv.split(", ")))))
    if not words:
        return message("recommendation.serve", what=what, value=value)
    return message(
        "recommendation.serve_with_cache", what=what, cache=cache_text(words), value=value
    )


def made_text(new_weights: bool, checkpoint: str, command: str) -> Text:
    """Where the weights come from; empty for those that are released."""
    if checkpoint:
        return checkpoint
    if command:
        return message("recommendation.made_while_loading", command=command)
    return message("recommendation.new_weights") if new_weights else ""


def with_origin(text: Message, made: Text) -> Message:
    """``text`` with where the weights come from in brackets, where that is said."""
    return message("structure.remark", text=text, remark=made) if made else text


def value_text(objective: str, rate: float, tpot: float, memory_bytes: int, loss: str) -> Text:
    """The objective as people read it."""
    if objective == "latency":
        return message("recommendation.time_a_token", time=format_seconds(tpot))
    if objective == "memory":
        return format_bytes(memory_bytes)
    if objective == "quality":
        return message("recommendation.loss_of", loss=loss)
    return message("recommendation.tokens_s", rate=format_rate(rate))


def stated_gain(objective: str, gain: float) -> float:
    """A gain as its words count it: of cost, what is saved, where a gain is more tokens for it."""
    return 1 - 1 / (1 + gain) if objective == "cost" and gain > -1 else gain


def gain_text(objective: str, gain: GainRange) -> Message:
    """``3 to 9 % more``; the middle alone where the interval holds zero."""
    gain = GainRange(*(stated_gain(objective, end) for end in (gain.value, gain.low, gain.high)))
    more, less = MORE[objective]
    if gain.high <= 0:
        return message(less, p=_span(-gain.high, -gain.low))
    if gain.low < 0:
        share = message("recommendation.about", p=percent(gain.value))
        return message(more if gain.value >= 0 else less, p=share)
    return message(more, p=_span(gain.low, gain.high))


def _span(low: float, high: float) -> Text:
    """``3 to 9 %``; one figure where both round to it."""
    if percent(low) == percent(high):
        return percent(high)
    return message("recommendation.from_to", low=_number(low), high=_number(high))


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


def chance_text(objective: str, chance: float) -> Message:
    """``7 in 10 that it is faster``."""
    better, tenths = message(_WORDS[objective].better), _tenths(chance)
    if tenths > 9:
        return message("reasons.nearly_sure_that_it_is", x=better)
    if not tenths:
        return message("reasons.less_than_1_in_10_that", x=better)
    return message("reasons.in_10_that_it_is", n=tenths, x=better)


def in_ten(chance: float) -> Message:
    """A chance in tenths; beyond these, that it is nearly sure."""
    tenths = _tenths(chance)
    if tenths > 9:
        return message("reasons.nearly_sure")
    if not tenths:
        return message("reasons.less_than_1_in_10")
    return message("reasons.in_10", tenths=tenths)


def _tenths(chance: float) -> int:
    """A chance in tenths; 10 where it is nearly sure."""
    return 10 if chance >= 0.95 else round(10 * chance)


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


def not_surely(
    objective: str,
    gain: float,
    least: float,
    chance: float,
    needs: Sequence[Message],
    sure: float = SURE,
) -> Message:
    """Why a plan that is better on paper by ``gain`` is not taken: the ``chance`` that it brings
    the ``least`` that is worth it. The chance that is wanted, ``sure``, is told where that is above
    the usual one, which the plan has."""
    share = message(_WORDS[objective].is_better, p=_number(stated_gain(objective, gain)))
    text = _clauses(share, *(need for need in needs if need.id not in _SEEN))
    c, worth = f"{100 * chance:.0f}", f"{100 * least:.0f}"
    if chance < SURE:
        return message("reasons.too_unsure", x=text, c=c, least=worth)
    wanted = f"{100 * sure:.0f}"
    return message("reasons.too_unsure_unmeasured", x=text, c=c, least=worth, sure=wanted)


def reason_alone(reason: Text) -> Text:
    """Why a plan is not taken without the chance that it is better, where that has a column of its
    own; what is worse needs no more reason. Words of older files are as they are."""
    if not isinstance(reason, Message):
        return reason
    values = dict(reason.values)
    if reason.id in _WITH_CHANCE:
        return message(_WITH_CHANCE[reason.id], x=values["x"], p=values["p"])
    text, remark, parts = values.get("text"), values.get("remark"), values.get("parts")
    if isinstance(text, str) and isinstance(remark, Message) and remark.id in _CHANCES:
        return text
    if reason.id == CLAUSES and isinstance(parts, tuple) and isinstance(parts[0], Message):
        first = reason_alone(parts[0])
        return first if isinstance(first, Message) and first.id in _WORSE else reason
    return reason


def _clauses(*parts: Message) -> Message:
    return parts[0] if len(parts) == 1 else message("structure.clauses", parts=parts)
