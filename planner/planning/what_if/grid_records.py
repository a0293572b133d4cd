"""Points of a what-if grid as a journal keeps them."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from planner.base.errors import DataError
from planner.planning.what_if.grid import InfeasiblePoint, PlannedPoint, PooledPoint

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def to_record(name: str, points: list[Any]) -> dict[str, Any]:
    """The record of a part: points that are one are written once."""
    unique = list({id(point): point for point in points}.values())
    numbers = {id(point): n for n, point in enumerate(unique)}
    return {
        "id": name,
        "at": [numbers[id(point)] for point in points],
        "points": [None if point is None else asdict(point) for point in unique],
    }


def from_record(record: dict[str, Any], *, pools: bool, count: int) -> list[Any]:
    """The ``count`` points of a record.

    Raises:
        DataError: it holds something else.
    """
    from pydantic import ValidationError

    try:
        # As JSON: records that a plan file was read into take no list for a tuple any more.
        unique = _reader(pools).validate_json(json.dumps(record["points"]))
        points = [unique[at] for at in record["at"] if at >= 0]
    except (ValidationError, KeyError, IndexError, TypeError, RecursionError):
        points = []
    if len(points) != count:
        raise DataError(
            f"journal: {record['id']} is no part of a what-if page",
            hint="remove the journal to start over",
        )
    return points


@cache
def _reader(pools: bool) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(list[PooledPoint | None] if pools else list[PlannedPoint | InfeasiblePoint])
