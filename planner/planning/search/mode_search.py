"""Groups of ways to serve: those of one are bounded together, before any is timed and solved.

Ways of one engine and checkpoint format are a group. A question that may mix whatever any of them
carries has a bound that holds for all. Groups are taken in order of it; one that is bounded above
what was found is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import fields, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from planner.formats.kv import kv_layout_ids
from planner.formats.schemes import in_catalogue_order
from planner.planning.question.question import Question
from planner.planning.search.batch_intervals import (
    finer_candidates,
    least_of,
    over_intervals,
    split_intervals,
)
from planner.planning.search.formulate import bounds
from planner.planning.search.grid_search import SearchResult, break_ties
from planner.planning.search.paces import layout_paces, most_slots_of, with_paces
from planner.planning.search.question_search import branch_and_bound, slots_of
from planner.planning.search.spaces import grid_space
from planner.planning.solver.problem import EQUAL
from planner.planning.space.candidates import (
    Slots,
    Space,
    build_space,
    fitting_pairs,
    possible_layouts,
)
from planner.planning.space.memory import tables_and_stages
from planner.planning.space.model import CostModel, build_model
from planner.planning.space.shared_times import UntimedMode, timed_together
from planner.quality.prior import load_prior

OWN = {"schemes", "kv", "barred", "refused", "notes", "chosen_from"}
"""Fields in which the ways of a group may differ."""
CUTS = 3
"""How often the intervals of a group are cut before its ways are solved."""
MOST_PIECES = 2000
AT_FIRST = 64
"""Candidates of the least bounds, of which one mostly has the least of a way."""
AT_ONCE = 4096
"""Candidates that are timed together."""
Array = NDArray[np.float64]
Pairs = Sequence[tuple[int, int]]
"""(layout, slot) of candidates, in order."""
Group = list[tuple[int, Question]]
"""Questions with their places."""


class ModeSpaces(Sequence[Space]):
    """The candidates of some ways to serve that have any, in the order of the questions; each is
    timed when one is asked for, as most answers need none."""

    def __init__(self, modes: Sequence[ServingModes], known: Mapping[int, Space]) -> None:
        self._modes, self._known = modes, known

    @cached_property
    def _spaces(self) -> list[Space]:
        by_place = dict(self._known)
        for one_mode in self._modes:
            left = [numbered for numbered in one_mode.group if numbered[0] not in by_place]
            by_place.update(one_mode.spaces(left) if left else ())
        return [space for _, space in sorted(by_place.items())]

    def __len__(self) -> int:
        return len(self._spaces)

    @overload
    def __getitem__(self, at: int) -> Space: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Space]: ...

    def __getitem__(self, at: int | slice) -> Space | Sequence[Space]:
        return self._spaces[at]


def solve_groups(questions: Sequence[Question]) -> tuple[SearchResult | None, ModeSpaces]:
    """(the best plan, the first of equals, None where there is none; the other ways of its engine,
    those of its own choices left out)."""
    modes = [
        one_mode
        for group in groups_of(questions)
        if (one_mode := ServingModes(group)).least < math.inf
    ]
    modes.sort(key=lambda one_mode: (float(f"{one_mode.least:.6e}"), one_mode.group[0][0]))
    best: SearchResult | None = None
    kept: list[tuple[int, Space]] = []
    for one_mode in modes:
        group = one_mode.group
        if best is None:
            # One way first: most of the others cannot be as good as its best.
            seed = one_mode.seed()
            mine = one_mode.spaces([seed])
            kept += mine
            best = branch_and_bound([space for _, space in mine], settle=False)
            group = [numbered for numbered in group if numbered is not seed]
        mine = one_mode.spaces(group if best is None else one_mode.promising(group, best.value))
        if not mine:
            best = best and replace(best, candidates=best.candidates + len(one_mode.lower))
            continue
        kept += mine
        best = _first(
            best, branch_and_bound([space for _, space in mine], settle=False, incumbent=best), kept
        )
    if best is None:
        return None, ModeSpaces((), {})
    question, choices = best.space.model.question, best.space.model.choices
    others = [
        one_mode.filtered(
            lambda way: (
                way.engine == question.engine
                and way.offload is question.offload
                and (*way.schemes, *way.kv) != tuple(choices)
            )
        )
        for one_mode in modes
    ]
    places = {i for one_mode in others for i, _ in one_mode.group}
    return break_ties(best), ModeSpaces(
        [one_mode for one_mode in others if one_mode.group],
        {i: space for i, space in kept if i in places},
    )


def _first(
    before: SearchResult | None,
    after: SearchResult | None,
    kept: Sequence[tuple[int, Space]],
) -> SearchResult | None:
    """What was found by now, ``after`` where it is better; of equals the one of the first question,
    whatever the order of the groups."""
    if before is None or after is None or after.value < before.value * (1 - EQUAL):
        return after
    place = {id(space): i for i, space in kept}
    if place[id(after.grid)] <= place[id(before.grid)]:
        return after
    return replace(
        before,
        candidates=after.candidates,
        solved=after.solved,
        bound=min(before.bound, after.bound),
    )


def groups_of(questions: Sequence[Question]) -> list[Group]:
    """The questions by what their kernels' times depend on, and all else but their choices."""
    groups: dict[tuple[Any, ...], Group] = {}
    names = [f.name for f in fields(Question) if f.name not in OWN]
    for i, question in enumerate(questions):
        key = tuple(_value(getattr(question, name)) for name in names)
        groups.setdefault(key, []).append((i, question))
    return list(groups.values())


def _value(value: Any) -> Any:
    return (
        value if isinstance(value, (str, int, float, tuple, frozenset, type(None))) else id(value)
    )


class ServingModes:
    """A group as one question that may mix all choices of its ways: what bounds all of them."""

    def __init__(self, group: Group) -> None:
        self.group, self.slots = group, slots_of(group[0][1])
        self.model = build_model(mixed_question(group), load_prior())

    @cached_property
    def span(self) -> Space | None:
        """Its candidates, each with all slots up to the next."""
        space = grid_space(self.model, slots=self.slots)
        return space if space is None or self.group[0][1].is_batch_given else over_intervals(space)

    @cached_property
    def lower(self) -> Array:
        """What the objective at the first slot of each candidate [C] is not below."""
        return bounds(self.span) if self.span is not None else np.empty(0)

    @property
    def least(self) -> float:
        """What no plan is below; inf where none of its ways has one."""
        return math.inf if self.span is None else float(np.min(least_of(self.span, self.lower)))

    def filtered(self, wanted: Callable[[Question], bool]) -> ServingModes:
        """The same group with those of its ways that are ``wanted``; its bound stays."""
        fewer = copy(self)
        fewer.group = [(i, way) for i, way in self.group if wanted(way)]
        return fewer

    def seed(self) -> tuple[int, Question]:
        """The way of the least bound, the first of equals."""
        if len(self.group) == 1:
            return self.group[0]
        lowest = [float(f"{self._lowest(way):.6e}") for _, way in self.group]
        return self.group[lowest.index(min(lowest))]

    def _lowest(self, way: Question) -> float:
        """What no plan of a way is below: no candidate of its is below what bounds all ways."""
        assert self.span is not None
        least = least_of(self.span, self.lower)
        order = np.argsort(least, kind="stable")
        order = order[np.isfinite(least[order])]
        first = self._least_of(way, self.span.take(order[:AT_FIRST])).min(initial=math.inf)
        rest = order[AT_FIRST:][least[order[AT_FIRST:]] < first]
        return float(self._least_of(way, self.span.take(rest)).min(initial=first))

    def promising(self, group: Group, best: float) -> Group:
        """The ways of ``group`` that may be as good as ``best``."""
        most = best * (1 + EQUAL)
        left = self._open(most) if group else None
        return (
            []
            if left is None
            else [(i, way) for i, way in group if bool((self._least_of(way, left) <= most).any())]
        )

    def _open(self, most: float) -> Space | None:
        """The candidates that may be as good as ``most``, None where none is: intervals of slots
        that may hold such a one are cut ``CUTS`` times before they are left open."""
        span, lower = self.span, self.lower
        for _ in range(CUTS):
            if span is None or not bool((least_of(span, lower) <= most).any()):
                return None
            further, runs = split_intervals(span, lower, most)
            pieces = further | {
                (layout, slot): slot
                for (layout, first), last in runs.items()
                for slot in range(first, last + 1)
            }
            if not pieces or len(pieces) > MOST_PIECES:
                break
            single = np.flatnonzero((span.upper == span.slots) & (lower <= most))
            pieces |= {
                (int(span.pts.layout[c]), int(span.slots[c])): int(span.slots[c])
                for c in single.tolist()
            }
            span = finer_candidates(span, pieces)
            lower = bounds(span)
        if span is None:
            return None
        keep = np.flatnonzero(least_of(span, lower) <= most)
        return span.take(keep) if len(keep) else None

    def _least_of(self, way: Question, span: Space) -> Array:
        """What a way's own choices have at the least, at each candidate of ``span`` [C]."""
        own = [
            *(s in way.schemes for s in self.model.question.schemes),
            *(name in way.kv for name in self.model.question.kv),
        ]
        able = self.model.decided.allowed((self.model.possible & np.array(own))[None])
        mine = replace(span, legal=span.legal & able)
        return least_of(mine, bounds(mine))

    def spaces(self, group: Group) -> list[tuple[int, Space]]:
        """The candidates of those ways of ``group`` that have any, with their places."""
        if len(group) == 1:
            place, question = group[0]
            space = grid_space(build_model(question, load_prior()), slots=self.slots)
            return [] if space is None else [(place, space)]
        return _timed_together(
            self.model,
            [(i, build_model(question, load_prior())) for i, question in group],
            self.slots,
        )


def mode_spaces(models: Sequence[CostModel], slots: Slots = "grid") -> list[Space]:
    """The candidates of those models that have any, in their order: ways of a group are timed
    together, and have the paces of their engine's loops."""
    placed: list[tuple[int, Space]] = []
    for group in groups_of([model.question for model in models]):
        mine = [(i, models[i]) for i, _ in group]
        if len(mine) > 1:
            placed += _timed_together(build_model(mixed_question(group), load_prior()), mine, slots)
        elif (space := grid_space(mine[0][1], slots=slots)) is not None:
            placed.append((mine[0][0], space))
    return [space for _, space in sorted(placed, key=lambda numbered: numbered[0])]


def _timed_together(
    mixed: CostModel,
    models: Sequence[tuple[int, CostModel]],
    slots: Slots,
) -> list[tuple[int, Space]]:
    """The candidates of those models that have any, with their places; ``mixed`` has all choices
    of all of them."""
    ways = [(i, way) for i, model in models if (way := _untimed(model, slots)) is not None]
    return (
        list(
            zip(
                [i for i, _ in ways],
                _with_shared_paces(mixed, timed_together(mixed, [way for _, way in ways])),
                strict=True,
            )
        )
        if ways
        else []
    )


def _with_shared_paces(mixed: CostModel, spaces: Sequence[Space]) -> list[Space]:
    """``spaces`` of one engine, whose loops run alike, with the paces of ``mixed``."""
    layouts = spaces[0].tables.layouts
    tables = tables_and_stages(mixed, layouts)[0]
    alike = [space for space in spaces if space.tables.layouts == layouts]
    paces = layout_paces(mixed, tables, most_slots_of(alike))
    return [
        replace(space, tables=replace(space.tables, paces=paces))
        if space.tables.layouts == layouts
        else with_paces(space)
        for space in spaces
    ]


def mixed_question(group: Group) -> Question:
    """The question that may mix all choices of its ways; what all of them bar stays barred."""
    ways = [question for _, question in group]
    schemes, kv = (
        {name for way in ways for name in getattr(way, field)} for field in ("schemes", "kv")
    )
    pairs = frozenset().union(*(way.barred for way in ways))
    barred = frozenset(
        pair
        for pair in pairs
        if all(pair in way.barred or pair[1] not in (*way.schemes, *way.kv) for way in ways)
    )
    return replace(
        ways[0],
        schemes=tuple(in_catalogue_order(schemes)),
        kv=tuple(name for name in kv_layout_ids() if name in kv),
        barred=barred,
    )


def _untimed(model: CostModel, slots: Slots) -> UntimedMode | None:
    layouts = possible_layouts(model.question)
    if not layouts:
        return None
    tables, stages = tables_and_stages(model, layouts)
    pairs = fitting_pairs(model, tables, stages, slots=slots)
    return UntimedMode(model, tables, stages, pairs) if pairs else None


def finer_batch_grid(wanted: Sequence[tuple[Space, Pairs]]) -> list[Space]:
    """For each of some spaces the candidates at its pairs, in order."""
    by_place: dict[int, Space] = {}
    for group in groups_of([space.model.question for space, _ in wanted]):
        places = [place for place, _ in group]
        ways = [
            UntimedMode(space.model, space.tables, space.stages, pairs)
            for space, pairs in (wanted[place] for place in places)
        ]
        alike = all(way.tables.layouts == ways[0].tables.layouts for way in ways)
        if len(ways) == 1 or not alike or sum(len(way.pairs) for way in ways) > AT_ONCE:
            by_place |= {
                place: build_space(way.model, way.tables, way.stages, way.pairs)
                for place, way in zip(places, ways, strict=True)
            }
            continue
        mixed = build_model(mixed_question(group), load_prior())
        by_place |= zip(places, timed_together(mixed, ways), strict=True)
    return [space for _, space in sorted(by_place.items())]
