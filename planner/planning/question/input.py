"""A question as every verb asks it: one record of the parameters, filled from a verb's arguments.

Its methods look names up, read the scenario and make exact questions of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.base.errors import InputError
from planner.base.records import cached_record
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device, load_model, load_profile, load_workload
from planner.memory.engines.catalog import Engine, parse_engine
from planner.messages.message import Note
from planner.models.catalog import is_model
from planner.models.spec import ModelSpec
from planner.planning.engines.published import PublishedWeights, release_named
from planner.planning.plan.record import Plan
from planner.planning.question import parameters as declared
from planner.planning.question.corrections import Correction
from planner.planning.question.declaring import ANY as ANY
from planner.planning.question.declaring import AUTO as AUTO
from planner.planning.question.declaring import BF16 as BF16
from planner.planning.question.declaring import ENGINES as ENGINES
from planner.planning.question.declaring import THROUGHPUT as THROUGHPUT
from planner.planning.question.declaring import Default
from planner.planning.question.defaults import default_of, with_default
from planner.planning.question.engine_choice import AUTO_ENGINE, NamedByUser, ways_to_serve
from planner.planning.question.given_values import GivenValues, given_values_note
from planner.planning.question.learned import with_learned
from planner.planning.question.model_notes import checkpoint_notes
from planner.planning.question.offload import (
    HostRequest,
    offloaded_ways,
    with_offload,
    without_host_schemes,
)
from planner.planning.question.question import Question
from planner.planning.question.resolve import build_question
from planner.planning.question.scenario import Scenario
from planner.planning.question.scenarios import load_scenario
from planner.planning.question.scheme_choices import schemes_for
from planner.planning.question.speculation import DRAFT_MODEL, NONE, Speculation, as_in_plan
from planner.planning.question.verbs import GridInput
from planner.throughput.calibration import ANY_ENGINE
from planner.workloads import NamedWorkload

if TYPE_CHECKING:
    from planner.models.imatrix import ImportanceMatrix
    from planner.planning.question.assumed_hosts import AssumedHost
    from planner.quality.profile import Profile


def given_or_none(value: str) -> str | None:
    """The value if the caller gave it, else None."""
    return None if isinstance(value, Default) else value


@cached_record
class QuestionInput(
    declared.DraftNumbers,
    declared.PrefixesParameters,
    declared.HostMachineParameters,
    declared.AnchorParameters,
    declared.RuleParameters,
    declared.ExactnessParameters,
    declared.LoadParameters,
    GridInput,
):
    """The parameters of a question, as the signatures of all verbs have them.

    A verb takes some of them, with the same types; what it does not take keeps its default here.
    ``corrections`` hold in place of those that were learned, under ``no_learned``;
    ``assumed_host`` is beside the device where no host is named.
    """

    scheme: str | None = None
    plan: Plan | None = None
    speculation: str | ModelSpec | Speculation | None = None
    corrections: tuple[Correction, ...] = ()
    assumed_host: AssumedHost | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any], *, own: Iterable[str] = ()) -> QuestionInput:
        """The record of a verb's arguments (its ``locals()``); ``own`` are those that are no
        parameters of a question.

        Raises:
            TypeError: an argument that is neither, so that none is lost; or none of an own name.
        """
        own = set(own)
        known = {f.name for f in fields(cls)} - own
        if unknown := (arguments.keys() - known) ^ own:
            raise TypeError(f"neither of a question nor the verb's own: {sorted(unknown)}")
        return cls(**{name: value for name, value in arguments.items() if name not in own})

    @classmethod
    def of_verb(cls, given: object) -> QuestionInput:
        """The record of a verb's input, without what is the verb's own."""
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in vars(given).items() if name in known})

    @property
    def given_values(self) -> GivenValues:
        """The values that the caller gave, without names and files.

        Raises:
            InputError: a list of names that is a single text.
        """
        mine, host = {f.name for f in fields(self)}, self.host or self.assumed_host
        values = {f.name: getattr(self, f.name) for f in fields(GivenValues) if f.name in mine}
        return GivenValues(
            **values
            | {
                "speculation": drafting_name(self.speculation),
                "workload": self.loaded_workload,
                "objective": given_or_none(self.objective),
                "kv": given_or_none(self.kv),
                "host": host if host is None or isinstance(host, str) else host.id,
                "schemes": self._wanted_schemes,
                "new_weights": self.new_weights or ("no" if self.release is not None else None),
                "drop_policies": names_of_list("drop_policies", self.drop_policies),
            }
        )

    @property
    def _wanted_schemes(self) -> Sequence[str] | None:
        """The schemes that were given, else those of the release that was named as the model."""
        named = names_of_list("schemes", self.schemes)
        release = self.release
        if named is not None or release is None:
            return named
        parts = release.by_kind(self.subject[0]).split(",")
        return tuple(dict.fromkeys(part.rpartition("=")[2] for part in parts))

    @cached_property
    def release(self) -> PublishedWeights | None:
        """The published release of a bundled model that was named instead of the model."""
        model = self.model
        if not isinstance(model, str) or is_model(model) or os.path.exists(model):
            return None
        return release_named(model)

    @property
    def asks_prefixes(self) -> bool:
        """Whether reuse of prompts or a tier for it is asked for."""
        return (
            self.reuse is not None or self.kv_offload != "none" or self.kv_offload_bytes is not None
        )

    @cached_property
    def loaded_workload(self) -> NamedWorkload | None:
        """The workload, read where it is a name or a file."""
        return load_workload(self.workload) if self.workload is not None else None

    @property
    def named_engine(self) -> str | None:
        """The engine that the caller named, else the one of the plan that is priced; None: none."""
        plan = self.plan
        if given_or_none(self.engine) is None and plan is not None:
            return _address(plan)
        return given_or_none(self.engine)

    @property
    def requested_engine(self) -> str:
        """The engine to ask: the named one, the scenario's, or the verb's default."""
        loaded, named = self.loaded_scenario, self.named_engine
        if named is not None:
            return named
        return (
            str(loaded.values.get("engine", self.engine))
            if loaded is not None
            else str(self.engine)
        )

    def on_engine_of(self, plan: Plan) -> QuestionInput:
        """This question to the engine that ``plan`` was made for, where none is named."""
        if self.requested_engine != AUTO_ENGINE:
            return self
        return replace(self, engine=_address(plan))

    @cached_property
    def loaded_scenario(self) -> Scenario | None:
        """The scenario, read where it is a name or a file."""
        return load_scenario(self.scenario) if self.scenario is not None else None

    @cached_property
    def loaded_imatrix(self) -> ImportanceMatrix | None:
        """The importance matrix, read from its file."""
        if self.imatrix is None:
            return None
        from planner.models.imatrix import load_imatrix

        return load_imatrix(Path(self.imatrix))

    def drafting_as(self, plan: Plan) -> QuestionInput:
        """This question with tokens drafted as in the plan."""
        drafts = as_in_plan(plan.speculation, self.subject[0])
        return self if drafts is None else replace(self, speculation=drafts)

    def with_names_of(self, plan: Plan) -> QuestionInput:
        """This question with the plan's model and device where none is given. Another device is one
        to price the plan on.

        Raises:
            InputError: another model.
        """
        if self.model is not None and (other := load_model(self.model).id) != plan.model.id:
            raise InputError(
                f"the plan is for {plan.model.id}, not {other}",
                hint=f"leave the model out, or name {plan.model.id}",
            )
        return replace(
            self,
            model=self.model if self.model is not None else plan.model.id,
            device=self.device if self.device is not None else plan.device.id,
        )

    @cached_property
    def subject(self) -> tuple[ModelSpec, DeviceProfile, Profile | None, tuple[Note, ...]]:
        """The model, the device, the quality profile and notes on it.

        Raises:
            InputError: no model or device is named, an unknown name.
        """
        loaded = self.loaded_scenario
        values = dict(loaded.values) if loaded is not None else {}
        model = self.model if self.model is not None else values.get("model")
        device = self.device if self.device is not None else values.get("device")
        release = self.release
        if model is not None and device is None:
            load_model(model if release is None else release.model)  # an unknown name goes first
        if model is None or device is None:
            missing = "model" if model is None else "device"
            raise InputError(
                f"no {missing} given", hint="plan MODEL DEVICE, or a scenario with both"
            )
        notes: tuple[Note, ...] = ()
        spec, profile = load_model(model if release is None else release.model), None
        if self.profile is not None:
            profile, notes = load_profile(self.profile, spec, model)
        notes = (*checkpoint_notes(model, release, spec), *notes)
        return spec, load_device(device, hardware_dir=self.hardware_dir), profile, notes

    def question(
        self,
        given_values: GivenValues | None = None,
        *,
        engine: Engine | None,
        uniform: str | None = None,
        given: Plan | None = None,
    ) -> Question:
        """The exact question to one engine, or none, of other values than its own where ``asked``
        is given; ``uniform`` and ``given`` as
        :func:`~planner.planning.question.resolve.build_question` takes them.

        Raises:
            InputError: no model or device is named, an unknown name, a value out of range.
        """
        spec, device, profile, notes = self.subject
        question = build_question(
            spec,
            device,
            given_values if given_values is not None else self.given_values,
            self.loaded_scenario,
            uniform=uniform,
            given=given,
            profile=profile,
            engine=engine,
            imatrix=self.loaded_imatrix,
        )
        question = replace(question, notes=(*question.notes, *notes)) if notes else question
        question = (
            replace(question, corrections=self.corrections)
            if self.no_learned
            else with_learned(question)
        )
        question = self._with_host(
            question, given_values if given_values is not None else self.given_values, engine
        )
        return question if given is None else without_host_schemes(question, given)

    def _with_host(
        self, question: Question, given_values: GivenValues, engine: Engine | None
    ) -> Question:
        """``question`` with the host that was asked for, if any."""
        host = self.host if self.host is not None else given_values.host
        if host is None:
            if given_values.host_sockets is not None or given_values.host_memory_bytes is not None:
                raise InputError(
                    "sockets or memory of a host without one", hint="--host CPU names it"
                )
            return question
        return with_offload(
            question,
            engine,
            HostRequest(
                load_device(host, hardware_dir=self.hardware_dir),
                given_values.host_sockets,
                given_values.host_memory_bytes,
                self.assumed_host,
            ),
        )

    def ways(
        self,
        given_values: GivenValues | None = None,
        *,
        uniform: str | None = None,
        defaults: bool = True,
    ) -> tuple[Question, ...]:
        """The questions whose best answer is asked for, to the engine or to all of them; of
        ``uniform`` schemes where it is given. ``defaults``: those of limits and users hold.

        Raises:
            InputError: as :meth:`question`. UnsupportedError: device or engines cannot.
        """
        given_values = given_values if given_values is not None else self.given_values
        full = given_values.with_scenario(self.loaded_scenario)
        default = default_of(full, self.subject[1]) if defaults else ""

        def build(engine: Engine | None, given_values: GivenValues = given_values) -> Question:
            if engine is not None and self.requested_engine == AUTO_ENGINE:
                own = schemes_for(engine.name, given_values.schemes)
                given_values = replace(given_values, schemes=None if own is None else tuple(own))
            return with_default(
                lambda a: self.question(a, engine=engine, uniform=uniform), given_values, default
            )

        def free(engine: Engine | None) -> Question:
            return build(engine, replace(given_values, schemes=None, kv=None))

        kv = full.kv not in (None, AUTO)
        named = (
            NamedByUser(full.schemes is not None, kv, free=free)
            if uniform is None
            else NamedByUser(bool(uniform), kv, in_one_mode=True, any_cache=full.kv == AUTO)
        )
        return self.with_drafts(
            offloaded_ways(
                ways_to_serve(build, self.requested_engine, named),
                named=full.schemes is not None or uniform is not None,
            )
        )

    def with_drafts(self, questions: tuple[Question, ...]) -> tuple[Question, ...]:
        """The questions with what drafts tokens, where that is settled."""
        if not isinstance(self.speculation, Speculation):
            return questions
        from planner.planning.question.drafted import with_drafts

        return with_drafts(questions, self.speculation)

    def questions(self, given_values: GivenValues | None = None) -> tuple[Question, ...]:
        """The questions whose best answer is the plan, with a note of what was asked."""
        given_values = given_values if given_values is not None else self.given_values
        told = given_values.with_scenario(self.loaded_scenario)
        note = given_values_note(replace(told, host=None) if self.assumed_host else told)
        return tuple(replace(q, notes=(*note, *q.notes)) for q in self.ways(given_values))


def engine_named(name: str) -> Engine | None:
    """The engine of a name that is not ``auto``, None for ``any``."""
    return None if name == ANY_ENGINE else parse_engine(name)


def _address(plan: Plan) -> str:
    """The plan's engine as a flag takes it."""
    return "@".join(filter(None, (plan.engine.name, plan.engine.version)))


def drafting_name(wanted: str | ModelSpec | Speculation | None) -> str | None:
    """What drafts tokens, as the flag names it."""
    if isinstance(wanted, Speculation):
        return wanted.name if wanted.kind == DRAFT_MODEL else wanted.kind
    if isinstance(wanted, ModelSpec):
        return wanted.id
    return None if wanted == NONE else wanted


def names_of_list(argument: str, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """A list of names, None for none; a single text is no list of its letters.

    Raises:
        InputError: a single text.
    """
    if isinstance(names, str):
        raise InputError(
            f"{argument} = {names!r} is one text", hint=f"a list of names: [{names!r}]"
        )
    return tuple(names) if names is not None else None
