"""Inventories of random small configurations against closed-form counts written independently."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.models.inventory import Inventory, expand

SIZES = st.fixed_dictionaries({
    "hidden_size": st.integers(1, 40).map(lambda n: 8 * n),
    "num_hidden_layers": st.integers(1, 6),
    "vocab_size": st.integers(1, 500),
    "tie_word_embeddings": st.booleans(),
    "num_attention_heads": st.sampled_from((1, 2, 4, 8)),
})  # fmt: skip
GROUPED = st.fixed_dictionaries({
    "head_dim": st.integers(1, 64),
    "intermediate_size": st.integers(1, 300),
})  # fmt: skip


def _ends(c):
    return (
        c["vocab_size"] * c["hidden_size"] * (1 if c["tie_word_embeddings"] else 2)
        + c["hidden_size"]
    )


def _gqa(c, biases):
    q = c["num_attention_heads"] * c["head_dim"]
    kv = c["num_key_value_heads"] * c["head_dim"]
    weights = 2 * c["hidden_size"] * (q + kv)
    return weights + (q + 2 * kv + c["hidden_size"] if biases else 0)


def _check_consistent(inventory):
    assert sum(inventory.elements_by_dtype.values()) == sum(p.elements for p in inventory.patterns)
    assert inventory.tensor_count == sum(1 for _ in expand(inventory.spec))
    assert len({t.name for t in expand(inventory.spec)}) == inventory.tensor_count


@given(SIZES, GROUPED, st.data())
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_dense_models(tiny, build, family, sizes, grouped, data):
    biases = data.draw(st.booleans())
    mlp_biases = family == "llama" and data.draw(st.booleans())
    c = tiny(family, **sizes, **grouped, num_key_value_heads=1, attention_bias=biases)
    if family == "llama":
        c["mlp_bias"] = mlp_biases
    h, i = c["hidden_size"], c["intermediate_size"]
    layer = _gqa(c, biases) + 3 * h * i + 2 * h + (2 * i + h if mlp_biases else 0)
    if family == "qwen3":
        layer += 2 * c["head_dim"]
    inventory = Inventory(build(c))
    total = _ends(c) + c["num_hidden_layers"] * layer
    assert inventory.parameters_total == total
    assert inventory.payload_bytes == 2 * total
    assert inventory.parameters_active["with_embedding"] == total
    shared = c["vocab_size"] * h
    untied = not c["tie_word_embeddings"]
    assert inventory.parameters_active["without_input_embedding"] == total - untied * shared
    assert (
        inventory.parameters_active["without_embedding_and_head"]
        == total - shared - untied * shared
    )
    _check_consistent(inventory)


@given(SIZES, GROUPED, st.data())
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("family", ["qwen3_moe", "mixtral"])
def test_expert_models(tiny, build, family, sizes, grouped, data):
    experts = data.draw(st.integers(1, 12))
    chosen = data.draw(st.integers(1, experts))
    c = tiny(family, **sizes, **grouped, num_key_value_heads=1, num_experts_per_tok=chosen)
    h, n = c["hidden_size"], c["num_hidden_layers"]
    if family == "mixtral":
        c["num_local_experts"], width, moe, norms = experts, c["intermediate_size"], n, 0
    else:
        width = data.draw(st.integers(1, 64))
        step = data.draw(st.integers(1, 3))
        dense_only = data.draw(st.lists(st.integers(0, n - 1), max_size=2))
        c |= {"num_experts": experts, "moe_intermediate_size": width, "mlp_only_layers": dense_only,
              "decoder_sparse_step": step}  # fmt: skip
        moe = len([k for k in range(1, n + 1) if k % step == 0 and k - 1 not in dense_only])
        norms = 2 * c["head_dim"]
    one = 3 * h * width
    always = _ends(c) + n * (_gqa(c, False) + 2 * h + norms) + moe * experts * h
    always += (n - moe) * 3 * h * c["intermediate_size"]
    inventory = Inventory(build(c))
    assert inventory.parameters_total == always + moe * experts * one
    assert inventory.parameters_active["with_embedding"] == always + moe * chosen * one
    _check_consistent(inventory)


@given(SIZES, st.data())
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("family", ["deepseek_v2", "deepseek_v3", "deepseek_v32"])
def test_latent_attention_models(tiny, build, family, sizes, data):
    draw = data.draw
    small = st.integers(1, 40)
    c = tiny(family, **sizes, num_key_value_heads=sizes["num_attention_heads"])
    c |= {key: draw(small) for key in (
        "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "intermediate_size",
        "moe_intermediate_size")}  # fmt: skip
    c["q_lora_rank"] = draw(small if family == "deepseek_v32" else st.none() | small)
    c["first_k_dense_replace"] = draw(st.integers(0, 8))
    c["moe_layer_freq"] = draw(st.integers(1, 3))
    c["n_shared_experts"] = draw(st.integers(0, 2))
    c["attention_bias"] = draw(st.booleans())
    mtp = 0 if family == "deepseek_v2" else draw(st.integers(0, 2))
    c["num_nextn_predict_layers"] = mtp
    c.pop("quantization_config", None)
    n = c["num_hidden_layers"]
    main = [_latent_layer(c, family, layer) for layer in range(n)]
    after = [_latent_layer(c, family, layer) for layer in range(n, n + mtp)]
    h, v = c["hidden_size"], c["vocab_size"]
    inventory = Inventory(build(c))
    assert inventory.parameters_total == _ends(c) + sum(main)
    extra = 2 * v * h + 3 * h + 2 * h * h
    assert inventory.parameters_mtp == sum(after) + mtp * extra
    assert inventory.parameters_mtp_unique == inventory.parameters_mtp - mtp * 2 * v * h
    _check_consistent(inventory)


def _latent_layer(c, family, layer):
    h, heads, r = c["hidden_size"], c["num_attention_heads"], c["kv_lora_rank"]
    nope, rope, value, q = (
        c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"], c["q_lora_rank"],
    )  # fmt: skip
    width = heads * (nope + rope)
    size = width * h if q is None else q * h + q + width * q
    size += (r + rope) * h + r + heads * (nope + value) * r + h * heads * value + 2 * h
    if c["attention_bias"]:
        size += (0 if q is None else q) + (r + rope) + h
    if family == "deepseek_v32":
        dim, count = c["index_head_dim"], c["index_n_heads"]
        size += count * dim * q + dim * h + 2 * dim + count * h
    if layer < c["first_k_dense_replace"] or layer % c["moe_layer_freq"]:
        return size + 3 * h * c["intermediate_size"]
    experts = c["n_routed_experts"]
    size += experts * h + (experts if family != "deepseek_v2" else 0)
    return size + 3 * h * c["moe_intermediate_size"] * (experts + c["n_shared_experts"])


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 700), st.integers(1, 700))
@settings(max_examples=40, deadline=None)
def test_block_scales_cover_every_started_block(tiny, build, heads, layers, inner, hidden):
    quantised = tiny("deepseek_v3")["quantization_config"]
    c = tiny("llama", num_attention_heads=heads, num_key_value_heads=heads, head_dim=3,
             num_hidden_layers=layers, hidden_size=hidden, intermediate_size=inner,
             quantization_config=quantised)  # fmt: skip

    def blocks(size):
        return (size + 127) // 128

    matrices = [(3 * heads, hidden)] * 3 + [(hidden, 3 * heads)]
    matrices += [(inner, hidden)] * 2 + [(hidden, inner)]
    elements = Inventory(build(c)).elements_by_dtype
    assert elements["F8_E4M3"] == layers * sum(a * b for a, b in matrices)
    assert elements["F32"] == layers * sum(blocks(a) * blocks(b) for a, b in matrices)
