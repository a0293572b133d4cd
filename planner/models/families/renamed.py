"""Plain decoders whose keys or tensors have names of their own: what they are called, as data.

Baichuan, BLOOM, ChatGLM and GLM-4-9B, EXAONE 3, Falcon, GPT-BigCode, GPT-J, GPT-NeoX, InternLM2,
MiniCPM, openPangu Embedded, OPT, Persimmon, Qwen 1, StarCoder2, Tele-FLM and XVERSE. Sources: the
model code of Hugging Face Transformers 5.24; of Baichuan, ChatGLM, EXAONE 3, InternLM2, MiniCPM,
openPangu, Qwen 1, Tele-FLM and XVERSE that of SGLang 0.5.23 and vLLM 0.33.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from planner.base.records import record
from planner.models import rows
from planner.models.families.plain import DecoderKind, build_kind
from planner.models.fields import Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import ModelSpec, TensorRow
from planner.models.storage import Storage

Before = Callable[[Fields], DecoderKind]


@record
class RenamedKind:
    """``like``: what the type is under other names, or what finds it in a configuration.

    ``keys``: the usual name of a key, and its own. ``names``: beginnings of the usual names of
    tensors, and what stands in their place, one after the other. ``inner``: the width of an MLP
    that no key states, in hidden sizes. ``positions``: how many learned positions there are beyond
    the context, None where positions are not learned. ``normed``: a norm behind the embedding.
    ``head_bias``: the head has a bias. ``projected``: the key
    of the embedding's own width, from and to which two matrices lead. ``context``: the tokens that
    vLLM 0.33 takes where no key states them. ``harmless`` are keys that change no tensor."""

    like: DecoderKind | Before
    keys: tuple[tuple[str, str], ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    inner: int = 0
    positions: int | None = None
    normed: bool = False
    head_bias: bool = False
    projected: str = ""
    context: int = 0
    harmless: frozenset[str] = frozenset()


_GPT2_KEYS = (("hidden_size", "n_embd"), ("num_hidden_layers", "n_layer"),
              ("num_attention_heads", "n_head"), ("max_position_embeddings", "n_positions"),
              ("intermediate_size", "n_inner"))  # fmt: skip
_ATTENTION, _MLP = LAYER + "self_attn.", LAYER + "mlp."
_OUTER = (("model.embed_tokens", "transformer.wte"), ("model.norm", "transformer.ln_f"))
_LN = ((LAYER + "input_layernorm", LAYER + "ln_1"),
       (LAYER + "post_attention_layernorm", LAYER + "ln_2"))  # fmt: skip
_H = ((LAYER, "transformer.h.{layer}."),)
_NEOX = ((_MLP + "up_proj", _MLP + "dense_h_to_4h"), (_MLP + "down_proj", _MLP + "dense_4h_to_h"))
_JOINED = DecoderKind(fused_qkv=True, gated=False, norm_bias=True, windows="none", mlp_bias=True)
_DROPOUT = frozenset({"activation_function", "attn_pdrop", "embd_pdrop", "resid_pdrop"})


def _falcon(fields: Fields) -> DecoderKind:
    """Falcon: one key head, all, or as many as a newer decoder states; one norm or two a layer."""
    newer = fields.boolean("new_decoder_architecture", default=False)
    beside = fields.boolean("parallel_attn", default=True)
    shared = fields.boolean("multi_query", default=True)
    heads = fields.integer("num_attention_heads")
    stated = fields.integer("num_kv_heads", default=heads)
    fields.state("num_key_value_heads", stated if newer else 1 if shared else heads)
    count = fields.integer("num_ln_in_parallel_attn", high=2, default=2)
    norms: tuple[str, ...] = ("input_layernorm",)
    if newer and count == 2:
        norms = ("ln_attn", "ln_mlp")
    elif not newer and not beside:
        norms = ("input_layernorm", "post_attention_layernorm")
    return replace(_JOINED, norms=norms, biases="bias", mlp_bias="bias")


def _bigcode(fields: Fields) -> DecoderKind:
    """GPT-BigCode: one key head for all queries, or as many."""
    if fields.boolean("multi_query", default=True):
        fields.state("num_key_value_heads", 1)
    return replace(_JOINED, biases=True)


def _opt(fields: Fields) -> DecoderKind:
    """OPT: a last norm where norms stand before the halves, and is not taken away."""
    if not fields.boolean("layer_norm_elementwise_affine", default=True):
        raise fields.error("layer_norm_elementwise_affine", "is false, which is not understood")
    before = fields.boolean("do_layer_norm_before", default=True)
    removed = fields.boolean("_remove_final_layer_norm", default=False)
    return DecoderKind(biases="enable_bias", out_bias="enable_bias", mlp_bias="enable_bias",
                       gated=False, norm_bias=True, windows="none",
                       final_norm=before and not removed)  # fmt: skip


def _hyperclovax(fields: Fields) -> DecoderKind:
    """HyperCLOVA X: Granite with norms behind both halves."""
    after = fields.boolean("use_post_norm", default=True)
    both = ("input_layernorm", "post_attention_layernorm")
    return DecoderKind(norms=(*both, "post_norm1", "post_norm2") if after else both,
                       mlp_bias="mlp_bias", windows="none")  # fmt: skip


def _minicpm(fields: Fields) -> DecoderKind:
    """MiniCPM 1 to 4 without sparse attention: tied unless it says otherwise, as its own class."""
    if fields.take("tie_word_embeddings") is None:
        fields.state("tie_word_embeddings", True)
        fields.assume("tie_word_embeddings", "true (default of its own class)")
    return DecoderKind(windows="none", refused=("mixer_types", "num_experts", "sparse_config"))


def _qwen(fields: Fields) -> DecoderKind:
    """Qwen 1: ``intermediate_size`` is that of gate and up together."""
    both = fields.integer("intermediate_size")
    if both % 2 or not fields.boolean("no_bias", default=True):
        raise fields.error("no_bias", "is false, or intermediate_size odd")
    fields.change("intermediate_size", both // 2)
    return DecoderKind(fused_qkv=True, biases=True, out_bias=False, windows="none",
                       only=(("scale_attn_weights", True),))  # fmt: skip


def _chatglm(fields: Fields) -> DecoderKind:
    """ChatGLM 2 and 3, and GLM-4-9B: key heads are called groups."""
    heads = fields.integer("num_attention_heads")
    groups = fields.integer("multi_query_group_num", default=heads)
    shared = fields.boolean("multi_query_attention", default=False)
    fields.state("num_key_value_heads", groups if shared else heads)
    fields.boolean("interleaved_qkv", default=False)
    return DecoderKind(
        biases="add_qkv_bias", out_bias="add_bias_linear", mlp_bias="add_bias_linear",
        fused_qkv=True, fused_mlp=True, windows="none",
        only=(("rmsnorm", True), ("post_layer_norm", True), ("add_bias_linear", False),
              ("pre_seq_len", None), ("prefix_projection", False)))  # fmt: skip


RENAMED: dict[str, RenamedKind] = {
    "baichuan": RenamedKind(
        DecoderKind(fused_qkv=True, biases=False, windows="none"),
        keys=(("max_position_embeddings", "model_max_length"),),
        names=((_ATTENTION + "qkv_proj", _ATTENTION + "W_pack"),),
        harmless=frozenset({"z_loss_weight", "gradient_checkpointing"})),
    "bloom": RenamedKind(
        replace(_JOINED, biases=True),
        keys=(("hidden_size", "n_embed"), ("num_hidden_layers", "n_layer"),
              ("num_attention_heads", "n_head"), ("max_position_embeddings", "seq_length")),
        names=(("model.embed_tokens", "transformer.word_embeddings"),
               ("model.embed_norm", "transformer.word_embeddings_layernorm"),
               ("model.norm", "transformer.ln_f"), *_NEOX,
               (_ATTENTION + "qkv_proj", LAYER + "self_attention.query_key_value"),
               (_ATTENTION + "o_proj", LAYER + "self_attention.dense"), *_H),
        inner=4, normed=True, context=2048,
        harmless=frozenset({"apply_residual_connection_post_layernorm", "attention_softmax_in_fp32",
                            "bias_dropout_fusion", "masked_softmax_fusion", "offset_alibi",
                            "skip_bias_add", "skip_bias_add_qkv", "slow_but_exact",
                            "unk_token_id"})),
    "chatglm": RenamedKind(
        _chatglm,
        keys=(("num_hidden_layers", "num_layers"), ("vocab_size", "padded_vocab_size"),
              ("intermediate_size", "ffn_hidden_size"), ("head_dim", "kv_channels"),
              ("max_position_embeddings", "seq_length")),
        names=(("model.embed_tokens", "transformer.embedding.word_embeddings"),
               ("model.norm", "transformer.encoder.final_layernorm"),
               ("lm_head", "transformer.output_layer"),
               (_ATTENTION + "qkv_proj", LAYER + "self_attention.query_key_value"),
               (_ATTENTION + "o_proj", LAYER + "self_attention.dense"),
               (_MLP + "gate_up_proj", _MLP + "dense_h_to_4h"),
               (_MLP + "down_proj", _MLP + "dense_4h_to_h"),
               (LAYER, "transformer.encoder.layers.{layer}.")),
        harmless=frozenset({"apply_query_key_layer_scaling", "original_rope", "rope_ratio",
                            "apply_residual_connection_post_layernorm", "attention_softmax_in_fp32",
                            "bias_dropout_fusion", "fp32_residual_connection",
                            "layernorm_epsilon", "quantization_bit"})),
    "exaone": RenamedKind(
        DecoderKind(biases=False, windows="none"),
        keys=(("num_hidden_layers", "num_layers"),),
        names=(*_OUTER, *_LN, (_ATTENTION + "o_proj", LAYER + "attn.attention.out_proj"),
               (_ATTENTION, LAYER + "attn.attention."), (_MLP + "gate_proj", _MLP + "c_fc_0"),
               (_MLP + "up_proj", _MLP + "c_fc_1"), (_MLP + "down_proj", _MLP + "c_proj"), *_H),
        harmless=frozenset({"activation_function", "embed_dropout"})),
    "falcon": RenamedKind(
        _falcon,
        keys=(("hidden_size", "n_embed"), ("num_hidden_layers", "n_layer"),
              ("num_attention_heads", "n_head"), ("intermediate_size", "ffn_hidden_size")),
        names=(("model.embed_tokens", "transformer.word_embeddings"),
               ("model.norm", "transformer.ln_f"), *_NEOX,
               (_ATTENTION + "qkv_proj", LAYER + "self_attention.query_key_value"),
               (_ATTENTION + "o_proj", LAYER + "self_attention.dense"), *_H),
        inner=4, context=2048,
        harmless=frozenset({"activation", "alibi", "apply_residual_connection_post_layernorm"})),
    "gpt_bigcode": RenamedKind(
        _bigcode, keys=_GPT2_KEYS,
        names=(*_OUTER, ("model.positions", "transformer.wpe"), *_LN,
               (_ATTENTION + "qkv_proj", LAYER + "attn.c_attn"),
               (_ATTENTION + "o_proj", LAYER + "attn.c_proj"), (_MLP + "up_proj", _MLP + "c_fc"),
               (_MLP + "down_proj", _MLP + "c_proj"), *_H),
        inner=4, positions=0,
        harmless=_DROPOUT | {"attention_softmax_in_fp32", "inference_runner", "max_batch_size",
                             "max_sequence_length", "pad_key_length", "pre_allocate_kv_cache",
                             "scale_attention_softmax_in_fp32", "scale_attn_weights",
                             "summary_activation", "summary_first_dropout",
                             "summary_proj_to_labels", "summary_type", "summary_use_proj",
                             "validate_runner_input"}),
    "gpt_neox": RenamedKind(
        _JOINED,
        names=(("model.embed_tokens", "gpt_neox.embed_in"), ("lm_head", "embed_out"),
               ("model.norm", "gpt_neox.final_layer_norm"), *_NEOX,
               (_ATTENTION + "qkv_proj", LAYER + "attention.query_key_value"),
               (_ATTENTION + "o_proj", LAYER + "attention.dense"),
               (LAYER, "gpt_neox.layers.{layer}.")),
        harmless=frozenset({"classifier_dropout", "use_parallel_residual"})),
    "gptj": RenamedKind(
        DecoderKind(norms=("input_layernorm",), biases=False, gated=False, mlp_bias=True,
                    norm_bias=True, windows="none"),
        keys=_GPT2_KEYS,
        names=(*_OUTER, *_LN, (_ATTENTION + "o_proj", LAYER + "attn.out_proj"),
               (_ATTENTION, LAYER + "attn."), (_MLP + "up_proj", _MLP + "fc_in"),
               (_MLP + "down_proj", _MLP + "fc_out"), *_H),
        inner=4, head_bias=True,
        harmless=_DROPOUT | {"rotary", "scale_attn_weights", "summary_activation",
                             "summary_first_dropout", "summary_proj_to_labels", "summary_type",
                             "summary_use_proj"}),
    "hyperclovax": RenamedKind(_hyperclovax),
    "internlm2": RenamedKind(
        DecoderKind(fused_qkv=True, biases="bias", windows="none"),
        names=(("model.embed_tokens", "model.tok_embeddings"), ("lm_head", "output"),
               (_ATTENTION + "qkv_proj", LAYER + "attention.wqkv"),
               (_ATTENTION + "o_proj", LAYER + "attention.wo"),
               (LAYER + "input_layernorm", LAYER + "attention_norm"),
               (LAYER + "post_attention_layernorm", LAYER + "ffn_norm"),
               (_MLP + "gate_proj", LAYER + "feed_forward.w1"),
               (_MLP + "up_proj", LAYER + "feed_forward.w3"),
               (_MLP + "down_proj", LAYER + "feed_forward.w2"))),
    "minicpm": RenamedKind(
        _minicpm, harmless=frozenset({"dim_model_base", "mup_denominator", "scale_depth",
                                      "scale_emb"})),
    "opt": RenamedKind(
        _opt, keys=(("intermediate_size", "ffn_dim"),),
        names=(("model.embed_tokens", "model.decoder.embed_tokens"),
               ("model.positions", "model.decoder.embed_positions"),
               ("model.norm", "model.decoder.final_layer_norm"),
               (LAYER + "input_layernorm", LAYER + "self_attn_layer_norm"),
               (LAYER + "post_attention_layernorm", LAYER + "final_layer_norm"),
               (_ATTENTION + "o_proj", _ATTENTION + "out_proj"), (_MLP + "up_proj", LAYER + "fc1"),
               (_MLP + "down_proj", LAYER + "fc2"), (LAYER, "model.decoder.layers.{layer}.")),
        positions=2, projected="word_embed_proj_dim",
        harmless=frozenset({"activation_dropout", "activation_function", "dropout", "init_std",
                            "layerdrop"})),
    "PanguEmbedded": RenamedKind(DecoderKind(biases="bias", out_bias="bias", windows="none")),
    "persimmon": RenamedKind(
        replace(_JOINED, biases=True, head_norms=("q_layernorm", "k_layernorm"),
                head_norms_key="qk_layernorm"),
        names=(("model.norm", "model.final_layernorm"), *_NEOX,
               (_ATTENTION + "qkv_proj", _ATTENTION + "query_key_value"),
               (_ATTENTION + "o_proj", _ATTENTION + "dense"))),
    "qwen": RenamedKind(
        _qwen, keys=(("head_dim", "kv_channels"), ("max_position_embeddings", "seq_length")),
        names=(*_OUTER, *_LN, (_ATTENTION + "qkv_proj", LAYER + "attn.c_attn"),
               (_ATTENTION + "o_proj", LAYER + "attn.c_proj"), (_MLP + "gate_proj", _MLP + "w2"),
               (_MLP + "up_proj", _MLP + "w1"), (_MLP + "down_proj", _MLP + "c_proj"), *_H),
        harmless=frozenset({"attn_dropout_prob", "bf16", "emb_dropout_prob", "fp16", "fp32",
                            "softmax_in_fp32", "use_cache_kernel", "use_cache_quantization",
                            "use_dynamic_ntk", "use_flash_attn", "use_logn_attn"})),
    "TeleFLM": RenamedKind(
        DecoderKind(biases=False, windows="none"),
        harmless=frozenset({"input_mult", "mup_scale_factor", "output_mult", "use_mup"})),
    "xverse": RenamedKind(DecoderKind(biases=False, windows="none")),
    "starcoder2": RenamedKind(
        DecoderKind(biases="use_bias", out_bias="use_bias", mlp_bias="use_bias", gated=False,
                    norm_bias=True, windows="stated", only=(("norm_type", "layer_norm"),
                                                            ("mlp_type", "default"))),
        names=((_MLP + "up_proj", _MLP + "c_fc"), (_MLP + "down_proj", _MLP + "c_proj"))),
}  # fmt: skip
MODEL_TYPES = tuple(RENAMED)


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a decoder that is plain under other names.

    Raises:
        DataError: a key is missing, malformed or not understood.
        UnsupportedError: a key has a value that changes the structure.
    """
    kind = RENAMED[model_type]
    for usual, own in kind.keys:
        _rename(fields, usual, own)
    if kind.context and fields.take("max_position_embeddings") is None:
        fields.change("max_position_embeddings", kind.context)
        fields.assume("max_position_embeddings", f"{kind.context} (what vLLM 0.33 takes)")
    if kind.inner and fields.take("intermediate_size") is None:
        fields.change("intermediate_size", kind.inner * fields.integer("hidden_size"))
    like = kind.like if isinstance(kind.like, DecoderKind) else kind.like(fields)
    narrow = fields.optional_integer(kind.projected) if kind.projected else None
    like = replace(like, harmless=like.harmless | kind.harmless)
    spec = build_kind(fields, model_type, like, origin)
    made = [*_narrowed(spec, narrow), *_around(kind, spec)]
    for usual, own in kind.names:
        made = rows.renamed(made, usual, own)
    return replace(spec, rows=tuple(made))


def _rename(fields: Fields, usual: str, own: str) -> None:
    """Read key ``own`` as ``usual``; of two contexts the shorter one counts, as for vLLM 0.33.

    Raises:
        DataError: both are stated, and differ.
    """
    if usual == "max_position_embeddings":
        stated = [n for key in (usual, own) if (n := fields.optional_integer(key)) is not None]
        if stated:
            fields.change(usual, min(stated))
        return
    fields.alias(usual, own)


def _narrowed(spec: ModelSpec, width: int | None) -> list[TensorRow]:
    """The rows with embedding and head ``width`` wide, and a matrix after and before them."""
    if width in (None, spec.hidden_size):
        return list(spec.rows)
    storage, hidden = Storage(spec.quantization), spec.hidden_size
    return [
        *(replace(row, shape=(row.shape[0], width)) if row.kind in ("embedding", "head") else row
          for row in spec.rows),
        *(rows.linear(storage, f"model.decoder.project_{way}", kind, shape, (),
                      fused="project-" + way, shard="replicated")
          for way, kind, shape in (("in", "mlp-gate-up", (hidden, width)),
                                   ("out", "mlp-down", (width, hidden)))),
    ]  # fmt: skip


def _around(kind: RenamedKind, spec: ModelSpec) -> list[TensorRow]:
    """Learned positions, the norm behind the embedding, the bias of the head."""
    storage, hidden = Storage(spec.quantization), spec.hidden_size
    made = []
    if kind.positions is not None:
        made.append(rows.plain(storage, "model.positions.weight", "embedding",
                               (spec.max_context + kind.positions, hidden), (),
                               fused="positions"))  # fmt: skip
    if kind.normed:
        norm = rows.norm(storage, "model.embed_norm", hidden, ())
        made += [norm, rows.bias(storage, norm)]
    if kind.head_bias:
        head = rows.plain(storage, "lm_head.weight", "head", (spec.vocab_size, hidden), (),
                          fused="head", shard="vocab")  # fmt: skip
        made.append(rows.bias(storage, head, shard="vocab"))
    return made
