"""Where a rule begins to hold: the last byte of a device, the last digit, the layer beside."""

from dataclasses import replace

import pytest

from planner.errors import InputError
from planner.memory.beside import Lora, read_lora
from planner.memory.caches import cache_classes, token_bytes
from planner.memory.engines import vllm
from planner.memory.engines.catalog import parse_engine
from planner.memory.engines.records import Case, EngineResult, Settings
from planner.memory.engines.run import engine_size
from planner.memory.resident import as_released
from planner.memory.training import train_problem
from planner.memory.training_setup import TrainLayout, TrainSetup, recipe
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout
from planner.units import GIB

SETUP = TrainSetup(recipe=recipe("bf16"), mode="full", zero=2, seq=4096, micro_batch=1,
                   recompute="full", sequence_parallel=True)


def test_llama_cpp_starts_on_a_device_that_is_exactly_full() -> None:
    def sized(total: int) -> EngineResult:
        return engine_size(Case(resolve_model("qwen3-0.6b"), Layout(), total, as_released),
                           parse_engine("llama.cpp"), Settings(context=4096))

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
        assert vllm._blocks(budget, caches, 16, 4096) == blocks


@pytest.mark.parametrize("width", [0, 256])
def test_a_prediction_layer_caches_what_another_layer_does(width: int) -> None:
    """DeepSeek-V3: latents of 512 + 64, or keys and values of 128 heads padded to 256."""
    spec = resolve_model("deepseek-v3")
    one, more = (cache_classes(spec, Layout(), "bf16", naive_width=width, prediction=prediction)
                 for prediction in (False, True))
    entry = 2 * 2 * 128 * 256 if width else 2 * 576
    assert token_bytes(one) == 61 * entry
    assert token_bytes(more) == 62 * entry
    alone = cache_classes(spec, Layout(), "bf16", layers=range(0), naive_width=width,
                          prediction=True)
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
