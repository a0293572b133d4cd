"""The cache of vLLM's CPU back end, to the token, as vLLM 0.32 printed it."""

from planner.api.memory import memory_use

CPU = "xeon-6980p"


def test_tokens_of_a_pool_are_those_that_vllm_printed() -> None:
    """"CPU KV cache size: 93,184 tokens, Maximum concurrency for 2,048 tokens per request: 45.50x",
    for 2 GiB; 46,592 tokens for 1 GiB."""
    for pool, tokens in ((2 << 30, 93_184), (1 << 30, 46_592)):
        found = memory_use("smollm2-135m", CPU, engine="vllm@0.32", context=2048,
                           kv_cache_memory_bytes=pool).engine
        assert found is not None
        assert (found.block_tokens, found.tokens) == (128, tokens)
        assert found.max_concurrency == tokens / 2048
        names = [line.name for line in (*found.rank.weights, *found.rank.overheads)]
        assert "packed-head" in names
        assert "cuda-graphs" not in names


def test_a_gpu_keeps_its_blocks_of_16_and_one_table() -> None:
    found = memory_use("smollm2-135m", "h100-sxm", engine="vllm@0.32", context=2048,
                       kv_cache_memory_bytes=2 << 30).engine
    assert found is not None
    assert found.block_tokens == 16
    assert "packed-head" not in [line.name for line in found.rank.weights]
