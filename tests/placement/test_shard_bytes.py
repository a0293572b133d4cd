"""Shards add up to the model, the DeepSeek-V3 anchors, and the number of experts touched."""

from fractions import Fraction
from math import prod

import numpy as np
import pytest

from planner.formats.schemes import scheme
from planner.models.catalog import model_ids, resolve_model
from planner.models.inventory import Inventory
from planner.models.spec import ModelSpec, TensorRow
from planner.placement.layout import Layout, layout_problem
from planner.placement.modules import (
    EXPERT_KINDS,
    PLANNED_KINDS,
    Module,
    local_experts,
    modules,
    shard_members,
)
from planner.placement.routing import expected_distinct, uniform_popularity
from planner.placement.shards import (
    block_problem,
    module_bytes,
    released_shard_bytes,
    shard_byte_table,
    shard_bytes,
)

GIB = 2**30


def rows_of(spec: ModelSpec, module: Module) -> list[TensorRow]:
    """The rows of one layer of ``module``."""
    return [
        row
        for row in spec.rows
        if row.kind == module.kind
        and row.part == "main"
        and (module.layers[0] in row.layers if module.layers else not row.layers)
    ]


def copied_elements(spec: ModelSpec, module: Module, tp: int) -> int:
    """Elements that ranks hold beyond one copy, from the rows: unsharded matrices tp − 1 times
    more, key and value heads (groups of Mamba-2) where tp exceeds them."""
    extra = 0
    kind = "linear" if module.kind == "linear-attention" else "gqa"
    kv = {n: a.kv_heads for a in spec.attention if a.kind == kind for n in a.layers}
    for row in rows_of(spec, module):
        if row.kind in EXPERT_KINDS or (not row.is_matrix and row.shard == "replicated"):
            continue
        heads = kv.get(module.layers[0], 0)
        if row.shard == "replicated":
            extra += row.elements * (tp - 1)
        elif heads and tp > heads:
            extra += row.kv_outputs * (row.shape[1] if row.is_matrix else 1) * (tp // heads - 1)
    return extra


def divided_bytes(module: Module) -> int:
    """Bytes of the vectors that follow a divided axis, as biases of outputs do."""
    return sum(elements * size for elements, _, size in module.cut) * module.experts


def test_projections_of_keys_and_values_say_so() -> None:
    for name in model_ids():
        for row in resolve_model(name).rows:
            named = (
                any(f".{n}_proj." in row.name for n in ("k", "v"))
                and row.part == "main"
                and row.kind != "linear-attention"
            )  # as many as queries: never copied
            assert not named or row.kv_outputs == row.shape[0], row.name
    phi = next(r for r in resolve_model("phi-4").rows if ".qkv_proj." in r.name)
    assert phi.shape[0] - phi.kv_outputs == 40 * 128
    assert phi.kv_outputs == 2 * 10 * 128


def test_no_layer_is_in_two_modules_of_a_kind() -> None:
    for name in model_ids():
        spec = resolve_model(name)
        seen: dict[str, list[int]] = {}
        for module in modules(spec):
            seen.setdefault(module.kind, []).extend(module.layers or (-1,))
        for kind, layers in seen.items():
            assert len(layers) == len(set(layers)), (name, kind)
        every = {n for row in spec.rows if row.part == "main" for n in row.layers}
        assert every == {n for layers in seen.values() for n in layers if n >= 0}


def test_key_and_value_heads_are_copied_in_a_fused_projection() -> None:
    """Phi-4: 40 query heads, 10 key/value heads of 128. At tp 20 a rank has 2 and one of each."""
    spec = resolve_model("phi-4")
    qkv = next(m for m in modules(spec) if m.kind == "attention-qkv")
    assert shard_members(qkv, qkv.gemms[0], Layout(20)) == [((2 + 1 + 1) * 128, 5120)]
    assert shard_members(qkv, qkv.gemms[0], Layout(10)) == [((4 + 1 + 1) * 128, 5120)]
    assert shard_members(qkv, qkv.gemms[0], Layout(2)) == [((20 + 5 + 5) * 128, 5120)]


def test_layers_of_one_model_may_have_different_heads() -> None:
    """Gemma 4: 2 key/value heads of 512 in full layers, 8 of 256 in windowed ones."""
    found = {
        m.kv_heads: m
        for m in modules(resolve_model("gemma-4-26b-a4b"))
        if m.kind == "attention-qkv"
    }
    assert set(found) == {2, 8}
    full, window = (found[n].gemms[0] for n in (2, 8))
    assert shard_members(found[2], full, Layout(8))[1] == (512, 2816)
    assert shard_members(found[8], window, Layout(8))[1] == (256, 2816)


SPREAD = [
    Layout(tp, dp, 1, ep)
    for tp, dp, ep in (
        (1, 1, 1),
        (2, 1, 1),
        (4, 1, 4),
        (8, 1, 1),
        (8, 1, 2),
        (16, 1, 1),
        (16, 1, 16),
        (4, 2, 8),
        (8, 4, 8),
        (2, 16, 32),
    )
]


def legal(name: str, layouts: list[Layout]) -> list[tuple[str, Layout]]:
    spec = resolve_model(name)
    return [(name, layout) for layout in layouts if not layout_problem(spec, layout)]


@pytest.mark.parametrize(("name", "layout"), [c for m in model_ids() for c in legal(m, SPREAD)])
def test_bf16_shards_sum_to_the_whole(name: str, layout: Layout) -> None:
    spec, tp = resolve_model(name), layout.tp
    for module in modules(spec):
        if module.kind not in PLANNED_KINDS:
            continue
        whole = module_bytes(module, scheme("bf16"))
        assert (
            whole
            == 2 * sum(r.elements * r.experts for r in rows_of(spec, module) if r.is_matrix)
            + module.vector_bytes
        )
        one = shard_bytes(module, scheme("bf16"), layout)
        if module.kind in EXPERT_KINDS:
            copies = (module.vector_bytes - divided_bytes(module)) * (layout.moe_tp - 1)
            assert one * layout.tp * layout.dp == whole + copies
        else:
            vectors = module.vector_bytes - divided_bytes(module)
            copies = 2 * copied_elements(spec, module, tp) + vectors * (tp - 1)
            assert one * tp == whole + copies


WITHIN_A_NODE = [Layout(tp, 1, 1, ep) for tp in (1, 2, 4, 8) for ep in (1, 2, 4, 8)]


@pytest.mark.parametrize(
    ("name", "layout"),
    [c for m in ("deepseek-v3", "mixtral-8x7b", "llama-3.1-70b") for c in legal(m, WITHIN_A_NODE)],
)
def test_whole_blocks_sum_with_their_scales(name: str, layout: Layout) -> None:
    spec, tp = resolve_model(name), layout.tp
    fp8 = scheme("fp8-block")
    seen = 0
    for module in modules(spec):
        sharded = all(g.shard in ("column", "row") for g in module.gemms)
        if module.kind not in PLANNED_KINDS or not sharded or tp > (module.kv_heads or tp):
            continue
        if block_problem(module, fp8, layout):
            continue
        seen += 1
        assert shard_bytes(module, fp8, layout) * tp == module_bytes(module, fp8)
    assert seen


def test_a_shard_that_cuts_a_block_is_named() -> None:
    spec = resolve_model("qwen3-30b-a3b")  # experts 768 wide: 192 a rank at MoE tp 4
    experts = next(m for m in modules(spec) if m.kind == "experts-down")
    assert "192" in block_problem(experts, scheme("fp8-block"), Layout(4))
    assert block_problem(experts, scheme("fp8-block"), Layout(4, ep=4)) == ""
    assert block_problem(experts, scheme("mxfp8"), Layout(4)) == ""
    assert block_problem(experts, scheme("int8-w8a8"), Layout(4)) == ""


def test_experts_in_mxfp4_are_dealt_out_by_the_block() -> None:
    """gpt-oss: 2,880 = 90 blocks; at MoE tp 4 the fullest rank stores 23 of them, at 8 twelve, as
    vLLM's and SGLang's loaders cut them."""
    mx = scheme("mxfp4-w4a16")
    for module in modules(resolve_model("gpt-oss-120b")):
        if module.kind not in ("experts-gate-up", "experts-down"):
            continue
        for tp, blocks in ((2, 45), (4, 23), (8, 12)):
            assert block_problem(module, mx, Layout(tp)) == ""
            vectors = module.vector_bytes - divided_bytes(module) * (tp - 1) // tp
            stored = shard_bytes(module, mx, Layout(tp)) - vectors
            assert stored * 90 == (module_bytes(module, mx) - module.vector_bytes) * blocks
        assert block_problem(module, scheme("nvfp4"), Layout(8)) == (
            "360 inputs a rank are not whole blocks of 16" if module.kind == "experts-down" else ""
        )


def test_only_the_axis_that_is_cut_must_be_whole_blocks() -> None:
    """Qwen2.5-0.5B at tp 2: 448 rows of queries and 448 inputs of the output are cut through a
    block; gate and up are cut into 19 whole blocks of rows, and their 896 inputs are not cut."""
    found = {
        m.kind: block_problem(m, scheme("fp8-block"), Layout(2))
        for m in modules(resolve_model("qwen2.5-0.5b"))
    }
    assert found["attention-qkv"].startswith("448 output rows")
    assert found["attention-out"].startswith("448 inputs")
    assert found["mlp-gate-up"] == ""


def test_the_byte_table_is_the_scalar_function() -> None:
    spec = resolve_model("qwen3-30b-a3b")
    planned = [m for m in modules(spec) if m.kind in PLANNED_KINDS]
    layouts = [Layout(), Layout(2), Layout(2, ep=2), Layout(2, 2), Layout(2, 2, ep=4), Layout(8)]
    names = ["bf16", "fp8-channel", "int4-w4a16", "mxfp8"]
    table = shard_byte_table(planned, names, layouts)
    for i, layout in enumerate(layouts):
        for j, module in enumerate(planned):
            for k, name in enumerate(names):
                assert table[i, j, k] == shard_bytes(module, scheme(name), layout)


def test_embedding_and_head_split_over_the_vocabulary_and_the_rest_is_copied() -> None:
    spec = resolve_model("deepseek-v3")
    for module in modules(spec):
        held = released_shard_bytes(module, Layout(8, 2, 1, 16))
        if module.kind in ("embedding", "head"):
            assert held == 129280 * 7168 * 2 // 8
        elif module.kind not in PLANNED_KINDS:
            assert held == module.stored_bytes


def test_modules_of_deepseek_v3_are_its_checkpoint_without_prediction_layers() -> None:
    spec = resolve_model("deepseek-v3")
    every = Inventory(spec)
    mtp = sum(p.bytes for p in every.patterns if p.part == "mtp")
    assert every.payload_bytes == 688_574_839_360
    total = sum(m.stored_bytes * max(1, len(m.layers)) for m in modules(spec))
    assert total == 688_574_839_360 - mtp
    for module in modules(spec):
        if module.kind in PLANNED_KINDS:  # stored in blocks of 128 × 128: the scheme's own bytes
            assert module_bytes(module, scheme("fp8-block")) == module.stored_bytes


def test_routed_experts_of_deepseek_v3_at_ep_8() -> None:
    spec = resolve_model("deepseek-v3")
    layout = Layout(8, ep=8)
    one_byte_each = 0
    for module in modules(spec):
        if module.kind in EXPERT_KINDS:
            each = sum(prod(s) for g in module.gemms for s in shard_members(module, g, layout))
            assert local_experts(module, layout) == 32
            assert len(module.layers) == 58
            one_byte_each += each * 32 * 58
    assert one_byte_each == 76.125 * GIB


def distinct_experts(count: int, per_token: int, tokens: int) -> float:
    """Of independent tokens that all like every expert alike."""
    return float(expected_distinct(uniform_popularity(count, per_token), tokens))


def test_distinct_experts_closed_form_and_figure() -> None:
    assert distinct_experts(256, 8, 32) == pytest.approx(163.3, abs=0.05)
    exact = 256 * (1 - (1 - Fraction(8, 256)) ** 32)
    assert distinct_experts(256, 8, 32) == pytest.approx(float(exact), rel=1e-12)
    assert distinct_experts(8, 2, 1) == pytest.approx(2)
    assert distinct_experts(8, 2, 0) == 0
    assert distinct_experts(8, 8, 1) == 8


@pytest.mark.parametrize(
    ("count", "chosen", "groups", "of_groups", "tokens"),
    [(256, 8, 1, 1, 32), (256, 8, 8, 4, 32), (128, 8, 1, 1, 5), (8, 2, 1, 1, 3)],
)
def test_distinct_experts_agree_with_drawn_routings(
    count: int, chosen: int, groups: int, of_groups: int, tokens: int
) -> None:
    rng = np.random.default_rng(20_241)
    size = count // groups
    draws = 3000
    distinct = np.empty(draws)
    for d in range(draws):
        kept = np.argsort(rng.random((tokens, groups)), axis=1)[:, :of_groups]
        pool = (kept[:, :, None] * size + np.arange(size)).reshape(tokens, -1)
        order = np.argsort(rng.random(pool.shape), axis=1)[:, :chosen]
        distinct[d] = len(np.unique(np.take_along_axis(pool, order, axis=1)))
    error = 4 * distinct.std() / draws**0.5 + 1e-9
    assert abs(distinct_experts(count, chosen, tokens) - distinct.mean()) < error
