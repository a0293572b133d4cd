"""Strict reading of plan files and their JSON Schema, from the records themselves."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from planner.errors import DataError
from planner.planning.plan.record import SCHEMA_VERSION, Plan
from planner.planning.plan.version_1 import lifted

READ_VERSIONS = ("1", SCHEMA_VERSION)


@cache
def _adapter() -> Any:
    import dataclasses

    from pydantic import ConfigDict, TypeAdapter

    from planner.planning.plan import deployment, offload, recommendation, speculation
    from planner.planning.plan import record as records

    config = ConfigDict(extra="forbid", strict=True)
    parts = (records, recommendation, offload, speculation, deployment)
    for item in (item for part in parts for item in vars(part).values()):
        if isinstance(item, type) and dataclasses.is_dataclass(item):
            item.__pydantic_config__ = config  # type: ignore[attr-defined]
    return TypeAdapter(Plan)


def parse_plan(data: object) -> Plan:
    """A Plan from plain data, as ``Plan.to_dict`` gives or as version 1 gave.

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
    again = "see `plan schema` for the format"
    if version != SCHEMA_VERSION:
        assert isinstance(data, dict)
        data, again = lifted(data), f"it says version {version}; plan again with this version"
    try:
        plan: Plan = _adapter().validate_json(json.dumps(data))
    except (TypeError, ValueError) as error:
        if not isinstance(error, ValidationError):
            raise DataError(
                f"plan file: not plain data: {error}", hint="a plan file is the output of --json"
            ) from None
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        raise DataError(f"plan file: {place}: {first['msg'].lower()}", hint=again) from None
    from planner.planning.plan.bounds import check_bounds
    from planner.planning.plan.known_names import check_names

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
    from planner.planning.plan.known_names import ENUMERATED

    schema: dict[str, Any] = _adapter().json_schema()
    own = {"Plan": schema, **schema["$defs"]}
    for (record, key), names in ENUMERATED.items():
        own[record]["properties"][key]["enum"] = list(names)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"precision-planner plan file, version {SCHEMA_VERSION}",
        **{key: value for key, value in schema.items() if key != "title"},
    }
