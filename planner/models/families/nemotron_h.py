"""Nemotron-H and Nemotron-3 Nano, Super, Ultra: a layer is one block, Mamba-2, attention or MLP.

Nemotron-3's MLP blocks route to experts of two matrices; those of Super and Ultra work in a latent
space between two projections. MLPs square a ReLU, so nothing gates them.
"""

from __future__ import annotations

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.models import rows
from planner.models.families.common import (
    Backbone,
    GroupedQuery,
    read_grouped_query,
    read_shared_routing,
    spec_of,
)
from planner.models.families.mamba import mamba2, mamba2_rows
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("nemotron_h",)
_LETTERS = {"M": "mamba", "*": "attention", "E": "moe", "-": "mlp"}
_WORDS = {
    "mamba": "mamba",
    "linear_attention": "mamba",
    "attention": "attention",
    "full_attention": "attention",
    "moe": "moe",
    "mlp": "mlp",
}
_PREDICTION = ("attention", "moe")
_ROUTING = (
    "n_routed_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "n_shared_experts",
    "moe_shared_expert_intermediate_size",
)


@record
class _Config:
    size: Backbone
    blocks: tuple[str, ...]
    attention: GroupedQuery
    mamba: Attention
    experts: Experts | None
    width: int
    conv_bias: bool
    mamba_biases: bool
    mlp_biases: bool

    def of(self, kind: str) -> tuple[int, ...]:
        """The layers of one kind of block."""
        return tuple(n for n, block in enumerate(self.blocks) if block == kind)


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Nemotron-H or Nemotron-3 configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
        UnsupportedError: windowed attention, or prediction blocks of another kind.
    """
    storage = read_storage(fields)
    config = _read(fields, storage)
    after = fields.integer("num_nextn_predict_layers", low=0, high=MAX_LAYERS, default=0)
    predicted = (
        _blocks(fields, "mtp_layers_block_type", "mtp_hybrid_override_pattern") or _PREDICTION
    )
    if after and set(predicted) - set(_PREDICTION):
        raise UnsupportedError(
            f"{fields.place}: prediction blocks other than attention and moe",
            hint="remove num_nextn_predict_layers to plan without prediction",
        )
    fields.finish()
    size = config.size
    tensors = [
        rows.plain(storage, "backbone.embeddings.weight", "embedding", (size.vocab, size.hidden),
                   (), fused="embedding", shard="vocab"),
        *rows.renamed(_decoder(storage, config), "model.", "backbone."),
        rows.norm(storage, "backbone.norm_f", size.hidden, ()),
        *(() if size.tied else (rows.plain(storage, "lm_head.weight", "head",
                                           (size.vocab, size.hidden), (), fused="head",
                                           shard="vocab"),)),
        *_prediction(storage, config, after, predicted),
    ]  # fmt: skip
    return spec_of(
        origin, model_type, size, storage, rows=tensors, experts=config.experts,
        dense_width=config.width if config.of("mlp") else 0, mtp_layers=after,
        attention=[config.attention.attention(config.of("attention")), config.mamba],
    )  # fmt: skip


def _read(fields: Fields, storage: Storage) -> _Config:
    blocks = _blocks(fields, "layers_block_type", "hybrid_override_pattern") or _blocks(
        fields, "layer_types", "hybrid_override_pattern"
    )
    if not blocks:
        raise fields.error("layers_block_type", "is missing, and so is hybrid_override_pattern")
    layers = fields.integer("num_hidden_layers", high=MAX_LAYERS, default=len(blocks))
    if layers != len(blocks):
        raise fields.error("num_hidden_layers", f"is {layers}; {len(blocks)} blocks are listed")
    size = Backbone(
        hidden=fields.integer("hidden_size"), layers=layers, vocab=fields.integer("vocab_size"),
        context=fields.integer("max_position_embeddings", high=MAX_CONTEXT),
        tied=fields.boolean("tie_word_embeddings", default=False))  # fmt: skip
    if fields.optional_integer("sliding_window", high=MAX_CONTEXT) is not None:
        raise UnsupportedError(
            f"{fields.place}: sliding_window is not null, which is not modelled",
            hint="released Nemotron-H models attend to the whole past",
        )
    biases = fields.boolean("attention_bias", default=False)
    attention = _attention(fields, size.hidden, biases)
    mamba = mamba2(
        fields, tuple(n for n, block in enumerate(blocks) if block == "mamba"), storage,
        heads=fields.integer("mamba_num_heads", high=MAX_EXPERTS),
        head_dim=fields.integer("mamba_head_dim"), default="fp32",
        groups=fields.integer("n_groups", high=MAX_EXPERTS, default=8),
        states=fields.integer("ssm_state_size", default=128),
        kernel=fields.integer("conv_kernel", high=MAX_EXPERTS, default=4))  # fmt: skip
    width = fields.integer("intermediate_size")
    moe = tuple(n for n, block in enumerate(blocks) if block == "moe")
    inner = fields.boolean("use_bias", default=False)
    fields.take("mamba_proj_bias")  # use_bias decides, in transformers and in vLLM
    return _Config(
        size, blocks, attention, mamba, _experts(fields, moe), width,
        fields.boolean("use_conv_bias", default=True), inner,
        fields.boolean("mlp_bias", default=False))  # fmt: skip


def _attention(fields: Fields, hidden: int, biases: bool) -> GroupedQuery:
    """Heads; Nemotron-H's first releases call the width of one ``attention_head_dim``."""
    old = fields.optional_integer("attention_head_dim")
    if old is not None and fields.take("head_dim") is None:
        heads = fields.integer("num_attention_heads", high=MAX_EXPERTS)
        kv_heads = fields.integer("num_key_value_heads", high=MAX_EXPERTS)
        if heads % kv_heads:
            raise fields.error("num_key_value_heads", f"is {kv_heads}; it must divide {heads}")
        return GroupedQuery(heads, kv_heads, old, biases)
    return read_grouped_query(fields, hidden, biases=biases, head_dim_optional=False)


def _experts(fields: Fields, layers: tuple[int, ...]) -> Experts | None:
    """Experts of two matrices; their keys mean nothing where no block routes."""
    latent = fields.optional_integer("moe_latent_size")
    shared_width = fields.optional_integer("moe_shared_expert_intermediate_size")
    if not layers:
        for name in (
            "n_routed_experts",
            "moe_intermediate_size",
            "n_shared_experts",
            "num_experts_per_tok",
            "n_group",
            "topk_group",
        ):
            fields.take(name)
        return None
    lacking = [name for name in _ROUTING if fields.take(name) is None]
    if lacking:
        raise fields.error(
            lacking[0],
            f"is missing; blocks that route need {', '.join(_ROUTING)}: "
            f"the configuration of nemotron_h lacks {', '.join(lacking)}",
        )
    experts = read_shared_routing(fields, layers)
    return Experts(
        layers=layers, count=experts.count, per_token=experts.per_token, width=experts.width,
        shared=experts.shared, shared_width=(shared_width or 0) if experts.shared else 0,
        groups=experts.groups, groups_per_token=experts.groups_per_token, latent=latent or 0,
        matrices=2)  # fmt: skip


def _blocks(fields: Fields, listed: str, pattern: str) -> tuple[str, ...]:
    """The kinds of blocks, from a list of words or a pattern of letters; empty where neither is."""
    words = fields.strings(listed)
    letters = fields.take(pattern)
    if letters is not None and (
        not isinstance(letters, str) or set(letters) - set(_LETTERS) or len(letters) > MAX_LAYERS
    ):
        raise fields.error(pattern, f"is {ascii(letters)[:60]}; understood: {''.join(_LETTERS)}")
    unknown = sorted(set(words) - set(_WORDS))
    if unknown or len(words) > MAX_LAYERS:
        raise fields.error(listed, f"holds {ascii((unknown or ['too many'])[0])[:60]}; understood: "
                           + ", ".join(_WORDS))  # fmt: skip
    own = tuple(_WORDS[word] for word in words)
    of_letters = tuple(_LETTERS[letter] for letter in letters or "")
    if own and of_letters and own != of_letters:
        raise fields.error(pattern, f"contradicts {listed}")
    return own or of_letters


def _decoder(storage: Storage, config: _Config) -> list[TensorRow]:
    hidden = config.size.hidden
    return [
        rows.norm(storage, LAYER + "norm", hidden, config.size.all_layers),
        *mamba2_rows(storage, config.mamba, hidden, conv_bias=config.conv_bias,
                     biases=config.mamba_biases),
        *_attending(storage, config, config.of("attention")),
        *_two(storage, config, "mixer.", "mlp", config.of("mlp"), hidden, config.width),
        *_routed(storage, config, config.of("moe")),
    ]  # fmt: skip


def _attending(storage: Storage, config: _Config, layers: tuple[int, ...]) -> list[TensorRow]:
    if not layers:
        return []
    tensors = config.attention.rows(storage, config.size.hidden, layers)
    return rows.renamed(tensors, LAYER + "self_attn.", LAYER + "mixer.")


def _two(
    storage: Storage, config: _Config, module: str, kind: str, layers: tuple[int, ...],
    inputs: int, width: int, experts: int = 1,
) -> list[TensorRow]:  # fmt: skip
    """An MLP of two matrices, or ``experts`` of them."""
    if not layers:
        return []
    group = "" if kind == "mlp" else kind + "-"
    tensors = [
        rows.linear(storage, f"{LAYER}{module}up_proj", kind + "-gate-up", (width, inputs), layers,
                    fused=group + "gate-up", shard="column", experts=experts),
        rows.linear(storage, f"{LAYER}{module}down_proj", kind + "-down", (inputs, width), layers,
                    fused=group + "down", shard="row", experts=experts),
    ]  # fmt: skip
    return rows.with_biases(storage, tensors, config.mlp_biases and kind != "experts")


def _routed(storage: Storage, config: _Config, layers: tuple[int, ...]) -> list[TensorRow]:
    e, hidden = config.experts, config.size.hidden
    if e is None or not layers:
        return []
    tensors = [
        *rows.router(storage, "mixer.gate", hidden, e.count, layers),
        rows.plain(storage, LAYER + "mixer.gate.e_score_correction_bias", "router", (e.count,),
                   layers, fused="router-bias", dtype="fp32"),
        *_two(storage, config, "mixer.experts.{expert}.", "experts", layers, e.latent or hidden,
              e.width, e.count),
    ]  # fmt: skip
    if e.shared:
        tensors += _two(
            storage, config, "mixer.shared_experts.", "shared", layers, hidden, e.shared_width
        )
    if e.latent:
        tensors += rows.with_biases(storage, [
            rows.linear(storage, LAYER + "mixer.fc1_latent_proj", "shared-gate-up",
                        (e.latent, hidden), layers, fused="latent-in", shard="replicated"),
            rows.linear(storage, LAYER + "mixer.fc2_latent_proj", "shared-down",
                        (hidden, e.latent), layers, fused="latent-out", shard="replicated"),
        ], config.mlp_biases)  # fmt: skip
    return tensors


def _prediction(
    storage: Storage,
    config: _Config,
    count: int,
    blocks: tuple[str, ...],
) -> list[TensorRow]:
    """Prediction layers of several blocks: the first joins embedding and hidden state, the last
    ends in a norm (vLLM 0.32, nemotron_h_mtp)."""
    tensors: list[TensorRow] = []
    hidden = config.size.hidden
    for number in range(count):
        layers = (config.size.layers + number,)
        for at, kind in enumerate(blocks):
            block = [rows.norm(storage, LAYER + "norm", hidden, layers),
                     *(_attending(storage, config, layers) if kind == "attention"
                       else _routed(storage, config, layers))]  # fmt: skip
            if at == 0:
                block += [rows.norm(storage, LAYER + "enorm", hidden, layers),
                          rows.norm(storage, LAYER + "hnorm", hidden, layers),
                          rows.plain(storage, LAYER + "eh_proj.weight", "mtp",
                                     (hidden, 2 * hidden), layers, fused="eh-proj")]  # fmt: skip
            if at == len(blocks) - 1:
                block.append(rows.norm(storage, LAYER + "final_layernorm", hidden, layers))
            place = f"mtp.layers.{number * len(blocks) + at}."
            tensors += rows.renamed(block, LAYER, place)
    return rows.part_of(tensors, "mtp")
