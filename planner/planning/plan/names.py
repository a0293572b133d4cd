"""What plans are called, and of which kind a name is.

A name is a message, so that every language has its words. Files of older versions hold words; those
by which a kind is told are known here.
"""

from __future__ import annotations

from typing import Literal

from planner.messages.message import Message, Text, message

NameKind = Literal[
    "released", "recipe", "uniform", "formats", "default", "optimum", "mix", "recipe-of", ""
]
"""``mix``: one scheme in each pool, or a mix with 4-bit formats; empty: a release or a mixture by
its own name, or words that are not known."""
Pooled = Literal["pools", "two_pools", "aggregated", ""]
"""What a name says of pools before the plan's own."""
RELEASED = message("reasons.as_released")
"""The checkpoint with its weights unchanged."""
OPTIMUM = message("reasons.optimum")
PUBLISHED = message("reasons.published_recipe")
FP16_INT8 = message("reasons.fp16_attention_int8_experts")
MIX_WITH_4_BIT = message("reasons.mix_with_4_bit")
ONE_SCHEME_IN_EACH_POOL = message("reasons.one_scheme_in_each_pool")

_KINDS: dict[str, NameKind] = {
    "reasons.as_released": "released",
    "reasons.published_recipe": "recipe",
    "reasons.uniform": "uniform",
    "reasons.format": "formats",
    "reasons.formats": "formats",
    "reasons.default": "default",
    "reasons.optimum": "optimum",
    "reasons.mix_with_4_bit": "mix",
    "reasons.one_scheme_in_each_pool": "mix",
    "reasons.recipe": "recipe-of",
}
_POOLED: dict[str, Pooled] = {
    "reasons.pools": "pools",
    "reasons.two_pools": "two_pools",
    "reasons.aggregated": "aggregated",
}
_OLDER: dict[str, NameKind] = {
    "as released": "released",
    "published recipe": "recipe",
    "uniform ": "uniform",
    "optimum": "optimum",
}
_OLDER_POOLED: dict[str, Pooled] = {
    "pools: ": "pools",
    "two pools: ": "two_pools",
    "aggregated: ": "aggregated",
}


def uniform(scheme: str) -> Message:
    """``uniform fp8-block``."""
    return message("reasons.uniform", x=scheme)


def counted_formats(count: int) -> Message:
    """``2 formats``: all that the linears take, what they are released in as well."""
    return message("reasons.formats" if count > 1 else "reasons.format", n=count)


def default_of(*engines: str) -> Message:
    """``vllm, sglang default``."""
    names: Text = engines[0] if len(engines) == 1 else message("structure.names", parts=engines)
    return message("reasons.default", names=names)


def with_cache(name: Text, kv: str) -> Message:
    """``uniform fp8-block, KV fp8``."""
    return message("reasons.kv", x=name, y=kv)


def on_engine(name: Text, engine: str) -> Message:
    """``uniform fp8-block on vllm``."""
    return message("reasons.on_engine", x=name, e=engine)


def name_kind(name: Text) -> NameKind:
    """Of which kind a plan is by its name, whatever its cache, its engine and its pools."""
    inner = without_cache(without_pools(name))
    if isinstance(inner, Message):
        return _KINDS.get(inner.id, "")
    if inner.endswith(" default"):
        return "default"
    if inner.partition(" ")[2] in ("format", "formats"):
        return "formats"
    return next((kind for start, kind in _OLDER.items() if inner.startswith(start)), "")


def pooled_kind(name: Text) -> Pooled:
    """What a name says of pools."""
    if isinstance(name, Message):
        return _POOLED.get(name.id, "")
    return next((kind for lead, kind in _OLDER_POOLED.items() if name.startswith(lead)), "")


def without_pools(name: Text) -> Text:
    """The name of a plan without what it says of pools."""
    if not pooled_kind(name):
        return name
    return _inner(name) if isinstance(name, Message) else name.partition(": ")[2]


def is_just(name: Text, kind: NameKind) -> bool:
    """Whether a name is a kind's alone: of no cache, engine or pools."""
    plain = name == without_cache(name) and not pooled_kind(name)
    older = isinstance(name, Message) or name in _OLDER
    return plain and older and name_kind(name) == kind


def without_cache(name: Text) -> Text:
    """A name without what it says of the cache and the engine."""
    while isinstance(name, Message) and name.id in ("reasons.kv", "reasons.on_engine"):
        name = _inner(name)
    return name


def _inner(name: Message) -> Text:
    held = dict(name.values)["x"]
    assert isinstance(held, str)
    return held
