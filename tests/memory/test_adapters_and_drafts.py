"""Room for LoRA adapters while serving, and drafts: bytes by hand, laws, what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError, PlannerError, UnsupportedError
from planner.memory.extra_models import read_lora
from planner.memory.resident import total
from planner.models.catalog import resolve_model
from planner.planning.inspect.memory import memory_use

LLAMA = "llama-3.1-8b"
# q and o 4096 + 4096, k and v 4096 + 1024, gate, up and down 4096 + 14336: of a layer, rank 1.
A_LAYER = 2 * 8192 + 2 * 5120 + 3 * 18432


def line(answer, name: str, stage: int = 0) -> int:
    parts = answer.parts.stages[stage]
    return sum(one.bytes for one in (*parts.weights, *parts.caches) if one.name == name)


def test_adapters_of_llama_8b() -> None:
    """Rank 16: 41.9 M parameters an adapter, as PEFT prints for all linear layers."""
    answer = memory_use(LLAMA, lora="8x16", context=4096)
    assert line(answer, "lora-adapters") == 8 * 16 * 32 * A_LAYER * 2
    assert 16 * 32 * A_LAYER == 41_943_040
    assert line(memory_use(LLAMA, context=4096), "lora-adapters") == 0


def test_ranks_split_one_side_of_a_pair() -> None:
    """Column-parallel matrices split B, row-parallel ones A."""
    found = line(memory_use(LLAMA, lora="1x16", tp=4, context=4096), "lora-adapters")
    column = 4096 + 1024 + 2 * (4096 + 256) + 2 * (4096 + 3584)
    row = (1024 + 4096) + (3584 + 4096)
    assert found == 16 * 32 * (column + row) * 2


def test_vllm_gives_llamas_ends_adapters_too() -> None:
    answers = [
        memory_use(LLAMA, "h100-sxm", lora=lora, context=4096, engine="vllm")
        for lora in (None, "2x16")
    ]
    grown = [total(answer.engine.rank.weights) for answer in answers]
    assert grown[1] - grown[0] == 2 * 16 * 2 * (32 * A_LAYER + 2 * (128256 + 4096))


def test_experts_have_adapters_each() -> None:
    """128 experts of three matrices (2048, 768), q 4096 and k, v 512 from 2048, a router."""
    found = line(memory_use("qwen3-30b-a3b", lora="1x8", context=4096), "lora-adapters")
    layer = (2048 + 4096) * 2 + 2 * (2048 + 512) + (2048 + 128) + 128 * 3 * (2048 + 768)
    assert found == 8 * 48 * layer * 2
    half = line(memory_use("qwen3-30b-a3b", lora="1x8", dp=2, ep=2, context=4096), "lora-adapters")
    assert half == found - 8 * 48 * 64 * 3 * (2048 + 768) * 2


def test_stacked_experts_have_an_a_for_gate_and_up_each_unless_vllm_joins_them() -> None:
    """gpt-oss: one A of 2880 for both, B of 2 × 2880; Llama 4's experts: two A of 5120."""
    oss = line(memory_use("gpt-oss-20b", lora="1x8", context=4096), "lora-adapters")
    attention = 2 * (2880 + 4096) + 2 * (2880 + 512)
    pairs = 32 * ((2880 + 5760) + (2880 + 2880))
    assert oss == 8 * 24 * (attention + 2880 + 32 + pairs) * 2
    spec = resolve_model("llama-4-scout")
    scout = line(memory_use("llama-4-scout", lora="1x8", context=4096), "lora-adapters")
    shapes = [row.shape for row in spec.rows if row.kind == "experts-gate-up"]
    assert shapes == [(16384, 5120)]
    once = sum(
        len(row.layers) * row.experts * sum(row.shape)
        for row in spec.rows
        if row.part == "main" and row.is_matrix and row.layers and row.kind != "norm"
    )
    assert scout == 8 * (once + 48 * 16 * 5120) * 2


def test_encoders_and_routers_of_ungated_experts_have_no_adapters() -> None:
    seeing, text = (
        line(memory_use(model, lora="2x16", context=4096, with_vision=vision), "lora-adapters")
        for model, vision in (("qwen3-vl-8b", True), ("qwen3-8b", False))
    )
    assert seeing == text > 0
    spec = resolve_model("qwen3-30b-a3b")
    ungated = replace(spec, experts=replace(spec.experts, matrices=2))
    routers = 48 * (2048 + 128) * 8 * 2
    assert (
        line(memory_use(spec, lora="1x8", context=4096), "lora-adapters")
        - line(memory_use(ungated, lora="1x8", context=4096), "lora-adapters")
        == routers
    )


def test_biases_by_position_have_no_adapters() -> None:
    """What a compressor adds to a group's gates is no linear layer: 21 layers of 4 × 1024 and, in
    the indexer, 4 × 256, 20 of 128 × 512."""
    spec = resolve_model("deepseek-v4-flash")
    biases = [row for row in spec.rows if row.name.endswith(".ape") and row.part == "main"]
    assert (
        sum(row.elements * len(row.layers) for row in biases)
        == 21 * 4 * (1024 + 256) + 20 * 128 * 512
    )
    without = replace(spec, rows=tuple(row for row in spec.rows if row not in biases))
    every, bare = (
        line(memory_use(one, lora="1x8", context=4096), "lora-adapters") for one in (spec, without)
    )
    assert every == bare > 0


@pytest.mark.parametrize(("rank", "room"), [(12, 16), (2, 8), (300, 320)])
def test_a_rank_that_vllm_does_not_take_names_one_that_it_does(rank: int, room: int) -> None:
    with pytest.raises(InputError, match="max-lora-rank") as caught:
        memory_use(LLAMA, "h100-sxm", lora=f"4x{rank}", context=4096, engine="vllm")
    assert f"--lora 4x{room}" in caught.value.hint
    assert memory_use(LLAMA, "h100-sxm", lora=f"4x{room}", context=4096, engine="vllm")
    assert memory_use(LLAMA, "h100-sxm", lora=f"4x{rank}", context=4096)


def test_a_draft_of_llama_cpp_has_its_own_cells() -> None:
    """As many cells as the model's, in F16; on one device."""
    plain, drafted = (
        memory_use(
            LLAMA, "l40s", draft=draft, context=8192, engine="llama.cpp", cache_type_k="q8_0"
        )
        for draft in (None, "llama-3.2-1b")
    )
    assert drafted.engine.kv_bytes - plain.engine.kv_bytes == 16 * 2 * 8 * 64 * 2 * 8192
    alone = memory_use("llama-3.2-1b", context=8192)
    names = {one.name: one.bytes for one in drafted.engine.ranks[0].weights}
    assert names["draft-weights"] == alone.parts.stages[0].weights_bytes
    extra = {one.name for one in drafted.engine.ranks[0].overheads} - {
        one.name for one in plain.engine.ranks[0].overheads
    }
    assert extra == {"draft-logits", "draft-residual-stream"}
    note = next(value for key, value, _ in drafted.assumptions if key == "draft")
    assert "llama-3.2-1b" in note
    assert not [key for key, _, _ in plain.assumptions if key == "draft"]


@given(st.integers(1, 4096), st.integers(1, 512), st.sampled_from("xX×"))
def test_any_room_is_read(adapters: int, rank: int, mark: str) -> None:
    found = read_lora(f" {adapters}{mark}{rank} ")
    assert (found.adapters, found.rank) == (adapters, rank)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8",
        "x16",
        "8x",
        "0x16",
        "8x0",
        "8x513",
        "4097x8",
        "-1x8",
        "8x16x2",
        "8 by 16",
        "9" * 40 + "x8",
        "٨x١٦",
        "1e3x8",
    ],
)
def test_what_is_no_room_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="lora"):
        read_lora(text)


def test_a_draft_model_lies_on_the_last_stage_with_its_own_cache() -> None:
    """Llama 3.2 1B: 1.236 B parameters, 16 layers of 8 heads of 64."""
    answer = memory_use("llama-3.1-70b", draft="llama-3.2-1b", tp=2, pp=2, context=8192, batch=4)
    assert [line(answer, "draft-weights", stage) > 0 for stage in (0, 1)] == [False, True]
    assert line(answer, "cache-draft-kv", 1) == 16 * 2 * 4 * 64 * 2 * 8192 * 4
    alone = memory_use("llama-3.2-1b", tp=2, context=8192)
    assert line(answer, "draft-weights", 1) == alone.parts.stages[0].weights_bytes


def test_a_pool_is_shared_with_the_drafts_cache() -> None:
    plain, drafted = (
        memory_use("llama-3.1-70b", "h100-sxm", draft=draft, tp=4, context=8192, engine="vllm")
        for draft in (None, "llama-3.2-1b")
    )
    own, more = 80 * 2 * 2 * 128 * 2, 16 * 2 * 2 * 64 * 2
    assert plain.engine.block_bytes == 16 * own
    assert drafted.engine.block_bytes == 16 * (own + more)
    assert drafted.engine.tokens < plain.engine.tokens


def test_prediction_layers_are_with_mtp() -> None:
    """What --draft mtp adds is what --with-mtp adds, copies of embedding and head aside."""
    plain, drafted, loaded = (
        memory_use("deepseek-v3", tp=8, context=4096, **flags).parts.stages[0]
        for flags in ({}, {"draft": "mtp"}, {"with_mtp": True})
    )
    assert drafted.weights_bytes - plain.weights_bytes == pytest.approx(
        loaded.weights_bytes - plain.weights_bytes, rel=0.05
    )
    assert drafted.cache_bytes == loaded.cache_bytes
    with pytest.raises(InputError, match="twice"):
        memory_use("deepseek-v3", tp=8, context=4096, draft="mtp", with_mtp=True)


def test_a_heads_folder_is_the_known_head(tmp_path: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLMEagle3"],
        "model_type": "llama",
        "hidden_size": 4096,
        "num_hidden_layers": 1,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 14336,
        "vocab_size": 128256,
        "draft_vocab_size": 32000,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    known = memory_use(LLAMA, draft="eagle", context=4096)
    found = memory_use(LLAMA, draft=str(tmp_path), context=4096)
    assert line(found, "draft-weights") == line(known, "draft-weights") > 0
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.raises(PlannerError, match="num_hidden_layers"):
        memory_use(LLAMA, draft=str(tmp_path), context=4096)


@pytest.mark.parametrize(
    ("draft", "engine", "reason"),
    [
        ("gpt2", "any", "another vocabulary"),
        ("mtp", "any", "prediction layers"),
        ("eagle", "llama.cpp", "EAGLE heads as the draft"),
        ("nope", "any", "nope"),
        ("./nope", "any", "no such file"),
    ],
)
def test_drafts_that_are_refused(draft: str, engine: str, reason: str) -> None:
    with pytest.raises(PlannerError, match=reason):
        memory_use(LLAMA, "h100-sxm", draft=draft, engine=engine, context=4096)


def test_a_model_without_a_known_head_says_so() -> None:
    with pytest.raises((InputError, UnsupportedError), match="EAGLE"):
        memory_use("smollm2-135m", draft="eagle", context=2048)
