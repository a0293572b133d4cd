"""What a what-if grid lies around: the question, and what of it each place of the grid changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from planner.base.errors import InputError, UnsupportedError
from planner.planning.plan.record import Plan
from planner.planning.question.defaults import TPOT_SECONDS, default_of
from planner.planning.question.given_values import DROPPED_KEY, NO_LIMIT, GivenValues, milliseconds
from planner.planning.question.input import AUTO, QuestionInput
from planner.planning.question.question import Question
from planner.planning.question.workload import workload
from planner.planning.what_if.grid import InfeasiblePoint
from planner.planning.what_if.grid_axes import OWN
from planner.workloads import load_workload, workload_ids

REQUESTS = ("workload", "context", "isl", "osl", "prefix_hit_rate")
"""What of a question says what a request is."""


class GridPlace(NamedTuple):
    """What positions share that are planned together, as their axes have it."""

    workload: str
    context: str
    batch: str
    devices: str
    schemes: str
    kv: str

    @property
    def id(self) -> str:
        """The place in a journal."""
        return " ".join(f"{name}={value}" for name, value in self._asdict().items())


@dataclass(frozen=True)
class Around:
    """The question whose plan the grid lies around; ``tpot`` is the limit of its own position in
    milliseconds, or none."""

    inputs: QuestionInput
    tpot: str

    @classmethod
    def of(cls, inputs: QuestionInput, plan: Plan) -> Around:
        """The question ``ask`` of ``plan``, its defaults made explicit."""
        full = inputs.given_values.with_scenario(inputs.loaded_scenario)
        default = default_of(full, inputs.subject[1])
        batch = plan.workload.batch if default in ("users", "latency") else full.batch
        limit = full.tpot_seconds
        if limit is None:
            dropped = any(a.key == DROPPED_KEY for a in plan.assumptions)
            limit = TPOT_SECONDS if default == "tpot" and not dropped else NO_LIMIT
        objective = plan.objective if default == "latency" else inputs.objective
        return cls(replace(inputs, batch=batch, objective=objective), milliseconds(limit))

    @cached_property
    def filled(self) -> GivenValues:
        """What was asked, with the values of the scenario."""
        return self.inputs.given_values.with_scenario(self.inputs.loaded_scenario)

    @cached_property
    def own_workload(self) -> str:
        """The bundled workload that is all that was said of requests, else OWN."""
        said = [name for name in REQUESTS if getattr(self.inputs, name) is not None]
        named = self.inputs.workload
        bundled = isinstance(named, str) and named.strip().lower().replace("_", "-")
        return bundled if said == ["workload"] and bundled in workload_ids() and bundled else OWN

    @property
    def own_engine(self) -> str:
        """The engine that was asked."""
        return str(self.inputs.requested_engine)

    def own_lengths(self, *, at_contexts: bool) -> dict[str, Any]:
        """What the plan's own requests are asked with; ``at_contexts``: of several lengths, which a
        flag of their own tells."""
        given_values = {name: getattr(self.inputs, name) for name in REQUESTS}
        if at_contexts:
            given_values |= {"context": None, "isl": self.filled.isl, "osl": self.filled.osl}
        return given_values

    def given_values(self, place: GridPlace) -> GivenValues:
        """What is asked at a place, without limits on TPOT and loss."""
        several = place.context != AUTO
        requests = (
            self.own_lengths(at_contexts=several)
            if place.workload == OWN
            else dict.fromkeys(REQUESTS) | {"workload": place.workload}
        )
        if several:
            requests["context"] = int(place.context)
        named, given = requests.pop("workload"), self.inputs.given_values
        return replace(
            self.inputs.given_values,
            **requests,
            workload=load_workload(named) if named is not None else None,
            batch=None if place.batch == AUTO else int(place.batch),
            concurrency=self.inputs.concurrency if place.batch == AUTO else None,
            devices=int(place.devices),
            schemes=self._schemes(place),
            kv=given.kv if place.kv == OWN or (place.kv == AUTO and not given.kv) else place.kv,
            tpot_seconds=NO_LIMIT,
            max_loss=None,
        )

    def _schemes(self, place: GridPlace) -> tuple[str, ...] | None:
        """The schemes that a place is asked with: what it keeps is chosen among all of them."""
        if place.schemes == OWN:
            return self.inputs.given_values.schemes
        several = "+" in place.schemes
        return tuple(place.schemes.split("+")) if several else None

    def ways(self, place: GridPlace, engine: str) -> tuple[Question, ...]:
        """The ways in which ``engine`` serves what is asked at a place.

        Raises:
            UnsupportedError: it cannot. InputError: a value out of range.
        """
        return self._asking(engine).ways(self.given_values(place), defaults=False)

    def plan_ways(self, place: GridPlace, engine: str, plan: Plan) -> tuple[Question, ...]:
        """The ways of ``engine`` that may keep formats: of the plan's engine where the question
        left open which."""
        ways = self.ways(place, engine)
        if engine != self.own_engine:
            return ways
        own = plan.engine.name
        return tuple(question for question in ways if question.engine == own) or ways

    def _asking(self, engine: str) -> QuestionInput:
        """The question to another engine, of the same model and device: what is known of these is
        found by their identity."""
        if engine == self.own_engine:
            return self.inputs
        if engine not in self._asks:
            self._asks[engine] = replace(self.inputs, engine=engine)
            vars(self._asks[engine])["subject"] = self.inputs.subject
        return self._asks[engine]

    @cached_property
    def _asks(self) -> dict[str, QuestionInput]:
        return {}

    def keeps(self, place: GridPlace) -> bool:
        """Whether a place keeps formats: the plan's, or one scheme everywhere. Others are searched
        over what their schemes may mix."""
        return place.schemes != AUTO and "+" not in place.schemes

    def possible(self, place: GridPlace, engine: str) -> bool:
        """Whether the device and ``engine`` take what is asked."""
        try:
            self.ways(place, engine)
        except UnsupportedError:
            return False
        return True

    def too_long(self, place: GridPlace) -> InfeasiblePoint | None:
        """The refusal of requests that do not fit the context that the place names."""
        if place.context == AUTO:
            return None
        given_values = self.given_values(place).with_scenario(self.inputs.loaded_scenario)
        try:
            workload(
                self.inputs.subject[0].max_context,
                context=given_values.context,
                isl=given_values.isl,
                osl=given_values.osl,
                named=given_values.workload,
            )
        except InputError:
            named = given_values.workload
            isl, osl = (
                (given if given is not None else getattr(named, name, None)) or 1
                for name, given in (("isl", given_values.isl), ("osl", given_values.osl))
            )
            return InfeasiblePoint("context", isl + osl, int(place.context))
        return None
