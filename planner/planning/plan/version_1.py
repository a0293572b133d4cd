"""Plan files of version 1, as 0.1.0 and all between it and 0.2 wrote them, lifted to version 2.

What version 1 did not tell is null (or an empty list), never a figure, and an assumption names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from planner.base.errors import DataError
from planner.quality.loss_units import NATS, RELATIVE

FROM, TO = "1", "2"
NOTE_KEY = "plan file"
NOTE_REASON = "not told there: "
Place = tuple[str, ...]
"""Keys from the top; ``*`` are all items of a list."""
FIRST: dict[Place, Any] = {
    ("engine", "chosen_from"): [],
    ("workload", "preset"): None,
    ("workload", "prefix_hit_rate"): 0.0,
    ("capacity", "max_concurrency_at_requests"): None,
    ("performance", "usd_per_million_output_tokens"): None,
    ("performance", "joules_per_output_token"): None,
    ("performance", "interruption_seconds"): None,
    ("quality", "relative"): None,
    ("quality", "measured_anchor"): None,
    ("layouts",): None,
    ("recommendation",): None,
}
"""Keys that 0.1.0 had not. It compared no engines and priced no cached prefixes: an empty list and
0 are what its plans stand for. Later programs of version 1 left a key out where it was null."""
NOTHING_LOST = frozenset(
    {("engine", "chosen_from"), ("workload", "preset"), ("workload", "prefix_hit_rate")}
)
LATER: dict[Place, Any] = {
    ("recommendation", "alternatives", "*", "gain"): None,
    ("deployment", "aggregated", "holding"): None,
}
"""Keys that were added on the way and were then in every file, null or not."""
QUIET: dict[Place, Any] = {
    ("recommendation", "lossier", "measured_anchor"): None,
    ("recommendation", "lossier", "mix"): None,
    ("recommendation", "lossier", "mix", "measured_anchor"): None,
    ("recommendation", "lossier", "mix", "mix"): None,
    ("speculation", "method"): "",
    ("speculation", "gain"): None,
}
"""Keys that were left out where they were null."""
_RELATIVE = re.compile(r"relative \(1\.0 = uniform (\S+) on this model\)")


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """A plan of version 1 as one of version 2; ``data`` stays as it is, and is given back where it
    is of another version. What is no plan at all is left to the reader of version 2 to refuse.

    Raises:
        DataError: a key that version 1 had not, or a loss in a unit that nothing can be made of.
    """
    if data.get("schema_version") != FROM:
        return data
    out: dict[str, Any] = _copy(data)
    out["schema_version"] = TO
    first = not _has(out, ("engine", "chosen_from"))
    missing = _filled(out, FIRST)
    lost = [place for place in missing if first and place not in NOTHING_LOST]
    lost += _without_devices(out)
    lost += _filled(out, LATER)
    _filled(out, QUIET)
    _lift_unit(out)
    notes = out.get("assumptions")
    if lost and isinstance(notes, list):
        keys = ", ".join(dict.fromkeys(".".join(p for p in place if p != "*") for place in lost))
        notes.append({"key": NOTE_KEY, "value": f"version {FROM}", "reason": NOTE_REASON + keys})
    return out


def _copy(value: Any) -> Any:
    """Plain data again, without shared parts."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _parents(value: Any, place: Place) -> Iterator[dict[str, Any]]:
    """The objects that may have the last key of ``place``."""
    if place[:1] == ("*",):
        for item in value if isinstance(value, list) else ():
            yield from _parents(item, place[1:])
    elif isinstance(value, dict):
        if len(place) == 1:
            yield value
        else:
            yield from _parents(value.get(place[0]), place[1:])


def _has(data: dict[str, Any], place: Place) -> bool:
    return any(place[-1] in parent for parent in _parents(data, place))


def _filled(data: dict[str, Any], values: dict[Place, Any]) -> list[Place]:
    """Write what is missing; the places where something was."""
    places = []
    for place, value in values.items():
        for parent in _parents(data, place):
            if place[-1] not in parent:
                parent[place[-1]] = _copy(value)
                places.append(place)
    return places


def _without_devices(data: dict[str, Any]) -> list[Place]:
    """Leave out other plans that do not say on how many devices they are: their tokens/s, of the
    whole deployment, cannot be compared."""
    recommendation = data.get("recommendation")
    if not isinstance(recommendation, dict):
        return []
    lost: list[Place] = []
    others = recommendation.get("alternatives")
    if isinstance(others, list):
        kept = [other for other in others if not isinstance(other, dict) or "devices" in other]
        if len(kept) < len(others):
            recommendation["alternatives"] = kept
            lost.append(("recommendation", "alternatives"))
    step = recommendation.get("lossier")
    if isinstance(step, dict) and "devices" not in step:
        recommendation["lossier"] = None
        lost.append(("recommendation", "lossier"))
    return lost


def _lift_unit(data: dict[str, Any]) -> None:
    """``quality.unit`` was a sentence; the scheme in it is a key of its own."""
    quality = data.get("quality")
    if not isinstance(quality, dict):
        return
    if "relative_to" in quality:
        raise DataError(
            "plan file: quality.relative_to is no key of version 1",
            hint="a file of version 2 says so in schema_version; plan again if unsure",
        )
    unit = quality.get("unit")
    text = unit if isinstance(unit, str) else ""
    anchor = _RELATIVE.fullmatch(text)
    if anchor is None and text.split(" ")[0] != NATS:
        raise DataError(
            f"plan file: quality.unit: {text[:60]!r} is no unit of version 1",
            hint="plan again with this version: plan MODEL DEVICE --json",
        )
    quality["unit"] = NATS if anchor is None else RELATIVE
    quality["relative_to"] = None if anchor is None else anchor.group(1)
