"""The plans among which a recommendation chooses, each on its own best layout and batch.

As released and uniform with every cache that is served, the engine's default, the best plan of few
formats, the exact optimum: all within the limits of the question, where a loss limit is widened to
what cannot be told apart from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum

import numpy as np

from planner.base.identity_cache import cached_by_identity
from planner.base.records import cached_record
from planner.formats.kv import kv_layout_ids
from planner.formats.schemes import SCHEMES, in_catalogue_order, scheme_ids
from planner.formats.sizes import bits_per_element
from planner.messages.message import Text
from planner.placement.modules import PLANNED_KINDS
from planner.planning.engines.defaults import RELEASED as DEFAULT_RELEASED
from planner.planning.engines.defaults import engine_default
from planner.planning.engines.mixes import engine_mixes, scheme_of_type
from planner.planning.engines.published import PublishedWeights
from planner.planning.plan import names
from planner.planning.practice.recipes import Recipe
from planner.planning.question.named import MIXES, RELEASED, shown_name, usable_mixes
from planner.planning.question.policies import runs_as_released
from planner.planning.search.format_frontier import best_by_formats
from planner.planning.search.format_subsets import changed_schemes, released_in
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.spaces import with_question
from planner.planning.search.uniform import (
    PlacedUniform,
    UniformQuery,
    placed_uniforms,
    uniform_choice,
    uniform_loss,
)
from planner.planning.solver.problem import TOLERANCE, Solution
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space
from planner.planning.space.model import CostModel
from planner.throughput.calibration import ANY_ENGINE

FOUR_BIT = ("int4", "e2m1")
"""Elements of 4 bits."""
LEAST_BITS = 4.0
"""Bits per element of a weight of 4 bits, scales with it: types of fewer have no element of their
own."""
BESIDE = " + "
"""Between the cache layouts of one plan that differ by layer."""
GIVEN = "given"
"""Status of a solution that was placed, not searched."""


@cached_record
class Rival:
    """A plan on its own best layout and batch.

    ``kind`` is recipe (published, by ``recipe``), conventional, release (weights that exist),
    released, uniform, default, formats or optimum. ``formats`` counts distinct schemes of linears
    that are not what their module is released in; ``schemes`` are those of the linears, most bytes
    first; ``kv`` the cache layouts, most units first.
    """

    name: Text
    kind: str
    result: SearchResult
    formats: int
    schemes: tuple[str, ...]
    kv: str
    recipe: Recipe | None = None
    release: PublishedWeights | None = None


def rivals(
    spaces: Sequence[Space],
    best: SearchResult,
    *,
    allowed: float | None,
    files: Sequence[Space] = (),
) -> tuple[Rival, ...]:
    """All rivals that keep the limits, the simplest first. The best plans of few formats are
    there where they are better by more than 0.1 % than every plan of fewer.

    Args:
        spaces: the candidates of every engine and way to serve, as they were searched.
        best: the exact optimum over them.
        allowed: the most that the losses of units may sum to; None: any.
        files: candidates beside ``spaces`` in which weights that exist may lie.
    """
    placed = _placed((*spaces, *files), allowed)
    out = [
        rival_of(
            uniform_name(uniform),
            "released" if uniform.wanted.scheme == RELEASED else "uniform",
            as_result(uniform),
        )
        for uniform in placed.values()
    ]
    out += _defaults(spaces, placed)
    known = [*(rival.result for rival in out), best]
    for result in best_by_formats(
        [with_question(space, loss_scheme=None, loss_limit=allowed) for space in spaces],
        known,
        best,
    ):
        out.append(rival_of(names.counted_formats(len(_schemes(result))), "formats", result))
    out.append(rival_of(names.OPTIMUM, "optimum", best))
    return tuple(out)


def loss_of(model: CostModel, segments: Iterable[Segment]) -> float:
    """The losses of an assignment's units, summed."""
    return fsum(
        float(model.layer_loss[s.unit, s.choice]) * s.count for s in segments if s.choice >= 0
    )


def rival_of(name: Text, kind: str, result: SearchResult) -> Rival:
    """A plan with what is told of it."""
    model = result.space.model
    return Rival(
        name,
        kind,
        result,
        len(changed_schemes(model, result.segments)),
        _schemes(result),
        _caches(result),
    )


def _schemes(result: SearchResult) -> tuple[str, ...]:
    """Schemes of the linears, most bytes on a rank first."""
    model, shard = result.space.model, result.space.tables.shard
    layout = int(result.space.pts.layout[result.candidate])
    layers_by_choice: dict[int, int] = {}
    for s in result.segments:
        unit = model.units[s.unit]
        if s.choice >= 0 and unit.role == "module" and unit.kind in PLANNED_KINDS:
            layers_by_choice[s.choice] = (
                layers_by_choice.get(s.choice, 0) + int(shard[layout, unit.row, s.choice]) * s.count
            )
    return tuple(
        model.choices[c] for c in sorted(layers_by_choice, key=lambda c: (-layers_by_choice[c], c))
    )


def _caches(result: SearchResult) -> str:
    """Cache layouts, those of most layers first; empty where there is no cache."""
    model = result.space.model
    layers: dict[int, int] = {}
    for s in result.segments:
        if s.choice >= 0 and model.units[s.unit].role == "cache":
            layers[s.choice] = layers.get(s.choice, 0) + s.count
    return ", ".join(model.choices[c] for c in sorted(layers, key=lambda c: (-layers[c], c)))


def _placed(spaces: Sequence[Space], allowed: float | None) -> dict[tuple[str, str], PlacedUniform]:
    """The best of each uniform assignment over ``spaces``, by (scheme, cache); as released
    first."""
    by_pair: dict[tuple[str, str], PlacedUniform] = {}
    for uniform in placed_in(tuple(spaces), allowed):
        pair = uniform.wanted.scheme, uniform.wanted.kv
        if _within(uniform.space.model, pair, allowed) and (
            pair not in by_pair or uniform.score < by_pair[pair].score * (1 - TOLERANCE)
        ):
            by_pair[pair] = uniform
    order, caches = [RELEASED, *scheme_ids()], kv_layout_ids()
    return dict(
        sorted(
            by_pair.items(),
            key=lambda item: (
                order.index(item[0][0]) if item[0][0] in order else len(order),
                item[0][0],
                caches.index(item[0][1]),
            ),
        )
    )


@cached_by_identity(1)
def placed_in(spaces: tuple[Space, ...], allowed: float | None) -> tuple[PlacedUniform, ...]:
    """Uniform assignments on the best candidate of each space: those whose loss is ``allowed``, and
    all of 4 bits, which are asked for beside them."""
    return placed_uniforms(
        [
            (
                space,
                [
                    UniformQuery(*pair, limits=True)
                    for pair in _pairs(space.model)
                    if _within(space.model, pair, allowed) or is_four_bit(pair[0])
                ],
            )
            for space in spaces
        ]
    )


def is_mixture(rival: Rival) -> bool:
    """Whether a rival is a mixture of the engine's own, with any cache, or its default that is."""
    question = rival.result.space.model.question
    if rival.kind == "default":
        default = engine_default(
            question.engine, question.device, question.spec, (question.spec.quantization,)
        )
        return default is not None and default.scheme in engine_mixes()
    return names.without_cache(rival.name) in engine_mixes()


def is_four_bit(name: str) -> bool:
    """Whether a named assignment takes weights of 4 bits; of a mixture its own type counts."""
    mix = engine_mixes().get(name)
    taken = MIXES.get(name, (name,)) if mix is None else (scheme_of_type(mix.base),)
    weights = [SCHEMES[scheme].weight for scheme in taken if scheme in SCHEMES]
    return name != RELEASED and any(
        w.element in FOUR_BIT and bits_per_element(w) >= LEAST_BITS for w in weights
    )


def _within(model: CostModel, pair: tuple[str, str], allowed: float | None) -> bool:
    """Whether every unit can take a uniform assignment, and its loss is ``allowed``."""
    choice = uniform_choice(model, *pair)
    if choice is None or allowed is None:
        return choice is not None
    loss = uniform_loss(model, choice)
    return loss <= allowed * (1 + TOLERANCE) + 1e-12


def _pairs(model: CostModel) -> list[tuple[str, str]]:
    """As released and uniform, with every cache; with those named by layer as one."""
    question = model.question
    caches = question.kv[:1] if question.kv_of_layer else question.kv
    return [(name, kv) for name in (RELEASED, *uniform_names(model)) for kv in caches]


def uniform_names(model: CostModel) -> list[str]:
    """Uniform assignments but that as released, and the engine's own mixtures."""
    question = model.question
    stored = stored_schemes(model)
    return [*(s for s in question.schemes if (s,) != stored), *usable_mixes(question)]


def stored_schemes(model: CostModel) -> tuple[str, ...]:
    """What the linears are stored in, or what stands for it, in catalogue order."""
    stored = {
        runs_as_released(model.question, m.released_as)
        for m in model.planned
        if m.kind in PLANNED_KINDS
    }
    return tuple(in_catalogue_order(stored))


def as_result(uniform: PlacedUniform) -> SearchResult:
    """A placed assignment as a search would tell it."""
    model = uniform.space.model
    value = (
        loss_of(model, uniform.segments) if model.question.objective == "quality" else uniform.score
    )
    none = Solution(GIVEN, np.zeros((0, 0), dtype=np.int64), value, value, 0.0)
    return SearchResult(
        uniform.space, uniform.candidate, none, uniform.segments, value, 1, 0, uniform.space
    )


def uniform_name(uniform: PlacedUniform) -> Text:
    """What a placed assignment is called."""
    scheme, kv = uniform.wanted.scheme, uniform.wanted.kv
    known = scheme == RELEASED or scheme in MIXES or scheme in engine_mixes()
    name = shown_name(scheme) if known else names.uniform(scheme)
    if uniform.space.model.question.kv_of_layer:
        return names.with_cache(name, BESIDE.join(uniform.space.model.question.kv))
    return name if kv == "bf16" else names.with_cache(name, kv)


def _defaults(spaces: Sequence[Space], placed: dict[tuple[str, str], PlacedUniform]) -> list[Rival]:
    """What each engine does when it is told nothing, where a source says so and that is placed."""
    out: dict[Text, Rival] = {}
    for space in spaces:
        model, question = space.model, space.model.question
        name = names.default_of(question.engine)
        if question.engine == ANY_ENGINE or name in out:
            continue
        stored = tuple(
            in_catalogue_order({m.released_as for m in model.planned if m.kind in PLANNED_KINDS})
        )
        default = engine_default(question.engine, question.device, question.spec, stored)
        if default is None:
            continue
        scheme = (
            RELEASED
            if default.scheme == DEFAULT_RELEASED or (default.scheme,) == stored
            else default.scheme
        )
        uniform = placed.get((scheme, default.kv))
        if uniform is not None and uniform.space.model.question.engine == question.engine:
            out[name] = rival_of(name, "default", as_result(uniform))
    return list(out.values())


def shown_schemes(rival: Rival) -> tuple[str, ...]:
    """Schemes of the linears, most bytes first, then those of an embedding or a head that is not
    left in what it is released in: llama.cpp decides both."""
    model = rival.result.space.model
    units = [
        (model.units[s.unit], model.choices[s.choice])
        for s in rival.result.segments
        if s.choice >= 0 and model.units[s.unit].role == "module"
    ]
    others = [
        scheme
        for unit, scheme in units
        if unit.kind not in PLANNED_KINDS and scheme != released_in(model, unit)
    ]
    return tuple(dict.fromkeys((*rival.schemes, *others)))
