"""What a model's own prediction layers would bring a plan that drafts no tokens, in one line.

The plan's very weights, caches and layout are priced with the layers, at the batch that keeps the
question's limits then, and compared as a plan with drafts is (:func:`gain_of`): what planning with
them prints where it stays on the layout. Beside it stands what measured pairs say of such a gain. A
plan with them is searched only where it is asked for: few deployments that draft were measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import expm1, log1p

from planner.base.errors import InputError
from planner.base.records import cached_record
from planner.messages.message import Note, message
from planner.planning.answer.recommend import layout_text
from planner.planning.choose.calibrated import calibration, gain_distribution
from planner.planning.choose.calibrated import interval as log_interval
from planner.planning.plan.notes import with_notes
from planner.planning.plan.recommendation import GainRange
from planner.planning.plan.record import Plan
from planner.planning.price.price import Priced, fits, price
from planner.planning.question.drafted import with_drafts
from planner.planning.question.question import RATES, Question
from planner.planning.question.speculation import MTP, Speculation, prediction_layers
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.served_batch import ServedCandidate, served_candidate
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import build_space
from planner.planning.space.memory import tables_and_stages
from planner.planning.space.model import CostModel, build_model
from planner.planning.speculate.info import KEY, drafting_share, gain_of, speed
from planner.throughput.acceptance import acceptance, measured_draft_counts
from planner.throughput.calibration import ANY_ENGINE

RELATED = "related"


@cached_record
class Offer:
    """What drafts, the plan's assignment with it, and what it gains."""

    drafting: Speculation
    served: ServedCandidate
    gain: GainRange


def with_offer(plan: Plan, result: SearchResult) -> Plan:
    """``plan``, made of ``result``, with a line on the model's prediction layers where its engine
    serves them and their acceptance was measured."""
    best = best_offer(result)
    if best is None:
        return plan
    priced, pairs = best.served.priced, worth(best.gain, plan.model.id)
    note = Note(
        KEY,
        message("assumptions.prediction_layers_unused", count=best.drafting.draft_tokens),
        message(
            "assumptions.prediction_layers_would_bring",
            gain=f"{best.gain.value:+.0%}",
            worth=f"{pairs.value:+.0%}",
            low=f"{pairs.low:+.0%}",
            high=f"{pairs.high:+.0%}",
            layout=layout_text(priced.layout).upper(),
            batch=priced.batch,
        ),
    )
    return with_notes(plan, note)


def best_offer(result: SearchResult) -> Offer | None:
    """The number of drafted tokens that gains most; None where there are no prediction layers, the
    engine does not serve them, or no batch keeps the limits with them."""
    question = result.space.model.question
    timed = question.objective in RATES or question.objective == "latency"
    if question.engine == ANY_ENGINE or question.speculation is not None or not timed:
        return None
    plain = price(result.space, result.candidate, result.segments)
    best: Offer | None = None
    for drafting, with_it in _drafting(question):
        served = with_layers(result, with_it)
        if served is None:
            continue
        new, old = (_speed(question, one) for one in (served.priced, plain))
        share = drafting_share(served.space.model, served.priced)
        gain = gain_of(new, old, drafting, share)
        if best is None or gain.value > best.gain.value:
            best = Offer(drafting, served, gain)
    return best


def worth(gain: GainRange, model_id: str) -> GainRange:
    """What measured pairs with drafted tokens and without say of a predicted gain."""
    known = calibration(frozenset((KEY,)), RELATED, model_id)
    predicted = log1p(gain.value)
    middle, _ = gain_distribution(predicted, known)
    return GainRange(*(expm1(end) for end in (middle, *log_interval(predicted, known))))


def _speed(question: Question, priced: Priced) -> float:
    return speed(question.objective, priced.rate / priced.layout.ranks, priced.tpot)


def _drafting(question: Question) -> Iterator[tuple[Speculation, Question]]:
    """The prediction layers with every number of tokens that was measured, the most first, and the
    question with them; nothing where there are none, or the engine does not serve them."""
    spec = question.spec
    if not spec.mtp_layers:
        return
    for count in sorted(measured_draft_counts(MTP, spec.id, ""), reverse=True):
        rate = acceptance(MTP, spec.id, question.workload.preset, count, "")
        option = prediction_layers(spec, count, rate)
        try:
            (drafting,) = with_drafts((question,), option)
        except InputError:
            return
        yield option, drafting


def with_layers(result: SearchResult, question: Question) -> ServedCandidate | None:
    """The assignment of ``result`` on its layout under ``question``, its own with something that
    drafts, at the batch that keeps the limits in its closed loop; None where none does."""
    plain = result.space
    model = build_model(question, plain.model.prior)
    tables, stages = tables_and_stages(model, [plain.layout(result.candidate)])
    segments = segments_with_drafts(plain.model, model, result.segments)
    slot = int(plain.pts.slot[result.candidate])
    served = served_candidate(build_space(model, tables, stages, [(0, slot)]), 0, segments)
    if served is not None and not fits(served.space, served.c, served.priced):
        if question.is_batch_given:
            return None
        served = served.at(served.at(1).most_slots())  # what drafts takes room of requests
        served = served_candidate(served.space, served.c, segments)
    return served if served is not None and fits(served.space, served.c, served.priced) else None


def segments_with_drafts(
    plain: CostModel, drafting: CostModel, segments: tuple[Segment, ...]
) -> tuple[Segment, ...]:
    """``segments`` of the model ``plain`` as those of the same model with what drafts, which has no
    choice."""
    place = {unit.id: i for i, unit in enumerate(drafting.units)}
    own = [Segment(place[plain.units[s.unit].id], s.layers, s.choice) for s in segments]
    taken = {segment.unit for segment in own}
    beside = (i for i in range(len(drafting.units)) if i not in taken)
    return (*own, *(Segment(i, drafting.units[i].layers, -1) for i in beside))
