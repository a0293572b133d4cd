"""Activations against table 2 of Korthikanti et al. (arXiv 2205.05198) and counts by hand."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.recurrent_configs import RELEASES

from planner.base.errors import UnsupportedError
from planner.memory.training import in_flight, rank_activations
from planner.memory.training_activations import _latent, after_recompute, layer_tensors, rank_tokens
from planner.memory.training_setup import (
    Recompute,
    Stored,
    TrainLayout,
    TrainSetup,
    recipe,
)
from planner.models.catalog import resolve_model
from planner.models.configuration import spec_from_bytes
from planner.models.spec import Attention, ModelSpec, Recurrence, ShardAxis, TensorRow

SETUP = TrainSetup(
    recipe=recipe("fp16"),
    mode="full",
    zero=0,
    seq=2048,
    micro_batch=1,
    recompute="none",
    sequence_parallel=False,
    kernel="plain",
    dropout=True,
)
# Table 3 of the paper: heads, hidden size, layers, micro-batch.
GPT = {
    "22B": (64, 6144, 48, 4),
    "175B": (96, 12288, 96, 1),
    "530B": (128, 20480, 105, 1),
    "1T": (160, 25600, 128, 1),
}


def gpt(heads: int, hidden: int, layers: int) -> ModelSpec:
    """A GPT of the paper: two layer norms, GELU MLP of width 4h, vocabulary of 51,200."""
    every = tuple(range(layers))

    def row(
        name: str,
        kind: str,
        shape: tuple[int, ...],
        shard: ShardAxis,
        *,
        stack: bool = True,
    ) -> TensorRow:
        return TensorRow(
            name=name,
            kind=kind,
            shape=shape,
            layers=every if stack else (),
            experts=1,
            fused=name,
            shard=shard,
            dtype="fp16",
            scale_name=None,
            scale_shape=None,
            scale_dtype=None,
            part="main",
        )

    rows = (
        row("embedding.weight", "embedding", (51200, hidden), "vocab", stack=False),
        row("layer.{layer}.norm_1.weight", "norm", (hidden,), "replicated"),
        row("layer.{layer}.norm_1.bias", "norm", (hidden,), "replicated"),
        row("layer.{layer}.qkv.weight", "attention-qkv", (3 * hidden, hidden), "column"),
        row("layer.{layer}.dense.weight", "attention-out", (hidden, hidden), "row"),
        row("layer.{layer}.norm_2.weight", "norm", (hidden,), "replicated"),
        row("layer.{layer}.norm_2.bias", "norm", (hidden,), "replicated"),
        row("layer.{layer}.up.weight", "mlp-gate-up", (4 * hidden, hidden), "column"),
        row("layer.{layer}.down.weight", "mlp-down", (hidden, 4 * hidden), "row"),
        row("norm.weight", "norm", (hidden,), "replicated", stack=False),
    )
    attention = Attention(
        kind="gqa", layers=every, heads=heads, kv_heads=heads, head_dim=hidden // heads
    )
    return ModelSpec(
        id="gpt",
        public_name="gpt",
        model_type="gpt",
        layers=layers,
        hidden_size=hidden,
        vocab_size=51200,
        max_context=2048,
        tied_embeddings=True,
        attention=(attention,),
        experts=None,
        dense_width=4 * hidden,
        mtp_layers=0,
        quantization="fp16",
        source="arXiv 2205.05198",
        source_kind="test",
        config_sha256="",
        rows=rows,
    )


def layer_bytes(spec: ModelSpec, layout: TrainLayout, setup: TrainSetup) -> int:
    tensors = after_recompute(layer_tensors(spec, layout, setup, 0), spec, layout, setup)
    return sum(t.bytes_of(rank_tokens(layout, setup), setup.recipe) for t in tensors)


@pytest.mark.parametrize("model", GPT)
@pytest.mark.parametrize("t", [1, 8])
def test_every_row_of_table_2(model: str, t: int) -> None:
    a, h, layers, b = GPT[model]
    s, spec, layout = 2048, gpt(a, h, layers), TrainLayout(tp=t)
    sbh = s * b * h
    scores = 5 * a * s * s * b

    def got(recompute: Recompute, parallel: bool) -> int:
        return layer_bytes(
            spec,
            layout,
            replace(SETUP, micro_batch=b, recompute=recompute, sequence_parallel=parallel),
        )

    assert got("none", False) == 10 * sbh + 24 * sbh // t + scores // t
    assert got("none", True) == (34 * sbh + scores) // t
    assert got("selective", False) == 10 * sbh + 24 * sbh // t
    assert got("selective", True) == 34 * sbh // t
    assert got("full", False) == 2 * sbh


def test_share_of_the_scores_in_gpt_3() -> None:
    """Section 5: 5as/h is 80 for GPT-3, 64 for MT-NLG 530B; dropping it saves 70 % and 65 %."""
    for model, ratio, saved in (("175B", 80, 0.70), ("530B", 64, 0.65)):
        a, h, layers, _ = GPT[model]
        assert 5 * a * 2048 == ratio * h
        spec, layout = gpt(a, h, layers), TrainLayout()
        none = layer_bytes(spec, layout, SETUP)
        left = layer_bytes(spec, layout, replace(SETUP, recompute="selective"))
        assert 1 - left / none == pytest.approx(saved, abs=0.006)


def test_the_ends_of_the_model() -> None:
    """Section 4.3 at p = 1: sbh/t for the dropout, 4sbh/t (1 + v/h) for the output layer."""
    a, h, layers, b = GPT["22B"]
    spec, layout = gpt(a, h, layers), TrainLayout(tp=8)
    setup = replace(SETUP, micro_batch=b, sequence_parallel=True)
    total = rank_activations(spec, layout, setup, 0).kept
    ends = total - layers * layer_bytes(spec, layout, setup)
    assert ends == 2048 * b * (h + 4 * (h + 51200)) // 8


def test_interleaving_is_the_papers_factor() -> None:
    """The first rank holds L · (1 + (p − 1)/(p·v)) layers of activations."""
    for p, v in ((8, 3), (35, 3), (64, 2)):
        flights = in_flight(TrainLayout(pp=p, chunks=v), SETUP, 0)
        assert sum(flights) == p * v + p - 1
    assert [in_flight(TrainLayout(pp=4), SETUP, s) for s in range(4)] == [(4,), (3,), (2,), (1,)]
    few = replace(SETUP, micro_batches=2)
    assert [in_flight(TrainLayout(pp=4), few, s) for s in range(4)] == [(2,), (2,), (2,), (1,)]
    assert in_flight(TrainLayout(pp=4, chunks=2), replace(SETUP, micro_batches=4), 0) == (4, 4)


def test_a_llama_layer_by_hand() -> None:
    """SwiGLU, grouped heads, flash attention, no dropout: elements a token of one layer."""
    spec, layout = resolve_model("llama-3.1-8b"), TrainLayout(tp=2)
    setup = replace(
        SETUP, recipe=recipe("bf16"), sequence_parallel=True, kernel="flash", dropout=False
    )
    half = 2 * 4096 + 4096 + (4096 + 2 * 1024) + 4096 + 4096 + 3 * 14336
    assert layer_bytes(spec, layout, setup) == 2048 * (2 * half // 2 + 4 * 32 // 2)


def test_keys_are_copied_past_their_heads() -> None:
    spec = resolve_model("llama-3.1-8b")
    named = {t.name: t for t in layer_tensors(spec, TrainLayout(tp=32), SETUP, 0)}
    assert named["keys"].elements(1000) == 128 * 1000
    assert named["queries"].elements(1000) == 128 * 1000


def test_experts_scale_with_chosen_and_shared_widths() -> None:
    """DeepSeek-V3: (k + shared)·3·I of intermediates, k·h dispatched."""
    spec = resolve_model("deepseek-v3")
    setup = replace(SETUP, recipe=recipe("bf16"), kernel="flash", dropout=False)
    named = {t.name: t.elements(1) for t in layer_tensors(spec, TrainLayout(), setup, 60)}
    inner = sum(v for k, v in named.items() if "activation" in k)
    assert inner == (8 + 1) * 3 * 2048
    assert named["dispatched tokens"] == 8 * 7168
    assert named["queries"] == named["keys"] == 128 * 192
    assert named["values"] == named["attention output"] == 128 * 128
    dense = {t.name for t in layer_tensors(spec, TrainLayout(), setup, 0)}
    assert "MLP activation input" in dense
    assert "dispatched tokens" not in dense


def test_deepseek_caches_linear_inputs_in_tiles() -> None:
    spec, layout = resolve_model("deepseek-v3"), TrainLayout()
    setup = replace(
        SETUP, recipe=recipe("fp8-deepseek"), kernel="flash", dropout=False, recompute="selective"
    )
    left = {
        t.name: t
        for t in after_recompute(layer_tensors(spec, layout, setup, 60), spec, layout, setup)
    }
    assert left["dispatched tokens"].bytes_of(128, setup.recipe) == 8 * 7168 * (128 + 4)
    assert left["attention output"].bytes_of(128, setup.recipe) == 128 * 128 * (128 * 3 // 2 + 4)
    assert left["experts activation input"].bytes_of(1, setup.recipe) == 8 * 4096 * 33 // 32
    assert not {"queries", "keys", "values", "attention input"} & left.keys()
    assert "experts activation output" not in left


def test_full_recompute_keeps_inputs_and_remakes_one_layer() -> None:
    spec, layout = resolve_model("llama-3.1-8b"), TrainLayout()
    setup = replace(SETUP, recipe=recipe("bf16"), kernel="flash", dropout=False)
    full = rank_activations(spec, layout, replace(setup, recompute="full"), 0)
    none = rank_activations(spec, layout, setup, 0)
    layer = layer_bytes(spec, layout, setup)
    assert none.recomputed == 0
    assert full.recomputed == layer
    assert none.kept - full.kept == 32 * (layer - 2 * 2048 * 4096)


def test_frozen_layers_keep_no_inputs_for_weight_gradients() -> None:
    spec, layout = resolve_model("llama-3.1-8b"), TrainLayout()
    setup = replace(
        SETUP,
        kernel="flash",
        dropout=False,
        mode="lora",
        lora_rank=16,
        lora_kinds=frozenset({"attention-qkv", "attention-out"}),
    )
    names = {t.name: t for t in layer_tensors(spec, layout, setup, 0)}
    assert not {"MLP input", "MLP activation output"} & names.keys()
    assert {"MLP activation input", "attention input"} <= names.keys()
    assert names["adapters"].elements(1) == 4 * 16


def test_stored_bytes_round_up() -> None:
    assert Stored(12).bytes_of(3) == 5
    assert Stored(8, 128).bytes_of(129) == 129 + 8
    assert Stored(16).bytes_of(0) == 0


@pytest.mark.parametrize(("rule", "words"), [("mamba1", "Mamba-1"), ("conv", "short convolution")])
def test_unknown_recurrences_are_refused_by_name(rule: Recurrence, words: str) -> None:
    spec = resolve_model("llama-3.1-8b")
    other = replace(spec, attention=(replace(spec.attention[0], kind="linear", rule=rule),))
    with pytest.raises(UnsupportedError, match=words):
        layer_tensors(other, TrainLayout(), SETUP, 0)


def widths(spec: ModelSpec, layer: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in layer_tensors(spec, TrainLayout(), SETUP, layer):
        found[one.name] = found.get(one.name, 0) + one.width
    return found


def test_compressed_attention_by_hand() -> None:
    """DeepSeek-V4-Flash: hidden 4,096 in four streams, 64 heads of 512, eight groups of 1,024
    outputs; layer 2 pools by 4 with an indexer of 64 × 128, layer 3 by 128."""
    spec = resolve_model("deepseek-v4-flash")
    csa, hca, swa = (widths(spec, layer) for layer in (2, 3, 0))
    for one in (csa, hca, swa):
        assert one["queries"] == one["attention output"] == 64 * 512
        assert one["key and value"] == 512
        assert one["outputs of head groups"] == 8 * 1024
        assert one["residual streams"] == 2 * 4 * 4096
    assert csa["keys and gates to pool"] == 2 * 2 * (512 + 128)
    assert hca["keys and gates to pool"] == 2 * 512
    assert "keys and gates to pool" not in swa
    assert (csa["compressed entries"], hca["compressed entries"]) == (128, 4)
    assert csa["indexer queries and keys"] == 64 * 129 + 32
    whole = layer_tensors(spec, TrainLayout(), SETUP, 2)
    again = after_recompute(whole, spec, TrainLayout(), replace(SETUP, recompute="full"))
    assert [one.width for one in again] == [4 * 4096]


def test_layers_of_an_mlp_alone_and_of_mamba() -> None:
    """Nemotron-Super has layers without attention; Nemotron-3 Nano's Mamba-2 has 64 heads of 64,
    8 groups of 128 states."""
    spec = resolve_model("nemotron-super-49b")
    held = {layer for a in spec.attention for layer in a.layers}
    without = next(n for n in range(spec.layers) if n not in held)
    assert "attention input" not in widths(spec, without)
    nano = spec_from_bytes(
        json.dumps(RELEASES["nemotron_3_nano"]).encode(),
        "config.json",
        model_id="nano",
        public_name="nano",
        source="",
        source_kind="file",
    )
    mixer = next(a for a in nano.attention if a.kind == "linear")
    found = widths(nano, mixer.layers[0])
    assert found["convolution input"] == 64 * 64 + 2 * 8 * 128
    assert found["states of chunks"] == 64 * 64 * 128 // 256
    assert found["steps and decays"] == 2 * 64


@settings(max_examples=30, deadline=None)
@given(
    id=st.sampled_from(["llama-3.1-8b", "qwen3-30b-a3b", "deepseek-v2-lite"]),
    log_tp=st.integers(0, 2),
    chunks=st.integers(1, 32),
    batch=st.integers(1, 4),
    recompute=st.sampled_from(["none", "selective", "full"]),
    form=st.sampled_from(["bf16", "fp32", "fp8-deepseek"]),
)
def test_monotone_whole_and_divided_by_sequence_parallelism(
    id: str, log_tp: int, chunks: int, batch: int, recompute: Recompute, form: str
) -> None:
    spec, tp = resolve_model(id), 1 << log_tp
    layout = TrainLayout(tp=tp, etp=tp if spec.experts else 1)
    setup = replace(
        SETUP,
        recipe=recipe(form),
        seq=128 * chunks,
        micro_batch=batch,
        recompute=recompute,
        dropout=False,
        kernel="flash",
        sequence_parallel=True,
    )
    here = rank_activations(spec, layout, setup, 0)
    assert here.kept > 0
    assert here.recomputed >= 0
    longer = rank_activations(spec, layout, replace(setup, seq=setup.seq + 128), 0)
    wider = rank_activations(spec, layout, replace(setup, micro_batch=batch + 1), 0)
    plain = rank_activations(spec, layout, replace(setup, sequence_parallel=False), 0)
    assert min(longer.kept, wider.kept) > here.kept
    assert plain.kept >= here.kept
    for layer in (0, spec.layers - 1):
        for tensor in layer_tensors(spec, layout, setup, layer):
            assert rank_tokens(layout, setup) * tensor.width % tensor.divisor == 0


def test_an_indexer_without_heads_of_its_own_keeps_nothing() -> None:
    spec = resolve_model("deepseek-v3.2")
    (own,) = {a for a in spec.attention if a.indexer_topk}
    names = [one.name for one in _latent(spec, own, 1, 1)]
    assert "indexer queries and keys" in names
    for without in (replace(own, indexer_heads=0), replace(own, indexer_topk=0)):
        assert [one.name for one in _latent(spec, without, 1, 1)] == names[:-1]
