"""Strict reading of plan files and their JSON Schema, from the records themselves.

Formats, kinds, bounds, bases and states are names of a known few: a file with another one was not
written by this program, or by a version that knew more, and would be carried through every verb as
if it meant something.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from planner.base.errors import DataError, UnknownNameError
from planner.formats.elements import element
from planner.formats.kv import KV_KINDS, KV_LAYOUTS
from planner.formats.schemes import SCHEMES
from planner.messages.stored import MESSAGE, PLACEHOLDER, TEXT
from planner.placement.modules import AS_RELEASED_KINDS, DRAFT, PLANNED_KINDS
from planner.planning.plan import version_1, version_2, version_3
from planner.planning.plan.deployment import (
    AggregatedPlan,
    DecodePool,
    DeploymentInfo,
    PoolUnit,
    PrefillPool,
)
from planner.planning.plan.prefix_cache import CacheWorth
from planner.planning.plan.recommendation import NextLossStep, OtherPlan
from planner.planning.plan.record import (
    OBJECTIVES,
    SCHEMA_VERSION,
    CacheLayer,
    Estimate,
    ModulePlan,
    Plan,
    UnitPlan,
)
from planner.quality.loss_units import NATS, RELATIVE
from planner.quality.meaning import all_words
from planner.scheduler.rules import ROUTERS
from planner.throughput.roofline import BOUNDS

READ_VERSIONS = (version_1.FROM, version_2.FROM, SCHEMA_VERSION)


BASES = ("measured", "measured here", "fitted", "transferred", "derived", "prior", "recalled")
LEVELS = ("measured", "related", "recipe", "none")
STATES = ("optimal", "stopped", "given")
TIERS = ("T0", "T1", "T2", "T3")
UNITS = (NATS, RELATIVE)
KINDS = (*PLANNED_KINDS, *AS_RELEASED_KINDS, *KV_KINDS, DRAFT, "state")
PLACES = ("device", "host")
POOLS = ("prefill", "decode", "transfer")
ENGINES = ("any", "llama.cpp", "mlx", "pytorch", "sglang", "tensorrt-llm", "vllm")
"""Those of the engine matrix, which stands above, and none in particular."""
ENUMERATED: dict[tuple[str, str], Collection[str]] = {
    ("Plan", "schema_version"): (SCHEMA_VERSION,),
    ("Plan", "objective"): OBJECTIVES,
    ("EngineInfo", "name"): ENGINES,
    ("UnitPlan", "kind"): KINDS,
    ("UnitPlan", "bound"): BOUNDS,
    ("ModulePlan", "kind"): KINDS,
    ("CacheLayer", "kind"): KINDS,
    ("Estimate", "basis"): BASES,
    ("Evidence", "level"): LEVELS,
    ("QualityInfo", "unit"): UNITS,
    ("QualityInfo", "word"): all_words(),
    ("SolverInfo", "status"): STATES,
    ("OpenArrivals", "router"): ROUTERS,
}
"""Record and key whose names ``plan schema`` lists."""
Place = tuple[str, str, str]
"""Where, the name there, and what kind of name it has to be."""


@cache
def _adapter() -> Any:
    import dataclasses

    from pydantic import ConfigDict, TypeAdapter

    from planner.planning.plan import (
        deployment,
        offload,
        open_arrivals,
        prefix_cache,
        recommendation,
        speculation,
    )
    from planner.planning.plan import record as records

    config = ConfigDict(extra="forbid", strict=True)
    parts = (records, recommendation, offload, speculation, deployment, prefix_cache, open_arrivals)
    for item in (item for part in parts for item in vars(part).values()):
        if isinstance(item, type) and dataclasses.is_dataclass(item):
            item.__pydantic_config__ = config  # type: ignore[attr-defined]
    return TypeAdapter(Plan)


def parse_plan(data: object) -> Plan:
    """A Plan from plain data, as ``Plan.to_dict`` gives or as an older version gave.

    Raises:
        DataError: a version that is not read here, or a key that is missing, unknown, or of the
            wrong type; the message has its place.
    """
    from pydantic import ValidationError

    version = data.get("schema_version") if isinstance(data, dict) else None
    if version not in READ_VERSIONS:
        raise DataError(
            f"plan file: schema_version {_shown(version)} is none of {', '.join(READ_VERSIONS)}",
            hint=_hint(version),
        )
    again = "see `plan lab schema` for the format"
    if version != SCHEMA_VERSION:
        assert isinstance(data, dict)
        data = version_2.upgraded(version_1.upgraded(data))
        again = f"it says version {version}; plan again with this version"
    assert isinstance(data, dict)
    data = version_3.lifted(data)
    try:
        plan: Plan = _adapter().validate_json(json.dumps(data))
    except (TypeError, ValueError) as error:
        if not isinstance(error, ValidationError):
            raise DataError(
                f"plan file: not plain data: {error}", hint="a plan file is the output of --json"
            ) from None
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise DataError(f"plan file: {place}: {said[:1].lower()}{said[1:]}", hint=again) from None
    from planner.planning.plan.bounds import check_bounds
    from planner.planning.plan.texts import check_texts

    check_texts(plan)
    check_bounds(plan)
    check_names(plan)
    return plan


def _shown(version: object) -> str:
    return repr(version)[:60]


def _hint(version: object) -> str:
    """What to do about a version that is not read."""
    if isinstance(version, str) and version.isdecimal() and int(version[:9]) > int(SCHEMA_VERSION):
        return (
            "a newer precision-planner wrote it: upgrade this one as it was installed, or "
            "plan again with it (`plan … --json`)"
        )
    return "write the plan again with this version (`plan … --json`)"


def plan_json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the plan file: what this version writes."""

    schema: dict[str, Any] = _adapter().json_schema()
    own = {"Plan": schema, **schema["$defs"]}
    for (record, key), names in ENUMERATED.items():
        place = own[record]["properties"][key]
        (place["anyOf"][0] if "anyOf" in place else place)["enum"] = list(names)
    schema["$defs"]["Message"] = MESSAGE
    schema = _with_references(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"precision-planner plan file, version {SCHEMA_VERSION}",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _with_references(schema: Any) -> Any:
    """``schema`` with a reference where a message stands."""
    if isinstance(schema, list):
        return [_with_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("const") == PLACEHOLDER["const"]:
        return {key: value for key, value in schema.items() if key != "const"} | TEXT
    return {key: _with_references(item) for key, item in schema.items()}


def check_names(plan: Plan) -> None:
    """Refuse names that nothing here has.

    Raises:
        DataError: with the place.
    """
    known = {
        "objective": OBJECTIVES,
        "bound": BOUNDS,
        "basis": BASES,
        "level": LEVELS,
        "place": PLACES,
        "status": STATES,
        "kind": KINDS,
        "tier": TIERS,
        "unit": UNITS,
        "word": all_words(),
        "engine": ENGINES,
        "pool": POOLS,
        "router": ROUTERS,
    }
    if (plan.quality.unit == RELATIVE) != (plan.quality.relative_to is not None):
        raise DataError(
            "plan file: quality.relative_to: of relative losses alone",
            hint="relative_to is the scheme whose uniform loss is 1",
        )
    for place, name, what in _names(plan):
        if what in known:
            _refuse(name in known[what], place, name, known[what])
        elif what == "element":
            _refuse(_is_element(name), place, name, ())
        else:
            _refuse(
                all(part in SCHEMES or part in KV_LAYOUTS for part in name.split(", ")),
                place,
                name,
                (),
            )


def _refuse(known: bool, place: str, name: str, allowed: Collection[str]) -> None:
    if not known:
        raise DataError(
            f"plan file: {place}: {name[:60]!r} is not one",
            hint=f"one of {', '.join(allowed)}"
            if allowed
            else "formats are those of `plan list formats`",
        )


def _is_element(name: str) -> bool:
    try:
        element(name)
    except UnknownNameError:
        return False
    return True


def _names(plan: Plan) -> Iterator[Place]:
    yield "objective", plan.objective, "objective"
    yield "engine.name", plan.engine.name, "engine"
    for i, name in enumerate(plan.engine.chosen_from):
        yield f"engine.chosen_from.{i}", name.split(" ")[0], "engine"
    yield "model.checkpoint_format", plan.model.checkpoint_format, "scheme"
    yield "solver.status", plan.solver.status, "status"
    yield "quality.tier", plan.quality.tier.split(" ")[0], "tier"
    yield "quality.unit", plan.quality.unit, "unit"
    if plan.quality.word is not None:
        yield "quality.word", plan.quality.word, "word"
    if plan.quality.relative_to is not None:
        yield "quality.relative_to", plan.quality.relative_to, "scheme"
    if plan.open_arrivals is not None:
        yield "open_arrivals.router", plan.open_arrivals.router, "router"
    yield from _of(plan, "")


def _of(value: object, place: str) -> Iterator[Place]:
    """Names of the records inside a record, by what the record is."""
    if isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from _of(item, f"{place}.{i}")
        return
    if not is_dataclass(value):
        return
    if isinstance(value, Estimate):
        yield f"{place}.basis", value.basis, "basis"
        if value.evidence is not None:
            yield f"{place}.evidence.level", value.evidence.level, "level"
    elif isinstance(value, CacheLayer):
        yield f"{place}.kind", value.kind, "kind"
        yield f"{place}.layout", value.layout, "scheme"
    elif isinstance(value, (UnitPlan, ModulePlan)):
        yield from _of_unit(value, place)
    elif isinstance(value, PoolUnit):
        yield f"{place}.kind", value.kind, "kind"
        yield f"{place}.scheme", value.scheme, "scheme"
    if isinstance(value, (AggregatedPlan, CacheWorth, DeploymentInfo, NextLossStep, OtherPlan)):
        yield f"{place}.kv", value.kv, "scheme"
    if isinstance(value, (AggregatedPlan, DecodePool, NextLossStep, OtherPlan, PrefillPool)):
        for i, name in enumerate(value.schemes):
            yield f"{place}.schemes.{i}", name, "scheme"
    if isinstance(value, DeploymentInfo):
        yield f"{place}.limit", value.limit, "pool"
    for item in fields(value):
        yield from _of(getattr(value, item.name), f"{place}.{item.name}" if place else item.name)


def _of_unit(unit: UnitPlan | ModulePlan, place: str) -> Iterator[Place]:
    yield f"{place}.kind", unit.kind, "kind"
    yield f"{place}.scheme", unit.scheme, "scheme"
    if unit.place is not None:
        yield f"{place}.place", unit.place, "place"
    if isinstance(unit, UnitPlan):
        yield f"{place}.bound", unit.bound, "bound"
        if unit.kv_layout is not None:
            yield f"{place}.kv_layout", unit.kv_layout, "scheme"
        for key in ("weight_format", "activation_format"):
            if getattr(unit, key) is not None:
                yield f"{place}.{key}", getattr(unit, key), "element"
