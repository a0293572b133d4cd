"""The plan beside uniform assignments: the baselines table and the one-line comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.planning.answer.baselines import baseline_pairs, baselines, default_mixture
from planner.planning.answer.recommend_text import chance_text, stated_gain
from planner.planning.choose.selection import Option, Selection
from planner.planning.choose.uncertainty import device_seconds
from planner.planning.plan.record import Baseline, Comparison
from planner.planning.question.question import improvement
from planner.planning.search.rivals import shown_schemes
from planner.planning.search.uniform import UniformQuery, best_uniforms_in
from planner.planning.space.candidates import Space
from planner.planning.space.losses import band_factor, indistinguishable, saturated_loss

SAME = 0.0005
"""Relative gains below this print as zero, so they are called none."""
NOUNS = {
    "throughput": "tokens/s per device",
    "latency": "TPOT",
    "memory": "memory",
    "quality": "loss",
    "cost": "cost per token",
}
UNIFORM = ("released", "uniform")


def compared_with_uniform(
    grids: Sequence[Space],
    choice: Selection | None,
) -> tuple[tuple[Baseline, ...], Comparison]:
    """The baselines and the comparison of a chosen plan over the candidates ``grids`` of every way
    to serve; None: of a given one."""
    if choice is None:
        return (), Comparison("", 0.0, "a given assignment is priced, not chosen")
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
    lines, against_rival = baselines(ordered[0].model, rows), comparison(choice)
    return lines, replace(against_rival, text=against_rival.text + against_default(choice, lines))


def against_default(choice: Selection, lines: Sequence[Baseline]) -> str:
    """The plan beside what the engine's users run when they choose nothing, where that is a mixture
    of its own quantiser: whether it beats it, whatever the limits; empty elsewhere."""
    model, priced = choice.option.space.model, choice.option.priced
    engine, mixture = model.question.engine, default_mixture(model)
    default = next(
        (line for line in lines if line.name == f"{engine} default" and line.feasible), None
    )
    if default is None or not mixture:
        return ""
    devices = priced.layout.ranks
    rate = priced.tokens_per_second(1) / devices
    gains = (
        rate / default.output_tokens_per_second_per_device - 1,
        1 - priced.fullest.total / default.total_bytes_per_device,
    )
    losses = saturated_loss(model, priced.loss), default.loss
    better = [gain > SAME for gain in gains] + [losses[0] < losses[1] * (1 - SAME)]
    worse = [gain < -SAME for gain in gains] + [losses[0] > losses[1] * (1 + SAME)]
    words = (
        f"{abs(gains[0]):.1%} {'more' if gains[0] >= 0 else 'fewer'} tokens/s, "
        f"{abs(gains[1]):.1%} {'less' if gains[1] >= 0 else 'more'} memory, "
        f"loss {losses[0]:.3g} for {losses[1]:.3g}"
    )
    verdict = (
        "does not beat it"
        if any(worse) and not any(better)
        else "beats it"
        if any(better) and not any(worse)
        else "neither beats the other"
        if any(better)
        else "is as good"
    )
    return f"; beside {engine}'s default ({mixture}): {words}: {verdict}"


def _bf16_caches_first(grids: Sequence[Space]) -> list[Space]:
    """Baselines keep a BF16 cache where an engine can; the answer's own goes before its equals."""
    return sorted(grids, key=lambda space: "bf16" not in space.model.question.kv)


def comparison(choice: Selection) -> Comparison:
    """Against the best other plan with one scheme, or as released, whichever cache it has, of those
    whose loss keeps the limit inside its band. The gain of a plan that is itself one is 0."""
    rivals = [
        i
        for i, option in enumerate(choice.options)
        if i != choice.taken and option.rival.kind in UNIFORM and not option.same_as(choice.option)
    ]
    if not rivals:
        return Comparison("", 0.0, "no other uniform plan fits within the same limits")
    best = min(
        rivals,
        key=lambda i: (
            choice.options[i].weighed.value,
            device_seconds(choice.options[i].priced),
            i,
        ),
    )
    return _sentence(choice, best)


def _sentence(choice: Selection, best: int) -> Comparison:
    ours, rival = choice.option, choice.options[best]
    objective, model = choice.objective, ours.space.model
    scheme = rival.rival.schemes[0] if rival.rival.schemes else ""
    noun, where = NOUNS[objective], _where(rival)
    values = ours.weighed.value, rival.weighed.value
    if min(values) <= 0:
        return Comparison(
            scheme, 0.0, f"none over {where}: {noun} {values[0]:.3g}, the other {values[1]:.3g}"
        )
    if objective == "quality" and indistinguishable(model, *values):
        return _equal(ours, rival, scheme, where, band_factor(model))
    gain = improvement(objective, values[1], values[0])
    if gain < SAME:
        return Comparison(scheme, 0.0, f"none over {where}{_behind(choice, best)}")
    stated = stated_gain(objective, gain)
    verb = {"throughput": "more", "cost": "lower"}.get(objective, "less")
    chance = chance_text(objective, float(choice.better[choice.taken, best]))
    if ours.rival.kind in UNIFORM or len(shown_schemes(ours.rival)) == 1:  # no gain of mixing
        return Comparison(
            scheme,
            0.0,
            f"none: itself the best uniform plan, {stated:.1%} {verb} {noun} than {where}; "
            f"{chance}",
        )
    return Comparison(
        scheme, float(f"{gain:.6g}"), f"{stated:.1%} {verb} {noun} than {where}; {chance}"
    )


def _behind(choice: Selection, best: int) -> str:
    """What a plan that is no better was taken for."""
    loss = stated_gain(
        choice.objective,
        improvement(
            choice.objective, choice.option.weighed.value, choice.options[best].weighed.value
        ),
    )
    if loss < SAME:
        return ": as good"
    chance = chance_text(choice.objective, float(choice.better[best, choice.taken]))
    simpler = choice.option.simple.order < choice.options[best].simple.order
    return f", which is {loss:.1%} better ({chance}){'; this plan is simpler' if simpler else ''}"


def _where(rival: Option) -> str:
    priced = rival.priced
    return (
        f"{rival.rival.name} (batch {priced.batch} on {priced.layout.ranks} "
        f"device{'s' if priced.layout.ranks > 1 else ''})"
    )


def _equal(ours: Option, rival: Option, scheme: str, where: str, band: float) -> Comparison:
    """Losses that the band does not tell apart: the uniform plan's speed is compared beside."""
    low, high = sorted((ours.priced.loss, rival.priced.loss))
    text = (
        f"indistinguishable in loss from {where}: a factor of {high / low:.2f} lies "
        f"inside the band of {band:.2g}"
    )
    faster = improvement("throughput", device_seconds(rival.priced), device_seconds(ours.priced))
    if abs(faster) >= SAME:
        text += f"; {abs(faster):.1%} {'more' if faster > 0 else 'fewer'} tokens/s per device"
    gain = max(0.0, improvement("quality", rival.priced.loss, ours.priced.loss))
    return Comparison(scheme, float(f"{gain:.6g}"), text)
