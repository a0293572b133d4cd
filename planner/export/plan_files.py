"""``planner.export_plan`` and ``planner.import_plan``: plans to engines' configurations and
back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from planner.base.errors import DataError, InputError
from planner.base.files import read_bounded
from planner.base.typed import typed
from planner.export import deployment
from planner.export.deployment import CONFIGURATIONS, DeploymentFile
from planner.export.llama_cpp_back import read_any
from planner.export.read_back import NO_CACHE_NAMED, Imported, unquantised
from planner.export.released_kinds import OUTSIDE, released_as
from planner.export.run import Export
from planner.export.run import export_plan as _export
from planner.hardware.profile import DeviceProfile
from planner.lookup import load_device, load_model
from planner.messages.message import Note, Text, message
from planner.models.catalog import bundled_model
from planner.models.spec import ModelSpec, TensorRow
from planner.placement.modules import AS_RELEASED_KINDS, EXPERT_KINDS, PLANNED_KINDS
from planner.planning.engines.remote_code import trusting
from planner.planning.modes.plan import answer_estimate
from planner.planning.plan.bounds import escape_control_characters
from planner.planning.plan.checkpoint_units import in_checkpoint
from planner.planning.plan.notes import with_notes
from planner.planning.plan.record import Plan, UnitPlan
from planner.planning.question.input import QuestionInput
from planner.planning.question.verbs import EstimateInput, verb
from planner.throughput.calibration import ANY_ENGINE

MAX_BYTES = 64 << 20


@verb(EstimateInput)
def estimate(given: EstimateInput) -> Plan:
    """The price of what an export states, as :func:`planner.estimate` tells it."""
    return answer_estimate(QuestionInput.of_verb(given))


@typed
def export_plan(
    plan: Plan,
    to: str = "",
    *,
    model: str | ModelSpec | None = None,
    engine: str = "",
    device: str | DeviceProfile | None = None,
    expand: bool = False,
    deploy: str = "",
    trust_remote_code: bool = False,
    hardware_dir: str | os.PathLike[str] | None = None,
) -> Export:
    """The files that serve ``plan``: its configuration in the format ``to``, commands and steps;
    nothing is written.

    ``to`` is a format, or an engine (vllm, sglang, tensorrt-llm, llama.cpp, pytorch) whose own
    format is taken; without it, the plan's engine. Weights that the engine is given as released, or
    makes while loading, have no configuration.

    ``model`` and ``device`` default to the plan's own, by id: a plan file never names a path.
    ``engine`` (default: the plan's) must serve the result. ``expand`` names every module in full.
    ``deploy`` adds manifests that run it: compose, kubernetes, llm-d or dynamo.
    ``trust_remote_code``: commands let the engine run the code that the release carries.

    Raises:
        UnsupportedError: the format cannot say a scheme, the engine does not serve it, none is
        named and the plan is for any, or it cannot be deployed so.
        InputError: the plan is of another model or device.
    """
    spec = load_model(model) if model is not None else _bundled(plan.model.id)
    where = device if device is not None else plan.device.id
    if device is None and ("/" in plan.device.id or "\\" in plan.device.id):
        raise InputError(
            f"plan file: device {plan.device.id[:80]!r} is a path",
            hint="name the device with --device",
        )
    profile = load_device(where, hardware_dir=hardware_dir)
    plan = in_checkpoint(plan)
    with trusting(trust_remote_code):
        export = _export(plan, spec, profile, to, engine, expand=expand)
        if not deploy:
            return export
        from planner.export.deploy.write import manifests

        return manifests(export, plan, spec, profile, deploy)


@typed
def import_plan(
    file: str | os.PathLike[str],
    model: str | ModelSpec,
    device: str | DeviceProfile | None = None,
    *,
    kv: str | None = None,
    engine: str | None = None,
    **question: Any,
) -> Plan:
    """The plan that a quantisation configuration states, priced on ``device``.

    ``file`` is hf_quant_config.json, config.json with quantization_config, that block, or the
    tensor_types.txt of an export for llama.cpp; it replaces what ``model`` is released in. A
    folder that `plan export` wrote also says the device, engine, layout, workload and caches; what
    is given here replaces them. ``kv`` is the cache layout where the file names none, ``engine``
    the server (default: the folder's, else any). ``question`` are further arguments of
    :func:`planner.estimate`.

    Raises:
        InputError: no device is named, or ``kv`` contradicts the file.
        DataError: the file is not understood, or is of another model.
        UnsupportedError: a granularity without a scheme, or one the device cannot execute.
    """
    spec = load_model(model)
    beside = Path(file) / deployment.FILE
    said = (
        deployment.read_deployment(_bytes(beside), str(beside), spec) if beside.is_file() else None
    )
    if said is not None and said.weights:
        model_spec = spec if said.weights["made"] == "release" else unquantised(spec)
        imported = Imported(model_spec, said.weights["made"], None, ("",))
        return _import_deployed(beside, spec, imported, said, device, kv, engine, question)
    path = _configuration(Path(file), said)
    imported = read_any(_bytes(path), path.name, str(path), spec)
    if said is not None:
        return _import_deployed(path, spec, imported, said, device, kv, engine, question)
    if device is None:
        raise InputError(f"{str(file)!r} names no device", hint="name one with --device")
    question["engine"] = engine or ANY_ENGINE
    if kv is not None and imported.kv is not None and kv != imported.kv:
        raise InputError(
            f"kv {kv!r} contradicts {str(file)!r}, which names {imported.kv}", hint="leave --kv out"
        )
    layout = imported.kv or kv or "bf16"
    # As if it were released so, for layout and batch; then as a choice for the model, whose own
    # release is what loss is told against.
    placed = estimate(imported.spec, device, kv=layout, **question)
    plan = estimate(spec, device, plan=_as_stored(placed, imported.spec), **question)
    read_from: Text = message("assumptions.read_from_file", file=path.name)
    notes = (Note("imported", imported.method, text) for text in (read_from, *imported.notes))
    return escape_control_characters(with_notes(plan, *notes))


def _import_deployed(
    path: Path,
    spec: ModelSpec,
    imported: Imported,
    said: DeploymentFile,
    device: str | DeviceProfile | None,
    kv: str | None,
    engine: str | None,
    question: dict[str, Any],
) -> Plan:
    """The plan of an export's folder: schemes from the configuration, the rest as it was
    planned."""
    given = {name: value for name, value in question.items() if value is not None}
    arguments: dict[str, Any] = dict(said.asked)
    if {"context", "isl", "osl", "workload"} & set(given):
        for name in ("context", "isl", "osl", "prefix_hit_rate"):
            arguments.pop(name, None)
    arguments |= given
    where = device if device is not None else said.device
    runs_in = engine or said.engine
    placed = _smallest_serving_plan(imported.spec, where, said, runs_in, arguments)
    placed = (
        _as_loaded(placed, said.weights)
        if "dense" in said.weights
        else _as_stored(placed, _stored(imported.spec, said))
    )
    units = tuple(part for unit in placed.units for part in _cached(unit, said, kv))
    plan = estimate(spec, where, plan=replace(placed, units=units), engine=runs_in, **arguments)
    read_from: Text = (
        message("assumptions.read_from_file", file=path.name)
        if path.name == deployment.FILE
        else message("assumptions.read_from_files", file=path.name, other=deployment.FILE)
    )
    more = (text for text in imported.notes if text != NO_CACHE_NAMED)
    notes = (Note("imported", imported.method, text) for text in (read_from, *more))
    return escape_control_characters(with_notes(plan, *notes))


def _as_loaded(plan: Plan, weights: Mapping[str, str]) -> Plan:
    """``plan`` with every decided linear in what the engine makes of it while loading."""
    return replace(
        plan,
        units=tuple(
            replace(unit, scheme=weights["experts" if unit.kind in EXPERT_KINDS else "dense"])
            if unit.kind in PLANNED_KINDS and unit.kv_layout is None
            else unit
            for unit in plan.units
        ),
    )


def _smallest_serving_plan(
    spec: ModelSpec,
    device: str | DeviceProfile,
    said: DeploymentFile,
    engine: str,
    question: Mapping[str, Any],
) -> Plan:
    """The schemes of a model as stored, on the layout that was asked for with hardly a batch and
    a context: it fits wherever the plan does, whatever its caches. Another engine than the plan's
    may decide other parts of modules. The experts of a layer need not stay as they are stored where
    the plan makes them from a release."""
    stored = _stored(spec, said)
    kept = bool(said.weights) and said.weights["made"] == "release"
    rows = tuple(
        replace(row, stacked=row.stacked and (kept or row.scheme is None)) for row in stored.rows
    )
    layout = {name: question[name] for name in ("devices", "tp", "dp", "pp", "ep")}
    more = {name: question[name] for name in ("hardware_dir",) if name in question}
    return estimate(
        replace(stored, rows=rows),
        device,
        kv="bf16",
        context=16,
        engine=engine,
        batch=layout["dp"] * layout["pp"],
        **layout,
        **more,
    )


def _stored(spec: ModelSpec, said: DeploymentFile) -> ModelSpec:
    """The model as the configuration stores it, in the plan's own schemes where it has no word, and
    in the server's data type where that is another."""

    def stored(row: TensorRow) -> TensorRow:
        if row.scheme is not None:
            return replace(row, scheme=said.stored_as.get(row.scheme, row.scheme))
        planned = row.part == "main" and row.kind in PLANNED_KINDS and row.quantisable
        return replace(row, dtype=said.plain) if said.plain and planned else row

    return replace(spec, rows=tuple(map(stored, spec.rows)))


def _as_stored(plan: Plan, spec: ModelSpec) -> Plan:
    """``plan`` of a model as stored, with heads, embeddings, routers and indexers in what they are
    stored in: units that are kept name their elements alone."""
    stored = released_as(spec)
    units: list[UnitPlan] = []
    for unit in plan.units:
        if unit.kind not in AS_RELEASED_KINDS or unit.kind == "norm":
            units.append(unit)
            continue
        layers: dict[str, list[int]] = {}
        for layer in unit.layers or (OUTSIDE,):
            layers.setdefault(min(stored[unit.kind, layer]), []).append(layer)
        units += [
            replace(unit, scheme=scheme, layers=tuple(own) if unit.layers else ())
            for scheme, own in layers.items()
        ]
    return replace(plan, units=tuple(units))


def _cached(unit: UnitPlan, said: DeploymentFile, kv: str | None) -> Iterator[UnitPlan]:
    """A unit of a cache in parts, one a layout; others as they are."""
    if unit.kv_layout is None:
        yield unit
        return
    layers: dict[str, list[int]] = {}
    for layer in unit.layers:
        layers.setdefault(kv or said.caches[unit.kind, layer], []).append(layer)
    for layout, own in layers.items():
        yield replace(unit, layers=tuple(own), scheme=layout, kv_layout=layout)


def _configuration(path: Path, said: DeploymentFile | None) -> Path:
    """The configuration that ``path`` is or, if it is a folder, holds: the one that its
    ``deployment.json`` names (an older export may have left another), else the first.

    Raises:
        InputError: there is none.
    """
    if path.is_dir():
        for name in CONFIGURATIONS if said is None else filter(None, (said.configuration,)):
            if (path / name).is_file():
                return path / name
        raise InputError(
            f"folder {str(path)!r} has no configuration that import reads",
            hint="it reads " + ", ".join(CONFIGURATIONS),
        )
    if not path.is_file():
        raise InputError(
            f"configuration {str(path)!r} does not exist",
            hint="give hf_quant_config.json, config.json or an export's folder",
        )
    return path


def _bytes(path: Path) -> bytes:
    too_large = DataError(
        f"configuration {str(path)!r} is larger than {MAX_BYTES} bytes",
        hint="give hf_quant_config.json or config.json",
    )
    return read_bounded(path, MAX_BYTES, too_large)


def _bundled(name: str) -> ModelSpec:
    try:
        return bundled_model(name)
    except InputError:
        raise InputError(
            f"plan file: no bundled model {name[:80]!r}",
            hint="name the model's directory or configuration with --model",
        ) from None
