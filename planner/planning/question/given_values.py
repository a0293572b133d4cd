"""What a plan was asked for, kept among its assumptions so that a plan file alone can be explained.

The line holds the flags that were given, without those of the model, device, engine and workload,
which a plan file has fields for: ``devices=16; tpot-ms=50; schemes=bf16,fp8-block``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal, cast

from planner.base.errors import DataError
from planner.base.records import record
from planner.messages.message import Note, message
from planner.planning.plan.record import Plan
from planner.planning.question import parameters as declared
from planner.planning.question.declaring import NO_LIMIT as NO_LIMIT
from planner.planning.question.declaring import Kind, parameters
from planner.planning.question.question import RATES
from planner.planning.question.scenario import Scenario
from planner.planning.question.workload import FULL, SLOTS_ASKED, SLOTS_KEY
from planner.workloads import NamedWorkload

KEY = "asked"
TPOT_KEY, DROPPED_KEY, USERS_KEY = "tpot-ms default", "tpot-ms dropped", "users default"
"""Assumptions that tell a default: a limit on TPOT, that it could not be kept, one user."""
HOST_KEY = "assumed host"
"""The assumption that tells the host that nobody named."""
IN_FLIGHT_KEY = "requests in flight"
"""The assumption that tells them where they are fewer than the batches of all replicas."""
REASON = message("assumptions.given_what_is_not_named")
Seconds = float | Literal["none"]
_KINDS: tuple[tuple[Kind, ...], ...] = (
    ("count",),
    ("seconds",),
    ("number",),
    ("text",),
    ("share",),
    ("names",),
    ("switch",),
)
"""The order in which a plan file says what was asked."""
_COUNT = re.compile(r"\d{1,18}", re.ASCII)
LENGTHS = tuple(parameters(declared.LengthsParameters))


@record
class GivenValues(
    declared.DraftNumbers,
    declared.HostMachineParameters,
    declared.RuleParameters,
    declared.ExactnessParameters,
    declared.FreedomParameters,
    declared.KeptModules,
    declared.MemoryLimit,
    declared.FileLimit,
    declared.SlotsParameters,
    declared.SchemesParameters,
    declared.LossLimit,
    declared.PriceParameters,
    declared.TimeLimits,
    declared.RequestsParameters,
    declared.LoadParameters,
    declared.BatchParameters,
    declared.LengthsParameters,
    declared.LayoutParameters,
):
    """The user's own values; None means not given."""

    objective: str | None = None
    kv: str | None = None
    schemes: tuple[str, ...] | None = None
    policies: tuple[str, ...] | None = None
    drop_policies: tuple[str, ...] | None = None
    power_mode: str | None = None
    workload: NamedWorkload | None = None
    host: str | None = None
    speculation: str | None = None

    def with_scenario(self, scenario: Scenario | None) -> GivenValues:
        """Fill what was not given from a scenario; a workload without a limit on latency says so
        where none is given."""
        filled = self if scenario is None else self._filled(scenario)
        named = filled.workload
        if named is None or named.latency_limit or filled.tpot_seconds is not None:
            return filled
        return replace(filled, tpot_seconds=NO_LIMIT)

    def _filled(self, scenario: Scenario) -> GivenValues:
        values = dict(scenario.values)
        for key, name in declared.MILLISECONDS.items():
            if key in values:
                values[name] = seconds_of(values.pop(key))
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        known = {k: v for k, v in values.items() if k in mine}
        if mine["workload"] is not None or any(mine[key] is not None for key in LENGTHS):
            for key in LENGTHS:
                known.pop(key, None)
        if mine["workload"] is not None:
            known.pop("prefix_hit_rate", None)
        if self.batch is not None or self.concurrency is not None:
            known.pop("batch", None)
            known.pop("concurrency", None)
        filled = {
            k: (v if v is not None and v is not False else known.get(k, v)) for k, v in mine.items()
        }
        return GivenValues(**cast("dict[str, Any]", filled))

    def filled_from(self, plan: Plan) -> GivenValues:
        """Fill layout, batch and workload from a plan file; a new workload replaces all of it. What
        is in flight over the same devices stays as it was asked for."""
        given = self
        if self.workload is None and all(getattr(self, key) is None for key in LENGTHS):
            given = self.with_workload_of(plan)
        if self.slots is None:
            given = replace(given, slots=slots_of(plan))
        own: dict[str, Any] = {
            "tp": plan.layout.tp,
            "dp": plan.layout.dp,
            "pp": plan.layout.pp,
            "ep": plan.layout.ep,
            "devices": plan.device.count,
        }
        if self.batch is None and self.concurrency is None:
            asked = recorded_concurrency(plan)
            same = self.devices in (None, plan.device.count)
            name = "batch" if asked is None or not same else "concurrency"
            own[name] = asked if name == "concurrency" else plan.workload.batch
        left_out = {name: value for name, value in own.items() if getattr(given, name) is None}
        return replace(given, **left_out, power_mode=given.power_mode or plan.power_mode)

    def with_workload_of(self, plan: Plan) -> GivenValues:
        """The plan's workload; a prefix hit rate and slots that are given stay."""
        work, rate = plan.workload, self.prefix_hit_rate
        named = NamedWorkload(work.preset, "", "the plan file") if work.preset else None
        return replace(
            self,
            context=work.context_tokens,
            isl=work.isl,
            osl=work.osl,
            workload=named,
            slots=self.slots or slots_of(plan),
            prefix_hit_rate=work.prefix_hit_rate if rate is None else rate,
        )


def given_values_note(given_values: GivenValues) -> tuple[Note, ...]:
    """The note, or nothing where only the model, device and workload were given."""
    values = ((name, getattr(given_values, name)) for name in _RECORDED)
    parts = [
        _said(name, value) for name, value in values if value is not None and value is not False
    ]
    return (Note(KEY, "; ".join(parts), REASON),) if parts else ()


def recorded_values(plan: Plan) -> Mapping[str, Any]:
    """Arguments of :class:`GivenValues` that the plan file tells.

    Raises:
        DataError: a flag that is unknown, or a value that is not of its kind.
    """
    lines = [str(a.value) for a in plan.assumptions if a.key == KEY]
    keys = {a.key for a in plan.assumptions}
    out: dict[str, Any] = {}
    if USERS_KEY in keys:
        out["batch"] = plan.workload.batch
    if plan.objective in RATES and not keys & {TPOT_KEY, DROPPED_KEY}:
        out["tpot_seconds"] = NO_LIMIT  # no default held when it was made
    for part in lines[0].split("; ") if lines else ():
        flag, equals, text = part.partition("=")
        try:
            name = _BY_FLAG[flag]
            out[name] = _read(name, text, bool(equals))
        except (ValueError, KeyError):
            raise DataError(
                f"plan file: assumptions: {KEY}: {part[:60]!r} is not a flag with its value",
                hint="use a plan file as `plan … --json` wrote it",
            ) from None
    return out


def recorded_concurrency(plan: Plan) -> int | None:
    """Requests in flight over all replicas of a plan, where they are fewer than its batches hold;
    None where they fill these."""
    found = (_COUNT.fullmatch(a.value) for a in plan.assumptions if a.key == IN_FLIGHT_KEY)
    return next((int(match[0]) for match in found if match), None)


def requests_in_flight(plan: Plan) -> int:
    """Requests over all replicas of a plan: its batches, or the fewer that were asked for."""
    most, given = plan.workload.batch * plan.layout.replicas, recorded_concurrency(plan)
    return most if given is None else min(most, given)


def replica_requests(plan: Plan) -> int:
    """Requests that a replica holds at most: its batch, or the fewer that it gets of those in
    flight, where its ranks and stages are more than these."""
    return min(plan.workload.batch, -(-requests_in_flight(plan) // plan.layout.replicas))


def slots_of(plan: Plan) -> str | None:
    """The slots that were asked for; None where they are the engine's own, or make no
    difference."""
    given_values = any(a.key == SLOTS_KEY and a.reason == SLOTS_ASKED for a in plan.assumptions)
    return FULL if given_values else None


def seconds_of(milliseconds: float | str) -> Seconds:
    """A limit in seconds, or that there is none."""
    return NO_LIMIT if milliseconds == NO_LIMIT else float(milliseconds) * 1e-3


def milliseconds(seconds: float | str) -> str:
    """A limit in milliseconds as a flag takes it."""
    return seconds if isinstance(seconds, str) else f"{seconds * 1e3:.12g}"


def _said(name: str, value: Any) -> str:
    """A value as a flag and what follows it."""
    declaration = declared.PARAMETERS[name]
    flag = declaration.flag.removeprefix("--")
    if declaration.kind == "switch":
        return flag
    if declaration.kind == "seconds":
        return f"{flag}={milliseconds(value)}"
    return f"{flag}=" + (",".join(value) if declaration.kind == "names" else str(value))


def _read(name: str, text: str, has_value: bool) -> Any:
    """The value of :func:`_said`.

    Raises:
        ValueError: it is none of its kind.
    """
    declaration = declared.PARAMETERS[name]
    if declaration.kind == "switch":
        if has_value:
            raise ValueError
        return True
    if declaration.kind == "count":
        return int(text)
    if declaration.kind == "seconds":
        return seconds_of(text if text == NO_LIMIT and declaration.may_be_none else float(text))
    if declaration.kind in ("share", "number"):
        return float(text)
    if not text and name != "policies":
        raise ValueError
    if declaration.kind == "names":
        return tuple(text.split(",")) if text else ()
    return text


_GIVEN = {f.name for f in fields(GivenValues)}
_RECORDED = tuple(
    name
    for kinds in _KINDS
    for name, declaration in declared.PARAMETERS.items()
    if declaration.kind in kinds and declaration.recorded and name in _GIVEN
)
"""What plan files say of what was asked, in their order."""
_BY_FLAG = {declared.PARAMETERS[name].flag.removeprefix("--"): name for name in _RECORDED}
