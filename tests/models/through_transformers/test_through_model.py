"""What is made of a model that the process beside has built; answers recorded from transformers."""

import json
from pathlib import Path

import pytest

from planner.base.errors import UnsupportedError
from planner.models.inventory import Inventory
from planner.models.kv import cache_description
from planner.models.planned import require_planned, structure_note
from planner.models.rows import Provenance
from planner.models.through_transformers.built import read_answer
from planner.models.through_transformers.model import spec_from
from planner.placement.modules import modules

ANSWERS = json.loads((Path(__file__).parent / "answers.json").read_text())
ORIGIN = Provenance(id="m", public_name="m", source="m.json", source_kind="file", config_sha256="")


def spec_of(kind):
    built = read_answer(ANSWERS[kind]["answer"])
    return spec_from(built, "bf16", ORIGIN, kind, f"{kind}.json")


def elements(kind):
    total = 0
    for place in ANSWERS[kind]["answer"]["tensors"]:
        for _, shape, _, _, buffer in place["tensors"]:
            size = 1
            for width in shape:
                size *= width
            total += 0 if buffer else size
    return total


def test_a_class_without_a_language_head_ties_nothing():
    """The embedding of a classifier is read by token alone; a causal class without a head of its
    own multiplies by it."""
    answer = ANSWERS["cohere2"]["answer"]
    for name, without in (
        ("Cohere2ForCausalLM", 0),
        ("Cohere2ForSequenceClassification", 1),
        ("Cohere2Model", 1),
    ):
        spec = spec_from(read_answer(answer | {"class": name}), "bf16", ORIGIN, "c", "c.json")
        found = Inventory(spec)
        embedding = found.parameters_by_kind["embedding"]
        assert (
            found.parameters_total - found.parameters_active["without_input_embedding"]
            == without * embedding
        ), name


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_every_tensor_is_counted_once(kind):
    counts = Inventory(spec_of(kind))
    assert counts.parameters_total == elements(kind)
    assert counts.tensor_count == sum(
        len(place["tensors"]) for place in ANSWERS[kind]["answer"]["tensors"]
    )


def test_plain_decoder_has_the_kinds_of_a_family():
    spec = spec_of("olmo2")
    kinds = [module.kind for module in modules(spec)]
    assert kinds == [
        "embedding",
        "attention-qkv",
        "attention-out",
        "mlp-gate-up",
        "mlp-down",
        "norm",
        "norm",
        "head",
    ]
    qkv = next(module for module in modules(spec) if module.kind == "attention-qkv")
    assert qkv.layers == (0, 1, 2)
    assert [gemm.members for gemm in qkv.gemms] == [((64, 64), (32, 64), (32, 64))]
    assert qkv.gemms[0].key_value == (0, 32, 32)
    (attention,) = spec.attention
    assert (attention.heads, attention.kv_heads, attention.head_dim) == (4, 2, 16)
    assert not spec.tied_embeddings
    assert spec.dense_width == 96


def test_experts_router_and_shared_expert_are_told_apart():
    spec = spec_of("qwen2_moe")
    assert spec.experts is not None
    assert (spec.experts.count, spec.experts.per_token, spec.experts.width) == (4, 2, 32)
    assert (spec.experts.layers, spec.experts.shared_width) == ((1,), 48)
    assert spec.tied_embeddings
    by_kind = {(m.kind, m.layers): m for m in modules(spec)}
    assert by_kind["router", (1,)].gemms[0].members == ((4, 64),)
    assert by_kind["experts-gate-up", (1,)].experts == 4
    assert by_kind["mlp-gate-up", (0,)].gemms[0].members == ((96, 64), (96, 64))
    assert (
        Inventory(spec).parameters_active["with_embedding"]
        == elements("qwen2_moe") - 2 * 3 * 32 * 64
    )


def test_experts_of_a_layer_in_one_tensor():
    spec = spec_of("granitemoe")
    assert spec.experts is not None
    assert (spec.experts.count, spec.experts.width) == (4, 48)
    up = next(row for row in spec.rows if row.kind == "experts-gate-up")
    assert (up.shape, up.experts, up.stacked) == ((96, 64), 4, True)


def test_windows_and_whole_attention_are_two_groups():
    full, local = spec_of("cohere2").attention
    assert (full.layers, full.window) == ((3,), 0)
    assert (local.layers, local.window) == ((0, 1, 2), 16)


def test_mamba_beside_attention_layer_by_layer():
    attention, mamba = spec_of("bamba").attention
    assert (attention.kind, attention.layers) == ("gqa", (1,))
    assert (mamba.kind, mamba.rule, mamba.layers) == ("linear", "mamba2", (0, 2))
    assert (mamba.heads, mamba.head_dim, mamba.key_dim, mamba.kv_heads) == (8, 16, 16, 1)
    assert mamba.state_elements == 8 * 16 * 16
    assert mamba.conv_elements == 160 * 3
    assert mamba.state_dtype == "fp32"


def test_mamba_and_attention_in_one_layer_keep_both():
    kinds = [(cache.layer, cache.kind) for cache in cache_description(spec_of("falcon_h1"))]
    assert sorted(kinds) == [(0, "kv"), (0, "state"), (1, "kv"), (1, "state")]


def test_latent_attention_keeps_a_latent():
    spec = spec_of("minicpm3")
    (attention,) = spec.attention
    assert (attention.kind, attention.kv_lora_rank, attention.rope_dim) == ("mla", 16, 8)
    assert {row.kind for row in spec.rows if "self_attn" in row.name} == {
        "mla-q",
        "mla-kv",
        "attention-out",
        "norm",
    }
    assert {cache.kind for cache in cache_description(spec)} == {"latent"}


def test_matrices_stored_by_input_are_turned():
    spec = spec_of("gpt_neo")
    shapes = {row.name.rpartition("layers.")[2]: row.shape for row in spec.rows}
    assert any(shape == (256, 64) for shape in shapes.values())


def test_an_encoder_beside_the_decoder_is_counted_and_not_planned():
    spec = spec_of("t5")
    assert "encoder" in spec.unplanned
    with pytest.raises(UnsupportedError, match="encoder") as caught:
        require_planned(spec)
    assert "plan inventory" in caught.value.hint


def with_tensor(kind, name, shape, owner, region="stack"):
    """The answer of ``kind`` with one more tensor."""
    answer = json.loads(json.dumps(ANSWERS[kind]["answer"]))
    answer["tensors"].append(
        {"region": region, "blocks": [], "tensors": [[name, shape, "bfloat16", owner, False]]}
    )
    return answer


def made(answer):
    return spec_from(read_answer(answer), "bf16", ORIGIN, "x", "x.json")


def test_tensors_of_no_known_kind_are_named():
    with pytest.raises(UnsupportedError, match="not classified") as caught:
        made(with_tensor("olmo2", "model.layers.0.strange", [96, 96], "Strange"))
    assert "model.layers.{layer}.strange (96x96)" in caught.value.message


def test_a_linear_layer_of_no_known_purpose_is_a_product_that_is_named():
    bare = spec_of("olmo2")
    spec = made(with_tensor("olmo2", "model.layers.0.strange.weight", [96, 96], "Linear"))
    (row,) = set(spec.rows) - set(bare.rows)
    assert (row.kind, row.shard, row.layers) == ("mlp-gate-up", "replicated", (0,))
    assert Inventory(spec).parameters_total == Inventory(bare).parameters_total + 96 * 96
    assert not bare.notes
    assert spec.remarks[-1][:2] == ("other products", "model.layers.{layer}.strange")


def test_a_linear_layer_beside_the_stack_is_passed_once():
    spec = made(with_tensor("olmo2", "model.strange.weight", [96, 96], "Linear", "decoder"))
    (row,) = (row for row in spec.rows if "strange" in row.name)
    assert row.layers == (0,)


def test_small_maps_are_not_narrowed():
    spec = made(with_tensor("olmo2", "model.layers.0.strange.weight", [4, 96], "Linear"))
    (row,) = (row for row in spec.rows if "strange" in row.name)
    assert (row.kind, row.quantisable) == ("norm", False)


def test_layers_that_share_weights_are_counted_and_not_planned():
    assert not spec_of("olmo2").unplanned
    spec = made({**ANSWERS["olmo2"]["answer"], "shares": True})
    assert "share weights" in spec.unplanned
    assert Inventory(spec).parameters_total == elements("olmo2")


def test_more_caches_than_layers_are_not_guessed():
    answer = ANSWERS["olmo2"]["answer"]
    spec = made({**answer, "caches": answer["caches"] * 2})
    assert "caches are kept for" in spec.unplanned


def test_the_structure_is_told():
    spec = spec_of("olmo2")
    assert spec.structure == "transformers 5.24.0, Olmo2ForCausalLM"
    assert spec.source.endswith("structure: transformers 5.24.0")
    assert Inventory(spec).to_dict()["structure"] == spec.structure
    assert structure_note(spec)[0][:2] == ("structure", spec.structure)
    require_planned(spec)
