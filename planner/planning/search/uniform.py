"""Uniform assignments over all candidates: the baselines, and the best uniform plan.

A uniform assignment takes one scheme on every attention, MLP and expert linear and one layout for
every cache; the rest stays as released. ``RELEASED`` takes on each what it was released in, an
engine's mixture what its own quantiser gives to each matrix. Each gets its own best layout and
batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import fsum

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record, record
from planner.messages.message import Text, message
from planner.planning.price.price import Priced, price
from planner.planning.question.named import named_scheme
from planner.planning.search.mode_search import finer_batch_grid
from planner.planning.search.served_batch import served_candidate
from planner.planning.solver.problem import TOLERANCE
from planner.planning.space.assignment import Segment, rank_bytes, tied_segments
from planner.planning.space.candidates import Space, by_stage
from planner.planning.space.file_bytes import rooms_kept
from planner.planning.space.kernel_times import kernel_seconds_of
from planner.planning.space.memory import budget
from planner.planning.space.model import CostModel
from planner.planning.space.tables import legality
from planner.throughput.queueing import ttft_factor

Array = NDArray[np.float64]
Int = NDArray[np.int64]
ROUNDS, STEPS = 2, 64
"""How often slots beside the best of a uniform plan are tried, and in how many steps. Rivals need
no proof: near the best batch a rate hardly changes."""
Columns = dict[tuple[object, ...], tuple[Array, Array, Array]]
"""Seconds of kernels under choices on all candidates of one table of times, for all assignments."""
CHOSEN = "chosen"
"""An assignment that has no name."""


@dataclass(frozen=True, eq=False)
class Uniform:
    """A uniform assignment priced on its best candidate, or the reason why there is none."""

    scheme: str
    kv: str
    loss: float
    reason: Text
    priced: Priced | None

    @property
    def name(self) -> str:
        return self.scheme if self.kv == "bf16" else f"{self.scheme}, KV {self.kv}"


@record
class UniformQuery:
    """A uniform assignment to place: scheme, cache layout, and whether TPOT and TTFT limit it."""

    scheme: str
    kv: str
    limits: bool


@cached_record
class PlacedUniform:
    """A uniform assignment on its best candidate: its segments, and the objective there."""

    wanted: UniformQuery
    space: Space
    candidate: int
    segments: tuple[Segment, ...]
    score: float


def uniform_choice(model: CostModel, scheme: str, kv: str) -> Int | None:
    """Choice index of every unit [U] (-1 as released), or None where a unit cannot take it."""
    schemes, layouts = model.question.schemes, model.question.kv
    choice = np.full(len(model.units), -1, dtype=np.int64)
    for i, unit in enumerate(model.units):
        if unit.decision < 0:
            continue
        if unit.role == "cache":
            own = model.question.layout_of(unit.kind, unit.layers[0], kv)
            choice[i] = len(schemes) + layouts.index(own)
        else:
            wanted = named_scheme(model.question, model.planned[unit.row], unit, scheme)
            if wanted is None or wanted not in schemes:
                return None
            choice[i] = schemes.index(wanted)
        if not model.possible[i, choice[i]]:
            return None
    return choice


def uniform_loss(model: CostModel, choice: Int) -> float:
    """Relative loss of a choice for every unit [U]."""
    return float(
        fsum(model.layer_loss[i, c] * model.units[i].count for i, c in enumerate(choice) if c >= 0)
    )


def best_uniforms(space: Space, wanted: Sequence[UniformQuery]) -> tuple[Uniform, ...]:
    """The best candidate of each of ``wanted``, priced."""
    return best_uniforms_in([(space, wanted)])


def best_uniforms_in(
    wanted: Sequence[tuple[Space, Sequence[UniformQuery]]],
) -> tuple[Uniform, ...]:
    """The best candidate of each assignment that is wanted in each space, priced, in order. All are
    refined between the slots of the spaces together."""
    return tuple(_served(draft) for draft in _drafts(wanted))


def _served(draft: UniformDraft) -> Uniform:
    """A draft priced as it serves its requests."""
    at = draft.placed
    if at is None:
        return draft.uniform
    if not at.wanted.limits:
        return replace(draft.uniform, priced=price(at.space, at.candidate, at.segments))
    served = served_candidate(at.space, at.candidate, at.segments)
    if served is None:
        return replace(draft.uniform, reason=_refusal(at.space, np.asarray(draft.choice)))
    return replace(draft.uniform, priced=served.priced)


def placed_uniforms(
    wanted: Sequence[tuple[Space, Sequence[UniformQuery]]],
) -> tuple[PlacedUniform, ...]:
    """Of what is wanted in each space that which fits within the limits, each on its best
    candidate."""
    return tuple(at for draft in _drafts(wanted) if (at := draft.placed) is not None)


def placed_choice(space: Space, choice: Int) -> PlacedUniform | None:
    """A choice for every unit [U] (-1 as released) within the limits on its best candidate; None
    where it does not fit."""
    return placed_choices([(space, choice)])[0]


def placed_choices(wanted: Sequence[tuple[Space, Int]]) -> list[PlacedUniform | None]:
    """:func:`placed_choice` of each pair; all are refined between the slots together."""
    query = UniformQuery(CHOSEN, "", limits=True)
    drafts = [(space, coarse_draft(space, query, choice, {})) for space, choice in wanted]
    return refined_drafts(drafts)


def refined_drafts(drafts: Sequence[tuple[Space, UniformDraft]]) -> list[PlacedUniform | None]:
    """Drafts on some of the candidates of a space each, refined between its slots together: those
    of one space as one question."""
    by_space: dict[int, list[int]] = {}
    for i, (space, _) in enumerate(drafts):
        by_space.setdefault(id(space), []).append(i)
    spaces = [drafts[mine[0]][0] for mine in by_space.values()]
    fine = _refined(spaces, [[drafts[i][1] for i in mine] for mine in by_space.values()])
    places = [i for mine in by_space.values() for i in mine]
    placed = {i: draft.placed for i, draft in zip(places, chain(*fine), strict=True)}
    return [placed[i] for i in range(len(drafts))]


def choice_scores(space: Space, choice: Int) -> Array:
    """The objective of a choice for every unit [U] (-1 as released) on each candidate, inf where it
    does not fit within the limits [C]."""
    return _scores(space, choice, True, {})


def _drafts(wanted: Sequence[tuple[Space, Sequence[UniformQuery]]]) -> list[UniformDraft]:
    drafts = []
    for space, queries in wanted:
        columns: Columns = {}
        drafts.append([_coarse(space, query, columns) for query in queries])
    return [draft for mine in _refined([space for space, _ in wanted], drafts) for draft in mine]


@dataclass(frozen=True, eq=False, slots=True)
class UniformDraft:
    """An assignment on the best candidate so far, ``space`` None where there is none. ``open`` are
    the slots to try yet: those between ``open`` and the next of the layout that were tried."""

    wanted: UniformQuery
    uniform: Uniform
    choice: Int | None
    space: Space | None
    candidate: int
    score: float
    open: tuple[tuple[int, int], ...]

    @property
    def placed(self) -> PlacedUniform | None:
        """None where it does not fit."""
        if self.space is None or self.choice is None:
            return None
        segments = tied_segments(self.space.model, self.choice)
        return PlacedUniform(self.wanted, self.space, self.candidate, segments, self.score)


def _coarse(space: Space, wanted: UniformQuery, columns: Columns) -> UniformDraft:
    """The best candidate of the grid."""
    model = space.model
    choice = uniform_choice(model, wanted.scheme, wanted.kv)
    if choice is None:
        none = Uniform(wanted.scheme, wanted.kv, float("nan"), "not possible for every unit", None)
        return UniformDraft(wanted, none, None, None, -1, np.inf, ())
    return coarse_draft(space, wanted, choice, columns)


def coarse_draft(space: Space, wanted: UniformQuery, choice: Int, columns: Columns) -> UniformDraft:
    """The best candidate of the grid for a choice of every unit."""
    loss = uniform_loss(space.model, choice)
    scores = _scores(space, choice, wanted.limits, columns)
    if not np.isfinite(scores).any():
        none = Uniform(wanted.scheme, wanted.kv, loss, _refusal(space, choice), None)
        return UniformDraft(wanted, none, choice, None, -1, np.inf, ())
    best = _pick(space, scores, range(len(scores)))
    return UniformDraft(
        wanted,
        Uniform(wanted.scheme, wanted.kv, loss, "", None),
        choice,
        space,
        best,
        float(scores[best]),
        _between(space, best),
    )


def _refined(spaces: Sequence[Space], drafts: list[list[UniformDraft]]) -> list[list[UniformDraft]]:
    """Each draft of each space on slots beside its own, ROUNDS times nearer."""
    for _ in range(0 if not spaces or spaces[0].model.question.is_batch_given else ROUNDS):
        open_ = [
            (i, sorted({pair for draft in mine for pair in draft.open}))
            for i, mine in enumerate(drafts)
        ]
        open_ = [(i, pairs) for i, pairs in open_ if pairs]
        if not open_:
            break
        finer = finer_batch_grid([(spaces[i], pairs) for i, pairs in open_])
        for (i, pairs), space in zip(open_, finer, strict=True):
            place = {pair: c for c, pair in enumerate(pairs)}
            columns: Columns = {}
            drafts[i] = [
                _on(space, place, d, columns) if d.open and d.choice is not None else d
                for d in drafts[i]
            ]
    return drafts


def _on(
    finer: Space, place: dict[tuple[int, int], int], draft: UniformDraft, columns: Columns
) -> UniformDraft:
    """The draft on those candidates of ``finer`` that are open to it."""
    assert draft.choice is not None
    some = finer.take(np.array([place[pair] for pair in draft.open], dtype=np.int64))
    scores = _scores(some, draft.choice, draft.wanted.limits, columns)
    if scores.min() >= draft.score:
        return replace(draft, open=())
    best = _pick(some, scores, range(len(scores)))
    return replace(
        draft, space=some, candidate=best, score=float(scores[best]), open=_between(some, best)
    )


def _between(space: Space, c: int) -> tuple[tuple[int, int], ...]:
    """(layout, slot) pairs between candidate ``c`` and those of its layout before and after it."""
    layout, slot = int(space.pts.layout[c]), int(space.slots[c])
    tried = np.sort(space.slots[space.pts.layout == layout])
    at = int(np.searchsorted(tried, slot))
    ends = int(tried[max(at - 1, 0)]), int(tried[min(at + 1, len(tried) - 1)])
    return tuple(
        (layout, s)
        for low, high in ((ends[0], slot), (slot, ends[1]))
        for s in range(low + 1, high, max(1, (high - low) // STEPS))
    )


def _pick(space: Space, scores: Array, candidates: Sequence[int]) -> int:
    least = float(scores[candidates].min())
    near = [
        c for c in candidates if scores[c] <= least * (1 + 1e-8)
    ]  # others differ in nine digits
    return min(
        near,
        key=lambda c: (
            float(f"{scores[c]:.9e}"),
            space.tables.layouts[space.pts.layout[c]].ranks,
            c,
        ),
    )


def _scores(space: Space, choice: Int, limits: bool, columns: Columns) -> Array:
    """The objective of ``choice`` on every candidate, inf where it does not fit [C]."""
    question, pts = space.model.question, space.pts
    seconds = _Seconds(space, choice, columns)
    used = rank_bytes(space, choice)
    ok = _legal(space, choice) & (used <= budget(question))
    ok &= rooms_kept(space.model, space.tables, choice)
    ranks = np.rint(pts.group * pts.pp).astype(np.int64)
    known = {r: r * question.replicas(r) for r in set(ranks.tolist())}
    devices = np.array([known[r] for r in ranks.tolist()])
    by_objective = {
        "latency": seconds.step * space.step_pace,
        "memory": (used * devices).astype(np.float64),
    }
    score = by_objective.get(
        question.objective,
        seconds.step * (pts.group * pts.pp / np.maximum(pts.batch, 1) * space.rate_pace),
    )
    if limits and (within := question.time_limits):
        tpot = seconds.tpot * space.tpot_pace
        ttft = seconds.ttft if question.limits_prompts else tpot * 0.0
        times = question.limited_times(ttft, tpot)
        for name, limit in within.items():
            ok &= times[name] <= limit * (1 + TOLERANCE)
    return np.where(ok, score, np.inf)


class _Seconds:
    """Full TPOT and TTFT of a choice of every unit on every candidate [C]."""

    def __init__(self, space: Space, choice: Int, columns: Columns) -> None:
        model = space.model
        decided = model.decided
        self.space = space
        found = []
        for kernel in decided.kernels:
            picks = tuple(int(choice[i]) for i in kernel.units)
            key = (*((model.units[i].role, model.units[i].row) for i in kernel.units), *picks)
            if key not in columns:
                columns[key] = kernel_seconds_of(model, space.times, kernel, picks)
            found.append([column[space.rows] for column in columns[key]])
        self.alone, self.prompt, self.both = (
            np.stack(part, axis=1) for part in zip(*found, strict=True)
        )
        self.layers = decided.layers

    @property
    def step(self) -> Array:
        """Of a step with all prompts, at the pace of the slowest pipeline stage."""
        return self._paced(self.both, self.space.hop_step)

    @property
    def tpot(self) -> Array:
        """Of a step with the prompts of other requests."""
        space, share = self.space, self.space.share_of_others
        able = np.isfinite(self.both)
        added = np.where(able, self.both, 0.0) - np.where(able, self.alone, 0.0)
        both = self.both - (1.0 - share)[:, None] * added
        return self._paced(both, space.hop + share * (space.hop_step - space.hop))

    def _paced(self, seconds: Array, hop: Array) -> Array:
        space = self.space
        pace = by_stage(space, seconds).max(axis=1) * space.pts.pp
        return np.asarray(np.where(space.pts.pp > 1, pace + hop, pace))

    @property
    def ttft(self) -> Array:
        """With its queue, in the loop of its layout."""
        space = self.space
        prompt = self.prompt @ self.layers + space.hop_prefill
        both = self.both @ self.layers + space.hop_step
        share = 1.0 - (self.alone @ self.layers + space.hop) / both
        question = space.model.question
        read = prompt * ttft_factor(share, space.resident.astype(np.float64), space.pts.pp)
        least = question.first_token(np.zeros(1))
        return np.maximum(space.ttft_pace * question.first_token(read), least)


def _legal(space: Space, choice: Int) -> NDArray[np.bool_]:
    """Candidates on whose layout every unit may take its choice [C]."""
    model = space.model
    able = legality(model, space.tables, range(len(space.tables.layouts)))
    decided = np.flatnonzero(choice >= 0)
    return np.asarray(able[:, decided, choice[decided]].all(axis=1))[space.pts.layout]


def _refusal(space: Space, choice: Int) -> Text:
    limit = budget(space.model.question)
    used = rank_bytes(space, choice)
    least = int(used.min())
    if least > limit:
        return message(
            "engines.needs_at_least_gib_device", a=f"{least / 2**30:.1f}", b=f"{limit / 2**30:.1f}"
        )
    heads = space.model.question.spec.attention[0].heads
    return message("engines.no_layout_keeps_whole_scale", heads=heads)
