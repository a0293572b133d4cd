"""The schemes of a plan by the model's own module names: what every exporter writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from planner.base.errors import DataError, InputError
from planner.export.released_kinds import OUTSIDE, changed, takes
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES
from planner.models.spec import ModelSpec, TensorRow
from planner.placement.cache_entries import cache_units
from planner.placement.layout import Layout, layout_problem
from planner.placement.modules import AS_RELEASED_KINDS, PLANNED_KINDS
from planner.placement.parts import part_of
from planner.planning.engines.rules import PLAIN
from planner.planning.plan.record import Plan, UnitPlan

MOST = 1 << 40
"""Sequences or tokens that a plan file may state."""
NOT_LINEAR = frozenset({"embedding", "norm"})
"""Kinds whose matrices are no linear layers; quantisers do not see them, but for an embedding that
a plan quantises."""


@dataclass(frozen=True, slots=True)
class Linear:
    """Linear layers of one tensor row that take one scheme.

    ``module`` is a template with ``{layer}`` and ``{expert}``; ``layers`` is empty outside the
    stack. ``every`` tells that these are all layers in which the template names a module.
    ``planned``: the plan decided it; the rest stays as released or plain. ``part`` is what the
    matrix is called beside its kind (:func:`planner.placement.parts.part_of`).
    """

    module: str
    kind: str
    layers: tuple[int, ...]
    experts: int
    scheme: str
    fused: str
    every: bool
    planned: bool
    stacked: bool = False
    part: str = ""

    def names(self) -> Iterator[str]:
        """Every module name."""
        for layer in self.layers or (-1,):
            for expert in range(self.experts):
                yield self.module.format(layer=layer, expert=expert)


@dataclass(frozen=True, slots=True)
class Cache:
    """The layout of the cache entries of one kind in some layers."""

    kind: str
    layers: tuple[int, ...]
    layout: str


@dataclass(frozen=True, slots=True)
class ModuleAssignment:
    """All linear layers of a model, prediction layers included, and its caches; an embedding is
    among them only where a plan quantises it."""

    spec: ModelSpec
    linears: tuple[Linear, ...]
    caches: tuple[Cache, ...]

    def quantised(self) -> tuple[Linear, ...]:
        """Linears that are not in a plain type."""
        return tuple(linear for linear in self.linears if linear.scheme not in PLAIN)

    def plain(self) -> tuple[Linear, ...]:
        """Linears that stay in a plain type."""
        return tuple(linear for linear in self.linears if linear.scheme in PLAIN)

    def layouts(self) -> tuple[str, ...]:
        """The cache layouts in use, in the order of the catalogue."""
        used = {cache.layout for cache in self.caches}
        return tuple(name for name in KV_LAYOUTS if name in used)

    def released_kinds(self) -> Mapping[tuple[str, int], str]:
        """(kind, layer) → scheme of heads, embeddings, routers and indexers that are quantised."""
        return {
            (linear.kind, layer): linear.scheme
            for linear in self.quantised()
            if linear.kind in AS_RELEASED_KINDS
            for layer in linear.layers or (OUTSIDE,)
        }

    def plain_head(self) -> list[str]:
        """The name of a tied head that stays plain: it is no row of the model."""
        kinds = {linear.kind for linear in self.linears}
        return [] if {"head", "embedding"} & kinds else ["lm_head"]

    def decided(self) -> Mapping[tuple[str, int], str]:
        """(kind, layer) → scheme of what every plan decides, caches included; where matrices of a
        kind take several in a layer, each by itself (``attention-qkv.v``)."""
        planned = by_matrix(
            (linear.kind, linear.part, layer, linear.scheme)
            for linear in self.linears
            if linear.planned and linear.kind in PLANNED_KINDS
            for layer in linear.layers
        )
        return planned | {(c.kind, layer): c.layout for c in self.caches for layer in c.layers}


def assignment_of(plan: Plan, spec: ModelSpec) -> ModuleAssignment:
    """The plan's schemes on the names of ``spec``.

    Raises:
        InputError: the plan is of another model, or does not cover each layer of it once.
        DataError: a scheme or layout that is not in the catalogue.
    """
    if plan.model.config_sha256 != spec.config_sha256:
        raise InputError(
            f"plan file: made for another configuration of {plan.model.id[:120]!r}",
            hint="name the model's directory or configuration with --model",
        )
    _check_deployment(plan, spec)
    _check_kinds(plan, spec)
    modules = _decisions((u for u in plan.units if u.kind in PLANNED_KINDS), SCHEMES)
    caches = _decisions((u for u in plan.units if u.kv_layout is not None), KV_LAYOUTS)
    assignment = from_schemes(spec, modules, caches, changed(plan, spec))
    known = {
        (name, layer)
        for row in spec.rows
        if row.part == "main"
        for layer in row.layers
        for name in (row.kind, f"{row.kind}.{part_of(row)}")
    }
    known |= {(unit.kind, layer) for unit in cache_units(spec) for layer in unit.layers}
    for kind, layer in {**modules, **caches}:
        if (kind, layer) not in known:
            raise InputError(
                f"plan file: {spec.id} has no {kind} in layer {layer}",
                hint="use the plan with the model that it was made for",
            )
    return assignment


def from_schemes(
    spec: ModelSpec,
    modules: Mapping[tuple[str, int], str],
    caches: Mapping[tuple[str, int], str],
    released: Mapping[tuple[str, int], str] | None = None,
) -> ModuleAssignment:
    """The assignment of (kind, layer) → scheme, of (kind, layer) → cache layout, and of kinds
    that are ``released`` in most plans and here are not (see :mod:`planner.export.released_kinds`).

    Raises:
        InputError: a layer of a kind has no scheme.
    """
    other = released or {}
    table = other.get(("embedding", OUTSIDE), PLAIN[0])
    linears = [
        linear
        for row in spec.rows
        if is_linear(row) or (row.kind == "embedding" and table not in PLAIN and takes(row, table))
        for linear in _linears(spec, row, modules, other)
    ]
    cached: list[Cache] = []
    for unit in cache_units(spec):
        by_layout: dict[str, list[int]] = {}
        for layer in unit.layers:
            by_layout.setdefault(_of(caches, unit.kind, layer, spec), []).append(layer)
        cached += [Cache(unit.kind, tuple(layers), name) for name, layers in by_layout.items()]
    return ModuleAssignment(spec, tuple(linears), tuple(cached))


def is_linear(row: TensorRow) -> bool:
    """Whether a row's tensors are weights of linear layers; convolutions and tables are not."""
    return (
        row.is_matrix
        and row.kind not in NOT_LINEAR
        and row.part in ("main", "mtp", "vision")
        and (row.name.endswith(".weight") or row.stacked)
        and not (row.part != "main" and "embed" in row.name)
    )


def plain_type(spec: ModelSpec) -> str:
    """The type of what the release does not quantise, by most elements."""
    sizes: dict[str, int] = {}
    for row in spec.rows:
        if row.scheme is None and row.is_matrix and row.dtype in PLAIN:
            sizes[row.dtype] = sizes.get(row.dtype, 0) + row.elements * row.copies
    return max(sorted(sizes), key=lambda name: sizes[name]) if sizes else "bf16"


def _check_deployment(plan: Plan, spec: ModelSpec) -> None:
    """Refuse a layout that cannot hold the model, and numbers that are no deployment."""
    layout, work = plan.layout, plan.workload
    why = layout_problem(spec, Layout(layout.tp, layout.dp, layout.pp, layout.ep, layout.replicas))
    ranks = layout.tp * layout.dp * layout.pp * layout.replicas + _prefill_devices(plan)
    if not why and ranks != plan.device.count:
        why = f"it has {ranks} ranks, and the plan {plan.device.count} devices"
    if not why and not 1 <= work.batch <= MOST:
        why = f"batch {work.batch} is out of range"
    if not why and not 1 <= work.context_tokens <= MOST:
        why = f"context {work.context_tokens} is out of range"
    if why:
        raise InputError(
            f"plan file: layout: {str(why)[:200]}", hint="see `plan lab schema` for the format"
        )


def _prefill_devices(plan: Plan) -> int:
    """Devices of a pool that only reads prompts; the plan's layout is that of the others."""
    pools = getattr(plan, "deployment", None)
    if pools is None or pools.mode != "disaggregated":
        return 0
    return int(pools.prefill.workers * pools.prefill.devices_per_worker)


def _check_kinds(plan: Plan, spec: ModelSpec) -> None:
    """Refuse kinds that the model does not have."""
    kinds = {row.kind for row in spec.rows if row.part in ("main", "lookup")}
    kinds |= {"head"} if spec.tied_embeddings else set()
    caches = {unit.kind for unit in cache_units(spec)}
    for unit in plan.units:
        if unit.kind not in (caches if unit.kv_layout is not None else kinds):
            raise InputError(
                f"plan file: unit {unit.unit[:80]!r}: {spec.id} has no {unit.kind[:80]!r}",
                hint="see `plan inventory` for its modules",
            )


def _linears(
    spec: ModelSpec,
    row: TensorRow,
    modules: Mapping[tuple[str, int], str],
    apart: Mapping[tuple[str, int], str],
) -> Iterator[Linear]:
    planned = row.part == "main" and row.kind in PLANNED_KINDS and row.quantisable
    name, part = row.name.removesuffix(".weight"), part_of(row)
    groups: dict[tuple[str, bool], list[int]] = {}
    for layer in row.layers or (OUTSIDE,):
        other = apart.get((row.kind, layer))
        decided = planned or (other is not None and takes(row, other))
        if planned:
            scheme = modules.get((f"{row.kind}.{part}", layer)) or _of(
                modules, row.kind, layer, spec
            )
        elif other is not None and decided:
            scheme = other
        elif row.part == "main" and row.scheme is not None:
            scheme = row.scheme
        else:
            scheme = row.dtype if row.dtype in PLAIN else plain_type(spec)
        groups.setdefault((scheme, decided), []).append(layer)
    alone = sum(other.name == row.name for other in spec.rows) == 1
    for (scheme, decided), layers in groups.items():
        yield Linear(
            name,
            row.kind,
            tuple(layers) if row.layers else (),
            row.experts,
            scheme,
            row.fused,
            alone and len(groups) == 1,
            decided,
            row.stacked,
            part,
        )


def _of(table: Mapping[tuple[str, int], str], kind: str, layer: int, spec: ModelSpec) -> str:
    scheme = table.get((kind, layer))
    if scheme is None:
        raise InputError(
            f"plan file: {kind} of layer {layer} has no unit",
            hint=f"the plan must cover every layer of {spec.id}",
        )
    return scheme


def _decisions(
    units: Iterable[UnitPlan],
    known: Mapping[str, object],
) -> dict[tuple[str, int], str]:
    out: dict[tuple[str, int], str] = {}
    for unit in units:
        name = unit.kv_layout or unit.scheme
        if name not in known:
            raise DataError(
                f"plan file: unit {unit.unit[:80]!r}: {name[:80]!r} is not in the catalogue",
                hint="see `plan list formats`",
            )
        for layer in unit.layers:
            if {(unit.matrix, layer), (unit.kind, layer)} & out.keys():
                raise InputError(
                    f"plan file: {unit.matrix} of layer {layer} is decided twice",
                    hint="leave one of the two units out",
                )
            out[unit.matrix, layer] = name
    return out


def by_matrix(decided: Iterable[tuple[str, str, int, str]]) -> dict[tuple[str, int], str]:
    """(kind, part, layer, scheme) as (kind, layer) → scheme, and where parts of a kind differ in a
    layer as (``kind.part``, layer) → scheme."""
    schemes: dict[tuple[str, int], dict[str, str]] = {}
    for kind, part, layer, scheme in decided:
        schemes.setdefault((kind, layer), {})[part] = scheme
    out: dict[tuple[str, int], str] = {}
    for (kind, layer), parts in schemes.items():
        if len(set(parts.values())) == 1:
            out[kind, layer] = next(iter(parts.values()))
        else:
            out |= {(f"{kind}.{part}", layer): scheme for part, scheme in parts.items()}
    return out
