"""States of a training step against published worked examples and against their own sum."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import InputError
from planner.memory.training_setup import RECIPES, TrainLayout, TrainSetup, loss_scaling, recipe
from planner.memory.training_states import (
    ATTENTION_KINDS,
    adapter_rows,
    rank_rows,
    rank_states,
    state_bytes,
    trainable_rows,
)
from planner.models.catalog import model_ids, resolve_model
from planner.models.inventory import Inventory
from planner.placement.modules import EXPERT_KINDS

BASE = TrainSetup(
    recipe=recipe("bf16"),
    mode="full",
    zero=0,
    seq=4096,
    micro_batch=1,
    recompute="none",
    sequence_parallel=True,
)


@pytest.mark.parametrize(("zero", "gigabytes"), [(0, 120.0), (1, 31.4), (2, 16.6), (3, 1.88)])
def test_zero_paper_7_5_billion_over_64_devices(zero: int, gigabytes: float) -> None:
    """Figure 1 of ZeRO (arXiv 1910.02054): 7.5 B parameters, Adam, mixed precision, N = 64."""
    size = state_bytes(7_500_000_000, recipe("fp16"), zero=zero, shards=64)
    assert size / 1e9 == pytest.approx(gigabytes, rel=0.004)


@pytest.mark.parametrize(
    ("zero", "numerator"), [(0, 16 * 64), (1, 4 * 64 + 12), (2, 2 * 64 + 14), (3, 16)]
)
def test_zero_formulas_are_exact(zero: int, numerator: int) -> None:
    parameters = 64 * 1_000_003
    assert state_bytes(parameters, recipe("bf16"), zero=zero, shards=64) == 1_000_003 * numerator


@pytest.mark.parametrize(
    ("id", "unsharded"), [("fp32", 16), ("fp16", 16), ("bf16", 16), ("fp8-deepseek", 13)]
)
def test_bytes_a_parameter(id: str, unsharded: int) -> None:
    assert state_bytes(1000, RECIPES[id], zero=0, shards=1) == 1000 * unsharded


def test_megatron_distributed_optimizer_is_6_plus_12_over_d() -> None:
    """FP32 gradient accumulation with the optimizer sharded (Megatron-LM's documentation)."""
    accumulating = replace(recipe("bf16"), gradient=4)
    d, n = 8, 8_000
    assert state_bytes(n, accumulating, zero=0, shards=1) == 18 * n
    assert state_bytes(n, accumulating, zero=1, shards=d) == 6 * n + 12 * n // d


def test_deepseek_v3_states() -> None:
    """12 B a parameter besides FP8 or BF16 working copies; linears in FP8 with FP32 scales."""
    spec = resolve_model("deepseek-v3")
    got = rank_states(spec, TrainLayout(), replace(BASE, recipe=recipe("fp8-deepseek")), 0)
    total = Inventory(spec).parameters_total
    assert got.gradients == got.master == 4 * total
    assert got.moments == 4 * total
    kinds = Inventory(spec).parameters_by_kind
    plain = sum(kinds[k] for k in ("embedding", "head", "router", "norm"))
    quantised = total - plain
    scales = got.weights - quantised - 2 * plain
    # 4 bytes a block of 128 × 128; kv_a's 576 rows end in a half block.
    assert scales * 128 * 128 == pytest.approx(4 * quantised, rel=1e-4)
    assert got.total / 1e12 == pytest.approx(8.72, abs=0.01)


@pytest.mark.parametrize(
    ("id", "layout"),
    [
        ("llama-3.1-8b", TrainLayout(tp=4, pp=2, dp=2)),
        ("llama-3.1-8b", TrainLayout(tp=16, pp=4, dp=1)),
        ("qwen3-30b-a3b", TrainLayout(tp=2, pp=3, dp=8, ep=8, etp=2)),
        ("qwen3-30b-a3b", TrainLayout(tp=4, cp=2, pp=2, dp=4, ep=16, etp=1)),
        ("deepseek-v3", TrainLayout(pp=16, dp=64, ep=64)),
        ("deepseek-v2-lite", TrainLayout(tp=4, pp=3, chunks=3, dp=2, ep=2, etp=4)),
    ],
)
def test_shards_add_up_to_the_model(id: str, layout: TrainLayout) -> None:
    """Over tensor, expert and pipeline ranks: total = parameters + stated copies."""
    spec = resolve_model(id)
    whole: dict[str, int] = {}
    for stage in range(layout.pp):
        for item in rank_rows(spec, layout, BASE, stage):
            ranks = layout.ep * layout.etp if item.routed else layout.tp
            name = item.row.name
            whole[name] = whole.get(name, 0) + item.elements * ranks
    kv_heads = spec.attention[0].kv_heads
    for row, _ in trainable_rows(spec, BASE):
        width = layout.etp if row.kind in EXPERT_KINDS else layout.tp
        copies = width if row.shard == "replicated" or len(row.shape) == 1 else 1
        if ".k_proj." in row.name or ".v_proj." in row.name:
            copies = max(1, layout.tp // kv_heads)
        assert whole[row.name] == row.elements * row.copies * copies, row.name


def test_a_tied_head_is_a_second_copy_on_the_last_stage() -> None:
    spec = replace(resolve_model("llama-3.1-8b"), tied_embeddings=True)
    spec = replace(spec, rows=tuple(r for r in spec.rows if r.kind != "head"))
    one = rank_states(spec, TrainLayout(), BASE, 0).dense_parameters
    two = sum(rank_states(spec, TrainLayout(pp=2), BASE, s).dense_parameters for s in (0, 1))
    assert two - one == spec.vocab_size * spec.hidden_size


def test_experts_have_their_own_shard_group() -> None:
    """dp 8, tp 2, ep 8, etp 1: dense over 8 ranks, experts over 2."""
    spec = resolve_model("qwen3-30b-a3b")
    layout = TrainLayout(tp=2, dp=8, ep=8, etp=1)
    assert (layout.dense_shards, layout.expert_shards) == (8, 2)
    got = rank_states(spec, layout, replace(BASE, zero=1), 0)
    dense, expert = got.dense_parameters, got.expert_parameters
    assert expert == 48 * 16 * 3 * 768 * 2048
    assert got.moments == 8 * (-(-dense // 8) + -(-expert // 2))
    assert got.gradients == 2 * (dense + expert)


def test_zero_3_gathers_the_largest_layer() -> None:
    spec = resolve_model("llama-3.1-8b")
    layer = 218_112_000  # 4 attention, 3 MLP matrices, two norms
    ends = 128_256 * 4096
    assert ends > layer
    got = rank_states(spec, TrainLayout(dp=8), replace(BASE, zero=3), 0)
    assert got.buffers == 4 * ends
    assert rank_states(spec, TrainLayout(dp=8), replace(BASE, zero=2), 0).buffers == 2 * ends
    assert rank_states(spec, TrainLayout(dp=1), replace(BASE, zero=3), 0).buffers == 0


def test_lora_counts_by_hand() -> None:
    spec = resolve_model("llama-3.1-8b")
    setup = replace(BASE, mode="lora", lora_rank=16, lora_kinds=frozenset(ATTENTION_KINDS))
    got = rank_states(spec, TrainLayout(), setup, 0)
    adapters = 32 * 16 * ((4096 + 4096) * 2 + (4096 + 1024) * 2)
    assert got.trained_parameters == adapters
    assert got.weights == 2 * (8_030_261_248 + adapters)
    assert (got.gradients, got.master, got.moments) == (2 * adapters, 4 * adapters, 8 * adapters)


def test_an_adapter_splits_with_its_matrix() -> None:
    spec = resolve_model("llama-3.1-8b")
    by_name = {r.name.split(".")[-2]: r for r in spec.rows}
    a, b = adapter_rows(by_name["q_proj"], 8)
    assert (a.shape, a.shard, b.shape, b.shard) == ((8, 4096), "replicated", (4096, 8), "column")
    a, b = adapter_rows(by_name["down_proj"], 8)
    assert (a.shape, a.shard, b.shape, b.shard) == ((8, 14336), "row", (4096, 8), "replicated")


@settings(max_examples=40, deadline=None)
@given(
    parameters=st.integers(1, 10**13),
    shards=st.integers(1, 4096),
    id=st.sampled_from(sorted(RECIPES)),
)
def test_stages_never_grow_and_ranks_hold_everything(
    parameters: int,
    shards: int,
    id: str,
) -> None:
    sizes = [state_bytes(parameters, RECIPES[id], zero=z, shards=shards) for z in range(4)]
    assert sizes == sorted(sizes, reverse=True)
    whole = state_bytes(parameters, RECIPES[id], zero=0, shards=1)
    assert all(whole <= size * shards <= whole * shards for size in sizes)
    assert sizes[3] * shards - whole <= 32 * shards


def test_a_width_that_does_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match="does not divide axis 0"):
        rank_states(resolve_model("llama-3.1-8b"), TrainLayout(tp=3), BASE, 0)


def test_loss_scaling_margin() -> None:
    """65504 / 2^16 < 1: a gradient of 1 overflows under the usual first scale, one of 0.5 fits."""
    got = loss_scaling(1 << 16)
    assert got.largest_gradient == 65504 / 65536
    assert got.smallest_normal == 2.0**-30
    assert got.smallest_subnormal == 2.0**-40
    assert -0.001 < got.overflow_margin_bits < 0
    assert loss_scaling(1 << 16, reference=0.5).overflow_margin_bits == pytest.approx(1, abs=1e-3)
    assert loss_scaling(1 << 12).overflow_margin_bits == pytest.approx(4, abs=1e-3)


@pytest.mark.parametrize("id", model_ids())
def test_parameters_of_every_bundled_model(id: str) -> None:
    """States are counted for all, whatever their attention; lookup tables are not trained."""
    spec = resolve_model(id)
    got = rank_states(spec, TrainLayout(), BASE, 0)
    tables = sum(r.elements * r.copies for r in spec.rows if r.part == "lookup")
    assert got.trained_parameters == Inventory(spec).parameters_total - tables
    assert got.total == 16 * got.trained_parameters
