"""The strongest published deployment where none is among the rivals, and what keeps it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from planner.base.records import cached_record
from planner.base.units import format_seconds
from planner.messages.message import Message, message
from planner.planning.practice.recipes import Recipe
from planner.planning.price.plan_kinds import recipes_here
from planner.planning.price.price import Priced, price
from planner.planning.question.question import Question, without_time_limits
from planner.planning.search.practised import (
    Practised,
    cache_here,
    layout_here,
    on_layout,
    order_of_sources,
    scheme_here,
)
from planner.planning.search.uniform import (
    UniformQuery,
    placed_uniforms,
    uniform_choice,
    uniform_loss,
)
from planner.planning.space.candidates import Space
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior


@cached_record
class ExcludedRecipe:
    """A published deployment that is no rival, and the ``reason``. Where the devices hold it,
    ``space`` and ``priced`` are the batch at which a token takes least, without limits on time."""

    recipe: Recipe
    reason: Message
    space: Space | None = None
    priced: Priced | None = None


def excluded_recipe(
    spaces: Sequence[Space], elsewhere: Sequence[Question], allowed: float | None
) -> ExcludedRecipe | None:
    """The published deployment of the strongest source for the model and device of ``spaces``, none
    of which was placed within the limits; None where nobody published one. ``elsewhere`` are the
    questions of other engines, ``allowed`` is what losses may sum to."""
    question = spaces[0].model.question
    known = recipes_here(question)
    if not known:
        return None
    ways: dict[str, list[CostModel]] = {question.engine: [space.model for space in spaces]}
    for other in elsewhere:
        ways.setdefault(other.engine, []).append(build_model(other, load_prior()))
    recipe = min(known, key=lambda r: (r.engine not in ways, *order_of_sources(r, question)))
    return _excluded(recipe, ways, allowed, max(question.sizes))


def _excluded(
    recipe: Recipe,
    ways: Mapping[str, Sequence[CostModel]],
    allowed: float | None,
    most_devices: int,
) -> ExcludedRecipe:
    models = ways.get(recipe.engine, ())
    if not models and recipe.devices > most_devices:
        return ExcludedRecipe(recipe, message("reasons.recipe_devices", n=recipe.devices))
    if not models:
        return ExcludedRecipe(recipe, message("reasons.recipe_engine", engine=recipe.engine))
    if recipe.layout == "pools":
        return ExcludedRecipe(recipe, message("reasons.recipe_pools"))
    layout = layout_here(recipe, models[0].question)
    if layout is None:
        return ExcludedRecipe(recipe, message("reasons.recipe_devices", n=recipe.devices))
    scheme, kv = scheme_here(recipe, models), cache_here(recipe.kv, models)
    if not scheme or not kv:
        name = recipe.checkpoint or recipe.weights
        return ExcludedRecipe(recipe, message("reasons.recipe_formats", name=name))
    practised = Practised(layout, scheme, kv, recipe)
    able = [(m, space) for m in models if (space := _way(m, practised)) is not None]
    if not able:
        return ExcludedRecipe(recipe, message("reasons.recipe_way", engine=recipe.engine))
    placed = [one for way in able if (one := _priced(*way, practised)) is not None]
    if not placed and recipe.devices > most_devices:
        return ExcludedRecipe(recipe, message("reasons.recipe_devices", n=recipe.devices))
    if not placed:
        return ExcludedRecipe(recipe, message("reasons.recipe_memory"))
    space, priced, loss = min(placed, key=lambda one: one[1].tpot)
    reason = _broken(models[0].question, priced, loss, allowed)
    return ExcludedRecipe(recipe, reason, space, priced)


def _way(model: CostModel, practised: Practised) -> Space | None:
    """The candidates of its layout without limits on time; None where the way to serve has not its
    layout, formats or cache."""
    if practised.kv not in model.question.kv:
        return None
    if uniform_choice(model, practised.scheme, practised.kv) is None:
        return None
    alone = replace(without_time_limits(model.question), objective="latency")
    return on_layout(alone, practised.layout)


def _priced(
    model: CostModel, space: Space, practised: Practised
) -> tuple[Space, Priced, float] | None:
    """The deployment at the batch at which a token takes least, with what it loses in sum; None
    where the memory does not hold it."""
    choice = uniform_choice(model, practised.scheme, practised.kv)
    wanted = UniformQuery(practised.scheme, practised.kv, limits=False)
    placed = placed_uniforms([(space, [wanted])])
    if choice is None or not placed:
        return None
    priced = price(placed[0].space, placed[0].candidate, placed[0].segments)
    return placed[0].space, priced, uniform_loss(model, choice)


def _broken(question: Question, priced: Priced, loss: float, allowed: float | None) -> Message:
    """The limit that a deployment breaks at the batch at which a token takes least."""
    if allowed is not None and loss > allowed:
        return message("reasons.recipe_loss", loss=f"{loss:.3g}", limit=f"{allowed:.3g}")
    times = question.limited_times(priced.ttft, priced.tpot)
    over = {name: s / times[name] for name, s in question.time_limits.items() if times[name] > s}
    if not over:
        return message("reasons.recipe_limits")
    name = min(over, key=lambda name: over[name])
    return message(
        "reasons.recipe_time",
        name=name,
        least=format_seconds(float(times[name])),
        limit=format_seconds(question.time_limits[name]),
    )
