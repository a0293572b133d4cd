"""Where a rule begins to hold: the last byte of a device, the last digit, the layer beside."""

from dataclasses import replace

import pytest

from planner.base.errors import InputError
from planner.base.units import GIB
from planner.memory.caches import cache_classes, token_bytes
from planner.memory.engines import vllm
from planner.memory.engines.catalog import parse_engine
from planner.memory.engines.records import Case, EngineResult, Settings
from planner.memory.engines.run import engine_size
from planner.memory.extra_models import Lora, read_lora
from planner.memory.footprint import activation_rates
from planner.memory.on_disk import OnDisk
from planner.memory.resident import as_released
from planner.memory.training import train_problem
from planner.memory.training_activations import rank_tokens
from planner.memory.training_setup import TrainLayout, TrainSetup, recipe
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout

SETUP = TrainSetup(
    recipe=recipe("bf16"),
    mode="full",
    zero=2,
    seq=4096,
    micro_batch=1,
    recompute="full",
    sequence_parallel=True,
)


def test_llama_cpp_starts_on_a_device_that_is_exactly_full() -> None:
    def sized(total: int) -> EngineResult:
        return engine_size(
            Case(resolve_model("qwen3-0.6b"), Layout(), total, as_released),
            parse_engine("llama.cpp"),
            Settings(context=4096),
        )

    roomy = sized(8 * GIB)
    need = 8 * GIB - roomy.rank.budget_bytes + roomy.kv_bytes
    assert roomy.starts
    assert sized(need).starts
    assert not sized(need - 1).starts
    assert "exceed the device by 1 bytes" in sized(need - 1).reason
    assert "exceed the device by 5,000 bytes" in sized(need - 5000).reason


def test_a_device_without_a_byte_left_has_no_block_and_one_in_debt_fewer() -> None:
    caches = cache_classes(resolve_model("llama-3.1-8b"), Layout(), "bf16")
    block = 16 * token_bytes(caches)
    assert block == 16 * 131_072
    for budget, blocks in ((-1, -1), (0, 0), (block - 1, 0), (block, 1), (7 * block + 1, 7)):
        assert vllm._blocks(budget, caches, None, 16, 4096) == blocks


@pytest.mark.parametrize("width", [0, 256])
def test_a_prediction_layer_caches_what_another_layer_does(width: int) -> None:
    """DeepSeek-V3: latents of 512 + 64, or keys and values of 128 heads padded to 256."""
    spec = resolve_model("deepseek-v3")
    one, more = (
        cache_classes(spec, Layout(), "bf16", naive_width=width, prediction=prediction)
        for prediction in (False, True)
    )
    entry = 2 * 2 * 128 * 256 if width else 2 * 576
    assert token_bytes(one) == 61 * entry
    assert token_bytes(more) == 62 * entry
    alone = cache_classes(
        spec, Layout(), "bf16", layers=range(0), naive_width=width, prediction=True
    )
    assert token_bytes(alone) == entry


def test_a_split_of_heads_that_is_uneven_is_refused_and_one_of_experts_is_theirs() -> None:
    """Llama: 32 query heads. Qwen3-30B-A3B: experts are 768 wide, which 512 does not divide, where
    they are split at all."""
    llama = resolve_model("llama-3.1-8b")
    assert "32" in train_problem(llama, TrainLayout(tp=3), SETUP)
    assert train_problem(llama, TrainLayout(tp=4), SETUP) == ""
    moe = resolve_model("qwen3-30b-a3b")
    narrow = replace(moe, experts=replace(moe.experts, width=770))  # type: ignore[type-var]
    assert train_problem(narrow, TrainLayout(tp=4, etp=1), SETUP) == ""


def test_numbers_of_adapters_have_eight_digits_at_the_most() -> None:
    assert read_lora("00000008x00000016") == Lora(8, 16)
    for text in ("000000008x16", "8x000000016"):
        with pytest.raises(InputError, match="is not ADAPTERSxRANK"):
            read_lora(text)


def test_mixed_precision_keeps_sixteen_bytes_a_parameter() -> None:
    """Two of weights, two of gradients, twelve of Adam's states in FP32."""
    assert recipe("bf16").state_bytes == 16 - 2


@pytest.mark.parametrize("cp", [1, 2, 8])
def test_ranks_of_a_context_share_its_tokens(cp: int) -> None:
    setup = replace(SETUP, seq=8192, micro_batch=3)
    assert rank_tokens(TrainLayout(cp=cp), setup) * cp == 3 * 8192


@pytest.mark.parametrize(
    ("layout", "widest", "rows"),
    [
        (Layout(), 8 * 6400, 151_936),
        (Layout(4, ep=4), 2 * 6400, 151_936 // 4),
        (Layout(1, 4, ep=4), 8 * 6400, 151_936),
        (Layout(2, 2, ep=4), 4 * 6400, 151_936 // 2),
    ],
)
def test_the_widest_pass_is_of_the_experts_that_tokens_of_all_ranks_ask(
    layout: Layout, widest: int, rows: int
) -> None:
    """Qwen3-30B-A3B: 2,048 in and out, three matrices 768 wide, eight experts a token; attention
    ranks send theirs to all ranks that hold experts."""
    assert 6400 == 2 * 2048 + 3 * 768
    assert activation_rates(resolve_model("qwen3-30b-a3b"), layout) == (
        (2 * 2048 + widest) * 2,
        rows * 4,
    )


@pytest.mark.parametrize(
    ("engine", "cuda", "told"),
    [
        ("vllm@0.9", True, True),
        ("vllm@0.32", True, False),
        ("vllm@0.9", False, False),
        ("vllm@0.32", False, False),
    ],
)
def test_graphs_come_on_top_of_the_pool_of_old_versions_on_gpus_alone(
    engine: str, cuda: bool, told: bool
) -> None:
    case = Case(resolve_model("qwen3-0.6b"), Layout(), 40 * GIB, as_released, cuda=cuda)
    found = engine_size(case, parse_engine(engine), Settings(context=4096))
    assert any("CUDA graphs" in note for note in found.notes) is told
    assert any("on a CPU" in note for note in found.notes) is not cuda


@pytest.mark.parametrize("context", [1000, 4096])
def test_requests_of_uneven_caches_are_bytes_over_bytes(context: int) -> None:
    """gpt-oss-20b: as many layers slide as do not, so that two groups share the blocks; a request
    has of the one its whole blocks, of the other no more than its window and a step take."""
    case = Case(resolve_model("gpt-oss-20b"), Layout(), 40 * GIB, as_released)
    found = engine_size(case, parse_engine("vllm"), Settings(context=context, batched_tokens=512))
    half = 24 // 2 * 8 * 64 * 2 * 2
    assert found.block_bytes == 16 * half
    assert found.blocks == found.kv_bytes // found.block_bytes
    whole, sliding = -(-context // 16), -(-min(127 + 512, context) // 16) + 1
    assert found.max_concurrency == pytest.approx(found.blocks / (whole + sliding))
    assert found.tokens == int(found.max_concurrency * context)


def test_what_differs_on_disk_is_what_was_predicted_less_what_is_there() -> None:
    told = OnDisk("here", 1, 100, 60, 70, ("a",), (), ()).to_dict()
    assert told["difference_bytes"] == 40
    assert told["missing"] == {"count": 1, "first": ["a"]}
