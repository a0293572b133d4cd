"""What stands at the end of a model: ``architectures`` decides, whatever releases have.

Source: the generic heads of Hugging Face Transformers (modeling_layers.py, 5.24).
"""

from __future__ import annotations

from dataclasses import replace

from planner.base.errors import UnsupportedError
from planner.base.strict_json import short_repr
from planner.messages.message import Note, message
from planner.models import rows
from planner.models.fields import Fields
from planner.models.spec import ModelSpec, TensorRow
from planner.models.storage import Storage

KEY = "architectures"
_CLASSES, _TOKENS, _SPANS = (
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
)
_BARE = "Model"
_UNDERSTOOD = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", _CLASSES, _TOKENS,
               _SPANS, _BARE)  # fmt: skip
_USUAL_LABELS, _MOST_LABELS = 2, 2**20
_OLD_PREFIX = frozenset({
    "arcee", "exaone4", "llama", "ministral", "qwen2", "qwen3", "qwen3_moe", "qwen3_next",
    "seed_oss", "smollm3",
})  # fmt: skip
"""Types whose span head calls the decoder ``transformer``, as older files do."""


def fit_head(spec: ModelSpec, fields: Fields) -> ModelSpec:
    """``spec``, of a causal language model, with the other head that its ``architectures`` name.

    Classifiers have one row of weights a label (``id2label``, else ``num_labels``, else 2), an
    embedding model (``…Model``) has no head, and neither has prediction layers. Families that
    read the key themselves are left as they are.

    Raises:
        DataError: ``architectures`` or the labels are malformed.
        UnsupportedError: it names a class whose head is not understood.
    """
    if fields.has_read(KEY):
        return spec
    name = next(iter(fields.strings(KEY)), "")
    if not name:
        fields.assume(KEY, "a causal language model (nothing else is stated)")
        return spec
    if name.endswith(_CLASSES):
        return _with(spec, fields, "score", _labels(fields), bias=False)
    if name.endswith(_TOKENS):
        return _with(spec, fields, "score", _labels(fields), bias=True)
    if name.endswith(_SPANS):
        spec = _with(spec, fields, "qa_outputs", 2, bias=True)
        old = "transformer." if spec.model_type in _OLD_PREFIX else "model."
        return replace(spec, rows=tuple(rows.renamed(spec.rows, "model.", old)))
    if name.endswith(_BARE) and not any(word in name for word in ("For", "Reward", "Chat")):
        return replace(
            _noted(_without_head(spec, fields), "none: an embedding model"),
            rows=tuple(rows.renamed(_decoder(spec), "model.", "")),
        )
    if fields.allowed(KEY):
        return spec
    raise UnsupportedError(
        f"{fields.place}: architectures names {short_repr(name)}, whose head is not understood",
        hint=f"understood: classes that end in {', '.join(_UNDERSTOOD)}; if it has the head of a "
        f"causal language model, say so with --ignore-keys {KEY}",
    )


def _labels(fields: Fields) -> int:
    """The number of classes."""
    named = fields.take("id2label")
    stated = fields.optional_integer("num_labels", high=_MOST_LABELS)
    if not isinstance(named, dict) or not named:
        if stated is None:
            fields.assume("num_labels", f"{_USUAL_LABELS} (default of transformers)")
        return stated or _USUAL_LABELS
    if stated not in (None, len(named)):
        raise fields.error("num_labels", f"is {stated}, and id2label names {len(named)}")
    return len(named)


def _decoder(spec: ModelSpec) -> list[TensorRow]:
    """The rows without head and prediction layers."""
    return [row for row in spec.rows if row.kind != "head" and row.part != "mtp"]


def _noted(spec: ModelSpec, head: str) -> ModelSpec:
    note = Note("head", head, message("assumptions.no_language_head_times_per"))
    return replace(spec, notes=(*spec.notes, note))


def _without_head(spec: ModelSpec, fields: Fields) -> ModelSpec:
    if spec.mtp_layers:
        fields.leave_out("multi-token prediction layers: a model without a language head has none")
    return replace(spec, rows=tuple(_decoder(spec)), tied_embeddings=False, mtp_layers=0)


def _with(spec: ModelSpec, fields: Fields, name: str, outputs: int, *, bias: bool) -> ModelSpec:
    """The model with a head of ``outputs`` rows called ``name``."""
    bare = _without_head(spec, fields)
    plain = Storage(spec.quantization)
    head = [rows.plain(plain, f"{name}.weight", "head", (outputs, spec.hidden_size), (),
                       fused="head")]  # fmt: skip
    if bias:
        head.append(rows.plain(plain, f"{name}.bias", "head", (outputs,), (), fused="head-bias"))
    size = f"{outputs} output{'s' * (outputs > 1)}"
    return replace(_noted(bare, f"{name}, {size}"), rows=(*bare.rows, *head))
