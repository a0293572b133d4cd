"""The baselines of a plan: what people deploy without choosing, each on its own best layout.

All BF16, the checkpoint as released, what an engine does when it is told nothing, uniform FP8, INT8
and NVFP4, DeepSeek-V3's own recipe, FP16 attention with INT8 experts where there is no FP8, and
what the engine's own quantiser mixes (llama.cpp's Q4_K_M, and its types). No limit on loss or time
holds for them. What cannot run is listed with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from planner.base.errors import UnsupportedError
from planner.base.units import GIB
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import in_catalogue_order, scheme_ids
from planner.formats.schemes import scheme as scheme_by_id
from planner.memory.engines.catalog import engine_names
from planner.messages.message import Text, message, with_name
from planner.placement.modules import PLANNED_KINDS
from planner.planning.engines.defaults import RELEASED as DEFAULT_RELEASED
from planner.planning.engines.defaults import EngineDefault, engine_default
from planner.planning.engines.mixes import engine_mixes
from planner.planning.plan import names
from planner.planning.plan.record import Baseline
from planner.planning.question.caches import kv_refusal
from planner.planning.question.named import (
    MIXES,
    RELEASED,
    mix_problem,
    schemes_of,
    shown_name,
    usable_mixes,
)
from planner.planning.question.policies import released_choice
from planner.planning.question.question import Question
from planner.planning.search.spaces import grid_space
from planner.planning.search.uniform import Uniform, UniformQuery, best_uniforms
from planner.planning.space.candidates import least_rank, possible_layouts
from planner.planning.space.losses import saturated_loss
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior
from planner.throughput.calibration import ANY_ENGINE
from planner.throughput.ggml import engine_runs, runs_on_ggml
from planner.throughput.kernels import refusal

ALWAYS = ("bf16", "fp8-tensor", "fp8-block", "int8-w8a8", "nvfp4")
"""Listed in every plan, feasible or not."""
BASELINES = ("fp32", *ALWAYS, "int4-w4a16")
RECIPE, RECIPE_SCHEME = message("reasons.recipe", x="deepseek-v3"), "fp8-block"
"""FP8 blocks in every matmul and dispatch; the attention core, the combine and the cache in BF16
(arXiv:2412.19437 section 3.3)."""
Pair = tuple[str, str]


def baseline_pairs(model: CostModel) -> list[Pair]:
    """(scheme, cache layout) of the baselines that the answer's own space can place."""
    question = model.question
    kv = usual_kv(question)
    named = {question.spec.quantization, *BASELINES}
    mixtures = usable_mixes(question)
    if engine_runs(question.engine) and not mixtures:  # which hold its types, ends and all
        named |= {name for name in question.schemes if runs_on_ggml(scheme_by_id(name))}
    mixed = len(_released(model)) > 1
    pairs = [(RELEASED, kv)] if mixed else []
    pairs += [(scheme, kv) for scheme in question.schemes if scheme in named]
    pairs += [(name, kv) for name in _mixes(question) if set(MIXES[name]) <= set(question.schemes)]
    pairs += [(name, kv) for name in mixtures]
    for default in _defaults(model).values():
        if default is not None and default.kv in question.kv and default.kv != kv:
            scheme = _default_scheme(model, default)
            if scheme == RELEASED or scheme in question.schemes or scheme in mixtures:
                pairs.append((scheme, default.kv))
    return pairs


def usual_kv(question: Question) -> str:
    """The cache of a baseline: BF16 where it is a choice.

    Raises:
        UnsupportedError: no layer keeps keys or values.
    """
    if not question.kv:
        raise UnsupportedError(
            f"{question.spec.id}: no layer keeps keys or values, and baselines "
            "of a plan have a cache",
            hint="`plan estimate` prices it as it is",
        )
    return "bf16" if "bf16" in question.kv else question.kv[0]


def baselines(model: CostModel, placed: Mapping[Pair, Uniform]) -> tuple[Baseline, ...]:
    """Every baseline in order, from what is ``placed`` and what has to be placed apart."""
    question = model.question
    kv = usual_kv(question)
    stored = _released(model)
    own = RELEASED if len(stored) > 1 else stored[0]
    wanted: dict[Text, Pair] = {names.RELEASED: (own, kv)}
    reasons: dict[Text, Text] = {}
    for name, default in _defaults(model).items():
        if default is None:
            reasons[name] = message("engines.no_source_says_what_it")
        else:
            wanted[name] = (_default_scheme(model, default), default.kv)
    wanted |= {
        scheme: (scheme, kv)
        for scheme in scheme_ids()
        if scheme in ALWAYS or (scheme, kv) in placed
    }
    wanted[RECIPE] = (RECIPE_SCHEME, kv)
    wanted |= {
        shown_name(name): (name, kv) for name in (*_mixes(question), *usable_mixes(question))
    }
    sure = {wanted[name][0] for name in _defaults(model) if name in wanted}
    why = {pair: why_not(question, model, pair, said=pair[0] in sure) for pair in wanted.values()}
    missing = [pair for pair, reason in why.items() if pair not in placed and not reason]
    known = {**placed, **_outside_space(model, missing)}
    rows = {
        name: _row(model, name, known.get(pair), why[pair], kv) for name, pair in wanted.items()
    }
    rows |= {name: _infeasible(name, reason) for name, reason in reasons.items()}
    return tuple(rows.values())


def why_not(question: Question, model: CostModel, pair: Pair, *, said: bool = False) -> Text:
    """Why the device or the engine cannot run an assignment; empty if it can. ``said``: a source
    says that the engine does, by itself."""
    scheme, kv = pair
    why: Text = mix_problem(question, scheme) if scheme in engine_mixes() else ""
    if why:
        return why
    taken = _released(model) if scheme == RELEASED else schemes_of(scheme, question)
    for name in taken:
        why = refusal(question.device, scheme_by_id(name))
        if not why and not said:
            why = dict(question.refused).get(name, "")
        if why:
            return with_name(name, why)
    return kv_refusal(question.device, KV_LAYOUTS[kv])


def _released(model: CostModel) -> tuple[str, ...]:
    """What the linears are stored in, in catalogue order."""
    stored = {m.released_as for m in model.planned if m.kind in PLANNED_KINDS}
    return tuple(in_catalogue_order(stored))


def _mixes(question: Question) -> list[str]:
    """The article's advice for devices without FP8."""
    return list(MIXES) if question.device.rate("fp8") is None else []


def _defaults(model: CostModel) -> dict[Text, EngineDefault | None]:
    """Baselines named after engines: the question's, or all whose default is alike together."""
    question = model.question
    if question.engine != ANY_ENGINE:
        return {names.default_of(question.engine): _default(model, question.engine)}
    by_kind: dict[Pair, tuple[list[str], EngineDefault]] = {}
    for engine in engine_names():
        default = _default(model, engine)
        if default is not None and default.kv in question.kv:
            kind = (default.scheme, default.kv)
            by_kind.setdefault(kind, ([], default))[0].append(engine)
    return {names.default_of(*engines): default for engines, default in by_kind.values()}


def _default(model: CostModel, engine: str) -> EngineDefault | None:
    question = model.question
    return engine_default(engine, question.device, question.spec, _released(model))


def default_mixture(model: CostModel) -> str:
    """The mixture that the question's engine runs when it is told nothing; empty where that is
    none."""
    default = _default(model, model.question.engine)
    return default.scheme if default is not None and default.scheme in engine_mixes() else ""


def _default_scheme(model: CostModel, default: EngineDefault) -> str:
    if default.scheme != DEFAULT_RELEASED:
        return default.scheme
    stored = _released(model)
    return RELEASED if len(stored) > 1 else stored[0]


def _outside_space(model: CostModel, pairs: Sequence[Pair]) -> dict[Pair, Uniform]:
    """Assignments of schemes or caches that the answer's space lacks, in a space of their own."""
    if not pairs:
        return {}
    question = model.question
    taken = {
        name
        for scheme, _ in pairs
        for name in (_released(model) if scheme == RELEASED else schemes_of(scheme, question))
    }
    layouts = tuple(k for k in KV_LAYOUTS if k in {kv for _, kv in pairs})
    own = replace(
        question,
        schemes=tuple(in_catalogue_order(taken)),
        kv=layouts,
        barred=frozenset(),
        kept=(),
        dropped=(),
        untie=False,
    )
    if any(scheme in engine_mixes() for scheme, _ in pairs):  # these type head and embedding
        own = released_choice(replace(own, dropped=question.dropped))
    model = build_model(own, load_prior())
    space = grid_space(model)
    wanted = [UniformQuery(scheme, kv, limits=False) for scheme, kv in pairs]
    if space is not None:
        return dict(zip(pairs, best_uniforms(space, wanted), strict=True))
    least, _ = least_rank(model, possible_layouts(own))
    room = message(
        "engines.needs_at_least_gib_device",
        a=f"{(least or 0) / GIB:.1f}",
        b=f"{own.usable_bytes / GIB:.1f}",
    )
    return {pair: Uniform(*pair, float("nan"), room, None) for pair in pairs}


def _row(model: CostModel, name: Text, uniform: Uniform | None, reason: Text, kv: str) -> Baseline:
    if uniform is None:
        return _infeasible(name, reason)
    text = (
        name
        if uniform.kv == kv == "bf16" or names.name_kind(name) == "default"
        else names.with_cache(name, uniform.kv)
    )
    loss = saturated_loss(model, uniform.loss) if uniform.loss == uniform.loss else 0.0
    if uniform.priced is None:
        return replace(_infeasible(text, uniform.reason), loss=loss)
    p = uniform.priced
    replicas = model.question.replicas(p.layout.ranks)
    rate = p.tokens_per_second(replicas)
    devices = replicas * p.layout.ranks
    return Baseline(
        text,
        True,
        "",
        devices,
        p.batch,
        p.fullest.total,
        p.ttft,
        p.tpot,
        rate,
        rate / devices,
        saturated_loss(model, p.loss),
    )


def _infeasible(name: Text, reason: Text) -> Baseline:
    return Baseline(name, False, reason, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
