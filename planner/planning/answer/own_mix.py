"""What a mix of one's own would bring in place of a published file, at no more bytes: the least
lossy assignment on the same layout and batch."""

from __future__ import annotations

from math import ceil, floor, log10

from planner.base.units import format_seconds
from planner.messages.message import Note, message
from planner.planning.answer.choice_notes import OWN_MIX_KEY
from planner.planning.choose.selection import Selection
from planner.planning.engines.mixes import engine_mixes
from planner.planning.price.price import Priced, file_bytes_of, price
from planner.planning.search.grid_search import SearchResult, solve_candidate
from planner.planning.search.spaces import with_question
from planner.planning.space.losses import saturated_loss

WORTH_LESS = 0.05
"""A share of the loss below which a mix is not worth telling."""


def own_mix_note(winner: SearchResult, priced: Priced, choice: Selection) -> tuple[Note, ...]:
    """The loss of the best mix in the bytes of the published file that was taken, and the command
    that plans it; nothing where no file was taken, or where its mixture is as good as any."""
    model, question = winner.space.model, winner.space.model.question
    taken = choice.option
    quant = taken.weights.checkpoint.partition(":")[2]
    mix = engine_mixes().get(quant)
    if mix is None or mix.engine != question.engine:
        return ()
    size = file_bytes_of(model, priced)
    space = with_question(
        winner.space,
        objective="quality",
        memory_bytes=priced.fullest.total,
        file_bytes=size,
        loss_scheme=None,
        loss_limit=None,
    )
    _, segments = solve_candidate(space, winner.candidate)
    if not segments:
        return ()
    own = price(space, winner.candidate, segments)
    mine, theirs = (saturated_loss(model, one.loss) for one in (own, priced))
    if mine > theirs * (1 - WORTH_LESS):
        return ()
    value = message(
        "assumptions.own_mix_loses",
        own=f"{mine:.3g}",
        published=f"{theirs:.3g}",
        less=f"{1 - mine / theirs:.0%}",
        tpot=format_seconds(own.tpot),
        before=format_seconds(priced.tpot),
    )
    made = message(
        "assumptions.own_mix_is_made_by",
        model=question.spec.id,
        device=question.device.id,
        engine=question.engine,
        loss=_upwards(mine),
        batch=priced.batch,
        file=str(size),
    )
    return (Note(OWN_MIX_KEY, value, made),)


def _upwards(loss: float) -> str:
    """A loss in three digits, rounded up, so that the mix is among the plans that keep it."""
    step = 10.0 ** (floor(log10(loss)) - 2)
    return f"{ceil(loss / step * (1 - 1e-12)) * step:.3g}"
