"""vLLM's pool of layers with windows: what its logs print, and laws of the groups."""

import pytest

from planner.memory.caches import cache_classes
from planner.memory.engines.catalog import parse_engine
from planner.memory.engines.records import Case, EngineResult, Settings
from planner.memory.engines.run import engine_size
from planner.memory.engines.vllm_pool import Pool, pool_of
from planner.memory.resident import as_released, segment_bytes
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout

GIB, MIB = 2**30, 2**20


def pool_bytes(model: str, engine: str, size: float, context: int, batched: int) -> EngineResult:
    case = Case(resolve_model(model), Layout(), 200 * GIB, as_released)
    settings = Settings(context=context, batched_tokens=batched, kv_bytes=int(size * GIB))
    return engine_size(case, parse_engine(engine), settings)


def groups(model: str) -> Pool:
    pool = pool_of(cache_classes(resolve_model(model), Layout(), "bf16"), 16)
    assert pool is not None
    return pool


@pytest.mark.parametrize(
    ("size", "context", "tokens", "concurrency"),
    [(7.12, 16384, 155_584, 16.75), (15.37, 32768, 335_664, 19.2)],
)
def test_gpt_oss_has_the_tokens_and_requests_that_its_logs_print(
    size: float, context: int, tokens: int, concurrency: float
) -> None:
    """vLLM 0.12 on an RTX 3090 and an RTX 5090: the pool in GiB, then tokens and concurrency."""
    found = pool_bytes("gpt-oss-20b", "vllm@0.12", size, context, 2048)
    assert found.tokens == pytest.approx(tokens, rel=0.001)
    assert found.max_concurrency == pytest.approx(concurrency, rel=0.001)


def test_from_0_21_on_tokens_are_concurrency_times_length() -> None:
    """vllm-project/vllm#43308: the same pool, 9.5 times the tokens."""
    old, new = (pool_bytes("gpt-oss-20b", f"vllm@{v}", 8, 65536, 2048) for v in ("0.20", "0.21"))
    assert old.blocks == new.blocks
    assert old.max_concurrency == new.max_concurrency
    assert old.tokens == old.blocks // 2 * 16
    assert new.tokens == int(new.max_concurrency * 65536)


def test_gemma_lies_in_groups_of_as_many_layers_as_look_at_all_tokens() -> None:
    """62 layers, 10 of them full: seven groups of ten, the last padded by eight."""
    pool = groups("gemma-3-27b")
    full, sliding = sorted(pool.groups, key=lambda g: g.window)
    assert (full.groups, full.layers) == (1, 10)
    assert (sliding.groups, sliding.layers, sliding.window) == (6, 10, 1024)
    assert pool.tables == 7


@pytest.mark.parametrize("model", ["gpt-oss-20b", "gpt-oss-120b", "gemma-3-27b", "gemma-3-270m"])
def test_a_request_takes_more_blocks_as_it_grows_and_never_more_than_without_windows(
    model: str,
) -> None:
    pool = groups(model)
    before = 0
    for length in (1, 15, 16, 17, 500, 1024, 8192, 8193, 131072):
        now = pool.request_blocks(length, 8192)
        assert before <= now <= pool.tables * (-(-length // 16) + 1)
        before = now
    assert pool.request_blocks(131072, 2048) < pool.request_blocks(131072, 8192)


def test_models_of_one_length_have_no_groups_and_chunks_are_kept_whole() -> None:
    assert pool_of(cache_classes(resolve_model("llama-3.1-8b"), Layout(), "bf16"), 16) is None
    assert pool_of(cache_classes(resolve_model("deepseek-v3"), Layout(), "bf16"), 16) is None
    chunked = pool_bytes("llama-4-scout", "vllm@0.20", 8, 32768, 8192)
    assert not chunked.grouped
    assert chunked.max_concurrency == pytest.approx(
        8 * GIB / (32768 * chunked.block_bytes / 16), rel=0.01
    )


@pytest.mark.parametrize(
    ("size", "taken"),
    [
        (9 * MIB, 9 * MIB),
        (35 * MIB, 36 * MIB),
        (85 * MIB, 86 * MIB),
        (170 * MIB, 170 * MIB),
        (170 * MIB + 1, 170 * MIB + 1),
    ],
)
def test_a_parameter_takes_what_the_allocator_cuts_off_for_it(size: int, taken: int) -> None:
    """Qwen3-14B in FP8: 35, 25 and 85 MiB of every layer are taken as 36, 26 and 86, which is the
    0.12 GiB by which a log of vLLM 0.12 exceeds the checkpoint."""
    assert segment_bytes(size) == taken
