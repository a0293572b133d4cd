"""What an engine's scheduler is set to."""

from __future__ import annotations

from planner.base.records import record

VLLM, SGLANG, TENSORRT_LLM, LLAMA_CPP = "vllm", "sglang", "tensorrt-llm", "llama.cpp"
FCFS, LONGEST_PREFIX = "fcfs", "lpm"
LEAST_LOADED, ROUND_ROBIN, RANDOM = "least-loaded", "round-robin", "random"
ROUTERS = (LEAST_LOADED, ROUND_ROBIN, RANDOM)
"""How a request gets its replica."""


@record
class SchedulerRules:
    """An ``engine``'s scheduler of one attention rank.

    ``token_budget``: most tokens of a pass; ``max_sequences``: most requests that run;
    ``cache_tokens`` that the rank's cache holds, in blocks of ``block_tokens``; ``context``: most
    tokens of a request, prompt and answer (longer ones are rejected; llama.cpp ends the answer
    there). ``chunked``: prompts are read in parts, else longer ones than a pass are rejected;
    ``mixed``: beside decoding, else alone. ``prefix_cache``: equal prefixes are kept and found.
    ``reserve``: share of the answer that admission sets aside (1: nothing is evicted). ``order``:
    of those that wait, ``fcfs`` or ``lpm`` (longest cached prefix first). ``full_prompt``: vLLM
    admits a request where the cache has room for all of its prompt, not for its first part alone
    (``scheduler_reserve_full_isl``).
    ``accepted``: tokens that a decode step of a sequence yields on average, of ``draft`` + 1 that
    are verified.
    """

    engine: str
    token_budget: int
    max_sequences: int
    cache_tokens: int
    context: int
    block_tokens: int = 16
    chunked: bool = True
    mixed: bool = True
    prefix_cache: bool = True
    reserve: float = 0.0
    order: str = FCFS
    full_prompt: bool = True
    draft: int = 0
    accepted: float = 1.0
