"""From the winning candidate to the plan record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import fsum

from planner.base.units import format_seconds
from planner.messages.message import Note, message
from planner.models.inventory import Inventory
from planner.planning.answer.assumptions import assumptions
from planner.planning.answer.capacity import cache_info, capacity_info
from planner.planning.answer.choice_notes import (
    HOME_ENGINES,
    band_note,
    equal_note,
    rule_note,
    unlimited_note,
)
from planner.planning.answer.compare import compared_with_uniform
from planner.planning.answer.engine_notes import ggml_notes, kernel_notes, route_notes
from planner.planning.answer.layouts import layouts_info
from planner.planning.answer.measured_anchor import measured_anchor
from planner.planning.answer.offload import with_offload_info
from planner.planning.answer.reasons import ReasonInputs, explain, kept_simple
from planner.planning.answer.recommend import recommendation
from planner.planning.answer.rule_gains import rule_gains
from planner.planning.answer.servability import servability_notes, verdicts
from planner.planning.answer.units import module_view, unit_plans
from planner.planning.choose.selection import Selection
from planner.planning.choose.uncertainty import served_score
from planner.planning.plan.notes import written
from planner.planning.plan.record import (
    SCHEMA_VERSION,
    ActiveParameters,
    DeviceInfo,
    EngineInfo,
    LayoutInfo,
    MemoryInfo,
    ModelInfo,
    Plan,
    SolverInfo,
    SourceRef,
    UnitPlan,
    WorkloadInfo,
)
from planner.planning.price.intervals import performance
from planner.planning.price.price import Priced, cached_loss, price
from planner.planning.question.engine_questions import decided_kinds
from planner.planning.question.policies import policy_notes, rule_notes
from planner.planning.question.question import TIMED, Question
from planner.planning.question.workload import Workload
from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.grid_search import BATCH_GAP, PROVED, SearchResult, shown_gap
from planner.planning.search.question_search import PATIENCE, search
from planner.planning.search.rivals import placed_in
from planner.planning.search.spaces import with_question
from planner.planning.solver.highs import MOST_NODES, MOST_SECONDS
from planner.planning.solver.problem import OPTIMAL, STOPPED, relative_gap
from planner.planning.solver.solve import LAYERS_GAP, LAYERS_NODES
from planner.planning.space.candidates import Space
from planner.planning.space.loss_basis import loss_source, rule_weight
from planner.planning.space.losses import saturated_loss
from planner.planning.space.model import CostModel, build_model
from planner.planning.space.printed_loss import quality
from planner.quality.prior import DERIVED_KINDS, load_prior
from planner.throughput.calibration import ANY_ENGINE


def recommended(choice: Selection, *, others: Sequence[Space] = ()) -> Plan:
    """The plan that was chosen, with its recommendation. ``others``: the candidates of an engine's
    other ways to serve, beside those of the optimum."""
    within = choice.result()
    limits = choice.exact.space.model.question
    # Limits are told as they were given; within the band of the one on loss other choices count.
    recommended_plan = replace(
        within,
        space=with_question(
            within.space, loss_scheme=limits.loss_scheme, loss_limit=limits.loss_limit
        ),
    )
    why = explain(within)
    if choice.taken != choice.optimum:
        why = {key: kept_simple(reason_inputs) for key, reason_inputs in why.items()}
    made = replace(
        _plan(recommended_plan, choice.exact, why, others, choice),
        recommendation=recommendation(choice, (choice.exact.grid, *others)),
    )
    placed_in.forget()  # up to tens of MB, which no other question asks for
    return made


def assemble(given: SearchResult) -> Plan:
    """The plan of a given assignment, priced and not chosen."""
    return _plan(given, given, {}, (), None)


def _plan(
    winner: SearchResult,
    exact: SearchResult,
    reasons: dict[tuple[int, int], ReasonInputs],
    others: Sequence[Space],
    choice: Selection | None,
) -> Plan:
    """``winner`` as a plan; ``exact`` is the search's optimum, whose proof it tells."""
    by_search = choice is not None
    space, model = winner.space, winner.space.model
    question = model.question
    priced = price(space, winner.candidate, winner.segments)
    replicas = question.replicas(priced.layout.ranks)
    units = unit_plans(winner, priced, reasons)
    layout = LayoutInfo(
        priced.layout.tp, priced.layout.dp, priced.layout.pp, priced.layout.ep, replicas
    )
    lines, versus = compared_with_uniform((exact.grid, *others), choice)
    solver = _solver(exact, by_search)
    return with_offload_info(
        space,
        priced,
        Plan(
            schema_version=SCHEMA_VERSION,
            model=model_info(question),
            device=DeviceInfo(
                question.device.id, replicas * priced.layout.ranks, question.device.sha256
            ),
            engine=EngineInfo(
                question.engine, question.engine_version or None, question.chosen_from
            ),
            workload=_workload(question.workload, priced.batch),
            layout=layout,
            objective=question.objective,
            units=units,
            modules=module_view(units),
            kv_cache=cache_info(model, winner, priced),
            memory_per_device=_memory(question, priced),
            capacity=capacity_info(model, winner, priced),
            performance=performance(model, priced, replicas),
            quality=replace(
                quality(
                    model,
                    priced.loss,
                    _derived_loss(model, priced),
                    cached_loss(model, priced),
                ),
                measured_anchor=measured_anchor(model, priced),
            ),
            baselines=lines,
            comparison=versus,
            solver=solver,
            assumptions=written(
                (
                    *assumptions(model, priced, by_search),
                    *_repricing(winner, priced),
                    *_open_note(solver, question.profile is not None),
                    *(() if choice is None else equal_note(choice)),
                    *(_search_notes(model, priced, exact, units) if by_search else ()),
                    *(
                        ()
                        if choice is None
                        else (
                            rule_note(choice),
                            *unlimited_note(winner, priced),
                        )
                    ),
                    *_home_notes(winner, priced, choice),
                    *ggml_notes(question, units),
                    *route_notes(question, units),
                    *kernel_notes(question, units),
                    *_servable(question, units, layout),
                )
            ),
            sources=_sources(model),
            layouts=layouts_info(question, (exact.grid, *others)),
            recommendation=None,
        ),
    )


def _search_notes(
    model: CostModel, priced: Priced, exact: SearchResult, units: Sequence[UnitPlan]
) -> tuple[Note, ...]:
    """What a search was held to: the limit on loss, the rules and the kept layers."""
    question = model.question
    rules = rule_notes(
        units,
        question.dropped,
        rule_gains(exact),
        rule_weight(model),
        decided_kinds(question),
        question.engine,
    )
    return (
        *band_note(model, priced),
        *rules,
        *policy_notes(question, exact.value, _free_value),
    )


def _free_value(question: Question) -> float | None:
    """The best objective of a question without some of its policies."""
    free = search(build_model(question, load_prior()))
    return None if free is None else free.value


def _servable(
    question: Question,
    units: Sequence[UnitPlan],
    layout: LayoutInfo,
) -> list[Note]:
    """Which engines can serve the plan; the chosen one alone where one was named."""
    names = (
        None
        if question.engine == ANY_ENGINE
        else [f"{question.engine}@{question.engine_version}".rstrip("@")]
    )
    return servability_notes(
        verdicts(question.spec, question.device, units, layout, names, container=question.container)
    )


def model_info(question: Question) -> ModelInfo:
    """Identity and parameter counts of the model."""
    spec = question.spec
    counts = Inventory(spec)
    active = counts.parameters_active
    return ModelInfo(
        spec.id,
        spec.source,
        spec.config_sha256,
        spec.quantization,
        counts.parameters_total,
        counts.parameters_mtp,
        ActiveParameters(
            active["with_embedding"],
            active["without_input_embedding"],
            active["without_embedding_and_head"],
        ),
    )


def _memory(question: Question, priced: Priced) -> MemoryInfo:
    full = priced.fullest
    return MemoryInfo(
        full.weights,
        full.cache,
        full.activation,
        full.runtime,
        full.total,
        question.usable_bytes,
        question.capacity_bytes,
    )


def _solver(winner: SearchResult, by_search: bool) -> SolverInfo:
    if not by_search:
        return SolverInfo("given", 0.0, winner.value, winner.candidates, False)
    gap = float(max(winner.value - winner.bound, 0.0) / abs(winner.value)) if winner.value else 0.0
    gap = shown_gap(gap)
    value = _served_value(winner)
    bound = value - gap * abs(value)
    optimal = winner.solution.status == OPTIMAL
    return SolverInfo(OPTIMAL if optimal else STOPPED, gap, bound, winner.candidates, gap <= PROVED)


def _served_value(winner: SearchResult) -> float:
    """The objective of the optimum in its closed loop; what the search proved of its sums is told
    in units of it."""
    question = winner.space.model.question
    if question.objective == "quality":
        return saturated_loss(winner.space.model, winner.value)
    if question.objective not in TIMED:
        return winner.value
    return served_score(winner.space, winner.candidate, winner.segments)


def _open_note(solver: SolverInfo, layered: bool) -> tuple[Note, ...]:
    """What may be missed: a limit of the solver was reached, batches are too many and alike, or the
    plan that is best in its closed loop is not that of the best sums."""
    if solver.status == OPTIMAL and solver.gap > BATCH_GAP:
        return (
            Note(
                "closed loop",
                message("assumptions.sums_within_gap", gap=f"{solver.gap:.1%}"),
                message("assumptions.best_in_the_loop"),
            ),
        )
    if solver.status == OPTIMAL and solver.gap > LAYERS_GAP:
        return (
            Note(
                "batches",
                message("assumptions.best_is_found_to", gap=f"{solver.gap:.1%}"),
                message("assumptions.more_than_layouts_and_batches", n=f"{PATIENCE[0][1]:,}"),
            ),
        )
    if solver.status != STOPPED:
        return ()
    return (
        Note(
            "solver",
            message("assumptions.stopped_best_met_is_within", gap=f"{solver.gap:.2g}"),
            message(
                "assumptions.limit_of_nodes_or_s",
                n=f"{LAYERS_NODES if layered else MOST_NODES:,}",
                most_seconds=f"{MOST_SECONDS:.0f}",
            ),
        ),
    )


def _home_notes(winner: SearchResult, priced: Priced, choice: Selection | None) -> tuple[Note, ...]:
    """What is told of an engine that people run for themselves, loaded for those alone."""
    if winner.space.model.question.engine not in HOME_ENGINES:
        return ()
    from planner.planning.answer.home_notes import home_notes

    return home_notes(winner, priced, choice)


def _repricing(winner: SearchResult, priced: Priced) -> tuple[Note, ...]:
    """By how much the step that the solver added up differs from that of the plan."""
    counts = winner.solution.counts
    if not counts.size:
        return ()
    added = candidate_problem(winner.space, winner.candidate).tpot(counts)
    difference = relative_gap(priced.added - added, added)
    return (
        Note(
            "repricing",
            message(
                "assumptions.tpot",
                p=f"{difference + 0.0:+.2%}",
                added=format_seconds(added),
                tpot=format_seconds(priced.tpot),
            ),
            message("assumptions.solvers_sum_against_price_of"),
        ),
    )


def _workload(work: Workload, batch: int) -> WorkloadInfo:
    return WorkloadInfo(
        work.context, work.isl, work.osl, batch, work.preset or None, work.prefix_hit_rate
    )


def _derived_loss(model: CostModel, priced: Priced) -> float:
    """Loss of the planned modules whose sensitivity was never measured: routers, indexers, norms;
    that of head and embedding was."""
    kinds = [kind for kind in model.question.dropped if kind in DERIVED_KINDS]
    return fsum(c.loss for c in priced.costs if model.units[c.segment.unit].kind in kinds)


def _sources(model: CostModel) -> tuple[SourceRef, ...]:
    question = model.question
    return (
        SourceRef("model", question.spec.source, ""),
        *(SourceRef(s.key, s.title, s.date) for s in question.device.sources),
        loss_source(model),
    )
