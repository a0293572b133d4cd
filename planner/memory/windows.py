"""How many entries of a windowed layer an engine keeps of a sequence: the window is the least.

vLLM gives every group of layers whole blocks (:mod:`planner.memory.engines.vllm_pool`), SGLang a
pool of a share of the tokens of the others, or of as many, TensorRT-LLM as many unless it is told
otherwise, llama.cpp the window and one micro-batch in whole cells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import ceil

from planner.base.records import record
from planner.memory.caches import CacheClass
from planner.memory.engines.catalog import Engine
from planner.memory.engines.vllm_pool import groups_of, in_groups
from planner.models.spec import ModelSpec

_SHARED_POOL = frozenset({
    "Llama4ForConditionalGeneration", "GptOssForCausalLM", "MiMoV2FlashForCausalLM",
})  # fmt: skip
_SHARED_POOL_LATER = frozenset({
    "Step3p5ForCausalLM", "Gemma4ForCausalLM", "Gemma4ForConditionalGeneration",
})  # fmt: skip
"""SGLang's is_hybrid_swa_model (srt/configs/model_config.py) of 0.5.8, and what 0.5.14 adds."""
_MICRO_BATCH = 512
_ROUNDING = 1e-6


@record
class WindowRule:
    """Entries kept of a window: ``kept`` by window, and ``share`` > 0 of all tokens at least."""

    kept: tuple[tuple[int, int], ...] = ()
    share: float = 0.0

    def entries(self, window: int, tokens: int) -> int:
        """Entries kept of ``tokens``, of a layer with ``window`` (0: of all)."""
        if not window:
            return tokens
        kept = dict(self.kept).get(window, window)
        return max(min(tokens, kept), ceil(tokens * self.share - _ROUNDING))

    def of(self, caches: Iterable[CacheClass]) -> tuple[CacheClass, ...]:
        """The caches of an engine that follows the rule: whole, or with what is kept of each."""
        return tuple(
            cache
            if cache.kind != "kv" or not cache.window
            else replace(cache, window=0)
            if self.share >= 1
            else replace(cache, kept=self)
            for cache in caches
        )


ALONE = WindowRule()
"""Of no engine, or of one that is not modelled: the window."""


def window_rule(spec: ModelSpec, engine: Engine | None, *, block: int = 0) -> WindowRule:
    """What ``engine`` keeps of the windows of ``spec``; ``block`` tokens a block (0: its own)."""
    windows = {a.window: len(a.layers) for a in spec.attention if a.kind == "gqa" and a.window}
    if engine is None or not windows:
        return ALONE
    if engine.name == "vllm":
        if all(a.window for a in spec.attention):
            return ALONE
        if not in_groups(spec, engine):
            return WindowRule(share=1.0)
        size = block or engine.integer("block_tokens")
        counts = {0: sum(len(a.layers) for a in spec.attention if not a.window), **windows}
        return WindowRule(
            tuple(
                (window, -(-(-(-window // size) + 1) * size * groups * layers // counts[window]))
                for window, groups, layers in groups_of(counts)
                if window
            )
        )
    if engine.name == "sglang":
        shared = spec.architecture in _SHARED_POOL or (
            spec.architecture in _SHARED_POOL_LATER and engine.number("window_share_later") > 0
        )
        return WindowRule(share=engine.number("window_share") if shared else 1.0)
    if engine.name == "tensorrt-llm":
        return WindowRule(share=1.0)
    if engine.name == "llama.cpp":
        pad = engine.integer("cell_pad")
        return WindowRule(tuple((w, -(-(w + _MICRO_BATCH) // pad) * pad) for w in windows))
    return ALONE
