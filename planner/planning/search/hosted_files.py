"""Weights that exist, each with its own share of layers in the memory of a host.

The optimum beside a host has one split of the layers. What is released or published in other
formats may not fit there, or leave room unused: each goes with the fewest layers in host memory
with which it fits the device. More are never faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from planner.base.records import cached_record
from planner.planning.engines.gguf_files import published_file
from planner.planning.question.named import RELEASED, usable_mixes
from planner.planning.question.question import Question
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.question_search import slots_of
from planner.planning.search.releases import releases_of
from planner.planning.search.spaces import grid_space, with_question
from planner.planning.search.uniform import (
    UniformQuery,
    placed_uniforms,
    uniform_choice,
    uniform_loss,
)
from planner.planning.solver.problem import TOLERANCE
from planner.planning.space.assignment import rank_bytes
from planner.planning.space.candidates import Space
from planner.planning.space.losses import saturated_loss
from planner.planning.space.memory import budget
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior


def hosted_file_spaces(
    best: SearchResult, questions: Sequence[Question], allowed: float | None
) -> tuple[Space, ...]:
    """The candidates in which weights that exist lie best, but those of the split of ``best``;
    ``questions`` are the splits of all ways to serve, from all in host memory to nothing, and
    ``allowed`` is what losses may sum to. Nothing without a host."""
    taken = best.space.model.question
    if taken.offload is None:
        return ()
    found: dict[int, Space] = {}
    for ways in _by_way([q for q in questions if q.engine == taken.engine]):
        splits = HostSplits(ways)
        for name, kv in _assignments(splits.model, allowed):
            space = splits.fewest(name, kv)
            if space is not None and space.model.question.offload is not taken.offload:
                found.setdefault(id(space), space)
    return tuple(found.values())


@cached_record
class HostedFile:
    """Weights that exist, as released or in a mixture (``name``), with a cache (``kv``), beside a
    host: ``space`` has the least in its memory."""

    name: str
    kv: str
    space: Space


def hosted_files(questions: Sequence[Question], below_nats: float) -> list[HostedFile]:
    """The weights that exist, of a loss below ``below_nats``, which fit both memories;
    ``questions`` as :func:`hosted_file_spaces` takes them."""
    out = []
    for ways in _by_way(questions):
        splits = HostSplits(ways)
        for name, kv in _assignments(splits.model, None):
            if _loss(splits.model, name, kv) < below_nats:
                space = splits.fewest(name, kv)
                if space is not None:
                    out.append(HostedFile(name, kv, space))
    return out


def splits_in_time(files: Sequence[HostedFile], tpot_seconds: float | None) -> list[Question]:
    """The splits in which any of ``files`` keeps a limit on a step (None: those of its question),
    each once."""
    out: dict[int, Question] = {}
    for file in files:
        space = file.space
        if tpot_seconds is not None:
            space = with_question(space, tpot_seconds=tpot_seconds)
        if placed_uniforms([(space, [UniformQuery(file.name, file.kv, limits=True)])]):
            out.setdefault(id(file.space), file.space.model.question)
    return list(out.values())


class HostSplits:
    """One way to serve with every number of layers or experts in host memory, the most first."""

    def __init__(self, ways: Sequence[Question]) -> None:
        self.ways = ways
        self.model = build_model(ways[0], load_prior())
        self._spaces: dict[int, Space | None] = {}

    def fewest(self, name: str, kv: str) -> Space | None:
        """The candidates with the least in host memory beside which a named assignment fits the
        device; None where it does not fit with all of it there."""
        if not self._fits(0, name, kv):
            return None
        low, high = 0, len(self.ways)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._fits(middle, name, kv) else (low, middle)
        return self._space(low)

    def _fits(self, place: int, name: str, kv: str) -> bool:
        space = self._space(place)
        choice = None if space is None else uniform_choice(space.model, name, kv)
        if space is None or choice is None:
            return False
        return int(rank_bytes(space, choice).min()) <= budget(space.model.question)

    def _space(self, place: int) -> Space | None:
        if place not in self._spaces:
            question = self.ways[place]
            model = build_model(question, load_prior())
            self._spaces[place] = grid_space(model, slots=slots_of(question))
        return self._spaces[place]


def _by_way(questions: Sequence[Question]) -> list[list[Question]]:
    """The questions by what they serve, in order: those of a group differ in their split alone."""
    ways: dict[tuple[object, ...], list[Question]] = {}
    for question in questions:
        offload = question.offload
        own = () if offload is None else offload.schemes
        key = (question.container, question.schemes, question.kv, own)
        ways.setdefault(key, []).append(question)
    return list(ways.values())


def _loss(model: CostModel, name: str, kv: str) -> float:
    choice = uniform_choice(model, name, kv)
    return math.inf if choice is None else saturated_loss(model, uniform_loss(model, choice))


def _assignments(model: CostModel, allowed: float | None) -> Iterator[tuple[str, str]]:
    """What is released or published of a model, with each cache, whose loss is ``allowed``."""
    spec = model.question.spec.id
    files = (mix for mix in usable_mixes(model.question) if published_file(spec, mix) is not None)
    for name in dict.fromkeys((RELEASED, *releases_of(model), *files)):
        for kv in model.question.kv:
            choice = uniform_choice(model, name, kv)
            if choice is not None and (
                allowed is None or uniform_loss(model, choice) <= allowed * (1 + TOLERANCE) + 1e-12
            ):
                yield name, kv
