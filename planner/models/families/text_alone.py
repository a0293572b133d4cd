"""The text model of a larger one as a model by itself, as fine-tunes of the text part are saved."""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.defaults import Ledger
from planner.models.families import FAMILY_OF, builder_of
from planner.models.fields import Fields
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec

_INSIDE = {"gemma4_text": "gemma4", "llama4_text": "llama4", "qwen3_5_text": "qwen3_5",
           "qwen3_5_moe_text": "qwen3_5_moe"}  # fmt: skip
"""The larger model whose family reads the text model."""
_ALIKE = {"qwen2_vl_text": "qwen2", "qwen2_5_vl_text": "qwen2", "qwen3_vl_text": "qwen3"}
"""The family that has the same tensors."""
MODEL_TYPES = (*_INSIDE, *_ALIKE)


class _Around(Fields):
    """A larger configuration with ``inner`` as its text model, and nothing else to tell of."""

    def __init__(self, inner: Fields, model_type: str) -> None:
        super().__init__(
            {"model_type": model_type, "text_config": {}}, inner.place, ledger=Ledger()
        )
        self._inner = inner

    def nested(self, name: str) -> Fields | None:
        """The text model as it is, under ``text_config``."""
        self.take(name)
        return self._inner if name == "text_config" else None


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of the text model alone; its tensors have no prefix of the larger model.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    if model_type in _ALIKE:
        family = _ALIKE[model_type]
        spec = builder_of(family, fields.place, {})(fields, family, origin)
        return replace(spec, model_type=model_type)
    outer = _INSIDE[model_type]
    assert FAMILY_OF[outer] != FAMILY_OF[model_type]
    spec = builder_of(outer, fields.place, {})(_Around(fields, outer), outer, origin)
    bare = spec.rows
    for prefix in ("model.language_model.", "language_model.model."):
        bare = tuple(rows.renamed(bare, prefix, "model."))
    return replace(spec, model_type=model_type, not_counted=(),
                   rows=tuple(rows.renamed(bare, "language_model.", "")))  # fmt: skip
