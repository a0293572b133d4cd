"""A rival as an option: priced in the loop of its requests, weighed, and what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.records import cached_record
from planner.planning.choose.calibrated import Configuration, differences
from planner.planning.choose.rule import (
    LEVELS,
    Simplicity,
)
from planner.planning.choose.uncertainty import UncertainObjective, score, uncertain_objective
from planner.planning.choose.weight_sources import ReadyWeights, weight_source
from planner.planning.plan.evidence import Evidence
from planner.planning.price.evidence import (
    MEASURED,
    NONE,
    RELATED,
    known_as,
    served_formats,
)
from planner.planning.price.plan_kinds import evidence_here, kind_of
from planner.planning.price.price import Priced, price
from planner.planning.question.policies import runs_as_released
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.question_search import by_layer
from planner.planning.search.rivals import Rival
from planner.planning.search.served_batch import result_at, served_candidate
from planner.planning.space.candidates import Space
from planner.planning.space.losses import saturated_loss

ALIKE = frozenset(("format", "cache", "devices", "batch"))
"""Differences that leave engine and layout as they are."""
PLAIN_CACHE = "bf16"
"""What a cache is where nothing is chosen."""


@cached_record
class Option:
    """A rival with its price, what it errs by, how simple it is, where its weights come from, and
    what measured deployments say of its kind."""

    rival: Rival
    priced: Priced
    weighed: UncertainObjective
    simple: Simplicity
    weights: ReadyWeights
    evidence: Evidence

    @property
    def space(self) -> Space:
        return self.rival.result.space

    @property
    def level(self) -> str:
        """How well its kind is known."""
        return self.evidence.level

    @property
    def losses(self) -> dict[str, float]:
        """Its loss by kind of unit."""
        model, kinds = self.space.model, dict[str, float]()
        for cost in self.priced.costs:
            kind = model.units[cost.segment.unit].kind
            kinds[kind] = kinds.get(kind, 0.0) + cost.loss
        return kinds

    @property
    def known_as(self) -> str:
        """How well differences from its kind are known."""
        return known_as(kind_of(self.space.model, self.priced))

    @property
    def configuration(self) -> Configuration:
        """What it runs, as measured pairs are told apart by."""
        question, layout = self.space.model.question, self.priced.layout
        replicas = question.replicas(layout.ranks)
        drafts = 0 if question.speculation is None else question.speculation.draft_tokens
        return Configuration(
            question.engine,
            question.engine_version,
            replace(layout, replicas=1),
            replicas * layout.ranks,
            " ".join(self.rival.schemes),
            self.rival.kv,
            self.priced.requests * replicas,
            drafts,
        )

    def same_as(self, other: Option) -> bool:
        """Whether both are one assignment on one layout and batch."""
        mine, theirs = self.rival.result, other.rival.result
        questions = (mine.space.model.question, theirs.space.model.question)
        return questions[0].engine == questions[1].engine and (
            self.priced.layout,
            self.priced.batch,
            by_layer(mine.space, mine.segments),
        ) == (other.priced.layout, other.priced.batch, by_layer(theirs.space, theirs.segments))


def in_the_loop(rival: Rival) -> Option | None:
    """``rival`` at the batch that keeps its limits in the loop of its requests; None where none
    does. The optimum is there already."""
    result = rival.result
    if rival.kind == "optimum":
        return _option(rival, price(result.space, result.candidate, result.segments))
    served = served_candidate(result.space, result.candidate, result.segments)
    if served is None:
        return None
    return _option(replace(rival, result=result_at(result, served)), served.priced)


def pair_levels(options: Sequence[Option]) -> list[list[str]]:
    """How well the difference of each two options is known: as the kind of the less known of them;
    where they differ in formats and caches alone, all of which exist and were served by the engine
    or on the architecture, at least by rows of a related kind. Which of two engines is faster is
    known where both were served on the very device."""
    out = []
    known = [_formats_served(option) for option in options]
    kinds = [option.known_as for option in options]
    run = [option.configuration for option in options]
    for i, one in enumerate(options):
        row = []
        for j, other in enumerate(options):
            unlike = differences(run[i], run[j])
            level = max(kinds[i], kinds[j], key=LEVELS.index)
            if "engine" in unlike and level == MEASURED:
                level = max(one.evidence.level, other.evidence.level, key=LEVELS.index)
            alike = not unlike - ALIKE
            made = one.simple.new_weights and not other.simple.new_weights
            served = alike and known[i] and known[j] and not made
            row.append(RELATED if level == NONE and served else level)
        out.append(row)
    return out


def _formats_served(option: Option) -> bool:
    """Whether all formats of an option were served, by its engine or on its architecture."""
    question = option.space.model.question
    served = served_formats(question.engine, question.device.architecture)
    caches = set(filter(None, option.rival.kv.split(", ")))
    return {*option.rival.schemes, *caches} <= served


def _option(rival: Rival, priced: Priced) -> Option:
    result = rival.result
    model = result.space.model
    names = repr(sorted((s.unit, s.choice, s.layers) for s in result.segments))
    weights = weight_source(result) if rival.formats else ReadyWeights()
    if rival.release is not None:
        weights = ReadyWeights(checkpoint=rival.release.repository)
    if rival.recipe is not None and rival.formats and not weights.checkpoint:
        base = model.question.spec.public_name.lower()
        if rival.recipe.checkpoint.lower() not in ("", base):
            weights = ReadyWeights(checkpoint=rival.recipe.checkpoint)
    simple = Simplicity(rival.formats, rival.formats > 0 and weights.new_weights, _changed(result))
    value = score(model.question, priced)
    if model.question.objective == "quality":
        value = saturated_loss(model, value)
    return Option(
        rival,
        priced,
        uncertain_objective(result.space, priced, value, names),
        simple,
        weights,
        evidence_here(model.question, kind_of(model, priced), "tpot"),
    )


def _changed(result: SearchResult) -> int:
    """Kinds of module that are not what they are released in, and caches that are not plain."""
    model = result.space.model
    kinds = set()
    for segment in result.segments:
        unit = model.units[segment.unit]
        if segment.choice < 0:
            continue
        own = (
            PLAIN_CACHE
            if unit.role == "cache"
            else runs_as_released(model.question, model.planned[unit.row].released_as)
        )
        if model.choices[segment.choice] != own:
            kinds.add(unit.kind)
    return len(kinds)
