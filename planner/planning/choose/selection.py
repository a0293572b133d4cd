"""The plan to take among rivals: each weighed, compared in common draws, and the rule applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import erfc, log, sqrt

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.formats.schemes import SCHEMES
from planner.formats.sizes import bits_per_element
from planner.formats.stored_schemes import MLX
from planner.planning.choose.best_of_options import best_in_the_loop, by_mixtures
from planner.planning.choose.chances import objective_draws, share_of_draws_better
from planner.planning.choose.gains import CalibratedGains, calibrated_gains
from planner.planning.choose.option import Option, in_the_loop, pair_levels
from planner.planning.choose.rule import (
    Standing,
    Thresholds,
    displaces,
    least_lossy,
    plan_to_take,
    required,
)
from planner.planning.practice.recipes import KINDS
from planner.planning.price.evidence import (
    NONE,
)
from planner.planning.price.measured_errors import Z80
from planner.planning.question.question import TIMED, Question
from planner.planning.search.excluded_recipe import ExcludedRecipe, excluded_recipe
from planner.planning.search.formulate import loss_limit
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.option_counts import with_counts
from planner.planning.search.practised import practised_rivals
from planner.planning.search.releases import release_rivals
from planner.planning.search.rivals import is_mixture, rivals
from planner.planning.search.spaces import with_question
from planner.planning.space.candidates import Space
from planner.planning.space.losses import band_factor, saturated_loss
from planner.planning.space.printed_loss import equal_up_to
from planner.quality.floor import UNCHANGED_NATS

Array = NDArray[np.float64]
BITS_APART = 0.5
"""Bits per element by which formats differ that are not of one width: scales apart."""


@cached_record
class Selection:
    """All ``options``, the one that is ``taken`` and the optimum (indices), and what the draws say:
    ``drawn`` objectives [A, draws], ``better`` the chance that plan i is better than plan j at all,
    ``beaten`` by how much it exceeds what displaces plan j, 1 and more where it does [A, A].
    ``standings`` are what the ``rule`` knows of each, and ``unmeasured`` the pairs whose difference
    nobody measured [A, A]; ``remade`` are not taken, as they need new weights that
    nobody wants, or make a quantised release anew in more bits. ``excluded`` is the published
    deployment that is told where none is an option.
    ``conventional`` is the plan that is taken where nothing displaces it; ``gains`` are calibrated
    by measured pairs, None of bytes and losses. ``exact`` is the search's own answer with the proof
    of the optimum, which is taken where it was asked for."""

    options: tuple[Option, ...]
    taken: int
    optimum: int
    conventional: int
    drawn: Array
    better: Array
    beaten: Array
    gains: CalibratedGains | None
    standings: tuple[Standing, ...]
    rule: Thresholds
    unmeasured: NDArray[np.bool_]
    remade: frozenset[int]
    exact: SearchResult
    exact_asked: bool = False
    excluded: ExcludedRecipe | None = None

    @property
    def option(self) -> Option:
        """The plan to take."""
        return self.options[self.taken]

    @property
    def objective(self) -> str:
        return self.exact.space.model.question.objective

    def lacking(self, i: int) -> tuple[float, float, float] | None:
        """(the gain that option ``i`` must bring over the taken one, its chance of that, the chance
        that it must have) where it lacks that; None where it has it."""
        known = bool(self.unmeasured[i, self.taken])
        gain, sure = required(self.standings[i], self.standings[self.taken], self.rule, known)
        chance = float(self.beaten[i, self.taken]) * sure
        return (gain, chance, sure) if 0 < chance < sure else None

    def result(self) -> SearchResult:
        """The plan to take as a search would tell it, its options counted. Its question has the
        limit on loss that holds inside the band."""
        if self.taken == self.optimum:
            return self.exact
        taken = self.option.rival.result
        space = with_question(taken.space, loss_scheme=None, loss_limit=allowed_loss(self.exact))
        counted = with_counts(
            replace(taken, space=space, grid=self.exact.grid, candidates=self.exact.candidates)
        )
        if self.objective != "quality":
            return counted
        # What was proved of the least loss holds for whatever is taken within its slack.
        return replace(counted, bound=min(self.exact.bound, counted.value))


def choose(
    spaces: Sequence[Space],
    best: SearchResult,
    *,
    exact: bool = False,
    elsewhere: Sequence[Question] = (),
    splits: Sequence[Question] = (),
) -> Selection:
    """The plan to take of all rivals of ``best``, the optimum over ``spaces``, and of what is
    conventional on the engines of the questions ``elsewhere``; ``exact``: the optimum, without
    regard to how sure the numbers are. ``splits`` are the questions of other shares in the memory
    of a host, in which weights that exist may lie."""
    allowed = allowed_loss(best)
    files = () if exact else _hosted_files(best, splits, allowed)
    wide = (*spaces, *files)
    mine = [
        *practised_rivals(wide, elsewhere, allowed),
        *release_rivals(wide, allowed),
        *rivals(spaces, best, allowed=allowed, files=files),
    ]
    options = tuple(option for rival in mine if (option := in_the_loop(rival)) is not None)
    options, best = best_in_the_loop(options, best)
    question = best.space.model.question
    drawn = objective_draws([option.weighed for option in options])
    levels = pair_levels(options)
    gains = option_gains(question, options, levels, drawn)
    optimum = next(i for i, option in enumerate(options) if option.rival.kind == "optimum")
    chances = partial(option_chances, options, gains, drawn)
    base = conventional_option(options, question.engine)
    rule = Thresholds.of_question(question)
    standings = [standing_of(option, options[base], drawn[i]) for i, option in enumerate(options)]
    unmeasured = np.array([[level == NONE for level in row] for row in levels])
    beaten = displaces(standings, chances, rule, unmeasured)
    remade = remade_options(options, question)
    left_out = {
        *by_mixtures(options, question.objective),
        *remade,
        *more_lossy(options, options[base], question),
    } - {base}
    beaten[sorted(left_out), :] = 0.0
    taken = optimum
    if question.objective == "quality" and not exact:
        taken = _least_lossy_option(options, standings, remade, question)
    elif not exact:
        taken = plan_to_take(standings, base, beaten)
    return Selection(
        options=options,
        taken=taken,
        optimum=optimum,
        conventional=base,
        drawn=drawn,
        better=chances(0.0),
        beaten=beaten,
        gains=gains,
        standings=tuple(standings),
        rule=rule,
        unmeasured=unmeasured,
        remade=frozenset(remade),
        exact=best,
        exact_asked=exact,
        excluded=None
        if any(option.rival.recipe is not None for option in options)
        else excluded_recipe(spaces, elsewhere, allowed),
    )


def _hosted_files(
    best: SearchResult, splits: Sequence[Question], allowed: float | None
) -> tuple[Space, ...]:
    if best.space.model.question.offload is None:
        return ()
    from planner.planning.search.hosted_files import hosted_file_spaces

    return hosted_file_spaces(best, splits, allowed)


def _least_lossy_option(
    options: Sequence[Option],
    standings: Sequence[Standing],
    remade: set[int],
    question: Question,
) -> int:
    """The option that loses least, of those whose weights are wanted where there are any."""
    wanted = [i for i in range(len(options)) if question.new_weights != "no" or i not in remade]
    wanted = wanted or list(range(len(options)))
    seconds = []
    for i in wanted:
        priced = options[i].priced
        ranks = priced.layout.ranks
        replicas = options[i].space.model.question.replicas(ranks)
        seconds.append(ranks * replicas / priced.tokens_per_second(replicas))
    return wanted[least_lossy([standings[i] for i in wanted], seconds)]


def option_chances(
    options: Sequence[Option], gains: CalibratedGains | None, drawn: Array, gain: float
) -> Array:
    """The chance that option i is better than option j by ``gain`` at least, by the objective
    [A, A]; ``drawn`` are the options' objectives [A, draws]."""
    objective = options[0].space.model.question.objective
    if objective == "quality":
        return less_lossy(options, gain)
    if gains is None:
        return share_of_draws_better(objective, drawn, gain)
    return gains.chances(gain)


def less_lossy(options: Sequence[Option], gain: float) -> Array:
    """The chance that option i loses less than option j, by ``gain`` of it at least [A, A]: what
    two plans lose alike cancels, and each kind of unit errs by itself in what is left, by the band
    within which losses cannot be told apart. The floor comes with any change, as one more kind; of
    two changed plans that differ by less than it neither loses less."""
    model = options[0].space.model
    kinds = sorted({kind for option in options for kind in option.losses})
    sums = [option.priced.loss for option in options]
    changed = np.array([total > UNCHANGED_NATS for total in sums])
    floor = model.floor.value_nats
    losses = np.array([[option.losses.get(kind, 0.0) for kind in kinds] for option in options])
    losses = np.hstack([losses, floor * changed[:, None]])
    less = losses[None, :, :] - losses[:, None, :]
    spread = log(band_factor(model)) / Z80
    error = spread * np.sqrt((less**2).sum(axis=2))
    least = less.sum(axis=2) - gain * losses.sum(axis=1)[None, :]
    apart = np.divide(least, error, out=np.zeros_like(least), where=error > 0)
    chances = np.vectorize(lambda z: 0.5 * erfc(-z / sqrt(2.0)), otypes=[float])(apart)
    told = np.array([saturated_loss(model, total) for total in sums])
    lost = np.abs(told[:, None] - told[None, :]) < floor
    equal = lost & changed[:, None] & changed[None, :]
    chances = np.asarray(np.minimum(chances, np.where(equal, 0.5, 1.0)))
    np.fill_diagonal(chances, 0.0)
    return np.asarray(chances)


def conventional_option(options: Sequence[Option], engine: str) -> int:
    """The plan that is taken where nothing displaces it: a published deployment, first on the
    ``engine`` that practice and evidence prefer, then of the strongest source, of equals the best;
    else that engine's conventional one, as released, from an official release or a published file;
    else the simplest. Without a default limit on loss it is the least lossy of what exists, on
    another engine where that one has nothing or what loses more for certain; of weights that must
    be made, the simplest of those that the least lossy cannot be told from."""
    made = [option.priced.loss for option in options if option.simple.new_weights]
    there = [option.priced.loss for option in options if not option.simple.new_weights]
    least = equal_up_to(options[0].space.model, min(there, default=0.0))
    alike = equal_up_to(options[0].space.model, min(made, default=0.0))

    def order(i: int) -> tuple[object, ...]:
        option, recipe = options[i], options[i].rival.recipe
        question = option.space.model.question
        floor = question.floor_dropped and recipe is None
        source = (True, len(KINDS), True)
        if recipe is not None:
            given = question.devices_given and recipe.devices != max(question.sizes)
            source = (recipe.device != question.device.id, KINDS.index(recipe.kind), given)
        return (
            recipe is None,
            floor and bool(there) and (option.simple.new_weights or option.priced.loss > least),
            question.engine != engine,
            source,
            option.simple.new_weights,
            not is_usual(option),
            max(option.priced.loss, alike if option.simple.new_weights else 0.0) * floor,
            option.rival.kind == "optimum",
            option.simple.order if recipe is None and not is_usual(option) else (),
            option.priced.loss * floor,
            option.weighed.value,
            i,
        )

    return min(range(len(options)), key=order)


def is_usual(option: Option) -> bool:
    """Whether a plan is what people do without a guide: the conventional one, or a published file
    in a mixture of the engine's or in one of MLX's formats."""
    rival = option.rival
    mlx = rival.formats == 1 and all(name.startswith(MLX) for name in rival.schemes)
    file = bool(option.weights.checkpoint) and (is_mixture(rival) or mlx)
    return rival.kind == "conventional" or file


def standing_of(option: Option, base: Option, drawn: Array) -> Standing:
    """What the rule knows of an option; ``drawn`` are its objectives [draws]. Equal plans differ in
    the last digits of their sums."""
    departs = sum(
        (
            option.priced.layout != base.priced.layout,
            option.rival.kv != base.rival.kv,
            option.space.model.question.engine != base.space.model.question.engine,
        )
    )
    expected = float(f"{float(drawn.mean()):.9e}")
    made = option.rival.formats > 0 and bool(option.weights.command)
    return Standing(option.level, option.simple, made, departs, option.priced.loss, expected)


def option_gains(
    question: Question,
    options: Sequence[Option],
    levels: Sequence[Sequence[str]],
    drawn: Array,
) -> CalibratedGains | None:
    """What the options gain over each other by measured pairs; None of bytes and losses."""
    if question.objective not in TIMED:
        return None
    return calibrated_gains(
        question.objective,
        [option.configuration for option in options],
        levels,
        [option.weighed.value for option in options],
        drawn,
        question.spec.id,
    )


def remade_options(options: Sequence[Option], question: Question) -> set[int]:
    """The options that the rule does not take: new weights where none are wanted, and those that
    make a quantised release anew in more bits."""
    if question.new_weights == "yes":
        return set()
    return {
        i
        for i, option in enumerate(options)
        if option.simple.new_weights
        and (question.new_weights == "no" or _widens(option.rival.result))
    }


def more_lossy(options: Sequence[Option], base: Option, question: Question) -> set[int]:
    """The options that lose more than the conventional plan for certain, where the least loss that
    fits is preferred."""
    if not question.floor_dropped:
        return set()
    most = equal_up_to(base.space.model, base.priced.loss)
    return {i for i, option in enumerate(options) if option.priced.loss > most}


def _widens(result: SearchResult) -> bool:
    """Whether an assignment stores a module in more bits than its quantised release does."""
    model = result.space.model
    for segment in result.segments:
        unit = model.units[segment.unit]
        if unit.role != "module" or segment.choice < 0:
            continue
        released = SCHEMES[model.planned[unit.row].released_as].weight
        made = SCHEMES[model.choices[segment.choice]].weight
        if bits_per_element(made) > bits_per_element(released) + BITS_APART:
            return True
    return False


def allowed_loss(best: SearchResult) -> float | None:
    """The most that losses may sum to: a limit that was given, and what cannot be told apart from
    a default. Under the objective quality the limit itself, since the loss is what is compared."""
    model = best.space.model
    limit = loss_limit(model)
    question = model.question
    preference = question.loss_default and not question.loss_widened
    if limit is None or question.objective == "quality" or not preference:
        return limit
    return equal_up_to(model, limit)
