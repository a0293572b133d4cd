"""The recommendation of a plan file: the plan that was chosen beside all the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.messages.message import Message, Text, message
from planner.placement.layout import Layout
from planner.planning.answer.measured_anchor import measured_anchor
from planner.planning.answer.next_measurements import measure_next
from planner.planning.answer.recommend_text import (
    SMALL,
    chance_text,
    gain_text,
    made_text,
    not_surely,
    serve_text,
    signed,
    stated_gain,
    value_text,
    why_not,
)
from planner.planning.choose.chances import gain_draws, interval
from planner.planning.choose.option import Option
from planner.planning.choose.selection import Selection, allowed_loss, more_lossy
from planner.planning.plan.evidence import Evidence
from planner.planning.plan.names import counted_formats
from planner.planning.plan.recommendation import (
    GainRange,
    NextLossStep,
    OtherPlan,
    PublishedPlan,
    Recommendation,
    Verdict,
)
from planner.planning.price.evidence import PUBLISHED, RECIPE
from planner.planning.price.price import price
from planner.planning.question.question import improvement
from planner.planning.search.next_loss_step import four_bit
from planner.planning.search.practised import order_of_sources
from planner.planning.search.rivals import Rival, is_four_bit, shown_schemes
from planner.planning.solver.problem import TOLERANCE
from planner.planning.space.candidates import Space
from planner.planning.space.losses import saturated_loss

AXES = ("tp", "dp", "pp", "ep")
DIGITS = 4
"""Significant digits of gains and probabilities, which come of a thousand draws."""
EVEN = 0.5
WORTH_TELLING = 0.01
"""A gain below this is no reason to name another plan in the verdict."""


def recommendation(choice: Selection, spaces: Sequence[Space]) -> Recommendation:
    """What to serve, and what every other plan would bring; ``spaces`` are the candidates of all
    ways to serve."""
    taken = choice.option
    released, nearest = _released(choice), nearest_rival(choice)
    return Recommendation(
        verdict=verdict_kind(taken.rival),
        formats=taken.rival.formats,
        needs_new_weights=taken.simple.new_weights,
        checkpoint=taken.weights.checkpoint,
        text=_text(choice, nearest),
        gain=None if released is None else gain_range(choice, choice.taken, released),
        probability=_probability(choice),
        alternatives=tuple(
            _other(choice, i) for i in range(len(choice.options)) if i != choice.taken
        ),
        recipe=published_plan(choice, recipe_of(choice)) or _excluded_plan(choice),
        released=published_plan(choice, released),
        lossier=_next_loss_step(spaces, choice),
        measure_next=measure_next(choice, nearest),
    )


def verdict_kind(rival: Rival) -> Verdict:
    """A published deployment, the given checkpoint as it is, uniform or a mix."""
    if rival.recipe is not None:
        return "recipe"
    if rival.formats == 0:
        return "released"
    return "uniform" if len(shown_schemes(rival)) == 1 else "mix"


def gain_range(choice: Selection, ours: int, theirs: int) -> GainRange:
    """The gain of one option over another with its 80 % interval: as measured pairs say that the
    predicted gain is worth, of bytes and losses as their draws have it."""
    objective = choice.objective
    if choice.gains is not None:
        return GainRange(*(_digits(x) for x in choice.gains.gain(ours, theirs)))
    low, high = interval(gain_draws(objective, choice.drawn[ours], choice.drawn[theirs]))
    value = improvement(
        objective, choice.options[theirs].weighed.value, choice.options[ours].weighed.value
    )
    return GainRange(*(_digits(x) for x in (value, min(low, value), max(high, value))))


def _digits(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") + 0.0


def _released(choice: Selection) -> int | None:
    """As released with the cache that needs no choice, else with any; None where none runs."""
    released_options = [i for i, option in enumerate(choice.options) if option.rival.formats == 0]
    kinds = ("recipe", "conventional")
    return min(
        released_options,
        key=lambda i: (
            choice.options[i].simple.changed,
            choice.options[i].rival.kind in kinds,
            choice.options[i].weighed.value,
            i,
        ),
        default=None,
    )


def _probability(choice: Selection) -> float | None:
    """That the taken plan beats the best simpler one; None where none is simpler."""
    mine = choice.option.simple.order
    simpler = [i for i, option in enumerate(choice.options) if option.simple.order < mine]
    if not simpler:
        return None
    best = min(simpler, key=lambda i: (choice.options[i].weighed.value, i))
    return _digits(float(choice.better[choice.taken, best]))


def rate_of(option: Option) -> float:
    """Tokens per second of the whole deployment."""
    question = option.space.model.question
    return option.priced.tokens_per_second(question.replicas(option.priced.layout.ranks))


def devices_of(option: Option) -> int:
    """Devices of the whole deployment."""
    ranks = option.priced.layout.ranks
    return option.space.model.question.replicas(ranks) * ranks


def _other(choice: Selection, i: int) -> OtherPlan:
    option = choice.options[i]
    schemes = shown_schemes(option.rival)
    return OtherPlan(
        name=counted_formats(len(schemes)) if option.rival.kind == "formats" else option.rival.name,
        schemes=schemes,
        formats=option.rival.formats,
        kv=option.rival.kv,
        needs_new_weights=option.simple.new_weights,
        output_tokens_per_second=rate_of(option),
        tpot_seconds=option.priced.tpot,
        loss=saturated_loss(option.space.model, option.priced.loss),
        probability_better=_digits(float(choice.better[i, choice.taken])),
        why_not=rejected_because(choice, i),
        devices=devices_of(option),
        gain=gain_range(choice, i, choice.taken),
        engine=option.space.model.question.engine,
        engine_version=option.space.model.question.engine_version or None,
        layout=layout_text(option.priced.layout),
        evidence=option.evidence,
    )


def layout_text(layout: Layout) -> str:
    """``tp8 ep8``: the axes of a replica above 1; ``tp1`` for one device."""
    axes = [f"{name}{getattr(layout, name)}" for name in AXES if getattr(layout, name) > 1]
    return " ".join(axes) or "tp1"


def published_plan(choice: Selection, i: int | None) -> PublishedPlan | None:
    """An option as practice's own plan; None where there is none."""
    if i is None:
        return None
    option, recipe = choice.options[i], choice.options[i].rival.recipe
    question, is_taken = option.space.model.question, i == choice.taken
    return PublishedPlan(
        engine=question.engine,
        version=question.engine_version,
        layout=layout_text(option.priced.layout),
        formats=shown_schemes(option.rival),
        kv=option.rival.kv,
        speculation="" if recipe is None else recipe.speculation,
        output_tokens_per_second=rate_of(option),
        tpot_seconds=option.priced.tpot,
        loss=saturated_loss(option.space.model, option.priced.loss),
        probability_better=None if is_taken else _digits(float(choice.better[i, choice.taken])),
        gain=None if is_taken else gain_range(choice, i, choice.taken),
        source="" if recipe is None else recipe.source,
        date="" if recipe is None else recipe.date,
        why_not="" if is_taken else rejected_because(choice, i),
        evidence=option.evidence,
    )


def recipe_of(choice: Selection) -> int | None:
    """The published deployment of the strongest source among the options; None where there is
    none."""
    published = [i for i, option in enumerate(choice.options) if option.rival.recipe is not None]
    question = choice.option.space.model.question

    def order(i: int) -> tuple[object, ...]:
        recipe = choice.options[i].rival.recipe
        assert recipe is not None
        return i != choice.conventional, *order_of_sources(recipe, question), i

    return min(published, key=order, default=None)


def _excluded_plan(choice: Selection) -> PublishedPlan | None:
    """The published deployment that no option is, with what keeps it out; its figures are null
    where it was not priced."""
    excluded = choice.excluded
    if excluded is None:
        return None
    recipe, space, priced = excluded.recipe, excluded.space, excluded.priced
    known = None if space is None else space.model.question
    layout = Layout(recipe.tp, recipe.dp, recipe.pp, recipe.ep) if priced is None else priced.layout
    rate = None
    if known is not None and priced is not None:
        rate = priced.tokens_per_second(known.replicas(layout.ranks))
    return PublishedPlan(
        engine=recipe.engine,
        version=recipe.version if known is None else known.engine_version,
        layout=layout_text(layout),
        formats=tuple(filter(None, (recipe.weights or recipe.checkpoint,))),
        kv=recipe.kv,
        speculation=recipe.speculation,
        output_tokens_per_second=rate,
        tpot_seconds=None if priced is None else priced.tpot,
        loss=None if priced is None or space is None else saturated_loss(space.model, priced.loss),
        probability_better=None,
        gain=None,
        source=recipe.source,
        date=recipe.date,
        why_not=excluded.reason,
        evidence=Evidence(RECIPE, PUBLISHED, 0, None, None, ""),
    )


def rejected_because(choice: Selection, i: int) -> Message:
    """Why option ``i`` is not the one that is taken."""
    option, taken = choice.options[i], choice.option
    if option.same_as(taken):
        return message("reasons.same_plan")
    mine, theirs = taken.simple, option.simple
    needs = []
    if theirs.new_weights and not mine.new_weights:
        needs.append(message("reasons.needs_new_weights"))
    if theirs.formats > mine.formats:
        count = len(shown_schemes(option.rival))
        needs.append(message("reasons.has_formats" if count > 1 else "reasons.has_format", n=count))
    elif theirs.order[:2] == mine.order[:2] and theirs.changed > mine.changed:
        needs.append(message("reasons.changes_more"))
    gain = improvement(choice.objective, taken.weighed.value, option.weighed.value)
    if i in choice.remade and gain >= -SMALL and not choice.exact_asked:
        unwanted = taken.space.model.question.new_weights == "no"
        name = "reasons.no_new_weights_wanted" if unwanted else "reasons.release_in_more_bits"
        return message(name)
    question, base = taken.space.model.question, choice.options[choice.conventional]
    if not choice.exact_asked and gain > -SMALL and i in more_lossy(choice.options, base, question):
        return message("reasons.loses_more_than_the_least")
    lacking = choice.lacking(i)
    if not choice.exact_asked and gain > SMALL and lacking is not None:
        least, chance, sure = lacking
        return not_surely(choice.objective, gain, least, chance, needs, sure)
    return why_not(
        choice.objective,
        gain=gain,
        chance=float(choice.better[i, choice.taken]),
        is_simpler=theirs.order < mine.order,
        exact=choice.exact_asked,
        needs=needs,
    )


def _text(choice: Selection, nearest: int | None) -> Message:
    """The verdict in a sentence, and the alternative that comes nearest to displacing it."""
    taken = choice.option
    question = taken.space.model.question
    value = value_text(
        choice.objective,
        rate_of(taken),
        taken.priced.tpot,
        int(taken.weighed.value),
        f"{saturated_loss(taken.space.model, taken.priced.loss):.3g}",
    )
    made = made_text(taken.simple.new_weights, taken.weights.checkpoint, taken.weights.command)
    first = serve_text(
        taken.rival.formats,
        _release_scheme(choice),
        shown_schemes(taken.rival),
        taken.rival.kv,
        made,
        value,
    )
    if choice.exact_asked:
        first = message("recommendation.optimum_whatever_errors", text=first)
    if nearest is None:
        return first
    other, gain = choice.options[nearest], gain_range(choice, nearest, choice.taken)
    if abs(gain.value) < WORTH_TELLING:
        return first
    chance = chance_text(question.objective, float(choice.better[nearest, choice.taken]))
    if gain.low < 0 < gain.high:
        low, high = (stated_gain(question.objective, end) for end in (gain.low, gain.high))
        chance = message(
            "recommendation.chance_between", chance=chance, low=signed(low), high=signed(high)
        )
    needs_weights = other.simple.new_weights and not taken.simple.new_weights
    return message(
        "recommendation.would_give_needs_new_weights"
        if needs_weights
        else "recommendation.would_give",
        first=first,
        name=_named(other, taken),
        gain=gain_text(question.objective, gain),
        chance=chance,
    )


def _next_loss_step(spaces: Sequence[Space], choice: Selection) -> NextLossStep | None:
    """What 4-bit weights would buy; None where the plan that is taken has them in most of its
    bytes, or loses as much."""
    if any(map(is_four_bit, shown_schemes(choice.option.rival)[:1])):
        return None
    step = four_bit(spaces, allowed=allowed_loss(choice.exact))
    if step.uniform is None:
        return None
    mix = None if step.mix is None else _step(step.mix)
    uniform = replace(_step(step.uniform), mix=mix)
    taken = choice.option
    own = saturated_loss(taken.space.model, taken.priced.loss)
    return uniform if uniform.loss > own * (1 + TOLERANCE) else None


def _step(rival: Rival) -> NextLossStep:
    result = rival.result
    model = result.space.model
    priced = price(result.space, result.candidate, result.segments)
    replicas = model.question.replicas(priced.layout.ranks)
    return NextLossStep(
        name=rival.name,
        schemes=shown_schemes(rival),
        kv=rival.kv,
        loss=saturated_loss(model, priced.loss),
        output_tokens_per_second=priced.tokens_per_second(replicas),
        devices=replicas * priced.layout.ranks,
        measured_anchor=measured_anchor(model, priced),
        mix=None,
    )


def _named(option: Option, taken: Option) -> Text:
    """A plan as the subject of a sentence that follows the one about ``taken``."""
    if not _mixes(option.rival):
        return option.rival.name
    count = len(shown_schemes(option.rival))
    if _mixes(taken.rival):
        return message("recommendation.another_mix_of_formats", n=count)
    return message("recommendation.mix_of_formats", n=count)


def _mixes(rival: Rival) -> bool:
    """Whether it has several formats that are not what is released."""
    return rival.formats > 0 and len(shown_schemes(rival)) > 1


def _release_scheme(choice: Selection) -> str:
    """The scheme that most of the release is stored in."""
    released = _released(choice)
    schemes = choice.options[released].rival.schemes if released is not None else ()
    return schemes[0] if schemes else choice.option.space.model.question.spec.quantization


def nearest_rival(choice: Selection) -> int | None:
    """The other plan that comes nearest to displacing the taken one, None where none is as likely
    better as not."""
    taken = choice.taken
    rival_indices = [
        i
        for i, option in enumerate(choice.options)
        if i != taken and not option.same_as(choice.option) and choice.better[i, taken] >= EVEN
    ]
    return max(
        rival_indices,
        key=lambda i: (float(choice.beaten[i, taken]), float(choice.better[i, taken]), -i),
        default=None,
    )
