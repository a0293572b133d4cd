"""What is told of a choice: its rule, its limits, and what they cost."""

from __future__ import annotations

from planner.base.units import format_rate
from planner.messages.message import Note, message
from planner.planning.choose.selection import Selection
from planner.planning.price.price import Priced
from planner.planning.question.question import RATES
from planner.planning.search.engine_search import BAND_KEY, band_reason
from planner.planning.search.formulate import loss_limit
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.served_batch import WORTH, ServedCandidate
from planner.planning.solver.problem import TOLERANCE
from planner.planning.space.losses import saturated_loss
from planner.planning.space.model import CostModel
from planner.planning.space.printed_loss import equal_up_to

RULE_KEY, UNLIMITED_KEY = "decision rule", "without the default tpot-ms"
"""Assumptions that tell what counts as a gain, and what the default limit on TPOT costs."""
ABOVE_KEY = "above max-loss"
"""The assumption that tells of a published deployment that loses more than the default limit."""
OWN_MIX_KEY, DYNAMIC_KEY = "own mix at this size", "dynamic file"
"""Assumptions that tell what a mix of one's own brings, and the file of mixed types beside it."""
ONE_REQUEST_KEY = "one request alone"
"""The assumption that tells what one request alone sees."""
HOME_ENGINES = ("llama.cpp", "mlx")
"""Engines that people run at home, for themselves."""


def rule_note(choice: Selection) -> Note:
    """What it takes to leave the conventional plan."""
    rule = choice.rule
    return Note(
        RULE_KEY,
        message(
            "assumptions.gains_that_count",
            settings=f"{rule.settings:.0%}",
            weights=f"{rule.new_weights:.0%}",
            unmeasured=f"{rule.unmeasured:.0%}",
        ),
        message("assumptions.min_gain_sets_them"),
    )


def equal_note(choice: Selection) -> tuple[Note, ...]:
    """That a plan was taken whose loss is within the slack of the least; nothing where the least
    was taken."""
    least = choice.exact.value * (1 + TOLERANCE)
    if choice.objective != "quality" or choice.option.priced.loss <= least:
        return ()
    model = choice.option.space.model
    losses = choice.option.priced.loss, choice.exact.value
    told = [f"{saturated_loss(model, loss):.3g}" for loss in losses]
    return (
        Note(
            "indistinguishable",
            message("assumptions.loss_for_at_least", a=told[0], b=told[1]),
            message(
                "assumptions.chance_that_least_loses_less",
                chance=f"{float(choice.better[choice.optimum, choice.taken]):.0%}",
            ),
        ),
    )


def unlimited_note(winner: SearchResult, priced: Priced) -> tuple[Note, ...]:
    """What the plan's rate is without the default limit on TPOT, which it keeps."""
    question = winner.space.model.question
    if not question.tpot_default or question.objective not in RATES or question.is_batch_given:
        return ()
    served = ServedCandidate(winner.space, winner.candidate, winner.segments, priced)
    most = served.most_slots()
    layout = priced.layout
    rate = served.loop_at(most).rate * question.replicas(layout.ranks)
    mine = priced.tokens_per_second(question.replicas(layout.ranks))
    if rate <= mine * (1 + WORTH):
        return ()
    return (
        Note(
            UNLIMITED_KEY,
            message("assumptions.tokens_s", x=format_rate(rate)),
            message(
                "assumptions.tpot_none_lifts_it",
                users=f"{most * layout.dp * layout.pp * question.replicas(layout.ranks):,}",
            ),
        ),
    )


def band_note(model: CostModel, priced: Priced) -> tuple[Note, ...]:
    """That the loss is above its limit: inside the band, or of a published deployment, which goes
    before a default; nothing where it is not above."""
    limit = loss_limit(model)
    if limit is None or priced.loss <= limit * (1 + TOLERANCE):
        return ()
    inside = priced.loss <= equal_up_to(model, limit) * (1 + TOLERANCE)
    return (
        Note(
            BAND_KEY if inside else ABOVE_KEY,
            message(
                "assumptions.loss_for_limit_of",
                a=f"{saturated_loss(model, priced.loss):.3g}",
                b=f"{saturated_loss(model, limit):.3g}",
            ),
            band_reason(model, limit)
            if inside
            else message("assumptions.published_goes_before_default_limit"),
        ),
    )
