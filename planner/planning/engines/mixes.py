"""Mixes of an engine's own quantiser on a model: ``data/engine_mixes.csv``.

A mix is a name that llama-quantize takes; which type each tensor gets are its rules
(:mod:`planner.planning.engines.gguf_types`). Here they are schemes by module kind, part and layer.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache, lru_cache

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.formats.ggml_types import PREFIX, weight_type
from planner.formats.schemes import SCHEMES
from planner.formats.sizes import bits_per_element
from planner.models.gguf_names import ARCHITECTURES, GgufMatrix, gguf_matrices
from planner.models.spec import ModelSpec
from planner.placement.modules import PLANNED_KINDS, Module, attention_of
from planner.placement.parts import Classes, part_of_stem, parts_of
from planner.planning.engines.gguf_types import (
    WIDE,
    GgufTraits,
    TensorType,
    TypedTensor,
    asks_for_imatrix,
    fallback_of,
    quantised_types,
)
from planner.planning.engines.rules import DATA, RuleSource, sources

OUTSIDE = -1
"""The layer of what is outside the stack."""
Place = tuple[str, str, int]
"""Kind, part and layer."""
TYPED_KINDS = (*PLANNED_KINDS, "embedding", "head")
"""Kinds that a mix gives a type to."""
_PLAIN = {"f16": "fp16", "bf16": "bf16", "f32": "fp32"}
_PREDICTION = "mtp"
_OF_70B = {"llama": True, "qwen2": False}
"""Architectures whose models of 80 layers llama.cpp calls 70B: only where heads share keys."""
LAYERS_OF_70B = 80


@record
class Mix:
    """One named mixture; ``base`` is the ggml type that tensors take unless a rule says
    otherwise."""

    engine: str
    name: str
    base: str
    note: str
    source: RuleSource


@record
class MixedPlace:
    """What a mix gives to the matrices of one place: ``scheme`` the widest of their types, and the
    types that it stands in for, as rows are no whole blocks of them."""

    scheme: str
    instead_of: tuple[str, ...]
    types: tuple[str, ...]


@cache
def engine_mixes() -> dict[str, Mix]:
    """Every mixture by its name."""
    known = sources()
    with (DATA / "engine_mixes.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["name"]: Mix(
                row["engine"], row["name"], row["base"], row["note"], known[row["source"]]
            )
            for row in csv.DictReader(file)
        }


def mixture_named(name: str) -> str:
    """The mixture that ``name`` spells, whatever its case (``q4_k_m``); ``name`` where none is."""
    known = engine_mixes()
    return (
        name
        if name in known
        else _by_upper_case().get(name.strip().upper().replace("-", "_"), name)
    )


@cache
def _by_upper_case() -> dict[str, str]:
    return {name.upper().replace("-", "_"): name for name in engine_mixes()}


def mixes_of(engine: str) -> list[str]:
    """The names of an engine's mixtures, from most bits to fewest."""
    return [name for name, mix in engine_mixes().items() if mix.engine == engine]


def scheme_of_type(name: str) -> str:
    """The scheme id of a ggml type, in the catalogue or not."""
    return _PLAIN.get(name) or f"{PREFIX}{name}"


@lru_cache(maxsize=256)
def mix_places(spec: ModelSpec, name: str, imatrix: bool = False) -> dict[Place, MixedPlace]:
    """What ``name`` gives to every place of the main model; {} where llama.cpp has no names for the
    model's tensors, or no type for one of them."""
    typed = mix_types(spec, name, imatrix)
    if not typed:
        return {}
    places: dict[Place, MixedPlace] = {}
    known: dict[tuple[int, ...], MixedPlace] = {}  # by identity, which takes no time
    for place, names in _names_of(spec):
        types = [typed[name] for name in names]
        key = tuple(map(id, types))
        if key not in known:
            known[key] = _mixed_place(tuple(types))
        places[place] = known[key]
    return places


def mix_types(spec: ModelSpec, name: str, imatrix: bool = False) -> dict[str, TensorType]:
    """The type that ``name`` gives to every matrix of a model's GGUF file, by its whole name; {}
    where llama.cpp has no names for the model's tensors, or no type for one of them."""
    if spec.model_type not in ARCHITECTURES:
        return {}
    try:
        matrices, tensors = _typed_tensors(spec)
        traits = gguf_traits(spec, matrices, imatrix=imatrix)
        return quantised_types(name, engine_mixes()[name].base, tensors, traits)
    except UnsupportedError:
        return {}


@lru_cache(maxsize=4)
def _names_of(spec: ModelSpec) -> tuple[tuple[Place, tuple[str, ...]], ...]:
    """The matrices of every place of the main model."""
    parts = parts_of(spec)
    names_by_place: dict[Place, list[str]] = {}
    for tensor in _typed_tensors(spec)[0]:
        if tensor.kind == _PREDICTION:
            continue
        layer = OUTSIDE if tensor.layer is None else tensor.layer
        part = part_of_stem(tensor.name.split(".")[-2]) if (tensor.kind, layer) in parts else ""
        names_by_place.setdefault((tensor.kind, part, layer), []).append(tensor.name)
    if spec.tied_embeddings and ("embedding", "", OUTSIDE) in names_by_place:
        names_by_place["head", "", OUTSIDE] = names_by_place["embedding", "", OUTSIDE]
    return tuple((place, tuple(names)) for place, names in names_by_place.items())


@lru_cache(maxsize=4)
def _typed_tensors(spec: ModelSpec) -> tuple[tuple[GgufMatrix, ...], tuple[TypedTensor, ...]]:
    """The matrices that llama-quantize types: it leaves routers as they are, and counts without
    them."""
    matrices = tuple(matrix for matrix in gguf_matrices(spec) if matrix.kind != "router")
    return matrices, tuple(_tensor(spec, matrix) for matrix in matrices)


@lru_cache(maxsize=1024)
def _mixed_place(types: tuple[TensorType, ...]) -> MixedPlace:
    names = tuple(dict.fromkeys(tensor_type.type for tensor_type in types))
    schemes = [scheme_of_type(name) for name in names]
    widest = max(
        schemes, key=lambda s: bits_per_element(SCHEMES[s].weight) if s in SCHEMES else 0.0
    )
    return MixedPlace(
        widest, tuple(dict.fromkeys(t.instead_of for t in types if t.instead_of)), names
    )


def _tensor(spec: ModelSpec, matrix: GgufMatrix) -> TypedTensor:
    rows = [row for row in spec.rows if row.name in matrix.rows]
    if matrix.name.endswith(".attn_k_b.weight") and matrix.layer is not None:
        layer = min(matrix.layer, spec.layers - 1)  # a prediction layer is as the last
        return TypedTensor(matrix.name, attention_of(spec, layer).nope_dim, stacked=True)
    columns = rows[0].shape[1] if rows else spec.hidden_size
    stacked = any(row.experts > 1 for row in rows) or matrix.name.endswith(".attn_v_b.weight")
    return TypedTensor(matrix.name, columns, stacked)


def gguf_traits(spec: ModelSpec, matrices: tuple[GgufMatrix, ...], *, imatrix: bool) -> GgufTraits:
    """What llama-quantize's rules ask of a model."""
    layers = 1 + max((m.layer for m in matrices if m.layer is not None), default=-1)
    shared = [a for a in spec.attention if a.kind == "gqa"]
    # A latent is one head of keys and values; a delta net has none, and others' count is taken.
    each = (
        shared[0].heads // shared[0].kv_heads
        if shared
        else next((a.heads for a in spec.attention if a.kind == "mla"), 1)
    )
    large = _OF_70B.get(ARCHITECTURES[spec.model_type])
    return GgufTraits(
        layers,
        each,
        spec.experts.count if spec.experts else 0,
        large is not None and layers == LAYERS_OF_70B and (each > 1 or not large),
        imatrix,
    )


@lru_cache(maxsize=64)
def mix_classes(spec: ModelSpec, engine: str) -> Classes:
    """What tells a place's layers apart: the types that the engine's mixes give to it."""
    tables = [
        mix_places(spec, name, imatrix) for name in mixes_of(engine) for imatrix in (False, True)
    ]
    seen: dict[Place, tuple[str, ...]] = {}
    for place in {place for table in tables for place in table}:
        seen[place] = tuple(table[place].scheme if place in table else "" for table in tables)

    def classes(kind: str, part: str, layer: int) -> object:
        return seen.get((kind, part, layer))

    return classes


@lru_cache(maxsize=256)
def mix_key(spec: ModelSpec, name: str, imatrix: bool = False) -> tuple[tuple[Place, str], ...]:
    """What tells a mix of a model from others: the scheme of every place, in order."""
    places = mix_places(spec, name, imatrix)
    return tuple((at, places[at].scheme) for at in sorted(places))


@lru_cache(maxsize=256)
def mix_schemes(spec: ModelSpec, name: str, imatrix: bool = False) -> tuple[str, ...]:
    """The schemes that a mix takes on a model, in the order of its tensors; none where it cannot
    be made."""
    return tuple(
        dict.fromkeys(
            place.scheme
            for (kind, _, _), place in mix_places(spec, name, imatrix).items()
            if kind in TYPED_KINDS
        )
    )


@lru_cache(maxsize=256)
def mix_refusal(spec: ModelSpec, name: str, imatrix: bool = False) -> str:
    """Why a mix cannot be made of a model, or not without an importance matrix, which
    llama-quantize asks for unless the tensor is a table of tokens or a head; empty if it can."""
    taken = mix_schemes(spec, name, imatrix)
    if not taken:
        return "llama-quantize has no type for every tensor of this model"
    weighed = "" if imatrix else importance_type(spec, name)
    if weighed:
        return f"{weighed} needs an importance matrix (llama-quantize --imatrix)"
    unknown = [scheme for scheme in taken if scheme not in SCHEMES]
    return f"{', '.join(unknown)} is not in the catalogue" if unknown else ""


def importance_type(spec: ModelSpec, name: str) -> str:
    """The type for which llama-quantize refuses a mix without an importance matrix; empty where it
    writes it, and for a name that is no mix."""
    if name not in engine_mixes():
        return ""
    return next(
        (
            of
            for (kind, _, _), place in mix_places(spec, name).items()
            for of in (place.types if kind in PLANNED_KINDS else ())
            if asks_for_imatrix(of, name)
        ),
        "",
    )


def fitted_scheme(module: Module, scheme: str) -> str:
    """``scheme``, or what stands in for it where rows of the module are no whole blocks of it."""
    if SCHEMES[scheme].weight.block_bytes is None:
        return scheme
    return substitute_scheme(
        scheme, [columns for gemm in module.gemms for _, columns in gemm.members]
    )


def substitute_schemes(modules: Iterable[Module], scheme: str) -> tuple[str, ...]:
    """What stands in for ``scheme`` in any of the linears, once each."""
    fitted_schemes = (fitted_scheme(m, scheme) for m in modules if m.kind in PLANNED_KINDS)
    return tuple(dict.fromkeys(name for name in fitted_schemes if name != scheme))


def substitute_scheme(scheme: str, columns: Iterable[int]) -> str:
    """The ggml scheme that llama-quantize takes for ``scheme`` in rows of ``columns`` elements: the
    first of its fallbacks whose blocks all of them are whole numbers of, or FP16."""
    widths = set(columns)
    while (block := weight_type(scheme)) is not None and any(
        width % block.elements for width in widths
    ):
        scheme = scheme_of_type(fallback_of(block.name) or WIDE)
    return scheme


def mix_substitutes(
    spec: ModelSpec, name: str, imatrix: bool = False
) -> tuple[tuple[str, str], ...]:
    """(scheme, what stands in for it) of a mix, as rows are no whole blocks, once each."""
    return tuple(
        dict.fromkeys(
            (scheme_of_type(wanted), place.scheme)
            for place in mix_places(spec, name, imatrix).values()
            for wanted in place.instead_of
        )
    )
