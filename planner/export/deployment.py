"""What a quantisation configuration has no word for: ``deployment.json`` beside an export.

Engine, device, layout, workload, the layout of every cache, and the schemes that the format cannot
tell from others. `plan import` of the folder reads it with the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planner.base.errors import DataError
from planner.base.strict_json import parse_object, short_repr
from planner.export.assignment import ModuleAssignment, plain_type
from planner.export.llama_cpp import FILE as TENSOR_TYPES
from planner.export.release import is_as_released
from planner.export.targets import Exported, as_json
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import scheme_ids
from planner.memory.engines.catalog import engine_names, parse_engine
from planner.models.fields import Fields
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import cache_units
from planner.placement.modules import EXPERT_KINDS, PLANNED_KINDS
from planner.planning.engines.rules import PLAIN
from planner.planning.plan.record import Plan
from planner.planning.question.given_values import slots_of
from planner.planning.question.workload import SLOTS
from planner.throughput.calibration import ANY_ENGINE
from planner.workloads import hit_rate

FILE = "deployment.json"
CONFIGURATIONS = ("hf_quant_config.json", "quantization_config.json", "config.json", TENSOR_TYPES)
"""Names under which a folder holds what `plan import` reads."""
VERSION = "1"
_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,79}")
_MOST = 1 << 40


@dataclass(frozen=True, slots=True)
class DeploymentFile:
    """What ``deployment.json`` says. ``configuration`` is the file that states the schemes, empty
    where `plan import` reads none; ``asked`` are arguments of :func:`planner.estimate`; ``caches``
    maps (kind, layer) to a layout; ``stored_as`` a scheme as read to the plan's own. ``weights``
    says without a configuration what they are: {"made": "release"}, {"made": "plain"}, or {"made":
    "loading"} with the schemes of dense layers and of experts. ``plain`` is the server's data type
    where the release has another, else empty."""

    configuration: str
    device: str
    engine: str
    asked: Mapping[str, int | float | str]
    caches: Mapping[tuple[str, int], str]
    stored_as: Mapping[str, str]
    weights: Mapping[str, str]
    plain: str = ""


def weights_said(plan: Plan, spec: ModelSpec, *, loading: bool) -> dict[str, str]:
    """``weights`` of a plan without a configuration; ``loading``: the engine makes what is not
    released."""
    if is_as_released(plan, spec):
        return {"made": "release"}
    if not loading:
        return {"made": "plain"}
    schemes = {
        u.kind in EXPERT_KINDS: u.scheme
        for u in plan.units
        if u.kind in PLANNED_KINDS and u.kv_layout is None
    }
    return {
        "made": "loading",
        "dense": schemes[False],
        **({"experts": schemes[True]} if True in schemes else {}),
    }


def deployment_text(
    plan: Plan, assignment: ModuleAssignment, exported: Exported, weights: Mapping[str, str]
) -> str:
    """The file of an export; ``weights`` are those of :func:`weights_said`, none where a
    configuration states the schemes."""
    caches: dict[str, dict[str, list[int]]] = {}
    for cache in assignment.caches:
        caches.setdefault(cache.kind, {}).setdefault(cache.layout, []).extend(cache.layers)
    used = {linear.scheme for linear in assignment.quantised()}
    stored = {
        exported.reads_as[name]: name for name in used if exported.reads_as.get(name, name) != name
    }
    data: dict[str, Any] = {
        "schema_version": VERSION,
        "configuration": next((name for name in CONFIGURATIONS if name in exported.files), None),
        "model": {"id": plan.model.id, "config_sha256": plan.model.config_sha256},
        "device": {"id": plan.device.id, "count": _devices_of_layout(plan)},
        "engine": {"name": plan.engine.name, "version": plan.engine.version},
        "workload": {
            "context_tokens": plan.workload.context_tokens,
            "isl": plan.workload.isl,
            "osl": plan.workload.osl,
            "batch": plan.workload.batch,
            **_requests(plan),
        },
        "layout": {
            "tp": plan.layout.tp,
            "dp": plan.layout.dp,
            "pp": plan.layout.pp,
            "ep": plan.layout.ep,
        },
        "caches": caches,
        **({"stored_as": stored} if stored else {}),
        **({"weights": weights} if weights else {}),
        **({"plain": plain} if (plain := _other_plain(assignment)) else {}),
    }
    return as_json(data)


def _devices_of_layout(plan: Plan) -> int:
    """Devices of the plan's layout: those of the decode workers, where prefill has a pool of its
    own, which this file does not say."""
    layout = plan.layout
    return layout.tp * layout.dp * layout.pp * layout.replicas


def _other_plain(assignment: ModuleAssignment) -> str:
    """The plain type of the planned layers where the release has another; empty where it does not,
    or there are several."""
    used = {linear.scheme for linear in assignment.plain() if linear.planned}
    return next(iter(used - {plain_type(assignment.spec)}), "") if len(used) == 1 else ""


def read_deployment(text: bytes, place: str, spec: ModelSpec) -> DeploymentFile:
    """What the file says.

    Raises:
        DataError: not such a file, of another model, or a value that is not understood.
    """
    data = Fields(parse_object(text, place), place)
    data.choice("schema_version", (VERSION,), default=None)
    named = data.choice("configuration", ("", *CONFIGURATIONS), default="")
    _check_model(_object(data, "model"), spec)
    device, engine = _object(data, "device"), _object(data, "engine")
    layout_arguments: dict[str, int | float | str] = {
        "devices": device.integer("count", high=_MOST)
    }
    name = _id(device, "id")
    for part, keys in (
        ("workload", ("context_tokens", "isl", "osl", "batch")),
        ("layout", ("tp", "dp", "pp", "ep")),
    ):
        fields = _object(data, part)
        for key in keys:
            layout_arguments["context" if key == "context_tokens" else key] = fields.integer(
                key, high=_MOST
            )
        if part == "workload":
            layout_arguments |= _read_requests(fields)
        fields.finish()
    out = DeploymentFile(
        named,
        name,
        _engine(engine),
        layout_arguments,
        _caches(_object(data, "caches"), spec),
        _stored_as(data.nested("stored_as")),
        _weights(data.nested("weights")),
        data.choice("plain", ("", *PLAIN), default=""),
    )
    for fields in (device, engine, data):
        fields.finish()
    return out


def _requests(plan: Plan) -> dict[str, Any]:
    """What else is known of the requests; nothing where nothing is."""
    rate, slots = plan.workload.prefix_hit_rate, slots_of(plan)
    return {**({"prefix_hit_rate": rate} if rate else {}), **({"slots": slots} if slots else {})}


def _read_requests(fields: Fields) -> dict[str, float | str]:
    requests: dict[str, float | str] = {}
    if (rate := fields.take("prefix_hit_rate")) is not None:
        requests["prefix_hit_rate"] = hit_rate(fields.place, rate)
    if slots := fields.choice("slots", ("", *SLOTS), default=""):
        requests["slots"] = slots
    return requests


def _object(fields: Fields, name: str) -> Fields:
    value = fields.nested(name)
    if value is None:
        raise fields.error(name, "is missing")
    return value


def _id(fields: Fields, name: str) -> str:
    value = fields.take(name)
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        raise fields.error(name, f"is {short_repr(value)}; an id is needed")
    return value


def _check_model(fields: Fields, spec: ModelSpec) -> None:
    _id(fields, "id")
    if fields.take("config_sha256") != spec.config_sha256:
        raise DataError(
            f"{fields.place}: written for another configuration than {spec.id}'s",
            hint="name the model that the export was made for",
        )
    fields.finish()


def _engine(fields: Fields) -> str:
    name = fields.choice("name", (*engine_names(), ANY_ENGINE), default=None)
    version = fields.take("version")
    if name == ANY_ENGINE or version is None:
        return name
    if not isinstance(version, str) or len(version) > 20:
        raise fields.error("version", f"is {short_repr(version)}; a version is needed")
    return parse_engine(f"{name}@{version}").address


def _caches(fields: Fields, spec: ModelSpec) -> dict[tuple[str, int], str]:
    known = {(unit.kind, layer) for unit in cache_units(spec) for layer in unit.layers}
    out: dict[tuple[str, int], str] = {}
    for kind in fields.names():
        inner = _object(fields, kind)
        for layout in inner.names():
            if layout not in KV_LAYOUTS:
                raise inner.error(short_repr(layout), "is no cache layout")
            for layer in inner.integers(layout, low=0, high=max(spec.layers - 1, 0)):
                if (kind, layer) not in known or (kind, layer) in out:
                    raise fields.error(
                        short_repr(kind),
                        f"of layer {layer} is "
                        + ("said twice" if (kind, layer) in out else f"not in {spec.id}"),
                    )
                out[kind, layer] = layout
    if set(out) != known:
        raise fields.error("the layout", f"of some caches of {spec.id} is missing")
    return out


def _stored_as(fields: Fields | None) -> dict[str, str]:
    names = fields.names() if fields is not None else ()
    out = {
        name: fields.choice(name, scheme_ids(), default=None)
        for name in names
        if fields is not None
    }
    return {name: scheme for name, scheme in out.items() if name in scheme_ids()}


def _weights(fields: Fields | None) -> dict[str, str]:
    if fields is None:
        return {}
    out = {"made": fields.choice("made", ("release", "plain", "loading"), default=None)}
    if out["made"] == "loading":
        out["dense"] = fields.choice("dense", scheme_ids(), default=None)
        out["experts"] = fields.choice("experts", scheme_ids(), default=out["dense"])
    fields.finish()
    return out
