"""Uniform assignments over all candidates: the baselines, and the best uniform plan.

A uniform assignment takes one scheme on every attention, MLP and expert linear and one layout for
every cache; the rest stays as released. ``RELEASED`` takes on each what it was released in. Each
gets its own best layout and batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.planning.candidates import SLOTS, Space, build_space, by_stage
from planner.planning.costs import Model
from planner.planning.evaluate import Priced, parts_table, price
from planner.planning.residency import budget
from planner.planning.segments import tied_segments
from planner.throughput.points import concatenate

Array = NDArray[np.float64]
Int = NDArray[np.int64]
RELEASED = "as released"
"""The assignment of a checkpoint that stores its linears in several schemes."""


@dataclass(frozen=True, eq=False)
class Uniform:
    """A uniform assignment with its best candidate, or the reason why there is none."""

    scheme: str
    kv: str
    loss: float
    reason: str
    space: Space | None
    candidate: int
    priced: Priced | None

    @property
    def name(self) -> str:
        return self.scheme if self.kv == "bf16" else f"{self.scheme}, KV {self.kv}"


def uniform_choice(model: Model, scheme: str, kv: str) -> Int | None:
    """Choice index of every unit (-1 as released), or None where a unit cannot take it."""
    schemes = model.question.schemes
    wanted = [m.released_as if scheme == RELEASED else scheme for m in model.planned]
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


def uniform_loss(model: Model, choice: Int) -> float:
    """Relative loss of a choice for every unit."""
    return float(sum(model.layer_loss[i, c] * model.units[i].count
                     for i, c in enumerate(choice) if c >= 0))


def best_uniforms(space: Space, pairs: Sequence[tuple[str, str]], *, limits: bool,
                  ) -> tuple[Uniform, ...]:
    """The best candidate of each (scheme, cache layout), priced; ``limits`` also applies TPOT
    and TTFT."""
    model = space.model
    drafts = [_best(space, scheme, kv, limits) for scheme, kv in pairs]
    placed = [d for d in drafts if d.space is not None]
    if not placed:
        return tuple(drafts)
    pts = concatenate([d.space.pts.take(np.array([d.candidate])) for d in placed
                       if d.space is not None])
    table = parts_table(model, space.tables, pts)
    done = []
    for draft in drafts:
        choice = uniform_choice(model, draft.scheme, draft.kv)
        if draft.space is not None and choice is not None:
            priced = price(draft.space, draft.candidate, tied_segments(model, choice),
                           (table, placed.index(draft)))
            draft = replace(draft, priced=priced)
        done.append(draft)
    return tuple(done)


def _best(space: Space, scheme: str, kv: str, limits: bool) -> Uniform:
    model = space.model
    choice = uniform_choice(model, scheme, kv)
    if choice is None:
        return Uniform(scheme, kv, float("nan"), "not possible for every unit", None, -1, None)
    loss = uniform_loss(model, choice)
    scores = _scores(space, choice, limits)
    if not np.isfinite(scores).any():
        return Uniform(scheme, kv, loss, _why(space, choice), None, -1, None)
    best = _pick(space, scores)
    where = space
    if model.question.batch is None:
        finer = _neighbours(space, best)
        if finer is not None:
            fine_scores = _scores(finer, choice, limits)
            if np.isfinite(fine_scores).any() and fine_scores.min() < scores[best]:
                where, best = finer, _pick(finer, fine_scores)
    return Uniform(scheme, kv, loss, "", where, best, None)


def _pick(space: Space, scores: Array) -> int:
    ranks = [space.tables.layouts[i].ranks for i in space.pts.layout]
    return min(range(len(scores)), key=lambda c: (float(f"{scores[c]:.9e}"), ranks[c], c))


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
            ok &= _paced(space, decided, picked) <= question.tpot_seconds
        if question.ttft_seconds is not None:
            ok &= prefill + space.wait(decode, prefill) <= question.ttft_seconds
    pts = space.pts
    rate = pts.group * pts.pp / np.maximum(pts.batch, 1)
    ranks = np.rint(pts.group * pts.pp).astype(np.int64)
    devices = np.array([r * question.replicas(int(r)) for r in ranks])
    by_objective = {"latency": decode, "memory": used * devices}
    score = by_objective.get(question.objective, decode * rate)
    return np.where(ok, score, np.inf)


def _paced(space: Space, decided: Int, picked: Int) -> Array:
    """TPOT of a choice at the pace of the slowest pipeline stage [C]."""
    seconds = np.array(space.decode[:, :, 0])
    seconds[:, decided] = space.decode[:, decided, picked]
    _, hop = space.released_pace
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


def _neighbours(space: Space, c: int) -> Space | None:
    layout, slot = int(space.pts.layout[c]), int(space.pts.slot[c])
    if slot not in SLOTS or SLOTS.index(slot) + 1 >= len(SLOTS):
        return None
    low, high = slot, SLOTS[SLOTS.index(slot) + 1]
    pairs = [(layout, s) for s in range(low + 1, high, max(1, (high - low) // 16))]
    return build_space(space.model, space.tables, space.stages, pairs) if pairs else None


def _why(space: Space, choice: Int) -> str:
    limit = budget(space.model.question)
    used = rank_bytes(space, choice)
    least = int(used.min())
    if least > limit:
        return f"needs at least {least / 2**30:.1f} GiB a device, {limit / 2**30:.1f} usable"
    heads = space.model.question.spec.attention[0].heads
    return f"no layout keeps whole scale blocks with {heads} heads within the limits"
