"""Which type llama-quantize gives to a tensor: ``data/gguf_tensor_rules.csv``.

A mix names one type; rules give some tensors another, by what they are, where they stand and what
the model is like. The first row that fits decides. A row that is no whole number of a type's blocks
takes the type's fallback (:mod:`planner.formats.ggml_types`), or F16 where that does not fit
either.

Source: ggml-org/llama.cpp src/llama-quant.cpp (llama_tensor_get_type and tensor_type_fallback,
commit 0c1e570). Types are those of ggml, in small letters.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

from planner.base.errors import UnsupportedError
from planner.base.identity_cache import cached_by_identity
from planner.base.records import record
from planner.formats.ggml_types import GGML_WEIGHTS
from planner.planning.engines.rules import DATA, RuleSource, sources

OUTPUT, TABLE = "output", "token_embd"
SMALLEST = 32
"""Elements of the smallest blocks, below which there is no other type."""
WIDE = "f16"
"""What a tensor takes that fits no block."""
ALL = "*"
_TABLES = ("token_embd.weight", "per_layer_token_embd.weight")
_KINDS = (
    ("attn_qkv.weight", "attn_v"),
    ("attn_kv_b.weight", "attn_v"),
    ("attn_v.weight", "attn_v"),
    ("attn_k.weight", "attn_k"),
    ("attn_q.weight", "attn_q"),
    ("attn_output.weight", "attn_output"),
    ("ffn_up", "ffn_up"),
    ("ffn_gate", "ffn_gate"),
    ("ffn_down", "ffn_down"),
)
"""What a name contains → what rules call the tensor; the first counts. Joined projections and
latents' go with values."""
_LAYER = re.compile(r"blk\.(\d+)\.")


@record
class TypedTensor:
    """A tensor to quantise: its whole name, the elements of a row, whether experts are stacked."""

    name: str
    columns: int
    stacked: bool = False


@record
class GgufTraits:
    """What rules ask of a model: layers (prediction layers with them), query heads of a key head,
    experts (0 without), whether llama.cpp calls it a 70B model, whether there is an importance
    matrix."""

    layers: int
    queries_per_key: int
    experts: int
    is_70b: bool = False
    imatrix: bool = False


_MODELS = 4
"""Models whose tensors are kept in order."""
_NAMES = 1 << 14
"""Names of tensors that are kept: those of a large model, which every mix is asked of."""


@record
class TensorRule:
    """One row: ``type`` for ``tensors`` under ``mixes`` where every word of ``when`` holds."""

    tensors: tuple[str, ...]
    mixes: tuple[str, ...]
    when: tuple[str, ...]
    type: str
    source: RuleSource


@record
class TensorType:
    """What a tensor takes: ``type``, and the type that it stands in for where rows are not whole
    blocks ("" where they are)."""

    type: str
    instead_of: str = ""


def quantised_types(
    mix: str,
    base: str,
    tensors: Sequence[TypedTensor],
    traits: GgufTraits,
) -> dict[str, TensorType]:
    """The type of each tensor by name under ``mix``, whose own type is ``base``.

    Raises:
        UnsupportedError: a tensor that fits neither a type nor its fallback, where none is defined.
    """
    tensor_types: dict[str, TensorType] = {}
    known: dict[tuple[object, ...], TensorType] = {}
    rules: dict[str, tuple[list[TensorRule], bool]] = {}
    for place, kind in _counted(tuple(tensors)):
        tensor = place.tensor
        if kind not in rules:
            rules[kind] = _left_of(_rules_of(kind, mix), traits)
        open_, placed = rules[kind]
        key = (
            kind,
            tensor.columns,
            *((tensor.stacked, place.counted, place.total, place.layer) if placed else ()),
        )
        typed = known.get(key)
        if typed is None:
            rule = next(
                (r for r in open_ if all(_holds(word, place, base, traits) for word in r.when)),
                None,
            )
            typed = known[key] = type_for_width(base if rule is None else rule.type, tensor)
        tensor_types[tensor.name] = typed
    return tensor_types


def _left_of(rules: Sequence[TensorRule], traits: GgufTraits) -> tuple[list[TensorRule], bool]:
    """(the rules that hold for some tensor of a model, up to the one that holds for all; whether
    any depends on the tensor)."""
    remaining_rules = []
    for rule in rules:
        own = [word for word in rule.when if word not in _OF_MODEL]
        if all(_OF_MODEL[word](traits) for word in rule.when if word in _OF_MODEL):
            remaining_rules.append(rule)
            if not own:
                break
    return remaining_rules, any(
        word not in _OF_MODEL for rule in remaining_rules for word in rule.when
    )


@cached_by_identity(_MODELS, of=lambda tensors: (id(tensors),))
def _counted(tensors: tuple[TypedTensor, ...]) -> list[tuple[_Place, str]]:
    """(tensor as rules see it, what they call it) in the order of a file: what no mix changes."""
    tied = all(t.name != f"{OUTPUT}.weight" for t in tensors)
    values = sum(_category(t.name, tied) == "attn_v" for t in tensors)
    seen = {"attn_v": 0, "ffn_down": 0, "ffn_gate": 0, "ffn_up": 0}
    places: list[tuple[_Place, str]] = []
    for tensor in sorted(tensors, key=lambda t: (layer_of(t.name), t.name)):
        kind = _category(tensor.name, tied)
        total = values if kind == "attn_v" else None
        places.append((_Place(tensor, seen.get(kind, 0), total, layer_of(tensor.name)), kind))
        if kind in seen:
            seen[kind] += 1
    return places


def type_for_width(wanted: str, tensor: TypedTensor) -> TensorType:
    """``wanted``, or what stands in for it in rows of the tensor's width.

    Raises:
        UnsupportedError: none is defined.
    """
    typed = _fitted(wanted, tensor.columns)
    if typed is None:
        raise UnsupportedError(
            f"{tensor.name}: rows of {tensor.columns} are no whole blocks of {wanted}, and "
            "llama-quantize has no type in its place",
            hint="another mix, or types by tensor",
        )
    return typed


@lru_cache(maxsize=_NAMES)
def _fitted(wanted: str, columns: int) -> TensorType | None:
    """:func:`type_for_width` in rows of ``columns`` elements; one record for all of a type."""
    block = GGML_WEIGHTS.get(wanted)
    if block is None or columns % block.elements == 0:
        return TensorType(wanted)
    other = fallback_of(wanted)
    if not other:
        return None
    fits = other not in GGML_WEIGHTS or columns % GGML_WEIGHTS[other].elements == 0
    return TensorType(other if fits else WIDE, wanted)


def fallback_of(name: str) -> str:
    """What llama-quantize writes where rows are no whole blocks of a type: F16 for types of the
    smallest blocks, empty where it stops."""
    block = GGML_WEIGHTS[name]
    return block.fallback or (WIDE if block.elements <= SMALLEST else "")


def asks_for_imatrix(name: str, mix: str) -> bool:
    """Whether llama-quantize refuses a tensor of a layer in a type under ``mix`` without an
    importance matrix."""
    return (name in GGML_WEIGHTS and bool(GGML_WEIGHTS[name].imatrix)) or (name, mix) == (
        "q2_k",
        "Q2_K_S",
    )


@record
class _Place:
    """A tensor as rules see it: how many of its kind came before, of how many (None: of the
    layers), its layer."""

    tensor: TypedTensor
    counted: int
    total: int | None
    layer: int


def _holds(word: str, at: _Place, base: str, traits: GgufTraits) -> bool:
    """Whether a word of the column ``when`` is true of a tensor under a mix of type ``base``."""
    # Experts' tensors of a file may lie in any order, so that theirs are told by layer.
    by_name = traits.experts > 1 and _category(at.tensor.name, tied=False) != "attn_v"
    place = at.layer if by_name else at.counted
    total = traits.layers if at.total is None else at.total
    if word in _OF_MODEL:
        return _OF_MODEL[word](traits)
    if word == "stacked":
        return at.tensor.stacked
    if word == "partial":
        return at.tensor.columns % GGML_WEIGHTS[base].elements != 0
    if word == "first-eighth-counted":
        return at.counted < total // 8
    if word == "more-bits":
        return more_bits(place, total)
    if word == "inner":
        return total // 8 <= place < 7 * total // 8
    return (
        place
        < {"first-2": 2, "first-4": 4, "first-eighth": total // 8, "first-sixteenth": total // 16}[
            word
        ]
    )


_OF_MODEL: dict[str, Callable[[GgufTraits], bool]] = {
    "gqa4": lambda m: m.queries_per_key >= 4,
    "experts4": lambda m: m.experts >= 4,
    "experts8": lambda m: m.experts == 8,
    "not-experts8": lambda m: m.experts != 8,
    "70b": lambda m: m.is_70b,
    "imatrix": lambda m: m.imatrix,
    "no-imatrix": lambda m: not m.imatrix,
}


def more_bits(place: int, total: int) -> bool:
    """llama.cpp's use_more_bits: the first and last eighth, and every third in between."""
    return place < total // 8 or place >= 7 * total // 8 or (place - total // 8) % 3 == 2


@lru_cache(maxsize=_NAMES)
def layer_of(name: str) -> int:
    """The layer of a tensor, −1 outside the stack."""
    match = _LAYER.match(name)
    return int(match[1]) if match else -1


@lru_cache(maxsize=_NAMES)
def _category(name: str, tied: bool) -> str:
    """What rules call a tensor; a table that is the head as well is typed as the head."""
    if name == f"{OUTPUT}.weight":
        return OUTPUT
    if name in _TABLES:
        return OUTPUT if tied else TABLE
    return next((kind for part, kind in _KINDS if part in name), "")


@cache
def _rules_of(kind: str, mix: str) -> tuple[TensorRule, ...]:
    return tuple(
        r
        for r in tensor_rules()
        if (kind in r.tensors or r.tensors == (ALL,)) and (mix in r.mixes or r.mixes == (ALL,))
    )


@cache
def tensor_rules() -> tuple[TensorRule, ...]:
    """The rules, in order."""
    known = sources()
    with (DATA / "gguf_tensor_rules.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            TensorRule(
                tuple(row["tensors"].split()),
                tuple(row["mixes"].split()),
                tuple(row["when"].split()),
                row["type"],
                known[row["source"]],
            )
            for row in csv.DictReader(file)
        )
