"""What a llama.cpp command line says of a measured row: what is not on the card, the context that
is held, the cache, and what is timed behind what.

Layers are counted as src/llama-model.cpp counts them: the head is one more than the stack, so that
``-ngl 28`` of 28 layers leaves one, or the head in older versions, in host memory
(ggml-org/llama.cpp, ``i_gpu_start``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from planner.base.records import record
from planner.formats.kv import GGML_CACHES
from planner.lab.validation.cells import MOST_TOKENS, count
from planner.lab.validation.records import NotCoveredError
from planner.models.spec import ModelSpec

ALL_LAYERS = 1 << 30
"""Of a row that states no number of layers on the card."""


def _flag(names: str, value: str = r"(\d+)") -> re.Pattern[str]:
    return re.compile(rf"(?<!\S)(?:{names})[ =]{value}(?!\S)")


_DEPTH = _flag("-d|--n-depth")
_UBATCH = _flag("-ub|--ubatch-size")
_LAYERS = _flag("-ngl|--n-gpu-layers|--gpu-layers")
_CONTEXT = _flag("-c|--ctx-size")
_CACHES = _flag("-ctk|--cache-type-k|-ctv|--cache-type-v", r"([a-z]+\d*(?:_[a-z0-9]+)?)")
_SOME_IN_HOST = _flag("-ncmoe|--n-cpu-moe|--n-cpu-ffn", r"0*([1-9]\d*)")
_IN_HOST = re.compile(
    r"(?<!\S)(?:-cmoe|--cpu-moe|-nkvo|--no-kv-offload)(?!\S)"
    r"|(?<!\S)(?:-ot|--override-tensor)[ =]\S*=CPU"
)
_BENCH = re.compile(r"(?<!\S)\S*llama-bench(?!\S)")
"""A program that times answers behind what -d puts into the cache, and no prompt of its own."""
_WITH_DRAFTS = re.compile(r"\bMTP\b", re.IGNORECASE)
"""Files that hold the layer that drafts, which is one of the stack there."""
_PLAIN = ("", "f16", "fp16", "bf16")


@record
class HomeCommand:
    """Of one row: ``depth`` (-d) and ``ubatch`` (-ub) as written, empty where they are not;
    ``bench``: llama-bench runs; ``layers`` (-ngl) on the card; ``hosted``: experts, caches or
    tensors are put into host memory; ``context`` tokens held, 0: not stated; ``cache`` type of
    keys and values, empty: 16 bits."""

    depth: str = ""
    ubatch: str = ""
    bench: bool = False
    layers: int = ALL_LAYERS
    hosted: bool = False
    context: int = 0
    cache: str = ""


def command_of(row: Mapping[str, str]) -> HomeCommand:
    """What the command of ``row`` says, and its columns where the command does not.

    Raises:
        NotCoveredError: a cache that is not one type of llama.cpp's, or a number out of range.
    """
    text = row.get("command", "")
    depth, ubatch, layers, context = (
        found[-1] if (found := pattern.findall(text)) else ""
        for pattern in (_DEPTH, _UBATCH, _LAYERS, _CONTEXT)
    )
    stated = layers or row.get("gpu_layers", "").strip()
    context = context or row.get("context", "").strip()
    typed = set(_CACHES.findall(text))
    # Long commands are cut off at their end, within a word.
    whole = {name for name in typed if not any(other.startswith(name) for other in typed - {name})}
    caches = whole or {row.get("kv_cache", "").strip().lower()}
    named = {"" if name in _PLAIN else name for name in caches}
    cache = named.pop()
    if named or (cache and cache not in GGML_CACHES):
        raise NotCoveredError("unknown format")
    return HomeCommand(
        depth,
        ubatch,
        _BENCH.search(text) is not None,
        _count_or_zero(stated) if stated else ALL_LAYERS,
        bool(_SOME_IN_HOST.search(text) or _IN_HOST.search(text)),
        _count_or_zero(context) if context else 0,
        cache,
    )


def _count_or_zero(text: str) -> int:
    """A count of 0 or more, written with or without a fraction of 0."""
    return 0 if text in ("0", "0.0") else count(text, MOST_TOKENS)


def check_on_card(said: HomeCommand, spec: ModelSpec, model: str) -> None:
    """Stop at a model named ``model`` of which the host computes a part.

    Raises:
        NotCoveredError: it does.
    """
    stack = spec.layers + (1 if _WITH_DRAFTS.search(model) else 0)
    if said.hosted or said.layers <= stack:
        raise NotCoveredError("partial offload")
