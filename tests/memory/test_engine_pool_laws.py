"""What each engine's pool must do whatever the figures: passes, copies, blocks, uneven caches."""

from dataclasses import replace

import pytest

from planner.base.errors import InputError
from planner.base.units import GIB
from planner.formats.schemes import scheme
from planner.formats.spec import TensorFormat
from planner.memory.caches import request_bytes, token_bytes
from planner.memory.engines.catalog import parse_engine
from planner.memory.engines.flags import settings_of_flags
from planner.memory.engines.records import (
    Case,
    EngineResult,
    Given,
    Settings,
    cache_layout,
    of_kind,
)
from planner.memory.engines.run import engine_size
from planner.memory.engines.vllm import forward_pass, graph_sizes, loading_of
from planner.memory.extra_models import ExtraModels, Lora
from planner.memory.resident import (
    ExpertPad,
    Loading,
    as_released,
    rank_weights,
    total,
)
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout

FP8 = scheme("fp8-channel").weight


def case_of(model: str, gib: int = 80, tp: int = 1, *, large: bool = True) -> Case:
    return Case(resolve_model(model), Layout(tp), gib * GIB, as_released, large=large)


def sized(
    model: str,
    engine: str,
    gib: int = 80,
    tp: int = 1,
    given: Given | None = None,
    **settings: object,
) -> EngineResult:
    return engine_size(case_of(model, gib, tp), parse_engine(engine), Settings(**settings), given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("engine", "context", "tokens"),
    [
        ("vllm@0.6.4-v0", 100, 2048),
        ("vllm@0.6.4-v0", 4096, 4096),
        ("vllm@0.6.4-v0", 32768, 32768),
        ("vllm@0.6.4-v0", 32769, 2048),
        ("vllm@0.6.4-v0", 131072, 2048),
        ("vllm@0.9-v1", 4096, 2048),
        ("vllm@0.9-v1", 131072, 2048),
    ],
)
def test_the_old_worker_alone_profiles_a_whole_context(
    engine: str, context: int, tokens: int
) -> None:
    """Up to 32,768 tokens, and never less than a batch; small devices' batch is 2,048."""
    case = case_of("llama-3.1-8b", large=False)
    run = forward_pass(case, parse_engine(engine), Settings(batched_tokens=None), context)
    assert run.tokens == tokens
    assert run.sequences <= run.tokens
    own = forward_pass(case, parse_engine(engine), Settings(batched_tokens=7), context)
    assert (own.tokens, own.sequences) == (7, 7)


def formats(*kinds: str) -> object:
    def found(kind: str, layer: int) -> TensorFormat | None:
        return FP8 if kind in kinds else None

    return found


@pytest.mark.parametrize(
    ("model", "kinds", "absorbed"),
    [
        ("deepseek-v2-lite", (), ""),
        ("deepseek-v2-lite", ("experts-gate-up", "experts-down"), ""),
        ("deepseek-v2-lite", ("mla-kv",), "kv"),
        ("deepseek-v3", (), "kv"),
        ("llama-3.1-8b", ("attention-qkv", "mlp-down"), ""),
    ],
)
def test_latent_projections_are_copied_where_they_are_quantised(
    model: str, kinds: tuple[str, ...], absorbed: str
) -> None:
    """Absorbed in 16 bits beside the quantised matrix; one in 16 bits is absorbed in place."""
    case = replace(case_of(model), format_of=formats(*kinds))  # type: ignore[arg-type]
    assert loading_of(case, 1, mla=True, pad=ExpertPad()).absorbed == absorbed
    assert loading_of(case, 1, mla=False, pad=ExpertPad()).absorbed == ""


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_one_rank_needs_no_room_for_others(engine: str) -> None:
    """Libraries for exchange are counted from two ranks on, and not again for more."""
    constants = parse_engine(engine).constants
    alone = constants["nontorch_bytes" if engine == "vllm" else "context_bytes"].value
    more = constants["nontorch_parallel_bytes" if engine == "vllm" else "parallel_bytes"].value
    taken = [
        of_kind(sized("llama-3.1-8b", engine, tp=tp).rank.overheads, "non-torch")
        for tp in (1, 2, 4)
    ]
    assert more > 0
    assert taken == [alone, alone + more, alone + more]


def test_a_kind_of_line_is_its_own_bytes_alone() -> None:
    lines = sized("deepseek-v3", "vllm", 288, tp=8).rank.weights
    names = {line.name for line in lines}
    assert len(names) > 5
    assert sum(of_kind(lines, name) for name in names) == total(lines)
    assert of_kind(lines, "nothing") == 0
    assert of_kind((*lines, *lines), "embedding") == 2 * of_kind(lines, "embedding") > 0


def test_a_prompt_in_plain_pytorch_is_no_longer_than_the_context() -> None:
    chunk = parse_engine("pytorch").integer("batched_tokens")
    for context, tokens in ((chunk // 4, chunk // 4), (chunk, chunk), (4 * chunk, chunk)):
        run = dict(sized("llama-3.1-8b", "pytorch", context=context).settings)
        assert run["prompt-chunk"] == tokens


@pytest.mark.parametrize("block", [1, 64])
@pytest.mark.parametrize("context", [4096, 65536])
def test_caches_that_grow_unevenly_are_counted_at_the_context(context: int, block: int) -> None:
    """gpt-oss-20b: 12 of 24 layers have a window of 128 tokens, 8 heads of 64 in BF16; what a token
    takes is not the same for the first and the last, so a pool holds budget · context / bytes of
    one. SGLang's windows have four fifths of the others' tokens, TensorRT-LLM's as many."""
    entry = 2 * 8 * 64 * 2
    kept = {"sglang": -(-context * 4 // 5), "tensorrt-llm": context, "pytorch": 128}
    for engine, window in kept.items():
        need = 12 * entry * (context + window)
        found = sized("gpt-oss-20b", engine, context=context, block_tokens=block)
        one_more = entry * context if engine == "pytorch" else 0  # a layer while it is extended
        assert request_bytes(found.rank.caches, context) == need
        most = found.rank.budget_bytes * context / (need + one_more)
        up = found.block_tokens if engine == "tensorrt-llm" else 0  # whose tokens are rounded up
        assert most - found.block_tokens <= found.tokens <= most + up
        assert found.tokens > context
        assert found.tokens % found.block_tokens == 0


def test_plain_pytorch_without_a_cache_that_is_even() -> None:
    """Even layers: whole entries of the budget; the sequences at once need room to extend one."""
    found = sized("qwen3-8b", "pytorch", context=4096)
    assert found.tokens == found.kv_bytes // token_bytes(found.rank.caches)
    assert found.max_concurrency < found.tokens / 4096


@pytest.mark.parametrize("short", [0, 1])
def test_a_pool_of_tensorrt_llm_holds_a_block_or_does_not_start(short: int) -> None:
    """llama-3.1-8b: 131,072 B a token, blocks of 32."""
    block = 131_072 * 32
    weights = sized("llama-3.1-8b", "trtllm@1.0").rank.weights_bytes
    total_gib = -(-(weights + 20 * GIB) // GIB)
    found = sized(
        "llama-3.1-8b", "trtllm@1.0", total_gib, utilisation=1.0, given=Given(free=block - short)
    )
    assert found.block_bytes == block
    assert found.kv_bytes == block - short
    assert found.starts is not bool(short)
    assert ("less than one block" in found.reason) is bool(short)


def test_one_setting_is_given_once() -> None:
    """A cache type in the question is another word for the engine's flag; "auto" says nothing."""
    engine, flag = parse_engine("vllm"), {"kv_cache_dtype": "fp8"}
    assert settings_of_flags(engine, flag, context=4096, kv="auto").kv == "fp8"
    assert settings_of_flags(engine, {}, context=4096, kv="fp8").kv == "fp8"
    with pytest.raises(InputError, match="--kv and --kv-cache-dtype are one setting"):
        settings_of_flags(engine, flag, context=4096, kv="bf16")


@pytest.mark.parametrize(
    ("text", "version", "address"),
    [
        ("llama.cpp", "", "llama.cpp"),
        ("sglang@1", "1", "sglang@1"),
        ("vllm@v0.15.1", "0.15.1", "vllm@0.15.1"),
        ("vllm@0.11.x", "0.11.x", "vllm@0.11.x"),
        ("llama.cpp@b9775", "b9775", "llama.cpp@b9775"),
        ("trtllm@1.2.0rc6.post2", "1.2.0rc6.post2", "tensorrt-llm@1.2.0rc6.post2"),
        ("vllm@0.19.0.dev12+gabc", "0.19.0.dev12+gabc", "vllm@0.19.0.dev12+gabc"),
        ("vllm@0.6.4-v0", "0.6.4-v0", "vllm@0.6.4-v0"),
        ("vllm@0.9-v1", "0.9", "vllm@0.9"),
    ],
)
def test_a_version_is_printed_where_one_is_known(text: str, version: str, address: str) -> None:
    engine = parse_engine(text)
    assert (engine.version_text, engine.address) == (version, address)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm@0.16", "pytorch"])
def test_a_replica_holds_what_its_tightest_stage_holds(engine: str) -> None:
    """Qwen3-30B-A3B on five stages of two attention ranks each: whole blocks of the stage that
    holds the fewest tokens, as many on the other rank, and requests of 5,001 in whole blocks."""
    case = Case(resolve_model("qwen3-30b-a3b"), Layout(1, 2, 5), 24 * GIB, as_released)
    found = engine_size(case, parse_engine(engine), Settings(context=5001))
    held = [rank.budget_bytes // token_bytes(rank.caches) for rank in found.ranks]
    page = found.block_tokens
    assert len(set(held)) > 1
    assert found.rank is found.ranks[held.index(min(held))]
    assert found.tokens == min(held) // page * page == found.blocks * page
    assert found.replica_tokens == 2 * found.tokens
    if engine != "pytorch":
        assert found.max_concurrency == pytest.approx(found.blocks / -(-5001 // page), rel=1e-3)
        assert found.block_bytes == page * token_bytes(found.rank.caches)
    assert (found.starts, found.reason) == (True, "")
    names = {line.name for line in found.unexplained}
    assert names < {line.name for line in found.rank.overheads}
    assert names <= {"non-torch", "cuda-graphs", "context", "buffers"}


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm", "pytorch", "llama.cpp"])
def test_no_engine_starts_without_room(engine: str) -> None:
    found = sized("llama-3.1-8b", engine, 12, context=4096)
    assert not found.starts
    assert found.rank.budget_bytes < 0
    assert "does not start" in found.reason
    if engine != "llama.cpp":  # whose cache is as large as was asked
        assert (found.tokens, found.blocks, found.max_concurrency) == (0, 0, 0)


def test_a_pool_by_hand_is_whole_pages_and_fits() -> None:
    """SGLang: --max-total-tokens in pages; more than there is room for does not start."""
    found = sized("llama-3.1-8b", "sglang", total_tokens=10_007, block_tokens=64)
    assert (found.tokens, found.blocks) == (156 * 64, 156)
    assert found.kv_bytes == 156 * 64 * 131_072
    over = sized("llama-3.1-8b", "sglang", total_tokens=100_000_000)
    assert "too many" in over.reason
    assert not over.starts


@pytest.mark.parametrize(
    ("sequences", "most", "sizes"),
    [
        (1, 512, 2),
        (2, 512, 3),
        (8, 512, 3 + 2),
        (128, 512, 3 + 32),
        (256, 512, 3 + 32 + 16),
        (1024, 512, 3 + 32 + 16),
        (256, 1024, 3 + 32 + 16),
        (1024, 1024, 3 + 32 + 48),
    ],
)
def test_graphs_are_captured_to_twice_the_sequences(sequences: int, most: int, sizes: int) -> None:
    """1, 2, 4; every 8 to 256; every 16 to the engine's largest."""
    assert graph_sizes(sequences, most) == sizes


@pytest.mark.parametrize(("plain", "width"), [("", 2), ("fp16", 2), ("fp32", 4)])
def test_absorbed_products_are_of_the_plain_type(plain: str, width: int) -> None:
    """DeepSeek-V2-Lite: 27 layers of 16 heads, latents of 512, 128 + 128 outputs a head."""
    lines = rank_weights(
        resolve_model("deepseek-v2-lite"),
        Layout(),
        Loading(plain=plain, absorbed="kv"),
        as_released,
        0,
    )
    assert of_kind(lines, "mla-absorbed") == 27 * 16 * 512 * 256 * width


@pytest.mark.parametrize(
    ("model", "pairs"), [("llama-3.1-8b", (1, 0, 1)), ("qwen3-0.6b", (1, 0, 1))]
)
def test_adapters_outside_the_stack_lie_with_what_they_adapt(
    model: str, pairs: tuple[int, ...]
) -> None:
    """Embedding on the first of three stages, head on the last; a tied table has a pair of its own
    for each, both on one stage where there is one."""
    spec, lora = resolve_model(model), ExtraModels(Lora(4, 8))

    def outside(layout: Layout, stage: int) -> int:
        with_, without = (
            total(lora.weights(spec, layout, stage, layers_here=(), outside=where))
            for where in (True, False)
        )
        return with_ - without

    one = (spec.vocab_size + spec.hidden_size) * 4 * 8 * 2
    assert [outside(Layout(1, 1, 3), stage) for stage in range(3)] == [one * n for n in pairs]
    assert outside(Layout(), 0) == 2 * one


@pytest.mark.parametrize(
    ("model", "asked", "layout"),
    [
        ("llama-3.1-8b", "fp8", "fp8"),
        ("deepseek-v3", "fp8_e4m3", "fp8"),
        ("deepseek-v3.2", "fp8", "fp8-ds-mla"),
        ("deepseek-v3.2", "bf16", "bf16"),
        ("llama-3.1-8b", "auto", "bf16"),
    ],
)
def test_sparse_latents_alone_carry_their_scales(model: str, asked: str, layout: str) -> None:
    assert cache_layout(case_of(model), Settings(kv=asked)) == layout


@pytest.mark.parametrize(
    ("parts", "stages"), [(("main", "mtp"), [False, False, True]), (("main",), [False] * 3)]
)
def test_prediction_layers_cache_on_the_last_stage(
    parts: tuple[str, ...], stages: list[bool]
) -> None:
    case = replace(case_of("deepseek-v3"), layout=Layout(1, 1, 3), parts=parts)
    assert [case.predicts(stage) for stage in range(3)] == stages
