"""What answers tell of engines that people run for themselves: what a mix of one's own would bring,
the file of mixed types beside the one that is taken, and what one request alone sees (how fast its
prompt is read, how fast it is answered, how long its context window may be), and what its first
token waits for after a pause."""

from __future__ import annotations

from planner.base.units import format_rate
from planner.messages.message import Note, message
from planner.planning.answer.capacity import capacity_info
from planner.planning.answer.choice_notes import HOME_ENGINES, ONE_REQUEST_KEY
from planner.planning.answer.dynamic_file import dynamic_note
from planner.planning.answer.offload import cost_bytes
from planner.planning.answer.own_mix import own_mix_note
from planner.planning.choose.selection import Selection
from planner.planning.price.intervals import performance
from planner.planning.price.price import Priced
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.served_batch import ServedCandidate, result_at
from planner.throughput.launches import pause_seconds


def home_notes(winner: SearchResult, priced: Priced, choice: Selection | None) -> tuple[Note, ...]:
    """The notes in their order; without a ``choice`` among files those of one request alone."""
    alone = (*one_request_note(winner, priced), *pause_note(winner, priced))
    if choice is None:
        return alone
    return (*own_mix_note(winner, priced, choice), *dynamic_note(winner, priced, choice), *alone)


def one_request_note(winner: SearchResult, priced: Priced) -> tuple[Note, ...]:
    """Prompt and decode in tokens/s of one request that is served alone, with the 80 % interval of
    decode; where the plan is for several, the longest context window of one as well. Nothing of an
    engine for servers, or of a layout that holds more than one request at once."""
    model = winner.space.model
    layout = priced.layout
    if model.question.engine not in HOME_ENGINES or layout.dp * layout.pp != 1:
        return ()
    served = ServedCandidate(winner.space, winner.candidate, winner.segments, priced).at(1)
    work, alone = model.question.workload, served.priced
    step = performance(model, alone, 1).tpot_seconds
    speeds = message(
        "assumptions.one_request_speeds",
        prompt=format_rate(work.isl * (1 - work.prefix_hit_rate) / alone.ttft),
        decode=format_rate(1 / step.value),
        low=format_rate(1 / step.high),
        high=format_rate(1 / step.low),
    )
    if priced.slot > 1:
        window = capacity_info(model, result_at(winner, served), alone).max_context_at_batch
        speeds = message("assumptions.one_request_window", speeds=speeds, window=f"{window:,}")
    return (Note(ONE_REQUEST_KEY, speeds, message("assumptions.no_other_request_beside")),)


def pause_note(winner: SearchResult, priced: Priced) -> tuple[Note, ...]:
    """What the first token after a pause waits for beside its prompt, where the system releases the
    memory of an idle engine."""
    question = winner.space.model.question
    held = sum(cost_bytes(winner.space, cost) for cost in priced.costs)
    seconds = pause_seconds(question.device, question.engine, held)
    if not seconds:
        return ()
    return (
        Note(
            "pause",
            message("assumptions.first_token_after_a_pause", seconds=f"{seconds:.2g}"),
            message("assumptions.macos_releases_idle_memory"),
        ),
    )
