"""In which formats a released checkpoint stores its tensors, from its configuration."""

from __future__ import annotations

from dataclasses import dataclass

from planner.errors import DataError
from planner.models.fields import Fields

_TORCH_TYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_BLOCK = 128


@dataclass(frozen=True, slots=True)
class Storage:
    """``plain`` stores unquantised tensors; quantised matrices are E4M3 with ``block`` scales.

    ``block`` is None where nothing is quantised; then ``quantization`` equals ``plain``.
    """

    plain: str
    quantization: str
    block: int | None


def read_storage(fields: Fields) -> Storage:
    """Read ``torch_dtype`` (or ``dtype``) and ``quantization_config``.

    FP8 with 128×128 blocks is the scheme of the DeepSeek-V3 release: E4M3 matrices, FP32 scales
    named ``weight_scale_inv``; ``scale_fmt`` ue8m0 means power-of-two scales, stored FP32 as well.

    Raises:
        DataError: a type or a quantisation that is not understood.
    """
    plain = _plain_type(fields)
    config = fields.nested("quantization_config")
    if config is None:
        return Storage(plain=plain, quantization=plain, block=None)
    config.choice("quant_method", ("fp8",), default=None)
    config.choice("fmt", ("e4m3",), default="e4m3")
    config.choice("activation_scheme", ("dynamic",), default="dynamic")
    block = config.integers("weight_block_size", low=1, high=2**16)
    scale = config.choice("scale_fmt", ("float", "ue8m0"), default="float")
    if block != (_BLOCK, _BLOCK):
        stated = "x".join(map(str, block)) or "missing"
        raise config.error("weight_block_size", f"is {stated}; only 128x128 is understood yet")
    config.finish()
    name = "fp8-block-ue8m0" if scale == "ue8m0" else "fp8-block"
    return Storage(plain=plain, quantization=name, block=_BLOCK)


def _plain_type(fields: Fields) -> str:
    old = fields.choice("torch_dtype", _TORCH_TYPES, default="none")
    new = fields.choice("dtype", _TORCH_TYPES, default="none")
    if "none" not in (old, new) and old != new:
        raise DataError(f"{fields.place}: torch_dtype {old} contradicts dtype {new}")
    stated = new if old == "none" else old
    if stated == "none":
        raise fields.error("torch_dtype", "is missing, so the stored type is not known")
    return _TORCH_TYPES[stated]
