"""The plain element type of a release, from its configuration."""

from __future__ import annotations

from planner.errors import DataError
from planner.models.fields import Fields
from planner.records import record

_TORCH_TYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


@record
class Storage:
    """``plain`` stores every tensor that the release does not quantise."""

    plain: str


def read_storage(fields: Fields, *, default: str | None = None) -> Storage:
    """Read ``torch_dtype`` (or ``dtype``); ``default`` is the type of a family that states none.

    Raises:
        DataError: a type that is missing, contradictory or not understood.
    """
    old = fields.choice("torch_dtype", _TORCH_TYPES, default="none")
    new = fields.choice("dtype", _TORCH_TYPES, default="none")
    if "none" not in (old, new) and old != new:
        raise DataError(
            f"{fields.place}: torch_dtype {old} contradicts dtype {new}",
            hint="remove one of the two from the configuration",
        )
    stated = new if old == "none" else old
    if stated != "none":
        fields.note_dtype(stated)
        return Storage(_TORCH_TYPES[stated])
    if default is None:
        raise fields.error("torch_dtype", "is missing, so the stored type is not known")
    return Storage(default)
