"""Uniform assignments over all candidates: the baselines, and the best uniform plan.

A uniform assignment takes one scheme on every attention, MLP and expert linear and one layout for
every cache; the rest stays as released. ``RELEASED`` takes on each what it was released in. Each
gets its own best layout and batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum

import numpy as np
from numpy.typing import NDArray

from planner.placement.modules import AS_RELEASED_KINDS, Module
from planner.planning.engines.mixes import engine_mixes
from planner.planning.price.price import Priced, price
from planner.planning.space.assignment import Segment, tied_segments
from planner.planning.space.candidates import SLOTS, Space, build_space, by_stage
from planner.planning.space.memory import budget
from planner.planning.space.model import CostModel
from planner.records import record

Array = NDArray[np.float64]
Int = NDArray[np.int64]
RELEASED = "as released"
"""The assignment of a checkpoint that stores its linears in several schemes."""
MIXES = {"fp16 attention, int8 experts": ("fp16", "int8-w8a8")}
"""Named assignments: the scheme of the attention's linears, that of all others."""
ATTENTION = frozenset(("attention-qkv", "mla-q", "mla-kv", "attention-out", "linear-attention"))


@dataclass(frozen=True, eq=False)
class Uniform:
    """A uniform assignment priced on its best candidate, or the reason why there is none."""

    scheme: str
    kv: str
    loss: float
    reason: str
    priced: Priced | None

    @property
    def name(self) -> str:
        return self.scheme if self.kv == "bf16" else f"{self.scheme}, KV {self.kv}"


def uniform_choice(model: CostModel, scheme: str, kv: str) -> Int | None:
    """Choice index of every unit (-1 as released), or None where a unit cannot take it."""
    schemes = model.question.schemes
    wanted = [_scheme_of(m, scheme) for m in model.planned]
    if not set(wanted) <= set(schemes):
        return None
    cache = len(schemes) + model.question.kv.index(kv)
    choice = np.array([schemes.index(wanted[u.row]) if u.role == "module"
                       else cache if u.role == "cache" else -1 for u in model.units],
                      dtype=np.int64)
    for i, unit in enumerate(model.units):
        if unit.decision >= 0 and not model.possible[i, choice[i]]:
            return None
    return choice


def _scheme_of(module: Module, name: str) -> str:
    """What a named assignment gives to a module; kinds that rules keep stay as released. A mix by
    layer is the wider of its two types everywhere, so that what fits does."""
    if name == RELEASED or module.kind in AS_RELEASED_KINDS:
        return module.released_as
    mix = engine_mixes().get(name)
    if mix is not None:
        return mix.more if module.kind in mix.kinds else mix.base
    attention, others = MIXES.get(name, (name, name))
    return attention if module.kind in ATTENTION else others


def schemes_of(name: str) -> tuple[str, ...]:
    """The schemes that a named assignment takes."""
    mix = engine_mixes().get(name)
    return (mix.base, mix.more) if mix is not None else MIXES.get(name, (name,))


def _segments(model: CostModel, name: str, choice: Int) -> tuple[Segment, ...]:
    """The assignment with its layers: those of a mix apart."""
    tied = tied_segments(model, choice)
    mix = engine_mixes().get(name)
    if mix is None:
        return tied
    base, total = model.question.schemes.index(mix.base), model.question.spec.layers
    out = []
    for segment in tied:
        unit = model.units[segment.unit]
        if unit.role != "module" or not unit.layers:
            out.append(segment)
            continue
        # Both halves of a fused kernel are cut at the same layers.
        wide = tuple(n for n in unit.layers if mix.takes_more(n, total))
        rest = tuple(n for n in unit.layers if n not in wide)
        lean = base if unit.kind in mix.kinds else segment.choice
        out += [Segment(segment.unit, layers, taken)
                for layers, taken in ((wide, segment.choice), (rest, lean)) if layers]
    return tuple(out)


def uniform_loss(model: CostModel, choice: Int) -> float:
    """Relative loss of a choice for every unit."""
    return float(fsum(model.layer_loss[i, c] * model.units[i].count
                     for i, c in enumerate(choice) if c >= 0))


@record
class UniformQuery:
    """A uniform assignment to place: scheme, cache layout, and whether TPOT and TTFT limit it."""

    scheme: str
    kv: str
    limits: bool


def best_uniforms(space: Space, wanted: Sequence[UniformQuery]) -> tuple[Uniform, ...]:
    """The best candidate of each of ``wanted``, priced. All are refined between the grid's slots in
    one table."""
    drafts = _refined(space, [_coarse(space, one) for one in wanted])
    return tuple(replace(d.uniform, priced=price(
                    d.space, d.candidate, _segments(space.model, d.wanted.scheme, d.choice)))
                 if d.space is not None and d.choice is not None else d.uniform for d in drafts)


def uniform_pairs(model: CostModel, allowed: float) -> list[tuple[str, str]]:
    """(scheme, cache layout) of the uniform assignments that lose no more than ``allowed``."""
    found = []
    for scheme in model.question.schemes:
        for kv in model.question.kv:
            choice = uniform_choice(model, scheme, kv)
            if choice is not None and uniform_loss(model, choice) <= allowed * (1 + 1e-9) + 1e-12:
                found.append((scheme, kv))
    return found


def uniform_slots(space: Space, allowed: float) -> set[tuple[int, int]]:
    """(layout, slot) between the grid's slots where the best uniform plans may be that lose no more
    than ``allowed``: those that :func:`best_uniforms` tries."""
    drafts = [_coarse(space, UniformQuery(*pair, limits=True))
              for pair in uniform_pairs(space.model, allowed)]
    return {pair for d in drafts if d.space is not None for pair in _between(space, d.candidate)}


@dataclass(frozen=True, eq=False, slots=True)
class _Draft:
    """An assignment on the best candidate so far, ``space`` None where there is none."""

    wanted: UniformQuery
    uniform: Uniform
    choice: Int | None
    space: Space | None
    candidate: int
    score: float


def _coarse(space: Space, wanted: UniformQuery) -> _Draft:
    """The best candidate of the grid."""
    model = space.model
    choice = uniform_choice(model, wanted.scheme, wanted.kv)
    if choice is None:
        none = Uniform(wanted.scheme, wanted.kv, float("nan"), "not possible for every unit",
                       None)
        return _Draft(wanted, none, None, None, -1, np.inf)
    loss = uniform_loss(model, choice)
    scores = _scores(space, choice, wanted.limits)
    if not np.isfinite(scores).any():
        none = Uniform(wanted.scheme, wanted.kv, loss, _why(space, choice), None)
        return _Draft(wanted, none, choice, None, -1, np.inf)
    best = _pick(space, scores, range(len(scores)))
    return _Draft(wanted, Uniform(wanted.scheme, wanted.kv, loss, "", None), choice, space, best,
                  float(scores[best]))


def _refined(space: Space, drafts: list[_Draft]) -> list[_Draft]:
    """Each draft on the slots between its own and the grid's next, where one of them is better."""
    if space.model.question.batch is not None:
        return drafts
    between = [_between(space, d.candidate) if d.space is not None else [] for d in drafts]
    pairs = sorted({pair for some in between for pair in some})
    if not pairs:
        return drafts
    finer = build_space(space.model, space.tables, space.stages, pairs)
    place = {pair: i for i, pair in enumerate(pairs)}
    done = []
    for draft, some in zip(drafts, between, strict=True):
        if some and draft.choice is not None:
            scores = _scores(finer, draft.choice, draft.wanted.limits)
            here = [place[pair] for pair in some]
            if scores[here].min() < draft.score:
                draft = replace(draft, space=finer, candidate=_pick(finer, scores, here))
        done.append(draft)
    return done


def _between(space: Space, c: int) -> list[tuple[int, int]]:
    """(layout, slot) pairs between candidate ``c`` and the next of the grid."""
    layout, slot = int(space.pts.layout[c]), int(space.pts.slot[c])
    if slot not in SLOTS or SLOTS.index(slot) + 1 >= len(SLOTS):
        return []
    low, high = slot, SLOTS[SLOTS.index(slot) + 1]
    return [(layout, s) for s in range(low + 1, high, max(1, (high - low) // 16))]


def _pick(space: Space, scores: Array, among: Sequence[int]) -> int:
    least = float(scores[among].min())
    near = [c for c in among if scores[c] <= least * (1 + 1e-8)]  # others differ in nine digits
    return min(near, key=lambda c: (float(f"{scores[c]:.9e}"),
                                    space.tables.layouts[space.pts.layout[c]].ranks, c))


def _scores(space: Space, choice: Int, limits: bool) -> Array:
    """The objective of ``choice`` on every candidate [C]; inf where it does not fit."""
    model, question = space.model, space.model.question
    decided = np.array([i for i, c in enumerate(choice) if c >= 0])
    picked = choice[decided]
    layers = np.array([model.units[i].count for i in decided], dtype=np.float64)
    decode = (space.decode[:, decided, picked] * layers).sum(axis=1) + space.decode_constant
    legal = space.legal[:, decided, picked].all(axis=1)
    used = rank_bytes(space, choice)
    ok = legal & (used <= budget(question))
    if limits:
        prefill = (space.prefill[:, decided, picked] * layers).sum(axis=1) + space.prefill_constant
        if question.tpot_seconds is not None:
            ok &= _pipelined_tpot(space, decided, picked) <= question.tpot_seconds
        if question.ttft_seconds is not None:
            ok &= prefill + space.wait(decode, prefill) <= question.ttft_seconds
    pts = space.pts
    rate = pts.group * pts.pp / np.maximum(pts.batch, 1)
    ranks = np.rint(pts.group * pts.pp).astype(np.int64)
    known = {r: r * question.replicas(r) for r in set(ranks.tolist())}
    devices = np.array([known[r] for r in ranks.tolist()])
    pace = _pipelined_tpot(space, decided, picked)
    by_objective = {"latency": pace, "memory": used * devices}
    score = by_objective.get(question.objective, pace * rate)
    return np.where(ok, score, np.inf)


def _pipelined_tpot(space: Space, decided: Int, picked: Int) -> Array:
    """TPOT of a choice at the pace of the slowest pipeline stage [C]."""
    seconds = np.array(space.decode[:, :, 0])
    seconds[:, decided] = space.decode[:, decided, picked]
    _, hop = space.released_stages
    return np.asarray(by_stage(space, seconds).max(axis=1) * space.pts.pp + hop)


def rank_bytes(space: Space, choice: Int) -> Int:
    """Bytes of the fullest rank under ``choice`` for every candidate, int64 [C]."""
    model, tables = space.model, space.tables
    schemes = len(model.question.schemes)
    module = [i for i, u in enumerate(model.units) if u.role == "module"]
    cache = [i for i, u in enumerate(model.units) if u.role == "cache"]
    fixed, counts = space.padded
    weight = tables.shard[:, [model.units[i].row for i in module], choice[module]]
    sequence = tables.cache[:, [model.units[i].row for i in cache], choice[cache] - schemes]
    weights = fixed + (counts[:, :, module] * weight[:, None]).sum(axis=2)
    sequences = (counts[:, :, cache] * sequence[:, None]).sum(axis=2)
    at = space.pts.layout
    held = weights[at] + sequences[at] * space.held[:, None]
    return np.asarray(held.max(axis=1) + space.extra)


def _why(space: Space, choice: Int) -> str:
    limit = budget(space.model.question)
    used = rank_bytes(space, choice)
    least = int(used.min())
    if least > limit:
        return f"needs at least {least / 2**30:.1f} GiB a device, {limit / 2**30:.1f} usable"
    heads = space.model.question.spec.attention[0].heads
    return f"no layout keeps whole scale blocks with {heads} heads within the limits"
