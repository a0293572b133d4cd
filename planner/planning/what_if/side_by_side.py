"""Schemes side by side on one device: as released, every uniform scheme, the recommended plan.

Each stands on its own best layout, batch, engine and cache, whatever it loses: the loss stands
beside it. What does not fit, is too slow or is not served keeps its row, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.units import GIB
from planner.formats.elements import element
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES, in_catalogue_order
from planner.hardware.segments import in_data_centre
from planner.messages.message import Text, message
from planner.placement.modules import PLANNED_KINDS
from planner.planning.choose.selection import Selection
from planner.planning.engines.mixes import engine_mixes
from planner.planning.engines.rules import PLAIN
from planner.planning.question.named import RELEASED, schemes_of, usable_mixes
from planner.planning.question.question import Question
from planner.planning.search.mode_search import mode_spaces
from planner.planning.search.spaces import with_question
from planner.planning.search.uniform import (
    PlacedUniform,
    UniformQuery,
    best_uniforms,
    placed_uniforms,
)
from planner.planning.space.candidates import Space, least_rank, possible_layouts
from planner.planning.space.model import CostModel, build_model
from planner.planning.what_if.compared import ComparedPlan
from planner.planning.what_if.compared_roles import is_damaging
from planner.planning.what_if.compared_rows import absent_row, placed_row
from planner.planning.what_if.row_reasons import reasons_of_rows, served_options
from planner.quality.prior import load_prior
from planner.throughput.calibration import ANY_ENGINE
from planner.throughput.ggml import engine_runs, runs_on_ggml
from planner.throughput.kernels import WEIGHT_ONLY_OF

LISTED = ("bf16", "fp8-block", "int8-w8a8", "int4-w4a16", "nvfp4")
"""Schemes whose absence is told although nobody named them."""
LEAST_CACHE_BITS = 8
"""Narrower caches are taken where they are named: beside a scheme's loss, theirs would hide it."""


def uniform_rows(
    questions: Sequence[Question],
    *,
    named: Sequence[str] = (),
    kv_named: bool = False,
    choice: Selection | None = None,
) -> list[ComparedPlan]:
    """As released first, then every uniform scheme by falling rate (or rising cost, where that is
    asked for), then what does damage, then
    what does not run.

    Args:
        questions: one question as each engine and way to serve is asked it; its limits on time
            hold, those on loss do not.
        named: schemes that the user named, all of which have a row.
        kv_named: the cache was named, so that none is left out.
        choice: the recommended plan among those it was chosen from; a row says how likely it is
            better, and why it is not taken.
    """
    models = [build_model(question, load_prior()) for question in questions]
    spaces = mode_spaces(models)
    placed, slow = _placed(spaces, named, kv_named)
    options = served_options({n: u for n, u in placed.items() if n not in slow})
    rows = {
        name: replace(placed_row(uniform, options.get(name)), within_limits=name not in slow)
        for name, uniform in placed.items()
    }
    if choice is not None:
        against = reasons_of_rows(choice, options)
        rows |= {name: replace(rows[name], **said) for name, said in against.items()}
    for name in _names(questions, named):
        if name not in rows:
            other = WEIGHT_ONLY_OF.get(name, "")
            reason = (
                message("comparison.runs_weight_only", scheme=other)
                if other in rows
                else _refusal(models, spaces, name)
            )
            rows[name] = absent_row(questions[0], name, reason)
    released = rows.pop(RELEASED)
    if len(released.schemes) == 1:
        rows.pop(released.schemes[0], None)
    by_cost = questions[0].objective == "cost"
    return [released, *sorted(rows.values(), key=lambda row: _order(row, by_cost))]


def _order(row: ComparedPlan, by_cost: bool) -> tuple[bool, bool, bool, float]:
    """By rate, of a question about cost by that where it is known."""
    rate, usd = row.output_tokens_per_second_per_device, row.usd_per_million_output_tokens
    return (
        not row.feasible,
        not row.within_limits,
        is_damaging(row),
        usd.value if by_cost and usd is not None else -rate.value if rate is not None else 0.0,
    )


def _names(questions: Sequence[Question], named: Sequence[str]) -> list[str]:
    """As released, and every scheme that an engine serves or that is listed anyway; of plain types
    the usual one, as others lose and win nothing."""
    served = {s for q in questions for s in q.schemes} - set(PLAIN)
    listed = () if named else LISTED
    schemes = {*listed, *(s for s in served if not runs_on_ggml(SCHEMES[s]))}
    blocks = [q for q in questions if _runs_blocks(q)]
    if any(engine_runs(q.engine) and not q.chosen_from for q in questions):
        schemes |= {s for q in blocks for s in q.schemes if runs_on_ggml(SCHEMES[s])}
    mixed = [name for q in blocks for name in usable_mixes(q)]
    mixed += [name for name in named if name in engine_mixes()]
    schemes |= {name for name in named if name in SCHEMES}
    return [RELEASED, *in_catalogue_order(schemes), *dict.fromkeys(mixed)]


def _runs_blocks(question: Question) -> bool:
    """Whether mixtures of ggml's blocks are run there in practice: on machines of one owner and on
    CPUs, and by an engine of theirs that was asked for. Its single types are run where they are
    asked for alone."""
    asked = engine_runs(question.engine) and not question.chosen_from
    return asked or not in_data_centre(question.device)


def _placed(
    spaces: Sequence[Space],
    named: Sequence[str],
    kv_named: bool,
) -> tuple[dict[str, PlacedUniform], set[str]]:
    """(the best of each assignment over all engines and caches, those of them that do not keep the
    limits on time: the fastest of each)."""
    uniforms: dict[str, PlacedUniform] = {}
    _take_best(
        uniforms,
        placed_uniforms(
            [(space, _queries(space.model, named, kv_named, limits=True)) for space in spaces]
        ),
    )
    late: dict[str, PlacedUniform] = {}
    _take_best(
        late,
        placed_uniforms(
            [
                (with_question(space, objective="latency"), queries)
                for space in spaces
                if _limited(space.model.question)
                and (
                    queries := [
                        q
                        for q in _queries(space.model, named, kv_named, limits=False)
                        if q.scheme not in uniforms
                    ]
                )
            ]
        ),
    )
    return {**uniforms, **late}, set(late)


def _limited(question: Question) -> bool:
    return bool(question.time_limits)


def _take_best(placed: dict[str, PlacedUniform], more: Sequence[PlacedUniform]) -> None:
    for uniform in more:
        name = uniform.wanted.scheme
        if name not in placed or uniform.score < placed[name].score:
            placed[name] = uniform


def _queries(
    model: CostModel,
    named: Sequence[str],
    kv_named: bool,
    *,
    limits: bool,
) -> list[UniformQuery]:
    """Every assignment of a question with every cache that counts."""
    question = model.question
    wide = (
        tuple(
            kv
            for kv in question.kv
            if kv_named or element(KV_LAYOUTS[kv].element).bits >= LEAST_CACHE_BITS
        )
        or question.kv
    )
    return [
        UniformQuery(name, kv, limits)
        for name in _names([question], named)
        if name == RELEASED or set(schemes_of(name, question)) <= set(question.schemes)
        for kv in wide
    ]


def _refusal(models: Sequence[CostModel], spaces: Sequence[Space], name: str) -> Text:
    """Why no engine runs an assignment here: the device's or an engine's reason, or memory."""
    refused: dict[Text, str] = {}
    for model in models:
        question = model.question
        missing = [
            s for s in schemes_of(name, question) if s != RELEASED and s not in question.schemes
        ]
        if not missing:
            continue
        text = dict(question.refused).get(missing[0], "")
        refused.setdefault(
            text or message("comparison.does_not_serve_it_here", engine=question.engine),
            question.engine,
        )
    able = [
        m
        for m in models
        if name == RELEASED or set(schemes_of(name, m.question)) <= set(m.question.schemes)
    ]
    if not able:
        return next(iter(refused))
    lacking = [_lacking(m, name) for m in able]
    if all(lacking):
        model, kinds = min(zip(able, lacking, strict=True), key=lambda pair: len(pair[1]))
        engine = model.question.engine
        whose: Text = message("refusals.this_device") if engine == ANY_ENGINE else engine
        return message("comparison.not_for_every_matrix_does", whose=whose, kinds=", ".join(kinds))
    for space in spaces:
        if any(space.model is m for m in able):
            queries = [UniformQuery(name, kv, limits=False) for kv in space.model.question.kv]
            reasons = [
                uniform.reason for uniform in best_uniforms(space, queries) if uniform.reason
            ]
            if reasons:
                return reasons[0]
    return _room(able[0])


def _lacking(model: CostModel, name: str) -> list[str]:
    """The kinds of modules that cannot take a uniform scheme; none of another assignment."""
    if name not in model.question.schemes:
        return []
    place = model.question.schemes.index(name)
    return list(
        dict.fromkeys(
            unit.kind
            for i, unit in enumerate(model.units)
            if unit.role == "module"
            and unit.decision >= 0
            and unit.kind in PLANNED_KINDS
            and not model.possible[i, place]
        )
    )


def _room(model: CostModel) -> Text:
    """What the smallest choices need, where nothing fits."""
    layouts = possible_layouts(model.question)
    if not layouts:
        return message("comparison.no_layout_of_these_devices")
    least, _ = least_rank(model, layouts)
    return message(
        "engines.needs_at_least_gib_device",
        a=f"{(least or 0) / GIB:.1f}",
        b=f"{model.question.usable_bytes / GIB:.1f}",
    )
