"""A quantisation configuration as the schemes of a model's layers: the way back of an export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from planner.base.errors import DataError
from planner.base.strict_json import parse_object, short_repr
from planner.base.units import format_layers
from planner.export.assignment import (
    ModuleAssignment,
    by_matrix,
    from_schemes,
    is_linear,
    plain_type,
)
from planner.export.released_kinds import OUTSIDE
from planner.messages.message import Message, Text, message
from planner.models.fields import Fields
from planner.models.quantization.checkpoint_schemes import read_plans
from planner.models.quantization.modelopt import read_file
from planner.models.quantization.plan import QuantPlan, quantise
from planner.models.spec import ModelSpec, TensorRow
from planner.models.stacked import with_linear_experts
from planner.placement.cache_entries import cache_units, stores
from planner.placement.modules import AS_RELEASED_KINDS, PLANNED_KINDS
from planner.placement.parts import part_of
from planner.planning.engines.rules import cache_group

NO_CACHE_NAMED = message("assumptions.no_cache_layout_is_named")


@dataclass(frozen=True, slots=True)
class Imported:
    """``spec`` stores its tensors as the configuration says; ``kv`` is its cache layout, None where
    it names none; ``notes`` are what it says that a plan cannot, and the reverse. ``apart``: every
    matrix has a scheme of its own."""

    spec: ModelSpec
    method: str
    kv: str | None
    notes: tuple[Text, ...]
    apart: bool = False


def read_configuration(text: bytes, place: str, spec: ModelSpec) -> Imported:
    """A ``hf_quant_config.json``, a ``config.json`` with ``quantization_config``, or that block.

    It replaces whatever ``spec`` is released in: what it does not name is plain.

    Raises:
        DataError: invalid JSON, no quantisation, another model, or a key that is not understood.
        UnsupportedError: a granularity without a scheme in the catalogue.
    """
    plans = _plans(text, place, spec)
    bare = unquantised(spec)
    if any(plan.method == "compressed-tensors" for plan in plans):
        bare = with_linear_experts(bare)
    read = quantise(bare, [replace(plan, replaces=False) for plan in plans])
    kv = _cache(read.kv_scheme, read)
    return Imported(read, plans[-1].method, kv, tuple(configuration_notes(read, plans, kv)))


def imported_assignment(configuration: Imported, default_kv: str = "bf16") -> ModuleAssignment:
    """The configuration's schemes on the model's names, as an export of the plan would have them.

    Raises:
        DataError: matrices of one module kind and layer are stored in several schemes.
    """
    modules: dict[tuple[str, int], str] = {}
    spec = configuration.spec
    rows = [
        row
        for row in spec.rows
        if row.part == "main" and row.kind in PLANNED_KINDS and row.quantisable
    ]
    if configuration.apart:
        modules = by_matrix(
            (row.kind, part_of(row), layer, row.scheme or row.dtype)
            for row in rows
            for layer in row.layers
        )
    for row in () if configuration.apart else rows:
        for layer in row.layers:
            name = row.scheme or row.dtype
            if modules.setdefault((row.kind, layer), name) != name:
                raise DataError(
                    f"{row.name}: layer {layer} has {name} and "
                    f"{modules[row.kind, layer]} in one {row.kind}",
                    hint="a plan has one scheme a module kind and layer",
                )
    kv = configuration.kv or default_kv
    caches = {(unit.kind, layer): kv for unit in cache_units(spec) for layer in unit.layers}
    tables = {
        (row.kind, OUTSIDE): row.scheme
        for row in spec.rows
        if row.fused == "embedding" and row.part == "main" and row.scheme is not None
    }
    return from_schemes(spec, modules, caches, tables)


def unquantised(spec: ModelSpec) -> ModelSpec:
    """``spec`` with every linear layer in the plain type of the release."""
    plain = plain_type(spec)

    def bare(row: TensorRow) -> TensorRow:
        if row.scheme is None and row.scale_name is None:
            return row
        return replace(
            row,
            dtype=plain,
            scheme=None,
            scale_name=None,
            scale_shape=None,
            scale_dtype=None,
            stored=None,
            stored_scale=None,
            extras=(),
        )

    rows = tuple(bare(row) for row in spec.rows)
    return replace(spec, rows=rows, quantization=plain, kv_scheme="")


def _plans(text: bytes, place: str, spec: ModelSpec) -> tuple[QuantPlan, ...]:
    data = parse_object(text, place, made_by="import reads an engine's configuration")
    if "quantization" in data:
        return (read_file(text, place),)
    _same_model(data, place, spec)
    if "quant_method" in data or "quant_algo" in data:
        return read_plans(Fields(data, place), spec.model_type)
    inner = data.get("text_config")
    for values, where in ((data, place), (inner, f"{place}: text_config")):
        block = (
            Fields(values, where).nested("quantization_config")
            if isinstance(values, dict)
            else None
        )
        if block is not None:
            return read_plans(block, spec.model_type)
    raise DataError(
        f"{place}: no quantisation is in it",
        hint="give hf_quant_config.json, or a config.json with quantization_config",
    )


def _same_model(data: dict[str, object], place: str, spec: ModelSpec) -> None:
    for key, own in (
        ("model_type", spec.model_type),
        ("num_hidden_layers", spec.layers),
        ("hidden_size", spec.hidden_size),
    ):
        if key in data and "text_config" not in data and data[key] != own:
            raise DataError(
                f"{place}: {key} is {short_repr(data[key])}, and {spec.id} has {own!r}",
                hint="name the model that the configuration is of",
            )


def _cache(name: str, spec: ModelSpec) -> str | None:
    """The layout that a calibrated cache has in this model; sparse latents have a record of
    theirs."""
    if not name:
        return None
    units = cache_units(spec)
    if name == "fp8" and units and all(cache_group(u) == "latent-sparse" for u in units):
        return "fp8-ds-mla"
    return name if any(stores(unit, name) for unit in units) else None


def configuration_notes(
    spec: ModelSpec,
    plans: Sequence[QuantPlan],
    kv: str | None,
) -> Iterator[Message]:
    """What a configuration says that a plan cannot, and the reverse."""
    if kv is None:
        yield NO_CACHE_NAMED
    by_kind: dict[tuple[str, str], set[int]] = {}
    mixed: dict[tuple[str, int], set[str]] = {}
    for row in spec.rows:
        if not (is_linear(row) or row.fused == "embedding"):
            continue
        if row.part == "main" and row.kind in PLANNED_KINDS:
            for layer in row.layers:
                mixed.setdefault((row.kind, layer), set()).add(row.scheme or row.dtype)
        elif row.scheme is not None and (row.part != "main" or row.kind not in AS_RELEASED_KINDS):
            by_kind.setdefault((row.kind, row.scheme), set()).update(row.layers)
    several: dict[tuple[str, str, str], list[int]] = {}
    for (kind, layer), names in mixed.items():
        first, *others = sorted(names)
        if others:
            several.setdefault((kind, first, " and ".join(others)), []).append(layer)
    for (kind, first, other), layers in several.items():
        yield message(
            "assumptions.layers_in_two_schemes",
            kind=kind,
            layers=format_layers(tuple(layers)),
            scheme=first,
            other=other,
        )
    for (kind, scheme), at in by_kind.items():
        if at:
            yield message(
                "assumptions.layers_keep_release",
                kind=kind,
                layers=format_layers(tuple(sorted(at))),
                scheme=scheme,
            )
        else:
            yield message("assumptions.kind_keeps_release", kind=kind, scheme=scheme)
    if any(plan.method == "modelopt" for plan in plans):
        yield message("assumptions.scales_of_activations_are_calibrated")
