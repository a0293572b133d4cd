"""Deployment questions as files: the same names as the command line's flags, one TOML each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from planner.base.errors import DataError, UnknownNameError, nearest_names
from planner.base.files import data_folder
from planner.base.system import is_path
from planner.base.toml_text import parse_toml, read_toml_bytes
from planner.base.typed import typed
from planner.planning.question.declaring import NO_LIMIT
from planner.planning.question.parameters import MILLISECONDS, PARAMETERS, SAID_BY_SCENARIOS
from planner.planning.question.scenario import Host, Scenario
from planner.workloads import hit_rate, load_workload

_NUMBERS: dict[str, type] = {
    told.key: float if told.kind == "seconds" else int
    for told in SAID_BY_SCENARIOS.values()
    if told.kind in ("count", "seconds")
}
_RULES = ("policies", "drop_policies")
_TEXTS = ("model", "device", "objective", "max_loss", "kv", "scheme", "engine", "slots", "workload")
_HOST_NUMBERS = {
    "devices_per_node": int,
    "scale_up_devices": int,
    "scale_up_bytes_per_s": float,
    "scale_out_bytes_per_s": float,
    "memory_bytes_per_device": int,
    "usable_fraction": float,
    "price_usd_per_hour": float,
    "requests_per_s": float,
}


def scenario_ids() -> tuple[str, ...]:
    """Names of the bundled scenarios, sorted."""
    return tuple(sorted(p.stem for p in data_folder("scenarios").glob("*.toml")))


@typed
def load_scenario(scenario: str | Scenario) -> Scenario:
    """A bundled scenario by name, or a TOML file by path.

    Raises:
        UnknownNameError: no such scenario. DataError: the file is not valid.
    """
    if isinstance(scenario, Scenario):
        return scenario
    name = str(scenario)
    path = Path(name)
    if is_path(name) or name.endswith(".toml"):
        if not path.is_file():
            raise DataError(
                f"scenario file {name!r} does not exist",
                hint="bundled scenarios: " + ", ".join(scenario_ids()),
            )
    else:
        wanted = name.lower().replace("_", "-")
        if wanted not in scenario_ids():
            raise UnknownNameError("scenario", name, scenario_ids())
        path = data_folder("scenarios") / f"{wanted}.toml"
    content = read_toml_bytes(path, hint="see scenarios/README.md")
    return parse_scenario(content, place=str(path.name), id=path.stem)


def parse_scenario(content: bytes, *, place: str, id: str) -> Scenario:
    """Check a scenario's text; every key must be known and of its type.

    Raises:
        DataError: a key that is missing, unknown or of another type.
    """
    data = parse_toml(content, place, hint="see scenarios/README.md")
    known = {
        *_NUMBERS,
        *_TEXTS,
        "title",
        "question",
        "schemes",
        *_RULES,
        "untie",
        "host",
        "prefix_hit_rate",
    }
    _no_unknown(place, "", data, known)
    for key in ("title", "question"):
        if not isinstance(data.get(key), str):
            raise DataError(f"{place}: {key}: a text is required", hint=f'add {key} = "…"')
    values = {
        key: _value(place, key, data[key])
        for key in data
        if key not in ("title", "question", "host")
    }
    return Scenario(
        id,
        data["title"],
        data["question"],
        MappingProxyType(values),
        _host(place, data.get("host", {})),
    )


def _no_unknown(place: str, prefix: str, data: Mapping[str, Any], known: set[str]) -> None:
    for key in data:
        if key not in known:
            raise DataError(f"{place}: {prefix}{key}: unknown key", hint=nearest_names(key, known))


def _value(place: str, key: str, value: Any) -> Any:
    if key == "schemes":
        if not (isinstance(value, list) and value and all(isinstance(v, str) for v in value)):
            raise DataError(
                f"{place}: schemes: a list of scheme names is required",
                hint='schemes = ["bf16", "fp8-block"]',
            )
        return tuple(value)
    if key in _RULES:
        if not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            raise DataError(
                f"{place}: {key}: a list of rules is required",
                hint=f'{key} = ["embedding", "head", "indexer", "norm", "router"]',
            )
        return tuple(value)
    if key == "untie":
        if not isinstance(value, bool):
            raise DataError(f"{place}: untie: true or false is required", hint="untie = true")
        return value
    if key == "max_loss" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if key in _TEXTS:
        if not isinstance(value, str):
            raise DataError(f"{place}: {key}: a text is required", hint=f'{key} = "…"')
        return load_workload(value) if key == "workload" else value
    if key == "prefix_hit_rate":
        return hit_rate(place, value)
    if value == NO_LIMIT and key in MILLISECONDS and PARAMETERS[MILLISECONDS[key]].may_be_none:
        return value
    return _number(place, key, value, _NUMBERS[key])


def _number(place: str, key: str, value: Any, kind: type) -> Any:
    allowed = (int,) if kind is int else (int, float)
    if (
        isinstance(value, bool)
        or not isinstance(value, allowed)
        or not value > 0
        or value == float("inf")
    ):
        word = "whole number" if kind is int else "number"
        raise DataError(
            f"{place}: {key} = {value!r}: a {word} above 0 is required",
            hint="sizes are plain numbers, for example context = 131_072",
        )
    return kind(value)


def _host(place: str, data: Any) -> Host:
    if not isinstance(data, dict):
        raise DataError(f"{place}: host: a table is required", hint="[host]")
    _no_unknown(place, "host.", data, {f.name for f in fields(Host)})
    mode = data.get("power_mode")
    if mode is not None and not isinstance(mode, str):
        raise DataError(f"{place}: host.power_mode: a text is required", hint='power_mode = "30w"')
    host = Host(
        power_mode=mode,
        **{
            k: _number(place, f"host.{k}", v, _HOST_NUMBERS[k])
            for k, v in data.items()
            if k != "power_mode"
        },
    )
    if host.usable_fraction is not None and host.usable_fraction > 1:
        raise DataError(
            f"{place}: host.usable_fraction = {host.usable_fraction} is above 1",
            hint="it is a share of the device's memory",
        )
    return host
