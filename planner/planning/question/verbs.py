"""What each verb takes of a question, and the functions that take it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast, overload

from planner.planning.question import parameters as declared
from planner.planning.question.declaring import BF16, group, parameter, subject

if TYPE_CHECKING:
    from planner.hardware.profile import DeviceProfile
    from planner.models.spec import ModelSpec
    from planner.planning.plan.record import Plan

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")
Input = TypeVar("Input")
R_co = TypeVar("R_co", covariant=True)
S_co = TypeVar("S_co", covariant=True)
SOLVES = 40


def no_progress(*_: object) -> None:
    """Tell nobody."""


@group
class GridInput(
    declared.FolderParameters,
    declared.FreedomParameters,
    declared.ImportanceFile,
    declared.ProfileFile,
    declared.ScenarioName,
    declared.EngineParameters,
    declared.FileLimit,
    declared.MemoryLimit,
    declared.SlotsParameters,
    declared.CacheLayoutParameters,
    declared.SchemesParameters,
    declared.LossLimit,
    declared.TimeLimits,
    declared.PriceParameters,
    declared.ObjectiveParameters,
    declared.RequestsParameters,
    declared.BatchParameters,
    declared.LengthsParameters,
    declared.LayoutParameters,
    declared.SubjectParameters,
):
    """What plans, and all that is asked around them, take."""


@group
class PlanInput(
    declared.PoolsParameters,
    declared.SpeculationName,
    declared.DraftNumbers,
    declared.PrefixesParameters,
    declared.HostMachineParameters,
    declared.AnchorParameters,
    declared.RuleParameters,
    declared.ExactnessParameters,
    GridInput,
):
    """What ``planner.plan`` takes."""

    rate: float | None = None


@group
class EstimateInput(
    declared.SpeculationName,
    declared.DraftNumbers,
    declared.PrefixesParameters,
    declared.HostMachineParameters,
    declared.AnchorParameters,
    declared.LoadParameters,
    declared.FolderParameters,
    declared.ImportanceFile,
    declared.ProfileFile,
    declared.ScenarioName,
    declared.EngineParameters,
    declared.MemoryLimit,
    declared.SlotsParameters,
    declared.CacheLayoutParameters,
    declared.TimeLimits,
    declared.PriceParameters,
    declared.ObjectiveParameters,
    declared.RequestsParameters,
    declared.BatchParameters,
    declared.LengthsParameters,
    declared.LayoutParameters,
    declared.SubjectParameters,
):
    """What ``planner.estimate`` takes."""

    kv: str = parameter(default=BF16, kind="text", help="")
    scheme: str | None = None
    plan: Plan | None = None


@group
class ExplainInput(
    declared.PoolsParameters, declared.RuleParameters, declared.ExactnessParameters, GridInput
):
    """What ``planner.explain`` takes."""

    module: str | None = None
    plan: Plan | None = None
    scheme: str | None = None
    solves: int = SOLVES


@group
class ExplainChoiceInput(
    declared.PoolsParameters, declared.RuleParameters, declared.ExactnessParameters, GridInput
):
    """What ``planner.explain`` takes for a plan."""

    module: None = None
    plan: Plan | None = None
    scheme: None = None
    solves: int = SOLVES


@group
class ExplainModuleInput(
    declared.FolderParameters,
    declared.EngineParameters,
    declared.SlotsParameters,
    declared.CacheLayoutParameters,
    declared.SchemesParameters,
    declared.RequestsParameters,
    declared.BatchParameters,
    declared.LengthsParameters,
    declared.SubjectParameters,
):
    """What ``planner.explain`` takes for a module."""

    model: str | ModelSpec = subject(kw_only=False)
    device: str | DeviceProfile = subject(kw_only=False)
    module: str
    scheme: str | None = None
    tp: int | None = None
    dp: int | None = None
    ep: int | None = None


@group
class WhatIfInput(GridInput):
    """What ``planner.what_if`` takes."""

    base: Plan
    grid: Sequence[str] = ()
    workers: int | None = None
    journal: str | os.PathLike[str] | None = None
    resume: bool = True
    progress: Callable[[int, int], None] = no_progress
    notify: Callable[[str], None] = no_progress


@group
class FrontierInput(
    declared.FolderParameters,
    declared.FreedomParameters,
    declared.ProfileFile,
    declared.EngineParameters,
    declared.MemoryLimit,
    declared.SlotsParameters,
    declared.CacheLayoutParameters,
    declared.SchemesParameters,
    declared.TimeLimits,
    declared.RequestsParameters,
    declared.BatchParameters,
    declared.LengthsParameters,
    declared.LayoutParameters,
    declared.SubjectParameters,
):
    """What ``planner.frontier`` takes."""

    model: str | ModelSpec = subject(kw_only=False)
    device: str | DeviceProfile = subject(kw_only=False)
    points: int = 50
    map: bool = False


@group
class CompareInput(
    declared.FolderParameters,
    declared.ScenarioName,
    declared.EngineParameters,
    declared.MemoryLimit,
    declared.SlotsParameters,
    declared.CacheLayoutParameters,
    declared.SchemesParameters,
    declared.LossLimit,
    declared.TimeLimits,
    declared.ObjectiveParameters,
    declared.RequestsParameters,
    declared.BatchParameters,
    declared.LengthsParameters,
    declared.LayoutParameters,
):
    """What ``planner.compare`` takes."""

    model: str | ModelSpec | Sequence[str | ModelSpec] = subject(kw_only=False)
    device: str | DeviceProfile | Sequence[str | DeviceProfile] = subject(kw_only=False)
    price: float | Mapping[str, float] | None = None


def verb(inputs: Callable[P, Input]) -> Callable[[Callable[[Input], R]], Callable[P, R]]:
    """The function of a verb: it takes the fields of ``inputs``, a class of parameters, checks
    their types, and calls the decorated function with the record of them. Model and device may be
    given by position."""

    def made(function: Callable[[Input], R]) -> Callable[P, R]:
        from planner.base.typed import typed

        cls: Any = inputs
        own = fields(cls)
        first = [_word(f) for f in own if f.name in ("model", "device")]
        named = [_word(f) for f in own if f.name not in ("model", "device")]
        scope: dict[str, Any] = {
            **vars(declared),
            **vars(sys.modules[cls.__module__]),
            **{f"default_{f.name}": f.default for f in own},
            "inputs_of_verb": cls,
            "answer_of_verb": function,
        }
        name = function.__name__
        lines = (
            f"def {name}({', '.join([*first, '*', *named])}):",
            "    given = dict(locals())",
            "    record = object.__new__(inputs_of_verb)",
            "    record.__dict__.update(given)",
            "    return answer_of_verb(record)",
        )
        exec("\n".join(lines), scope)
        public: Any = scope[name]
        public.__annotations__ = {f.name: f.type for f in own} | {
            "return": function.__annotations__["return"]
        }
        public.__doc__, public.__module__ = function.__doc__, function.__module__
        return cast("Callable[P, R]", typed(public))

    return made


def _word(f: Field[Any]) -> str:
    """A field in a signature."""
    return f.name if f.default is MISSING else f"{f.name}=default_{f.name}"


class TwoSignatures(Protocol[P, R_co, Q, S_co]):
    """A function of two signatures."""

    @overload
    def __call__(self, *args: P.args, **given: P.kwargs) -> R_co: ...

    @overload
    def __call__(self, *args: Q.args, **given: Q.kwargs) -> S_co: ...


def two_signatures(
    one: Callable[P, Any],
    first: Callable[..., R],
    two: Callable[Q, Any],
    second: Callable[..., S],
) -> Callable[[Callable[..., R | S]], TwoSignatures[P, R, Q, S]]:
    """For readers of types: a function that answers the inputs ``one`` as ``first`` does,
    and ``two`` as ``second`` does."""
    return lambda function: cast("TwoSignatures[P, R, Q, S]", function)
