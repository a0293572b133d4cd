"""The data inside a page: the plan file, and what was computed beside it. A page is made again from
its own data, byte for byte, without the model or the device."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import Any

from planner.base.errors import DataError
from planner.planning.inspect.derived_figures import DerivedFigures
from planner.planning.plan.record import Plan, plain_data
from planner.report.view.content import ReportExtras

CONTROL = dict.fromkeys(
    (
        *range(9),
        11,
        12,
        *range(14, 32),
        *range(127, 160),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    ),
    "\ufffd",
)
_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}
_BLOCK = r'<script type="application/json" id="{name}">(.*?)</script>'
HINT = "a page that `plan --report` or `plan report` wrote has its data inside"


def script_json(data: Any) -> str:
    """``data`` as JSON, safe inside a script element: no character can close it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    safe = "".join(_ESCAPES.get(c, c) for c in text)
    return "".join(f"\\u{ord(c):04x}" if ord(c) in CONTROL else c for c in safe)


def extras_dict(extras: ReportExtras, lang: str) -> dict[str, Any]:
    """What a page holds beside the plan file."""
    return {
        "version": extras.version,
        "lang": lang,
        "asked": extras.asked,
        "computed": None if extras.computed is None else plain_data(extras.computed),
    }


def read_page(text: str, place: str) -> tuple[Plan, ReportExtras, str]:
    """(plan, what was told beside it, language) of a page.

    Raises:
        DataError: the page's data are missing or not what this version writes.
    """
    from planner.base.strict_json import parse_object
    from planner.planning.plan.schema import parse_plan

    plan = parse_plan(parse_object(_block(text, "plan", place), place))
    data: dict[str, Any] = parse_object(_block(text, "beside", place), place)
    keys = {"version": str, "lang": str, "asked": str}
    if set(data) != {*keys, "computed"} or not all(
        isinstance(data[k], kind) for k, kind in keys.items()
    ):
        raise DataError(
            f"{place}: its data beside the plan are not those of this version",
            hint="write the page again",
        )
    made = None if data["computed"] is None else computed_from(data["computed"])
    return plan, ReportExtras(made, data["asked"], data["version"]), data["lang"]


def _block(text: str, name: str, place: str) -> bytes:
    blocks = re.findall(_BLOCK.format(name=name), text, re.DOTALL)
    if len(blocks) != 1:
        raise DataError(
            f"{place}: no report, or one of another version: it has {len(blocks)} "
            f"blocks of data named {name!r}",
            hint=HINT,
        )
    return str(blocks[0]).encode()


def computed_from(data: object) -> DerivedFigures:
    """The record from plain data.

    Raises:
        DataError: with the place of the first problem.
    """
    from pydantic import ValidationError

    try:
        figures: DerivedFigures = _adapter().validate_json(json.dumps(data))
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(
            f"computed.{'.'.join(str(p) for p in first['loc'])}: {first['msg'].lower()}",
            hint="write the report again",
        ) from None
    _check_signs(figures)
    return figures


def _check_signs(made: DerivedFigures) -> None:
    """Refuse what could not be drawn: counts, times and rates are above 0."""
    points = made.operators.points if made.operators is not None else ()
    drawn: list[float] = [
        x for o in points for x in (o.flop, o.moved_bytes, o.seconds, o.peak_flop_per_s)
    ]
    drawn += [
        x
        for o in (made.operators,)
        if o is not None
        for x in (o.bandwidth_bytes_per_s, *(peak for _, peak in o.roofs))
    ]
    drawn += [
        x
        for r in made.frontier or ()
        for x in (r.tpot_seconds, r.output_tokens_per_second_per_device)
    ]
    drawn += [p.context for p in made.room or ()]
    if made.sensitivity is not None:
        drawn += [e.tpot_seconds for s in made.sensitivity.swings for e in (s.low, s.high)]
    if any(not 0 < x < math.inf for x in drawn):
        raise DataError(
            "computed: a count, time or rate is not above 0", hint="write the report again"
        )


@cache
def _adapter() -> Any:
    from pydantic import ConfigDict, TypeAdapter

    from planner.planning.inspect import layout_frontier as own_frontier
    from planner.planning.inspect import loss_origin, provenance, sensitivity
    from planner.planning.inspect import roofline as operators
    from planner.planning.inspect import users as room

    config = ConfigDict(extra="forbid", strict=True)
    records: tuple[Any, ...] = (
        DerivedFigures,
        operators.Operators,
        operators.Operator,
        own_frontier.FrontierReach,
        provenance.Premise,
        room.UsersPoint,
        sensitivity.Sensitivity,
        sensitivity.PremiseSwing,
        sensitivity.PerturbedPlan,
        loss_origin.LossOrigin,
        loss_origin.MeasuredSister,
    )
    for item in records:
        item.__pydantic_config__ = config
    return TypeAdapter(DerivedFigures)
