"""Names of a fleet to records: models, devices, kinds of requests; all that is wrong at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from planner.base.errors import DataError, InputError
from planner.base.toml_text import parse_toml, read_toml_bytes
from planner.lookup import load_device, load_model, load_workload
from planner.memory.engines.catalog import parse_engine
from planner.models.spec import ModelSpec
from planner.planning.question.prices import with_price
from planner.planning.question.workload import workload
from planner.sizing.fleet.fleet_file import (
    COST,
    DeviceInput,
    FileErrors,
    ModelInput,
    RequestsInput,
    fleet_input,
)
from planner.sizing.fleet.problem import DeviceStock
from planner.sizing.fleet.question import FleetKind, FleetMember, FleetQuestion
from planner.sizing.mix import RequestKind, RequestMix

MOST_PAIRS = 100
LONGEST = 1 << 40
SEE = "docs/guide/fleet.md has one"
Source = str | os.PathLike[str] | Mapping[str, Any]
Made = TypeVar("Made")


def fleet_question(
    source: Source,
    hardware_dir: str | os.PathLike[str] | None,
    *,
    no_learned: bool = False,
) -> FleetQuestion:
    """The question of a file, or of a mapping with the file's keys; ``no_learned``: without what
    was measured here.

    Raises:
        DataError: no such file, not TOML, or with all that is wrong in it. InputError: more pairs
            than are searched in one run.
    """
    place, table = _table(source)
    errors = FileErrors(place)
    asked = fleet_input(table, errors)
    kinds = [
        _kind(device, asked.goal, errors, hardware_dir) for device in asked.devices if device.name
    ]
    members = [_member(model, errors) for model in asked.models if model.model]
    if not errors.messages and not any(device.count for device in asked.devices):
        errors.add("every count is 0", "count = 16 in a [[device]]")
    ids = [kind.profile.id for kind in kinds if kind is not None]
    for name in sorted({i for i in ids if ids.count(i) > 1}):
        errors.add(f"device {name} stands in two tables", "add the counts up")
    errors.end()
    question = FleetQuestion(
        asked,
        tuple(m for m in members if m is not None),
        tuple(k for k in kinds if k is not None),
        no_learned,
    )
    if question.pairs > MOST_PAIRS:
        raise InputError(
            f"{place}: {len(members)} models × {len(kinds)} kinds of devices are "
            f"{question.pairs} plans to search, at most {MOST_PAIRS} in one run",
            hint="leave out kinds of devices, or split the file",
        )
    return question


def _table(source: Source) -> tuple[str, Mapping[str, Any]]:
    """(what errors call it, the table)."""
    if isinstance(source, Mapping):
        return "fleet", source
    path = Path(source)
    if not path.exists():
        raise DataError(f"fleet file {os.fspath(source)!r} does not exist", hint=SEE)
    return path.name, parse_toml(read_toml_bytes(path, hint=SEE), path.name, hint=SEE)


def _noted(errors: FileErrors, where: str, made: Callable[[], Made]) -> Made | None:
    """What is made, or None with the reason noted."""
    try:
        return made()
    except InputError as error:
        errors.add(f"{where}: {error.message}", error.hint)
        return None


def _kind(
    device_input: DeviceInput,
    goal: str,
    errors: FileErrors,
    hardware_dir: str | os.PathLike[str] | None,
) -> FleetKind | None:
    profile = _noted(
        errors,
        f"device {device_input.name}",
        lambda: load_device(device_input.name, hardware_dir=hardware_dir),
    )
    if profile is None:
        return None
    if device_input.devices_per_node is not None:
        domain = (
            device_input.devices_per_node
            if profile.scale_up_devices <= profile.devices_per_node
            else profile.scale_up_devices
        )
        profile = replace(
            profile, devices_per_node=device_input.devices_per_node, scale_up_devices=domain
        )
    price, source = device_input.price, "given"
    if price is not None:
        profile = with_price(profile, price)
    elif profile.price_usd_per_hour is not None:
        price, source = profile.price_usd_per_hour.value, "the device profile's"
    elif goal == COST:
        errors.add(
            f"{profile.id}: price: none is known",
            "price = 2.5 (USD a device-hour) in its "
            '[[device]], or goal = "spare", which needs none',
        )
    host = max(profile.devices_per_node, profile.scale_up_devices)
    return FleetKind(profile, DeviceStock(device_input.count, host, price), source if price else "")


def _member(model_input: ModelInput, errors: FileErrors) -> FleetMember | None:
    for name in model_input.engines:
        _noted(errors, f"{model_input.name}: engines", partial(parse_engine, name))
    spec = _noted(errors, model_input.name, lambda: load_model(model_input.model))
    kinds = [
        _noted(errors, f"{model_input.name}: workload {n}", partial(_requests, spec, request))
        for n, request in enumerate(model_input.requests, start=1)
    ]
    if spec is None or not all(kinds):
        return None
    return FleetMember(
        model_input,
        spec,
        RequestMix(tuple(k for k in kinds if k is not None)),
        model_input.level,
    )


def _requests(spec: ModelSpec | None, requests_input: RequestsInput) -> RequestKind:
    """The tokens of a kind of request; of a model that is not known as long as any."""
    named = load_workload(requests_input.workload) if requests_input.workload is not None else None
    longest = spec.max_context if spec is not None else LONGEST
    request = workload(
        longest,
        context=requests_input.context,
        isl=requests_input.isl,
        osl=requests_input.osl,
        prefix_hit_rate=requests_input.prefix_hit_rate,
        named=named,
    )
    return RequestKind(
        request.preset,
        requests_input.share,
        request.isl,
        request.osl,
        request.context,
        request.prefix_hit_rate,
    )
