"""What a model's own prediction layers would bring a plan that drafts no tokens, in one line.

The step of the plan's very assignment, layout and batch is priced with the layers and without; the
gain is worth what measured pairs say of drafted tokens. A plan with them is searched only where it
is asked for: few deployments that draft were measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import expm1, log

import numpy as np

from planner.base.errors import InputError
from planner.messages.message import Note, message
from planner.planning.choose.calibrated import calibration, gain_distribution
from planner.planning.choose.calibrated import interval as log_interval
from planner.planning.plan.notes import with_notes
from planner.planning.plan.record import Plan
from planner.planning.price.price import price
from planner.planning.question.drafted import with_drafts
from planner.planning.question.question import RATES, Question
from planner.planning.question.speculation import MTP, Speculation, prediction_layers
from planner.planning.search.grid_search import SearchResult
from planner.planning.space.model import build_model
from planner.planning.speculate.info import KEY, chosen_by_unit, tpot_at
from planner.throughput.acceptance import acceptance, measured_draft_counts
from planner.throughput.calibration import ANY_ENGINE

RELATED = "related"


def with_offer(plan: Plan, result: SearchResult) -> Plan:
    """``plan``, made of ``result``, with a line on the model's prediction layers where its engine
    serves them and their acceptance was measured."""
    question = result.space.model.question
    timed = question.objective in RATES or question.objective == "latency"
    if question.engine == ANY_ENGINE or question.speculation is not None or not timed:
        return plan
    gains = {option: _log_gain(result, drafting) for option, drafting in _drafting(question)}
    if not gains:
        return plan
    best = max(gains, key=lambda option: gains[option])
    known = calibration(frozenset((KEY,)), RELATED, question.spec.id)
    middle, _ = gain_distribution(gains[best], known)
    low, high = log_interval(gains[best], known)
    said = [f"{expm1(end):+.0%}" for end in (middle, low, high)]
    note = Note(
        KEY,
        message("assumptions.prediction_layers_unused", count=best.draft_tokens),
        message(
            "assumptions.prediction_layers_would_bring", gain=said[0], low=said[1], high=said[2]
        ),
    )
    return with_notes(plan, note)


def _drafting(question: Question) -> Iterator[tuple[Speculation, Question]]:
    """The prediction layers with every number of tokens that was measured, and the question with
    them; nothing where there are none, or the engine does not serve them."""
    spec = question.spec
    if not spec.mtp_layers:
        return
    for count in measured_draft_counts(MTP, spec.id, ""):
        rate = acceptance(MTP, spec.id, question.workload.preset, count, "")
        option = prediction_layers(spec, count, rate)
        try:
            (drafting,) = with_drafts((question,), option)
        except InputError:
            return
        yield option, drafting


def _log_gain(result: SearchResult, drafting: Question) -> float:
    """By how much a token takes less with what drafts, in logarithms."""
    model = result.space.model
    priced = price(result.space, result.candidate, result.segments)
    chosen = chosen_by_unit(model, result.segments)
    own = {unit.id: choice for unit, choice in zip(model.units, chosen, strict=True)}
    other = build_model(drafting, model.prior)
    slots = np.array([priced.slot], dtype=np.int64)
    plain = tpot_at(model, priced.layout, chosen, slots)
    drafted = tpot_at(other, priced.layout, [own.get(u.id, -1) for u in other.units], slots)
    return log(float(plain[0]) / float(drafted[0]))
