"""Frozen records of a model: its structure, and its tensors as rows of classes."""

from __future__ import annotations

from math import prod
from typing import Literal

from planner.base.records import record
from planner.messages.message import Note, message

AttentionKind = Literal["gqa", "mla", "linear", "csa", "hca", "swa"]
Recurrence = Literal["delta", "kda", "mamba2", "mamba1", "conv"]
ShardAxis = Literal["column", "row", "vocab", "replicated"]
OWN_CODE = "code of its own"
"""The remark that a file of the user names code beside its weights; its value is the type."""
Part = Literal["main", "mtp", "vision", "audio", "lookup", "unused"]


@record
class Attention:
    """Attention shared by a set of layers. Widths are elements per head or per token.

    GQA: ``heads`` query heads over ``kv_heads`` of ``head_dim``. MLA: the cache holds
    ``kv_lora_rank`` + ``rope_dim`` elements a token; ``q_lora_rank`` is None where queries are not
    compressed; ``nope_dim`` + ``rope_dim`` is the query/key width, ``value_dim`` the value width.
    ``indexer_heads`` × ``indexer_dim`` score the past where ``indexer_topk`` > 0; it is sparse.
    Layers that reuse another layer's selection have ``indexer_topk`` > 0 and no indexer heads.

    linear: a gated delta net of ``heads`` value heads of ``head_dim`` and ``kv_heads`` key heads of
    ``key_dim``; it keeps ``state_elements`` and ``conv_elements`` a sequence, however long. Its
    ``rule`` is how the state moves on: delta (gated delta net), kda (Kimi delta attention, a decay
    for every key element), mamba2 (``kv_heads`` are the groups that share B and C, ``key_dim`` the
    states), mamba1 (``heads`` channels of ``key_dim`` states), conv (a short convolution alone).
    ``state_assumed``: the release does not state the state's type, and engines choose their own.
    csa, hca, swa: one vector of ``head_dim`` (``rope_dim`` of them rotary) is key and value of all
    heads; the last ``window`` tokens are kept as they are, and csa and hca keep one compressed
    entry for ``ratio`` tokens beside them; csa selects among entries with an indexer of its own.

    ``window`` is the number of past tokens a layer attends to, 0 for all; ``chunked`` means that
    windows are fixed chunks of the sequence. gqa values are ``value_dim`` wide, 0 for
    ``head_dim``. ``sinks``: one learned logit a head takes part in the softmax. ``borrows``: the
    layers attend to the keys and values of an earlier layer and cache none of their own.
    """

    kind: AttentionKind
    layers: tuple[int, ...]
    heads: int
    kv_heads: int
    head_dim: int
    q_lora_rank: int | None = None
    kv_lora_rank: int = 0
    nope_dim: int = 0
    rope_dim: int = 0
    value_dim: int = 0
    indexer_heads: int = 0
    indexer_dim: int = 0
    indexer_topk: int = 0
    window: int = 0
    ratio: int = 1
    chunked: bool = False
    sinks: bool = False
    borrows: bool = False
    key_dim: int = 0
    state_elements: int = 0
    state_dtype: str = ""
    conv_elements: int = 0
    conv_dtype: str = ""
    rule: Recurrence = "delta"
    state_assumed: bool = False


@record
class Experts:
    """Mixture of experts: ``count`` routed experts of width ``width``, ``per_token`` chosen.

    ``layers`` are those of the main model. ``shared`` always-on experts form one MLP whose whole
    width is ``shared_width``. Routing picks ``groups_per_token`` of ``groups`` first. In
    ``hash_layers`` a table from token to experts takes the place of the router's choice. Experts
    read and write ``latent`` features where that is not 0, between two projections of the layer;
    ``matrices`` of each are three where a gate multiplies, else two.
    """

    layers: tuple[int, ...]
    count: int
    per_token: int
    width: int
    shared: int
    shared_width: int
    groups: int
    groups_per_token: int
    hash_layers: tuple[int, ...] = ()
    latent: int = 0
    matrices: int = 3


@record
class StoredAs:
    """How a checkpoint stores what is not one stored element an element.

    ``name`` is a template as a row's; ``dtype`` the checkpoint's name of the type (I32 words of
    eight 4-bit integers, U8 pairs of E2M1 …); ``shape`` in stored elements, of the whole stack
    where the experts of a layer are one tensor. An ``optional`` one may be absent from a file, one
    of ``any_length`` may be a little longer or shorter in it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    optional: bool = False
    any_length: bool = False


@record
class TensorRow:
    """One class of tensors that differ only in layer and expert number.

    ``name`` is a template with ``{layer}`` and ``{expert}``. ``shape`` is (outputs, inputs) for
    matrices. ``layers`` is empty for tensors outside the stack; ``experts`` is the number of
    experts (1 for none). ``kind`` is a module kind of the contract. Rows with the same
    ``fused`` group in one layer are one GEMM in engines (q/k/v, gate/up). ``dtype`` and
    ``scale_dtype`` are element format ids as released; ``scale_shape`` is None where the tensor has
    no scale. ``part`` tells the main model from multi-token prediction; ``copy_of`` marks a stored
    copy that the model shares at run time; ``counted`` is False for data that is not a parameter of
    the model as ``param_counts`` defines it (router correction bias buffers). Tensors of part
    ``unused`` are stored and never loaded. ``kv_outputs`` of the
    outputs are key and value heads, which tensor parallelism copies where it exceeds their number.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    layers: tuple[int, ...]
    experts: int
    fused: str
    shard: ShardAxis
    dtype: str
    scale_name: str | None
    scale_shape: tuple[int, ...] | None
    scale_dtype: str | None
    part: Part
    copy_of: str | None = None
    counted: bool = True
    scheme: str | None = None
    quantisable: bool = False
    stored: StoredAs | None = None
    stored_scale: StoredAs | None = None
    extras: tuple[StoredAs, ...] = ()
    stacked: bool = False
    kv_outputs: int = 0

    @property
    def elements(self) -> int:
        """Elements of one tensor."""
        return prod(self.shape)

    @property
    def copies(self) -> int:
        """Number of tensors in this row: layers × experts."""
        return max(1, len(self.layers)) * self.experts

    @property
    def is_matrix(self) -> bool:
        return len(self.shape) == 2


@record
class ImageEncoder:
    """The encoder of images of a model that sees, as memory and time need it. Elements a vector.

    ``layers`` blocks of ``heads`` heads over ``hidden``, with MLPs of ``inner``, ``gated`` or not;
    a patch has ``pixels`` values. ``merge`` patches become one token of ``out`` elements, all that
    the text model is given of it. The largest image gives ``patches`` patches and ``tokens``
    tokens; ``limit`` says where that is from. ``frames`` of a video, at most, are cut like images,
    two of them one image's patches; 0 where a video is never larger than an image.
    """

    layers: int
    hidden: int
    heads: int
    inner: int
    gated: bool
    pixels: int
    merge: int
    out: int
    patches: int
    tokens: int
    limit: str
    frames: int = 0


@record
class ModelSpec:
    """A model: structure plus tensor rows.

    ``quantization`` names the scheme the checkpoint was released in for its quantised matrices
    (``fp8-block``, ``fp8-block-ue8m0`` …; of several, the one of most elements), or the plain
    format (``bf16``). ``kv_scheme`` is the cache layout the release was calibrated for, "" for
    none. ``not_counted`` are parts of the release that the rows leave out, with the reason. Groups
    of ``attention`` have disjoint layers, full attention first; where a layer runs both beside each
    other it is in a group of softmax attention and in a linear one. Layers may be in none.
    ``source`` and ``source_kind`` give the provenance of the configuration; ``config_sha256`` its
    digest. ``structure`` names what gave the tensors where no family of this program did;
    ``unplanned`` says why nothing but its counts is known, "" where all is. ``assumed_keys`` are
    keys that the configuration does not state, with the value taken and where it is from;
    ``harmless_keys`` those that change nothing; ``ignored_keys`` those that are passed over on the
    user's word. ``encoder`` is None where the rows of part ``vision`` are all that is known of it,
    and of models without one. ``architecture`` is the class that the configuration names first, ""
    where it names none. ``notes`` are further remarks (key, value, reason) that
    answers repeat. ``own_code``: the configuration names classes of code beside the weights.
    """

    id: str
    public_name: str
    model_type: str
    layers: int
    hidden_size: int
    vocab_size: int
    max_context: int
    tied_embeddings: bool
    attention: tuple[Attention, ...]
    experts: Experts | None
    dense_width: int
    mtp_layers: int
    quantization: str
    source: str
    source_kind: str
    config_sha256: str
    rows: tuple[TensorRow, ...]
    kv_scheme: str = ""
    not_counted: tuple[str, ...] = ()
    structure: str = ""
    unplanned: str = ""
    assumed_keys: tuple[tuple[str, str], ...] = ()
    harmless_keys: tuple[str, ...] = ()
    ignored_keys: tuple[str, ...] = ()
    encoder: ImageEncoder | None = None
    notes: tuple[Note, ...] = ()
    architecture: str = ""
    own_code: bool = False

    @property
    def remarks(self) -> tuple[Note, ...]:
        """(key, value, reason) of what every answer about the model repeats: keys passed over,
        parts not counted, class defaults taken for a file of the user, and own notes."""
        notes = [
            Note("not counted", part, message("assumptions.not_in_rows_of_model"))
            for part in self.not_counted
        ]
        if self.ignored_keys:
            notes.insert(
                0,
                Note(
                    "ignored keys",
                    ", ".join(self.ignored_keys),
                    message("assumptions.not_understood_passed_over_on"),
                ),
            )
        taken = [
            f"{name} {value.partition(' (')[0]}"
            for name, value in self.assumed_keys
            if not value.startswith("false")
        ]
        if self.own_code and self.source_kind in ("file", "hub"):
            notes.append(
                Note(OWN_CODE, self.model_type, message("assumptions.release_carries_code"))
            )
        if taken and self.source_kind in ("file", "hub"):
            notes.append(
                Note(
                    "class defaults",
                    ", ".join(taken),
                    message("assumptions.configuration_does_not_state_them"),
                )
            )
        return (*notes, *self.notes)
