"""Engines' arithmetic against figures that engines printed in public logs."""

from dataclasses import replace

import pytest

from planner.base.units import GIB, MIB
from planner.formats.schemes import scheme
from planner.memory.engines.catalog import parse_engine
from planner.memory.engines.records import Case, EngineResult, Given, Settings
from planner.memory.engines.run import engine_size
from planner.memory.resident import as_released
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout


def sized(
    model: str,
    engine: str,
    total: float,
    *,
    tp: int = 1,
    pp: int = 1,
    large: bool = True,
    plain: str = "",
    positions: int = 0,
    given: Given | None = None,
    **settings: object,
) -> EngineResult:
    case = Case(
        resolve_model(model),
        Layout(tp, 1, pp),
        int(total * GIB),
        as_released,
        plain,
        large,
        positions,
    )
    return engine_size(case, parse_engine(engine), Settings(**settings), given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "tp", "pp", "positions", "printed"),
    [
        ("llama-3.1-8b", 1, 1, 0, 14.99),
        ("llama-3.1-8b", 2, 1, 0, 7.51),
        ("llama-3.1-8b", 4, 1, 0, 3.77),
        ("llama-3.1-8b", 1, 2, 0, 7.51),
        ("llama-3.1-8b", 1, 4, 0, 4.26),
        ("llama-3.1-8b", 1, 1, 8192, 14.96),
        ("qwen3-8b", 1, 1, 0, 15.27),
    ],
)
def test_weights_as_vllm_prints_them(
    model: str, tp: int, pp: int, positions: int, printed: float
) -> None:
    result = sized(model, "vllm@0.19", 79.19, tp=tp, pp=pp, positions=positions)
    held = max(rank.weights_bytes for rank in result.ranks) / GIB
    assert held == pytest.approx(printed, abs=0.0051)


def test_weights_in_fp32() -> None:
    result = sized("llama-3.1-8b", "vllm@0.19", 79.19, plain="fp32")
    assert result.rank.weights_bytes / GIB == pytest.approx(29.98, abs=0.0051)


def test_weights_that_the_tensorrt_back_end_converts() -> None:
    """DeepSeek-V3 in INT4 weight-only, 8 ranks: 46,523 MiB (TensorRT-LLM#2683); one scale a row,
    latent projections in 16 bits, the embedding whole, routers in FP32."""
    packed = scheme("int4-w4a16").weight
    assert packed.scale is not None
    rows = replace(packed, scale=replace(packed.scale, block_columns=0))
    spec = resolve_model("deepseek-v3")
    case = Case(spec, Layout(8), 96 * GIB, lambda kind, layer: rows)
    rank = engine_size(case, parse_engine("tensorrt-llm@0.16"), Settings()).rank
    assert rank.weights_bytes / MIB == pytest.approx(46_523, rel=0.002)
    held = {line.name: line.bytes for line in rank.weights}
    assert held["embedding"] == 129_280 * 7168 * 2
    assert held["router"] == 58 * 256 * (7168 + 1) * 4
    assert held["mla-absorbed"] == 61 * 16 * (512 + 64) * 1536 * 2


def test_weights_of_the_pytorch_back_end_are_parameters_alone() -> None:
    """Llama 3.1 8B in FP8: 8.46 GiB (TensorRT-LLM#6294); the rotary table is an overhead."""
    fp8 = scheme("fp8-tensor").weight
    case = Case(resolve_model("llama-3.1-8b"), Layout(), int(79.2 * GIB), lambda kind, layer: fp8)
    rank = engine_size(case, parse_engine("tensorrt-llm@0.20"), Settings(context=157)).rank
    assert rank.weights_bytes / GIB == pytest.approx(8.46, abs=0.005)
    tables = [line.bytes for line in rank.overheads if line.name == "rope-tables"]
    assert tables == [131_072 * 128 * 4]


@pytest.mark.parametrize(
    ("model", "positions", "elements"),
    [
        ("llama-4-scout", 10_485_760, 128),
        ("gpt-oss-20b", 131_072, 64),
        ("gemma-3-27b-text", 131_072, 2 * 128),
        ("deepseek-v3", 163_840, 64),
    ],
)
def test_layers_of_one_rotary_base_share_a_table(model: str, positions: int, elements: int) -> None:
    """get_rope of vLLM and SGLang; Gemma 3 has a base of its own for windows."""
    rank = sized(model, "sglang", 1000).rank
    tables = [line.bytes for line in rank.weights if line.name == "rope-tables"]
    assert tables == [positions * elements * 2]


def test_the_pool_of_given_overheads() -> None:
    """vLLM 0.19 on 79.19 GiB at 0.95: 58.11 GiB and 476,000 tokens (llm-d-planner#205)."""
    given = Given(activation=int(1.89 * GIB), nontorch=int(0.25 * GIB))
    result = sized("llama-3.1-8b", "vllm@0.19", 79.19, given=given, utilisation=0.95, context=8192)
    assert result.kv_bytes / GIB == pytest.approx(58.11, abs=0.011)
    assert result.tokens == pytest.approx(476_000, rel=3e-4)
    assert result.tokens % 16 == 0
    assert result.max_concurrency == result.blocks / 512


def test_the_activation_peak_follows_the_sampler_of_the_version() -> None:
    """Qwen3-8B-like vocabularies: 5.64 GiB up to 0.16, 2.23 from 0.17 on (llm-d-planner#205)."""

    def peak(version: str) -> float:
        rank = sized("qwen3-8b", f"vllm@{version}", 79.19, utilisation=0.95, context=8192).rank
        outside = ("non-torch", "margin")
        return sum(x.bytes for x in rank.overheads if x.name not in outside) / GIB

    assert peak("0.16") == pytest.approx(5.64, rel=0.03)
    assert peak("0.17") == pytest.approx(2.21, rel=0.05)
    assert peak("0.15") == peak("0.16")
    assert peak("0.17") == peak("0.18")


def test_defaults_by_version_and_device() -> None:
    def flags(engine: str, *, large: bool = True) -> dict[str, object]:
        return dict(sized("qwen3-8b", engine, 79.2, large=large).settings)

    assert flags("vllm@0.19")["gpu-memory-utilization"] == 0.9
    assert flags("vllm@0.20.0rc1")["gpu-memory-utilization"] == 0.9
    assert flags("vllm@0.20")["gpu-memory-utilization"] == 0.92
    assert flags("vllm@0.19")["max-num-seqs"] == 1024
    assert flags("vllm@0.19", large=False)["max-num-seqs"] == 256
    assert flags("vllm@0.6.5")["max-num-seqs"] == 256
    graphs = [line.name for line in sized("qwen3-8b", "vllm@0.20", 79.2).rank.overheads]
    assert "cuda-graphs" in graphs
    before = [line.name for line in sized("qwen3-8b", "vllm@0.19", 79.2).rank.overheads]
    assert "cuda-graphs" not in before


def test_no_latent_cache_in_old_vllm() -> None:
    """Per-head keys and values padded to 256 before 0.7, 1,152 B a token and layer after."""
    old = sized("deepseek-v2-lite", "vllm@0.6.6", 79.2)
    new = sized("deepseek-v2-lite", "vllm@0.7.1", 79.2)
    assert new.block_bytes == 16 * 27 * 1152
    assert old.block_bytes == 16 * 27 * 16 * 2 * 256 * 2
    assert sized("deepseek-v2-lite", "vllm@0.7.1", 79.2, tp=2).block_bytes == new.block_bytes


def test_a_negative_budget_does_not_start() -> None:
    result = sized("deepseek-v3", "vllm@0.19", 79.2, tp=8)
    assert not result.starts
    assert result.kv_bytes < 0
    assert (result.tokens, result.blocks, result.max_concurrency) == (0, 0, 0)
    assert f"{-result.kv_bytes:,} bytes" in result.reason


def test_the_tightest_stage_sets_the_pool() -> None:
    result = sized("llama-3.1-8b", "vllm@0.19", 79.2, pp=3)
    assert [len(rank.caches[0].layers) for rank in result.ranks] == [11, 11, 10]
    budgets = [
        rank.budget_bytes // (result.block_tokens * rank.caches[0].token_bytes())
        for rank in result.ranks
    ]
    assert result.blocks == min(budgets)


def test_sglang_pool_and_page() -> None:
    """GLM-5 in FP8: 78 × (656 + 132) B a token; Qwen2.5-0.5B: 20,480 tokens by hand, 0.24 GiB."""
    case = sized("glm-5-fp8", "sglang@0.5.8", 288.0, tp=8, kv="fp8", block_tokens=64)
    assert case.block_bytes == 64 * 78 * (656 + 132)
    assert case.tokens % 64 == 0
    by_hand = sized("qwen2.5-0.5b", "sglang@0.5.8", 79.2, total_tokens=20480)
    assert by_hand.kv_bytes == 20480 * 12288
    given = sized("qwen3-8b", "sglang@0.5.8", 79.2, utilisation=0.9, given=Given(free=78 * GIB))
    assert given.kv_bytes == pytest.approx(0.9 * 78 * GIB - given.rank.weights_bytes, abs=2)


def test_sglang_default_fraction() -> None:
    """H100, chunk 8192, 256 graph sequences, tp 1: 512 + 12,288 + 512 + 128 MiB are reserved."""
    result = sized("qwen3-8b", "sglang@0.5.8", 80.0)
    assert dict(result.settings)["mem-fraction-static"] == round((81920 - 13440) / 81920, 3)


def test_sglang_reserves_what_its_version_does() -> None:
    """From 0.5.14 on, 8 MiB for each of 58 captured sizes of prompts; captured batches end at
    --max-running-requests in 0.5.23 (not in 0.5.14)."""
    for version, running, reserved in (
        ("0.5.14", None, 13440 + 58 * 8),
        ("0.5.14", 16, 13440 + 58 * 8),
        ("0.5.23", None, 13440 + 58 * 8),
        ("0.5.23", 16, 13440 + 58 * 8 - 2 * 240),
    ):
        result = sized("qwen3-8b", f"sglang@{version}", 80.0, max_seqs=running)
        fraction = dict(result.settings)["mem-fraction-static"]
        assert fraction == round((81920 - reserved) / 81920, 3)


def test_tensorrt_llm_rounds_up_in_the_pytorch_back_end() -> None:
    """860,308 tokens became 860,320 in blocks of 32 (NVIDIA/TensorRT-LLM#6294)."""
    entry = 32 * 2 * 8 * 128
    free = int((860_308 + 0.5) * entry / 0.8)
    weights = sized("llama-3.1-8b", "trtllm@0.20", 79.2, kv="fp8").rank.weights_bytes
    total = (free + weights + (20 << 30)) / GIB
    new = sized(
        "llama-3.1-8b", "trtllm@0.20", total, kv="fp8", utilisation=0.8, given=Given(free=free)
    )
    old = sized(
        "llama-3.1-8b", "trtllm@0.16", total, kv="fp8", utilisation=0.8, given=Given(free=free)
    )
    assert (new.tokens, old.tokens) == (860_320, 860_288)
    assert new.kv_bytes / GIB == pytest.approx(52.51, abs=0.005)


@pytest.mark.parametrize(
    ("model", "flags", "printed_mib"),
    [
        ("deepseek-r1", {"context": 16384, "type_k": "q8_0", "mla": 3}, 583.31),
        ("deepseek-r1", {"context": 16384, "mla": 3}, 1098.0),
        ("qwen3-235b-a22b", {"context": 65536, "type_k": "q8_0", "type_v": "f16"}, 9212.0),
        ("qwen3-30b-a3b", {"context": 32768}, 3072.0),
        ("gpt-oss-120b", {"context": 262144, "max_seqs": 2, "batched_tokens": 1024}, 9216.0 + 90.0),
    ],
)
def test_llama_cpp_caches(model: str, flags: dict[str, object], printed_mib: float) -> None:
    result = sized(model, "llama.cpp", 4000.0, **flags)  # type: ignore[arg-type]
    assert result.kv_bytes / MIB == pytest.approx(printed_mib, abs=0.006)


def test_llama_cpp_compute_buffer() -> None:
    """304.75 MiB: FP32 logits of 512 tokens and two hidden states (ik_llama.cpp#370)."""
    result = sized("qwen3-30b-a3b", "llama.cpp", 4000.0, context=32768)
    lines = {line.name: line.bytes for line in result.rank.overheads}
    assert (lines["logits"] + lines["residual-stream"]) / MIB == 304.75


def test_plain_pytorch_holds_one_layer_twice() -> None:
    result = sized("llama-3.1-8b", "pytorch", 24.0, context=8192)
    need = 131072 * 8192 + 4096 * 8192
    assert result.max_concurrency == pytest.approx(result.kv_bytes / need)
