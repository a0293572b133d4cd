"""The plain element type of a release, from its configuration.

Element types are named as checkpoints do (the safetensors format description).
"""

from __future__ import annotations

from planner.base.errors import DataError
from planner.base.records import record
from planner.formats.ggml_types import GGML_WEIGHTS
from planner.models.fields import Fields

_TORCH_TYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}

_UNSTATED = "bfloat16"
_WHO_TAKES_IT = "what vLLM 0.33 and SGLang 0.5.23 compute in; the files decide what is stored"
"""Where neither the configuration nor headers of files state a type: vLLM's config/model.py
(_resolve_auto_dtype: the platform's first type) and SGLang's configs/model_config.py
(_get_and_verify_dtype)."""


@record
class Storage:
    """``plain`` stores every tensor that the release does not quantise."""

    plain: str


def read_storage(fields: Fields, *, default: str | None = None) -> Storage:
    """Read ``torch_dtype`` (or ``dtype``); ``default`` is the type of a family that states none.
    Without either it is what engines compute in then, and the reading says so.

    Raises:
        DataError: a type that is contradictory or not understood.
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
        fields.assume("torch_dtype", f"{_UNSTATED} ({_WHO_TAKES_IT})")
        fields.note_dtype(_UNSTATED)
        return Storage(_TORCH_TYPES[_UNSTATED])
    return Storage(default)


@record
class StoredType:
    """A checkpoint's element type; ``format`` is the element format id, if there is one."""

    name: str
    bits: int
    format: str | None


@record
class StoredTensor:
    """One tensor of a checkpoint; ``dtype`` is the checkpoint's name for the element type.

    ``file`` is the name of the file that holds it, empty where it comes from an inventory.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str = ""


_TYPES = (
    StoredType("F64", 64, None),
    StoredType("F32", 32, "fp32"),
    StoredType("BF16", 16, "bf16"),
    StoredType("F16", 16, "fp16"),
    StoredType("F8_E4M3", 8, "e4m3fn"),
    StoredType("F8_E5M2", 8, "e5m2"),
    StoredType("F8_E4M3FNUZ", 8, "e4m3fnuz"),
    StoredType("F8_E5M2FNUZ", 8, "e5m2fnuz"),
    StoredType("F8_E8M0", 8, "e8m0"),
    StoredType("F6_E2M3", 6, "e2m3"),
    StoredType("F6_E3M2", 6, "e3m2"),
    StoredType("F4", 4, "e2m1"),
    StoredType("I8", 8, "int8"),
    StoredType("U8", 8, None),
    StoredType("BOOL", 8, None),
    StoredType("I16", 16, None),
    StoredType("U16", 16, None),
    StoredType("I32", 32, None),
    StoredType("U32", 32, None),
    StoredType("I64", 64, None),
    StoredType("U64", 64, None),
    StoredType("C64", 64, None),
)
STORED_TYPES = {stored.name: stored for stored in _TYPES}
# Types of lookup tables are not number formats of a model; their ids are used in rows only.
_BY_FORMAT = {stored.format: stored for stored in _TYPES if stored.format is not None} | {
    "int64": STORED_TYPES["I64"], "int32": STORED_TYPES["I32"],
}  # fmt: skip
GGML_BLOCKS: dict[str, tuple[int, int]] = {
    one.name.upper(): (one.elements, one.bytes) for one in GGML_WEIGHTS.values()
} | {"Q8_K": (256, 292)}  # fmt: skip
"""Interleaved blocks of llama.cpp: elements and bytes of a block."""


def stored_type(element_format: str) -> StoredType:
    """The checkpoint type that stores element format ``element_format``.

    Raises:
        DataError: no checkpoint type stores it.
    """
    try:
        return _BY_FORMAT[element_format]
    except KeyError:
        raise DataError(
            f"no checkpoint type stores element format {element_format!r}",
            hint="`plan list formats` lists them; narrower ones are stored packed, in a scheme",
        ) from None


def stored_bytes(name: str, elements: int) -> int:
    """Bytes of ``elements`` elements of checkpoint type ``name``, whole bytes [B]."""
    if name in GGML_BLOCKS:
        block, size = GGML_BLOCKS[name]
        return -(-elements // block) * size
    return -(-elements * STORED_TYPES[name].bits // 8)
