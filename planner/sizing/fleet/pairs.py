"""Plans of one model on one kind of device, asked once for each pair of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from planner.base.errors import InfeasibleError, UnsupportedError
from planner.jobs.workers import cores, in_processes, packed, unpacked
from planner.messages.message import Text
from planner.planning.infeasible.case import unserved_case
from planner.planning.infeasible.solve import decide_or_refuse
from planner.planning.question.given_values import NO_LIMIT
from planner.planning.question.input import AUTO, ENGINES, QuestionInput
from planner.planning.question.question import Question
from planner.sizing.fleet.candidates import FleetPair, PairInput, Standing, candidates, standings
from planner.sizing.fleet.fleet_file import SPARE
from planner.sizing.fleet.question import FleetKind, FleetMember, FleetQuestion
from planner.sizing.formats import OptionFormats, ranked_formats

Place = tuple[int, int]
"""A pair: (index of the model, of the kind of device)."""


def search_pairs(
    question: FleetQuestion,
    workers: int | None = 1,
) -> Iterator[tuple[Place, FleetPair]]:
    """What every pair may do, with its place, as it is found: in this process, or in ``workers``
    of them (None: a core each)."""
    groups = _alike(question)
    count = min(cores() if workers is None else workers, len(groups))
    if count == 1:
        for group in groups:
            yield from zip(group, _pairs_of_group(question, group), strict=True)
        return
    content = packed(question)
    for group, answers in in_processes(
        _pairs_of_packed_group, ((content, group) for group in groups), workers=count
    ):
        yield from zip(group, unpacked(answers), strict=True)


def _alike(question: FleetQuestion) -> list[tuple[Place, ...]]:
    """Pairs, those that one search answers together."""
    groups: dict[tuple[Any, ...], list[Place]] = {}
    for m, member in enumerate(question.members):
        for k, kind in enumerate(question.kinds):
            groups.setdefault(_key(member, kind), []).append((m, k))
    return [tuple(group) for group in groups.values()]


def _pairs_of_group(question: FleetQuestion, group: tuple[Place, ...]) -> list[FleetPair]:
    pairs = FleetPairs(
        question.asked.router,
        grows=question.asked.goal == SPARE,
        no_learned=question.no_learned,
    )
    return [pairs.pair_of(question.members[m], question.kinds[k]) for m, k in group]


def _pairs_of_packed_group(
    item: tuple[bytes, tuple[Place, ...]],
) -> tuple[tuple[Place, ...], bytes]:
    """As :func:`_pairs_of_group`, in another process."""
    content, group = item
    return group, packed(_pairs_of_group(unpacked(content), group))


class FleetPairs:
    """Candidates of pairs; what two models ask alike is searched once. ``no_learned``: without what
    was measured here."""

    def __init__(self, router: str, *, grows: bool, no_learned: bool = False) -> None:
        self.router, self.grows, self.no_learned = router, grows, no_learned
        self._known: dict[tuple[Any, ...], tuple[list[OptionFormats], Standing] | str] = {}

    def pair_of(self, member: FleetMember, kind: FleetKind) -> FleetPair:
        """The ways of a pair, or the reason why there are none."""
        key = _key(member, kind)
        if key not in self._known:
            self._known[key] = self._search(member, kind)
        known = self._known[key]
        if isinstance(known, str):
            return FleetPair((), known)
        formats, standing = known
        return candidates(
            formats,
            PairInput(
                member.mix,
                member.asked.rate,
                member.level,
                self.router,
                kind.stock.host,
                kind.stock.count,
                self.grows,
            ),
            standing,
        )

    def _search(
        self,
        member: FleetMember,
        kind: FleetKind,
    ) -> tuple[list[OptionFormats], Standing] | str:
        inputs = replace(_ask(member, kind), no_learned=self.no_learned)
        try:
            questions = tuple(chain.from_iterable(_of_engines(inputs, member.asked.engines)))
            decision = decide_or_refuse(questions, lambda: unserved_case(inputs))
        except (InfeasibleError, UnsupportedError) as error:
            reason: Text = error.text
            return reason
        return list(ranked_formats(decision.choice)), standings(member.mix)


def _key(member: FleetMember, kind: FleetKind) -> tuple[Any, ...]:
    model_input = member.asked
    return (
        member.spec.id,
        kind.profile.id,
        member.mix,
        member.level,
        model_input.max_loss,
        model_input.schemes,
        model_input.kv,
        model_input.engines,
    )


def _ask(member: FleetMember, kind: FleetKind) -> QuestionInput:
    """The question of a plan for the mean request of the mix."""
    mix, model_input = member.mix, member.asked
    level = member.level
    return QuestionInput(
        model=member.spec,
        device=kind.profile,
        context=mix.context,
        isl=max(round(mix.mean_isl), 1),
        osl=max(round(mix.mean_osl), 1),
        prefix_hit_rate=mix.prefix_hit_rate or None,
        ttft_seconds=level.ttft,
        tpot_seconds=NO_LIMIT if level.tpot is None else level.tpot,
        e2e_seconds=level.e2e,
        max_loss=model_input.max_loss,
        schemes=model_input.schemes,
        kv=model_input.kv if model_input.kv is not None else AUTO,
        engine=model_input.engines[0] if len(model_input.engines) == 1 else ENGINES,
    )


def _of_engines(inputs: QuestionInput, engines: tuple[str, ...]) -> Iterator[tuple[Question, ...]]:
    """The ways of each engine that is allowed; of all where none is named.

    Raises:
        UnsupportedError: none can serve it.
    """
    if len(engines) < 2:
        yield inputs.questions()
        return
    refused: list[UnsupportedError] = []
    for name in engines:
        try:
            yield replace(inputs, engine=name).questions()
        except UnsupportedError as error:
            refused.append(error)
    if len(refused) == len(engines):
        raise refused[0]
