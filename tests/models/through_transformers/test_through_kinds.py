"""Kinds of tensors by name, shape and class."""

import pytest

from planner.models.through_transformers.kinds import Sizes, TensorPlace, cross, place_of

PLAIN = Sizes(hidden=64, experts=0, latent=False)
MOE = Sizes(hidden=64, experts=8, latent=False)
LATENT = Sizes(hidden=64, experts=0, latent=True)


@pytest.mark.parametrize(("name", "shape", "blocks", "sizes", "kind", "shard"), [
    ("self_attn.q_proj.weight", (64, 64), ("A2Attention",), PLAIN, "attention-qkv", "column"),
    ("self_attn.q_proj.bias", (64,), ("A2Attention",), PLAIN, "attention-qkv", "column"),
    ("self_attn.o_proj.weight", (64, 64), ("A2Attention",), PLAIN, "attention-out", "row"),
    ("attention.query_key_value.weight", (192, 64), ("B",), PLAIN, "attention-qkv", "column"),
    ("attention.dense.weight", (64, 64), ("B",), PLAIN, "attention-out", "row"),
    ("self_attn.q_proj.linear.weight", (64, 64), (), PLAIN, "attention-qkv", "column"),
    ("self_attn.sinks", (4,), ("A",), PLAIN, "attention-qkv", "column"),
    ("self_attn.q_norm.weight", (16,), ("A2Attention",), PLAIN, "norm", "replicated"),
    ("ln_1.weight", (64,), (), PLAIN, "norm", "replicated"),
    ("layer_scalar", (), (), PLAIN, "norm", "replicated"),
    ("mlp.act_fn.beta", (), ("M",), PLAIN, "mlp-gate-up", "column"),
    ("mlp.up_proj.weight", (96, 64), ("M",), PLAIN, "mlp-gate-up", "column"),
    ("mlp.dense_4h_to_h.weight", (64, 96), ("M",), PLAIN, "mlp-down", "row"),
    ("mlp.strange.weight", (64, 96), ("M",), PLAIN, "mlp-down", "row"),
    ("mlp.gate.weight", (8, 64), ("A2MoeSparseMoeBlock",), MOE, "router", "replicated"),
    ("block_sparse_moe.router.layer.weight", (8, 64), (), MOE, "router", "replicated"),
    ("mlp.experts.{expert}.w2.weight", (64, 32), ("X",), MOE, "experts-down", "row"),
    ("mlp.shared_experts.up_proj.weight", (32, 64), ("X", "M"), MOE, "shared-gate-up", "column"),
    ("mlp.shared_expert_gate.weight", (1, 64), ("X",), MOE, "shared-gate-up", "column"),
    ("mixer.in_proj.weight", (96, 64), ("AMambaMixer",), PLAIN, "linear-attention", "column"),
    ("mixer.out_proj.weight", (64, 96), ("AMambaMixer",), PLAIN, "linear-attention", "row"),
    ("self_attn.q_conv1d.weight", (96, 1, 4), ("ADeltaAttention",), PLAIN, "linear-attention",
     "replicated"),
    ("self_attn.q_a_proj.weight", (32, 64), ("A",), LATENT, "mla-q", "replicated"),
    ("self_attn.q_b_proj.weight", (96, 32), ("A",), LATENT, "mla-q", "column"),
    ("self_attn.kv_a_proj_with_mqa.weight", (24, 64), ("A",), LATENT, "mla-kv", "replicated"),
    ("self_attn.kv_b_proj.weight", (128, 16), ("A",), LATENT, "mla-kv", "column"),
    ("self_attn.q_b_proj.weight", (96, 32), ("A",), PLAIN, "mla-q", "column"),
    ("attn.wkv_a.weight", (24, 64), ("A",), PLAIN, "mla-kv", "replicated"),
    ("self_attn.out_lin.weight", (64, 64), ("A",), PLAIN, "attention-out", "row"),
    ("hc_attn_fn", (24, 256), ("X",), PLAIN, "norm", "replicated"),
    ("mlp.gate.router_mlp.out_proj.weight", (80, 256), ("X",), PLAIN, "router", "replicated"),
    ("mlp.experts.w13_weight", (64, 64), ("AExperts",), MOE, "experts-gate-up", "column"),
    ("mlp.shared_experts.shared_w2_weight", (64, 64), ("A",), MOE, "shared-down", "row"),
    ("self_attn.indexer.wk.weight", (16, 64), ("A", "AIndexer"), LATENT, "indexer", "replicated"),
])  # fmt: skip
def test_place_of_a_tensor(name, shape, blocks, sizes, kind, shard):
    assert place_of(name, shape, blocks, sizes) == TensorPlace(kind, shard)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("altup.prediction_coefs.weight", (16, 4)),
        ("mlp.strange.weight", (64, 64)),
        ("mlp.strange.weight", (2, 32, 64)),
    ],
)
def test_what_neither_name_nor_shape_tells_has_no_place(name, shape):
    assert place_of(name, shape, ("X",), PLAIN) is None


def test_attention_to_an_encoder():
    assert cross("encoder_attn.k_proj.weight", ())
    assert cross("layer.1.EncDecAttention.k.weight", ())
    assert not cross("self_attn.k_proj.weight", ("DecoderAttention",))
