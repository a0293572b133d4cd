"""The plan beside uniform assignments: the baselines table and the one-line comparison."""

from __future__ import annotations

from collections.abc import Sequence

from planner.messages.message import Message, Text, message
from planner.planning.answer.baselines import baseline_pairs, baselines, default_mixture
from planner.planning.answer.recommend_text import chance_text, stated_gain
from planner.planning.choose.option import Option
from planner.planning.choose.selection import Selection
from planner.planning.choose.uncertainty import device_seconds
from planner.planning.engines.cache_rules import WHOLE_PAST
from planner.planning.plan.names import default_of
from planner.planning.plan.record import Baseline, Comparison
from planner.planning.question.caches import PLAIN_KV
from planner.planning.question.question import improvement
from planner.planning.search.rivals import shown_schemes
from planner.planning.search.uniform import UniformQuery, best_uniforms_in
from planner.planning.space.candidates import Space
from planner.planning.space.losses import band_factor, saturated_loss
from planner.planning.space.printed_loss import indistinguishable

SAME = 0.0005
"""Relative gains below this print as zero, so they are called none."""
NOUNS: dict[str, Text] = {
    "throughput": message("reasons.tokens_s_per_device"),
    "latency": "TPOT",
    "memory": message("reasons.memory"),
    "quality": message("reasons.loss"),
    "cost": message("reasons.cost_per_token"),
}
BETTER = {
    "throughput": "reasons.more_tokens_s_per_device",
    "latency": "reasons.less_tpot_than",
    "memory": "reasons.less_memory_than",
    "quality": "reasons.less_loss_than",
    "cost": "reasons.lower_cost_per_token_than",
}
"""Ids of what is said of a plan that is better by an objective."""
UNIFORM = ("released", "uniform")


def compared_with_uniform(
    grids: Sequence[Space],
    choice: Selection | None,
) -> tuple[tuple[Baseline, ...], Comparison]:
    """The baselines and the comparison of a chosen plan over the candidates ``grids`` of every way
    to serve; None: of a given one."""
    if choice is None:
        return (), Comparison("", 0.0, message("reasons.given_assignment_is_priced_not"))
    ordered = _bf16_caches_first(grids)
    where: dict[tuple[str, str], Space] = {}
    for space in ordered:
        where = dict.fromkeys(baseline_pairs(space.model), space) | where
    wanted = [
        (
            placed_space,
            [UniformQuery(*pair, limits=False) for pair in where if where[pair] is placed_space],
        )
        for placed_space in ordered
    ]
    rows = {
        (query.scheme, query.kv): against_best
        for query, against_best in zip(
            [query for _, queries in wanted for query in queries],
            best_uniforms_in(wanted),
            strict=True,
        )
    }
    lines = baselines(ordered[0].model, rows)
    return lines, comparison(choice, lines)


def against_default(choice: Selection, lines: Sequence[Baseline], text: Message) -> Message:
    """``text`` with the plan beside what the engine's users run when they choose nothing, where
    that is a mixture of its own quantiser: whether it beats it, whatever the limits; ``text`` alone
    elsewhere."""
    model, priced = choice.option.space.model, choice.option.priced
    engine, mixture = model.question.engine, default_mixture(model)
    default = next(
        (line for line in lines if line.name == default_of(engine) and line.feasible), None
    )
    if default is None or not mixture:
        return text
    devices = priced.layout.ranks
    rate = priced.tokens_per_second(1) / devices
    gains = (
        rate / default.output_tokens_per_second_per_device - 1,
        1 - priced.fullest.total / default.total_bytes_per_device,
    )
    losses = saturated_loss(model, priced.loss), default.loss
    better = [gain > SAME for gain in gains] + [losses[0] < losses[1] * (1 - SAME)]
    worse = [gain < -SAME for gain in gains] + [losses[0] > losses[1] * (1 + SAME)]
    verdict = (
        "reasons.does_not_beat_it"
        if any(worse) and not any(better)
        else "reasons.beats_it"
        if any(better) and not any(worse)
        else "reasons.neither_beats_other"
        if any(better)
        else "reasons.is_as_good"
    )
    rates = "more" if gains[0] >= 0 else "fewer"
    memory = "less" if gains[1] >= 0 else "more"
    figures = message(
        f"reasons.{rates}_tokens_s_{memory}_memory",
        a=f"{abs(gains[0]):.1%}",
        b=f"{abs(gains[1]):.1%}",
        c=f"{losses[0]:.3g}",
        d=f"{losses[1]:.3g}",
        v=message(verdict),
    )
    return message("reasons.beside_s_default", x=text, e=engine, m=mixture, y=figures)


def _bf16_caches_first(grids: Sequence[Space]) -> list[Space]:
    """Baselines keep a BF16 cache where an engine can in every layer; the answer's own goes before
    its equals."""

    def not_plain(space: Space) -> bool:
        question = space.model.question
        return PLAIN_KV not in question.kv or (WHOLE_PAST, PLAIN_KV) in question.barred

    return sorted(grids, key=not_plain)


def comparison(choice: Selection, lines: Sequence[Baseline] = ()) -> Comparison:
    """Against the best other plan with one scheme, or as released, whichever cache it has, of those
    whose loss keeps the limit inside its band, and beside the engine's default where it is among
    ``lines``. The gain of a plan that is itself one is 0."""
    rivals = [
        i
        for i, option in enumerate(choice.options)
        if i != choice.taken and option.rival.kind in UNIFORM and not option.same_as(choice.option)
    ]
    scheme, gain = "", 0.0
    text = message("reasons.no_other_uniform_plan_fits")
    if rivals:
        best = min(
            rivals,
            key=lambda i: (
                choice.options[i].weighed.value,
                device_seconds(choice.options[i].priced),
                i,
            ),
        )
        rival = choice.options[best].rival
        scheme = rival.schemes[0] if rival.schemes else ""
        gain, text = _against(choice, best)
    return Comparison(scheme, gain, against_default(choice, lines, text))


def _against(choice: Selection, best: int) -> tuple[float, Message]:
    """The gain over the best rival and the sentence of it."""
    ours, rival = choice.option, choice.options[best]
    objective, model = choice.objective, ours.space.model
    where = _where(rival)
    values = ours.weighed.value, rival.weighed.value
    if min(values) <= 0:
        return 0.0, message(
            "reasons.none_over_other",
            where=where,
            noun=NOUNS[objective],
            a=f"{values[0]:.3g}",
            b=f"{values[1]:.3g}",
        )
    if objective == "quality" and indistinguishable(model, ours.priced.loss, rival.priced.loss):
        return _equal(ours, rival, where)
    gain = improvement(objective, values[1], values[0])
    if gain < SAME:
        return 0.0, _none_over(choice, best, where)
    text = message(
        BETTER[objective],
        p=f"{stated_gain(objective, gain):.1%}",
        x=where,
        c=chance_text(objective, float(choice.better[choice.taken, best])),
    )
    if ours.rival.kind in UNIFORM or len(shown_schemes(ours.rival)) == 1:  # no gain of mixing
        return 0.0, message("reasons.none_itself_best_uniform_plan", x=text)
    return float(f"{gain:.6g}"), text


def _none_over(choice: Selection, best: int, where: Message) -> Message:
    """What a plan that is no better was taken for."""
    loss = stated_gain(
        choice.objective,
        improvement(
            choice.objective, choice.option.weighed.value, choice.options[best].weighed.value
        ),
    )
    if loss < SAME:
        return message("reasons.none_over_as_good", x=where)
    simpler = choice.option.simple.order < choice.options[best].simple.order
    return message(
        "reasons.none_over_which_is_better_this"
        if simpler
        else "reasons.none_over_which_is_better",
        x=where,
        p=f"{loss:.1%}",
        c=chance_text(choice.objective, float(choice.better[best, choice.taken])),
    )


def _where(rival: Option) -> Message:
    priced = rival.priced
    ranks = priced.layout.ranks
    return message(
        "reasons.batch_on_devices" if ranks > 1 else "reasons.batch_on_device",
        x=rival.rival.name,
        b=priced.batch,
        n=ranks,
    )


def _equal(ours: Option, rival: Option, where: Text) -> tuple[float, Message]:
    """Losses that the band, or the floor, does not tell apart: the uniform plan's speed is compared
    beside."""
    model = ours.space.model
    low, high = sorted((ours.priced.loss, rival.priced.loss))
    band = band_factor(model)
    if high > low * band:
        text = message(
            "reasons.indistinguishable_above_floor",
            where=where,
            floor=f"{model.floor.value_nats:.2g}",
        )
    else:
        text = message(
            "reasons.indistinguishable_in_loss_from_factor",
            where=where,
            f=f"{high / low:.2f}",
            band=f"{band:.2g}",
        )
    faster = improvement("throughput", device_seconds(rival.priced), device_seconds(ours.priced))
    if abs(faster) >= SAME:
        name = "p_more_tokens_s_per_device" if faster > 0 else "p_fewer_tokens_s_per_device"
        speed = message(f"reasons.{name}", p=f"{abs(faster):.1%}")
        text = message("structure.semicolons", parts=(text, speed))
    gain = max(0.0, improvement("quality", rival.weighed.value, ours.weighed.value))
    return float(f"{gain:.6g}"), text
