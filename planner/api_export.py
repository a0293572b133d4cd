"""``planner.export_plan`` and ``planner.import_plan``: plans to engines' configurations and back.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from planner import api
from planner.errors import DataError, InputError
from planner.export.read_back import read_configuration
from planner.export.run import Export
from planner.export.run import export_plan as _export
from planner.hardware.profile import DeviceProfile
from planner.models.catalog import bundled_model
from planner.models.spec import ModelSpec
from planner.planning.plan import Assumption, Plan

MAX_BYTES = 64 << 20


def export_plan(plan: Plan, to: str, *, model: str | ModelSpec | None = None, engine: str = "",
                device: str | DeviceProfile | None = None, expand: bool = False,
                hardware_dir: str | os.PathLike[str] | None = None) -> Export:
    """The files that say ``plan`` in the format ``to``; nothing is written.

    ``model`` and ``device`` default to the plan's own, by id: a plan file never names a path.
    ``engine`` (default: the plan's) must serve the result. ``expand`` names every module in full.

    Raises:
        UnsupportedError: the format cannot say a scheme, or the engine does not serve it.
        InputError: the plan is of another model or device.
    """
    spec = api.load_model(model) if model is not None else _bundled(plan.model.id)
    where = device if device is not None else plan.device.id
    if device is None and ("/" in plan.device.id or "\\" in plan.device.id):
        raise InputError(f"plan file: device {plan.device.id[:80]!r} is a path",
                         hint="name the device with --device")
    return _export(plan, spec, api.load_device(where, hardware_dir=hardware_dir), to, engine,
                   expand=expand)


def import_plan(file: str | os.PathLike[str], model: str | ModelSpec,
                device: str | DeviceProfile, *, kv: str | None = None, **question: Any) -> Plan:
    """The plan that a quantisation configuration states, priced on ``device``.

    ``file`` is hf_quant_config.json, config.json with quantization_config, or that block; it
    replaces what ``model`` is released in. ``kv`` is the cache layout where the file names none.
    ``question`` are further arguments of :func:`planner.estimate`.

    Raises:
        DataError: the file is not understood, or is of another model.
        UnsupportedError: a granularity without a scheme, or one the device cannot execute.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(f"configuration {str(file)!r} does not exist",
                         hint="give hf_quant_config.json or config.json")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"configuration {str(file)!r} is larger than {MAX_BYTES} bytes",
                        hint="give hf_quant_config.json or config.json")
    spec = api.load_model(model)
    found = read_configuration(path.read_bytes(), str(file), spec)
    if kv is not None and found.kv is not None and kv != found.kv:
        raise InputError(f"kv {kv!r} contradicts {str(file)!r}, which names {found.kv}",
                         hint="leave --kv out")
    layout = found.kv or kv or "bf16"
    # As if it were released so, for layout and batch; then as a choice for the model, whose own
    # release is what loss is told against.
    placed = api.estimate(found.spec, device, kv=layout, **question)
    plan = api.estimate(spec, device, plan=placed, **question)
    notes = tuple(Assumption("imported", found.method, text) for text in
                  (f"from {path.name}", *found.notes))
    return replace(plan, assumptions=(*plan.assumptions, *notes))


def _bundled(name: str) -> ModelSpec:
    try:
        return bundled_model(name)
    except InputError:
        raise InputError(f"plan file: no bundled model {name[:80]!r}",
                         hint="name the model's directory or configuration with --model") from None
