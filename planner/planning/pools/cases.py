"""Pools that a question may have: by engine and cache layout, with every way to serve each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError
from planner.base.records import cached_record
from planner.messages.message import Text, message
from planner.placement.cache_entries import cache_units, stores
from planner.placement.layout import divisors, powers_of_two
from planner.planning.answer.modes import refused
from planner.planning.engines.pool_rules import handed_over
from planner.planning.pools.candidates import (
    allowed_for,
    decode_space,
    prefill_space,
    prompt_counts,
    prompts_per_pass,
    with_choice,
)
from planner.planning.pools.handover import Handover, handover
from planner.planning.pools.search import WorkerCandidates
from planner.planning.pools.workers import (
    PoolSpace,
    decode_candidates,
    over_batches,
    prefill_candidates,
)
from planner.planning.question.engine_questions import engine_of
from planner.planning.question.pool_link import PoolLink
from planner.planning.question.question import Question
from planner.planning.search.formulate import loss_limit
from planner.planning.search.mode_search import Group, groups_of, mixed_question
from planner.planning.search.spaces import with_question
from planner.planning.search.uniform import uniform_choice
from planner.planning.space.candidates import Space
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior

Int = NDArray[np.int64]


@cached_record
class PoolSpaces:
    """Spaces of one engine's pools whose caches are in ``kv``, a space for each group of ways."""

    engine: str
    kv: str
    handover: Handover
    prefill: tuple[PoolSpace, ...]
    decode: tuple[PoolSpace, ...]

    def shared(self) -> WorkerCandidates:
        """All workers, with bounds."""
        return WorkerCandidates(
            self.engine,
            self.kv,
            self.handover,
            [candidate for pool in self.prefill for candidate in prefill_candidates(pool)],
            [
                candidate
                for pool in self.decode
                for candidate in decode_candidates(over_batches(pool))
            ],
        )

    def within(self, allowed: float | None) -> PoolSpaces:
        """The same with another limit on the sum of losses."""
        return replace(
            self,
            prefill=tuple(_within(pool_space, allowed) for pool_space in self.prefill),
            decode=tuple(_within(pool_space, allowed) for pool_space in self.decode),
        )

    def differs(self, name: str, other: str) -> bool:
        """Whether two named assignments are not one, in some pool that can take the first."""
        for pool in (*self.prefill, *self.decode):
            mine, theirs = (
                uniform_choice(pool.space.model, scheme, self.kv) for scheme in (name, other)
            )
            if mine is not None and (theirs is None or not np.array_equal(mine, theirs)):
                return True
        return False

    def uniform(self, scheme: str) -> PoolSpaces:
        """Both pools under one named assignment, where their groups can take it."""
        return replace(
            self,
            prefill=_uniform(self.prefill, scheme, self.kv),
            decode=_uniform(self.decode, scheme, self.kv),
        )


def _within(pool: PoolSpace, allowed: float | None) -> PoolSpace:
    return replace(pool, space=with_question(pool.space, loss_scheme=None, loss_limit=allowed))


def _uniform(pools: Sequence[PoolSpace], scheme: str, kv: str) -> tuple[PoolSpace, ...]:
    uniform = []
    for pool in pools:
        choice = uniform_choice(pool.space.model, scheme, kv)
        if choice is not None:
            uniform.append(replace(pool, space=with_choice(pool.space, choice), choice=choice))
    return tuple(uniform)


def pool_question(question: Question) -> Question:
    """``question`` for workers of a pool: where the devices in all are given, a worker has a
    divisor of them or a power of two, of each of its pipeline stages where it has some."""
    if not question.devices_given:
        return question
    devices = max(question.sizes)
    stages = question.worker_stages
    counts = {*divisors(devices), *(stages * n for n in powers_of_two(devices // stages))}
    if counts == set(divisors(devices)):
        return question
    return replace(question, devices_given=False, sizes=tuple(sorted(counts)))


def pool_spaces(
    prefill: Sequence[Question],
    decode: Sequence[Question],
    link: PoolLink,
) -> tuple[list[PoolSpaces], dict[str, Text]]:
    """(the spaces of every engine and cache layout that may be handed over, why other engines serve
    no pools). ``prefill`` and ``decode`` are ways to serve each pool, the same where the devices
    are."""
    alike = prefill is decode
    spaces: list[PoolSpaces] = []
    against: dict[str, Text] = {}
    for name in dict.fromkeys(q.engine for q in decode):
        mine = [pool_question(q) for q in decode if q.engine == name]
        theirs = mine if alike else [pool_question(q) for q in prefill if q.engine == name]
        refusal = refused(mine, theirs)
        if refusal:
            against[name] = refusal
            continue
        spaces += _of_engine(name, theirs, mine, link)
    return spaces, against


def _of_engine(
    engine: str,
    prefill: Sequence[Question],
    decode: Sequence[Question],
    link: PoolLink,
) -> list[PoolSpaces]:
    """The spaces of one engine by cache layout, those that both pools keep."""
    names = [
        kv
        for kv in dict.fromkeys(kv for q in decode for kv in q.kv)
        if any(kv in q.kv for q in prefill)
        and _handed(decode[0], prefill[0], kv)
        and all(stores(unit, kv) for unit in cache_units(decode[0].spec))
    ]
    readers = _spaces(prefill, names, reads=True)
    decoders = _spaces(decode, names, reads=False)
    spaces = []
    for kv in names:
        mine, theirs = readers.get(kv, ()), decoders.get(kv, ())
        if mine and theirs:
            degrees = tuple(la.tp for pool in (*mine, *theirs) for la in pool.space.tables.layouts)
            over = handover(
                decode[0],
                kv,
                degrees,
                link,
                indexer_fp8=theirs[0].space.model.indexer_fp8,
                stages=(prefill[0].worker_stages, decode[0].worker_stages),
            )
            spaces.append(PoolSpaces(engine, kv, over, mine, theirs))
    return spaces


def _handed(decode: Question, prefill: Question, kv: str) -> bool:
    engine = engine_of(decode)
    return engine is None or all(
        handed_over(engine, q.device, q.spec, kv).status == "supported" for q in (decode, prefill)
    )


def _spaces(
    questions: Sequence[Question],
    names: Sequence[str],
    *,
    reads: bool,
) -> dict[str, tuple[PoolSpace, ...]]:
    """Spaces of one pool by cache layout, of each group of ways that has any candidate."""
    by_cache: dict[str, list[PoolSpace]] = {}
    for group in groups_of(questions):
        space = _space(group, reads=reads)
        for kv in names if space is not None else ():
            ways = tuple(way for _, way in group if kv in way.kv)
            if ways and space is not None:
                only_way = ways[0] if len(ways) == 1 else None
                by_cache.setdefault(kv, []).append(
                    PoolSpace(allowed_for(space, only_way, kv), ways, kv)
                )
    return {kv: tuple(pools) for kv, pools in by_cache.items()}


def _space(group: Group, *, reads: bool) -> Space | None:
    model = build_model(mixed_question(group), load_prior())
    if reads:
        return prefill_space(model, prompt_counts(prompts_per_pass(model.question)))
    return decode_space(model)


def loss_limit_of(questions: Sequence[Question]) -> float | None:
    """The limit on the sum of losses as a number: that of the first question."""
    return loss_limit(first_model(questions))


def first_model(questions: Sequence[Question]) -> CostModel:
    """The model of the first question."""
    return build_model(questions[0], load_prior())


def shared_caches(prefill: Sequence[Question], decode: Sequence[Question]) -> tuple[str, ...]:
    """The cache layouts that both pools may keep.

    Raises:
        InputError: there is none.
    """
    mine = dict.fromkeys(kv for q in decode for kv in q.kv)
    theirs = dict.fromkeys(kv for q in prefill for kv in q.kv)
    both = tuple(kv for kv in mine if kv in theirs)
    if not both:
        raise InputError(
            message(
                "refusals.pools_share_no_cache_keeps",
                d=decode[0].device.id,
                mine=", ".join(mine),
                e=prefill[0].device.id,
                theirs=", ".join(theirs),
            ),
            hint="--kv auto, or another --prefill-device",
        )
    return both
