"""Plans whose hit rate follows from the room that they leave for prefixes: ``--reuse``,
``--kv-offload``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from planner.base.errors import InfeasibleError, InputError, PlannerError, UnsupportedError
from planner.base.records import record
from planner.planning.answer.assemble import assemble, recommended
from planner.planning.choose.selection import choose
from planner.planning.engines.kv_offload import DEVICE, engines_with, prefix_tier
from planner.planning.infeasible.case import unserved_case
from planner.planning.infeasible.solve import solve_or_refuse
from planner.planning.plan.record import Plan
from planner.planning.question.input import QuestionInput
from planner.planning.question.question import RATES, Question
from planner.planning.question.time_limits import LIMITS
from planner.planning.reuse.batches import ReuseAtBatch, best_batch, reuse_by_batch
from planner.planning.reuse.hits import OffloadRoom, PrefixRoom, offload_room
from planner.planning.reuse.prefix_record import cache_worth, with_prefixes
from planner.planning.reuse.tier import OffloadTier, offload_tier
from planner.planning.search.engine_search import solve_with_relaxations
from planner.planning.search.grid_search import SearchResult
from planner.planning.space.candidates import Space
from planner.reuse import Reuse
from planner.workloads import NamedWorkload, load_workload, workload_ids

AUTO, NONE = "auto", "none"
ROUNDS, CLOSE = 4, 0.002
"""Searches at most until the hit rate that a plan assumes is the one that it leads to."""


@record
class PrefixQuestion:
    """How prompts come back, and the tier of prefixes beyond the devices."""

    reuse: Reuse
    tier: OffloadTier | None

    def beyond(self, question: Question, room: PrefixRoom) -> OffloadRoom | None:
        """The tier as the question's engine keeps it."""
        if self.tier is None:
            return None
        row = prefix_tier(question.engine, question.engine_version, self.tier.kind)
        assert row is not None, "engines without the tier are not asked"
        return offload_room(room, self.tier, includes=row.includes, source=row.source)

    def questions(self, inputs: QuestionInput) -> tuple[Question, ...]:
        """The questions of ``ask`` to engines that keep prefixes where it is asked.

        Raises:
            UnsupportedError: none does.
        """
        return self.able(inputs.questions())

    def able(self, questions: Sequence[Question]) -> tuple[Question, ...]:
        """Those of ``questions`` whose engine keeps prefixes where it is asked.

        Raises:
            UnsupportedError: none does.
        """
        tier = DEVICE if self.tier is None else self.tier.kind
        able = tuple(
            q for q in questions if prefix_tier(q.engine, q.engine_version, tier) is not None
        )
        if not able:
            names = ", ".join(
                dict.fromkeys(f"{q.engine} {q.engine_version}".rstrip() for q in questions)
            )
            what = (
                "prefixes of ended requests beside those that run"
                if self.tier is None
                else f"prefixes on {tier}"
            )
            names_with = ", ".join(engines_with(tier))
            raise UnsupportedError(
                f"{names}: keeps no {what}",
                hint=f"known of {names_with}; --engine names one, or "
                + ("--prefix-hit RATE" if self.tier is None else "leave out --kv-offload"),
            )
        return able


def prefix_question(inputs: QuestionInput) -> PrefixQuestion | None:
    """What is asked of prefixes; None where nothing is, or where the hit rate is given.

    Raises:
        InputError: a workload without reuse, options that contradict each other.
        UnsupportedError: a device without such a tier.
    """
    offload = inputs.kv_offload != NONE
    if inputs.kv_offload_bytes is not None and not offload:
        raise InputError("kv-offload-bytes without kv-offload", hint="--kv-offload host or nvme")
    if inputs.prefix_hit_rate is not None:
        if offload:
            raise InputError(
                "kv-offload and prefix-hit exclude each other: how much more is found "
                "there follows from its room",
                hint="leave out --prefix-hit",
            )
        return None
    if not offload and inputs.reuse in (None, NONE):
        return None
    tier = (
        offload_tier(inputs.subject[1], inputs.kv_offload, inputs.kv_offload_bytes)
        if offload
        else None
    )
    if inputs.reuse == NONE:
        raise InputError(
            "kv-offload with reuse none: nothing comes back that could be loaded",
            hint="leave out --reuse none",
        )
    return PrefixQuestion(_reuse(inputs), tier)


def _reuse(inputs: QuestionInput) -> Reuse:
    """The reuse that is named, or the workload's own."""
    named = inputs.reuse if inputs.reuse is not None else AUTO
    if named == AUTO:
        work = inputs.given_values.with_scenario(inputs.loaded_scenario).workload or _of_plan(
            inputs.plan
        )
        what = "no workload is named" if work is None else f"workload {work.id} has no [reuse]"
    else:
        work = named if isinstance(named, NamedWorkload) else load_workload(named)
        what = f"{work.id} has no [reuse]"
    if work is None or work.reuse is None:
        raise InputError(
            f"how prompts come back is not known: {what}",
            hint=f"--reuse {', '.join(_with_reuse())}, or a workload file with "
            "[reuse]; --prefix-hit RATE gives a rate",
        )
    return work.reuse


def _of_plan(plan: Plan | None) -> NamedWorkload | None:
    """The bundled workload that a plan was made for."""
    preset = plan.workload.preset if plan is not None else None
    return load_workload(preset) if preset in workload_ids() else None


def _with_reuse() -> list[str]:
    """The bundled workloads that say how prompts come back."""
    return [name for name in workload_ids() if load_workload(name).reuse is not None]


Answer = Callable[[QuestionInput], tuple[SearchResult, Sequence[Space]]]
"""What answers a question: the optimum and the candidates of other ways to serve, or a price."""


def planned_with_prefixes(inputs: QuestionInput, prefixes: PrefixQuestion) -> Plan:
    """The plan of a question whose hit rate is not given but follows.

    Every cache format is planned by itself, at the batch that is best with the room it leaves; the
    best one's batch, format and hit rate are then asked for until they hold.

    Raises:
        InfeasibleError: nothing satisfies the limits.
    """

    def answer(mine: QuestionInput) -> tuple[SearchResult, Sequence[Space]]:
        return solve_or_refuse(
            prefixes.questions(mine), lambda: unserved_case(mine), exact=mine.exact
        )

    worth, without = _by_format(inputs, prefixes)
    if not worth:
        raise _refusal(inputs, prefixes, answer)
    result, others, rate = _at_consistent_hit_rate(
        replace(inputs, kv=worth[0].kv), prefixes, worth[0], answer
    )
    choice = choose((result.grid, *others), result, exact=inputs.exact)
    at_batch = _own(prefixes, choice.result())
    rows = [
        cache_worth(result.space.model.question, worth[0].kv, at_batch),
        *(cache_worth(row.question, row.kv, row.kept) for row in worth[1:]),
    ]
    return with_prefixes(
        recommended(choice, others=others),
        prefixes.reuse,
        at_batch,
        rows,
        difference=at_batch.hits.whole - rate,
        tried=without,
    )


def estimated_with_prefixes(
    inputs: QuestionInput, prefixes: PrefixQuestion, price: Callable[[QuestionInput], SearchResult]
) -> Plan:
    """The price of an assignment whose hit rate is not given but follows, at the best batch where
    none is given.

    Raises:
        InfeasibleError: it does not fit, or breaks a limit. UnsupportedError: its engine keeps no
            prefixes there.
    """

    def answer(mine: QuestionInput) -> tuple[SearchResult, Sequence[Space]]:
        return price(mine), ()

    result, _ = answer(replace(inputs, prefix_hit_rate=prefixes.reuse.ideal))
    question = prefixes.able((result.space.model.question,))[0]
    at_batch = best_batch(result, prefixes.reuse, prefixes.beyond)
    if at_batch is None:
        raise _refusal(inputs, prefixes, answer)
    kv = "/".join(question.kv)
    result, _, rate = _at_consistent_hit_rate(
        inputs, prefixes, _Worth(kv, question, at_batch, 0.0), answer
    )
    at_batch = _own(prefixes, result)
    return with_prefixes(
        assemble(result),
        prefixes.reuse,
        at_batch,
        [cache_worth(question, kv, at_batch)],
        difference=at_batch.hits.whole - rate,
        tried=(),
    )


@record
class _Worth:
    """A cache format with its question, its best batch, and what is minimised."""

    kv: str
    question: Question
    kept: ReuseAtBatch
    value: float


def _by_format(inputs: QuestionInput, prefixes: PrefixQuestion) -> tuple[list[_Worth], list[str]]:
    """(cache formats, the best first; those without a plan within the limits)."""
    out: list[_Worth] = []
    without = []
    for kv in dict.fromkeys(kv for question in prefixes.questions(inputs) for kv in question.kv):
        result = _optimum(replace(inputs, kv=kv, prefix_hit_rate=prefixes.reuse.ideal), prefixes)
        at_batch = None if result is None else best_batch(result, prefixes.reuse, prefixes.beyond)
        if result is None or at_batch is None:
            without.append(kv)
            continue
        question = result.space.model.question
        value = at_batch.cost if question.objective in RATES else result.value
        out.append(_Worth(kv, question, at_batch, value))
    return sorted(out, key=lambda row: row.value), without


def _optimum(inputs: QuestionInput, prefixes: PrefixQuestion) -> SearchResult | None:
    """The optimum of all ways to serve; None where there is none."""
    try:
        return solve_with_relaxations(prefixes.questions(inputs), exact=inputs.exact)[0]
    except UnsupportedError:
        return None


def _at_consistent_hit_rate(
    inputs: QuestionInput,
    prefixes: PrefixQuestion,
    best: _Worth,
    answer: Answer,
) -> tuple[SearchResult, Sequence[Space], float]:
    """The answer at the batch and hit rate of ``best``, asked for again until the hit rate that it
    assumes is the one that it leads to."""
    at_batch, limits = best.kept, best.question.time_limits
    pinned = inputs.batch if best.question.is_batch_given else at_batch.priced.batch
    for _ in range(ROUNDS):
        rate, loads = round(at_batch.hits.whole, 4), at_batch.hits.loads
        waits = loads.seconds if loads is not None and loads.worth else 0.0
        left: dict[str, Any] = {
            LIMITS[name]: limits[name] - waits for name in ("ttft", "e2e") if name in limits
        }
        result, others = answer(
            replace(
                inputs,
                prefix_hit_rate=rate,
                batch=pinned,
                **left,
            )
        )
        at_batch = _own(prefixes, result)
        if abs(at_batch.hits.whole - rate) <= CLOSE:
            break
    return result, others, rate


def _own(prefixes: PrefixQuestion, result: SearchResult) -> ReuseAtBatch:
    """The hits of an answer at its own batch."""
    slot = int(result.space.pts.slot[result.candidate])
    return reuse_by_batch(result, prefixes.reuse, prefixes.beyond, [slot])[0]


def _refusal(inputs: QuestionInput, prefixes: PrefixQuestion, answer: Answer) -> PlannerError:
    """Why no format has a plan: the limits exclude each other whatever is found, or with what is
    found really."""
    try:
        answer(replace(inputs, prefix_hit_rate=prefixes.reuse.ideal))
    except (InfeasibleError, UnsupportedError) as error:
        return error
    limits = prefixes.questions(inputs)[0].time_limits
    longer = "raise " + " or ".join(f"--{name}-ms" for name in limits) + ", " if limits else ""
    return InfeasibleError(
        "no batch keeps the limits with the prefixes that it leaves room for",
        hint=f"{longer}use more devices, or give a tier: --kv-offload host --kv-offload-bytes N",
    )
