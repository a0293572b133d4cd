"""The forward passes: laws, divergence against its definition, and transformers as the oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.probe_models import (
    HEADS,
    INNER,
    KV_HEADS,
    LAYERS,
    VOCABULARY,
    WIDTH,
    tiny_decoder,
    tiny_encoder,
    tokens,
)

from planner.lab.probe.decoder import Decoder, divergence
from planner.lab.probe.encoder import error_function
from planner.lab.probe.model import ProbeModel, as_is, exact


def last_hidden(model: ProbeModel, ids: np.ndarray) -> np.ndarray:
    h = model.embed(ids)
    for n in range(model.layers):
        h = model.layer(n, h, exact(model), as_is)
    return h


def test_a_later_token_does_not_change_earlier_positions() -> None:
    model, ids = tiny_decoder(), tokens()
    changed = ids.copy()
    changed[:, 10] = (changed[:, 10] + 1) % VOCABULARY
    a, b = last_hidden(model, ids), last_hidden(model, changed)
    assert np.array_equal(a[:, :10], b[:, :10])
    assert not np.allclose(a[:, 10:], b[:, 10:])


def test_rotary_pairs_are_a_matter_of_row_order() -> None:
    halves, ids = tiny_decoder(), tokens()
    width = WIDTH // HEADS
    order = np.arange(width).reshape(2, -1).T.ravel()  # 0, half, 1, half + 1, …
    weights = dict(halves.weights)
    for n in range(LAYERS):
        for role in "qk":
            w = weights[f"{n}.{role}"].reshape(-1, width, WIDTH)
            weights[f"{n}.{role}"] = w[:, order].reshape(-1, WIDTH)
    pairs = tiny_decoder(interleaved=True)
    pairs = Decoder(pairs.shape, pairs.names, weights)
    assert np.allclose(last_hidden(halves, ids), last_hidden(pairs, ids), atol=1e-4)


def test_divergence_is_kl_of_the_distributions() -> None:
    rng = np.random.default_rng(0)
    reference = (rng.standard_normal((6, 300)) * 4).astype(np.float32)
    for size in (1e-3, 0.1, 2.0):
        logits = reference + (rng.standard_normal((6, 300)) * size).astype(np.float32)
        log_p, log_q = (
            x.astype(float) - np.log(np.exp(x.astype(float)).sum(1, keepdims=True))
            for x in (reference, logits)
        )
        expected = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
        found = divergence(np.exp(log_p).astype(np.float32), reference, logits.copy())
        assert found == pytest.approx(expected, rel=2e-3, abs=6e-8)
    assert divergence(
        np.exp(log_p).astype(np.float32), reference, reference.copy()
    ) == pytest.approx(np.zeros(6), abs=1e-9)


def test_a_shift_of_all_logits_changes_nothing() -> None:
    reference = np.random.default_rng(0).standard_normal((4, 50)).astype(np.float32)
    p = np.exp(reference) / np.exp(reference).sum(axis=1, keepdims=True)
    assert divergence(p, reference, reference + 3).max() < 1e-6


def test_error_function() -> None:
    from math import erf

    x = np.linspace(-4, 4, 161)
    assert np.abs(error_function(np, x) - [erf(v) for v in x]).max() < 2e-7


def test_a_batch_is_its_chunks() -> None:
    for model in (tiny_decoder(), tiny_encoder()):
        ids = tokens(3)
        together = last_hidden(model, ids)
        apart = np.concatenate([last_hidden(model, ids[n : n + 1]) for n in range(3)])
        assert np.allclose(together, apart, atol=1e-5)


@pytest.mark.oracle
def test_transformers_llama_agrees() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed ([oracle] extra)")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    model, ids = tiny_decoder(), tokens()
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
    )
    other = transformers.LlamaForCausalLM(config).eval()
    roles = {
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.o_proj",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
        "norm1": "input_layernorm",
        "norm2": "post_attention_layernorm",
    }
    state = {
        "model.embed_tokens.weight": "embed",
        "lm_head.weight": "head",
        "model.norm.weight": "norm",
    }
    state |= {
        f"model.layers.{n}.{theirs}.weight": f"{n}.{ours}"
        for n in range(LAYERS)
        for ours, theirs in roles.items()
    }
    other.load_state_dict({k: torch.from_numpy(model.weights[v]) for k, v in state.items()})
    with torch.no_grad():
        expected = other(torch.from_numpy(ids)).logits.numpy()
    assert np.allclose(model.output(last_hidden(model, ids)), expected, atol=1e-4)


def test_an_input_without_spread_is_normed_to_the_bias() -> None:
    """Its variance is zero: what is added to the variance keeps the quotient finite."""
    model = tiny_encoder()
    level = {name: np.ones_like(w) for name, w in model.weights.items() if "_embeddings" in name}
    flat = replace(model, weights={**model.weights, **level}).embed(tokens())
    bias = model.weights["embeddings.LayerNorm.bias"]
    assert np.array_equal(flat, np.broadcast_to(bias, flat.shape))


@pytest.mark.oracle
def test_transformers_bert_agrees() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed ([oracle] extra)")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    model, ids = tiny_encoder(), tokens()
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
        layer_norm_eps=1e-12,
    )
    other = transformers.BertModel(config, add_pooling_layer=False).eval()
    other.load_state_dict({k: torch.from_numpy(v) for k, v in model.weights.items()})
    with torch.no_grad():
        expected = other(torch.from_numpy(ids)).last_hidden_state.numpy()
    assert np.allclose(last_hidden(model, ids), expected, atol=1e-4)
