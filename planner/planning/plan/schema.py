"""Strict reading of plan files and their JSON Schema, from the records themselves."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from planner.errors import DataError
from planner.planning.plan.record import SCHEMA_VERSION, Plan


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
    """A Plan from plain data, as ``Plan.to_dict`` gives.

    Raises:
        DataError: a key is missing, unknown, or of the wrong type; the message has its place.
    """
    from pydantic import ValidationError

    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        raise DataError(f"plan file: schema_version {version!r} is not {SCHEMA_VERSION!r}",
                        hint="write the plan again with this version (`plan … --json`)")
    try:
        plan: Plan = _adapter().validate_json(json.dumps(data))
    except (TypeError, ValueError) as error:
        if not isinstance(error, ValidationError):
            raise DataError(f"plan file: not plain data: {error}",
                            hint="a plan file is the output of --json") from None
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        raise DataError(f"plan file: {place}: {first['msg'].lower()}",
                        hint="see `plan schema` for the format") from None
    from planner.planning.plan.bounds import check_bounds
    from planner.planning.plan.known_names import check_names

    check_bounds(plan)
    check_names(plan)
    return plan


def plan_json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the plan file."""
    schema: dict[str, Any] = _adapter().json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": f"precision-planner plan file, version {SCHEMA_VERSION}", **schema}
