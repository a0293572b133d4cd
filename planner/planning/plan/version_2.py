"""Plan files of version 2, as 0.2 wrote them, lifted to version 3.

``validated`` of an estimate was the error on the device, format and class of model, whatever the
engine, layout and load: rows of a related kind, which ``evidence`` says. The verdict
``as-released`` is ``released``; published deployments were not known, nor the engine and layout of
other plans.
"""

from __future__ import annotations

from typing import Any

FROM, TO = "2", "3"
KIND = "device, format and class of model"
"""What the quoted error of version 2 was of:
neither the engine nor the layout nor the load counted."""
UNKNOWN_SETUP: dict[str, Any] = {
    "engine": "",
    "engine_version": None,
    "layout": "",
    "evidence": {
        "level": "none",
        "kind": "",
        "n": 0,
        "median_ape": None,
        "signed": None,
        "table": "",
    },
}
"""What another plan of version 2 did not say."""
QUOTED = frozenset({"table", "n", "median_ape"})
"""Its keys; any other is left to the reader of version 3 to refuse."""


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """A plan of version 2 as one of version 3; ``data`` stays as it is, and is given back where it
    is of another version. What is no plan at all is left to the reader of version 3 to refuse."""
    if data.get("schema_version") != FROM:
        return data
    out: dict[str, Any] = _lifted(data)
    out["schema_version"] = TO
    _lift_recommendation(out.get("recommendation"))
    return out


def _lift_recommendation(said: Any) -> None:
    """What a recommendation of version 2 had otherwise, in place."""
    if not isinstance(said, dict):
        return
    if said.get("verdict") == "as-released":
        said["verdict"] = "released"
    said.setdefault("recipe", None)
    said.setdefault("released", None)
    others = said.get("alternatives")
    for other in others if isinstance(others, list) else ():
        if isinstance(other, dict):
            for key, value in UNKNOWN_SETUP.items():
                other.setdefault(key, dict(value) if isinstance(value, dict) else value)


def _lifted(value: Any) -> Any:
    """Plain data again, without shared parts; ``validated`` as evidence."""
    if isinstance(value, list):
        return [_lifted(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: _lifted(item) for key, item in value.items()}
    old = out.get("validated")
    if isinstance(old, dict) and old.keys() == QUOTED:
        del out["validated"]
        out["evidence"] = {"level": "related", "kind": KIND, **old, "signed": None}
    return out
