"""Plan files of version 2, as 0.2 wrote them, lifted to version 3.

``validated`` of an estimate was the error on the device, format and class of model, whatever the
engine, layout and load: rows of a related kind, which ``evidence`` says.
"""

from __future__ import annotations

from typing import Any

FROM, TO = "2", "3"
KIND = "device, format and class of model"
"""What the quoted error of version 2 was of:
neither the engine nor the layout nor the load counted."""
QUOTED = frozenset({"table", "n", "median_ape"})
"""Its keys; any other is left to the reader of version 3 to refuse."""


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """A plan of version 2 as one of version 3; ``data`` stays as it is, and is given back where it
    is of another version. What is no plan at all is left to the reader of version 3 to refuse."""
    if data.get("schema_version") != FROM:
        return data
    out: dict[str, Any] = _lifted(data)
    out["schema_version"] = TO
    return out


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
