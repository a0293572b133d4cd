"""A device profile as plain data: ``plan devices NAME --json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from planner.hardware.profile import DeviceProfile, FittedSet, Links, Quantity, Silicon


def device_dict(device: DeviceProfile) -> dict[str, Any]:
    """The profile as plain data in SI units; ``rates`` is a list, the file's path is left out."""
    data: dict[str, Any] = {}
    for name in device.__dataclass_fields__:
        value = getattr(device, name)
        if name == "path":
            continue
        if name == "rates":
            data[name] = [_integer_bytes(asdict(rate)) for rate in value.values()]
        elif name == "fitted":
            data[name] = [fit_dict(fit) for fit in value.values()]
        elif name == "inherited":
            data[name] = [fit_dict(fit) | {"origin": origin} for origin, _, fit in value.values()]
        elif name == "sources":
            data[name] = {s.key: {"title": s.title, "date": s.date} for s in value}
        else:
            data[name] = _plain(value)
    return data


def fit_dict(fit: FittedSet) -> dict[str, Any]:
    """A fitted set as plain data: relative errors, log-space sigma, SI parameters."""
    data = {
        name: getattr(fit, name)
        for name in ("operator", "stack", "software", "variant", "kind", "source", "date", "note")
    }
    return data | {
        "parameters": dict(fit.parameters),
        "error": asdict(fit.error),
        "table": {k: list(v) for k, v in fit.table.items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Quantity | Links | Silicon):
        return _integer_bytes(asdict(value))
    if isinstance(value, tuple):
        return list(value)
    if hasattr(value, "items"):
        return {
            key: item if isinstance(item, str) else _integer_bytes(asdict(item))
            for key, item in value.items()
        }
    return value


def _integer_bytes(data: dict[str, Any]) -> dict[str, Any]:
    """A quantity in bytes as integers; nested quantities alike."""
    if data.get("unit") == "B":
        for key in ("value", "low", "high"):
            if data[key] is not None:
                data[key] = int(data[key])
    for item in data.values():
        if isinstance(item, dict):
            _integer_bytes(item)
    return data
