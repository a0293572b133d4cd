"""How a quantised weight lies in a checkpoint: names, types and shapes of its tensors.

Shapes are those of one matrix (outputs, inputs). Sources: the DeepSeek-V3 release (README_WEIGHTS),
compressed-tensors (github.com/vllm-project/compressed-tensors), AutoGPTQ, AutoAWQ, the gpt-oss
release and NVIDIA ModelOpt's exported checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from planner.base.errors import DataError, UnsupportedError
from planner.base.records import record
from planner.formats.stored_schemes import NF4_BLOCK, NF4_NESTED, integer_id
from planner.models.spec import StoredAs, TensorRow
from planner.models.storage import stored_type

WORD_BITS = 32
NVFP4_GROUP = 16
MX_GROUP = 32
INT4_GROUP = 128
# Weight-only schemes by width and inputs of a group, 0 for a whole row.
_CATALOGUED = {(4, 128): "int4-w4a16", (4, 32): "int4-w4a16-g32", (8, 0): "int8-w8a16"}


@record
class Form:
    """One way to store a weight. ``style`` picks the function, the others are its parameters.

    ``scheme`` is the scheme of the catalogue that the form stores. ``block`` is the scale block,
    0 for a whole axis; ``calibrated`` means that activation scales are stored.
    """

    style: str
    scheme: str
    bits: int = 8
    block: tuple[int, int] = (0, 0)
    symmetric: bool = True
    calibrated: bool = False
    ordered: bool = False
    scale: str = "weight_scale"
    scale_dtype: str = "fp32"


def integer_scheme(bits: int, group: int) -> str | None:
    """The weight-only scheme of integers of ``bits`` in groups of ``group`` inputs (0: a row): one
    of the catalogue, else one that is only stored; None where neither has it."""
    return _CATALOGUED.get((bits, group)) or integer_id(bits, group)


def store(row: TensorRow, form: Form) -> TensorRow:
    """``row`` as ``form`` stores it.

    Raises:
        DataError: the shape does not divide into the form's groups.
        UnsupportedError: experts stored as one tensor, in a form that is known for matrices only.
    """
    known = form.style == "mxfp4" or (form.style == "fp8" and row.name.endswith(".weight"))
    if row.stacked and not known:
        raise UnsupportedError(
            f"{row.name}: the experts of a layer are one tensor; how {form.scheme} releases store "
            "them is not known", hint="give the directory of the checkpoint that config.json is of"
        )  # fmt: skip
    plain = replace(row, stored=None, stored_scale=None, extras=(), scale_name=None,
                    scale_shape=None, scale_dtype=None, scheme=form.scheme)  # fmt: skip
    return _STYLES[form.style](plain, form, row.name.removesuffix(".weight"))


def _groups(row: TensorRow, size: int) -> int:
    """Number of groups of ``size`` along the inputs; 0 means one."""
    if size == 0:
        return 1
    if row.shape[1] % size:
        raise DataError(
            f"{row.name}: {row.shape[1]} inputs are not whole groups of {size}",
            hint="compare quantization_config with the tensors: the one that produced "
            "them has other numbers",
        )
    return row.shape[1] // size


def _words(row: TensorRow, size: int, bits: int) -> int:
    """Words of 32 bits that hold ``size`` integers of ``bits``."""
    if size * bits % WORD_BITS:
        raise DataError(
            f"{row.name}: {size} integers of {bits} bits are not whole words",
            hint="compare quantization_config with the tensors: the one that produced "
            "them has other numbers",
        )
    return size * bits // WORD_BITS


def _scaled(row: TensorRow, form: Form, base: str) -> TensorRow:
    """Unpacked elements with scales in blocks: FP8 of most releases, INT8 of compressed-tensors."""
    rows, columns = (
        -(-size // block) if block else 1 for size, block in zip(row.shape, form.block, strict=True)
    )
    shape: tuple[int, ...] = (rows, columns)
    if form.block == (0, 0):
        shape = () if form.style == "scalar" else (1,)
    extras = [StoredAs(f"{base}.input_scale", stored_type(form.scale_dtype).name, shape, True)]
    return replace(
        row, dtype="int8" if form.style == "int8" else "e4m3fn", scale_name=f"{base}.{form.scale}",
        scale_shape=shape, scale_dtype=form.scale_dtype,
        extras=tuple(extras) if form.calibrated else (),
    )  # fmt: skip


def _pack_quantized(row: TensorRow, form: Form, base: str) -> TensorRow:
    outputs, inputs = row.shape
    groups = _groups(row, form.block[1])
    scale = stored_type(form.scale_dtype).name
    extras = [StoredAs(f"{base}.weight_shape", "I64", (2,))]
    if not form.symmetric:
        words = _words(row, outputs, form.bits)
        extras.append(StoredAs(f"{base}.weight_zero_point", "I32", (words, groups)))
    if form.ordered:
        extras.append(StoredAs(f"{base}.weight_g_idx", "I32", (inputs,)))
    words = -(-inputs * form.bits // WORD_BITS)
    return replace(
        row, dtype=_integer(form), scale_name=f"{base}.weight_scale",
        scale_shape=(outputs, groups), scale_dtype=form.scale_dtype,
        stored=StoredAs(f"{base}.weight_packed", "I32", (outputs, words)),
        stored_scale=StoredAs(f"{base}.weight_scale", scale, (outputs, groups)),
        extras=tuple(extras),
    )  # fmt: skip


def _gptq(row: TensorRow, form: Form, base: str) -> TensorRow:
    outputs, inputs = row.shape
    groups = _groups(row, form.block[1])
    return replace(
        row, dtype=_integer(form), scale_name=f"{base}.scales", scale_shape=(groups, outputs),
        scale_dtype=form.scale_dtype,
        stored=StoredAs(f"{base}.qweight", "I32", (_words(row, inputs, form.bits), outputs)),
        extras=(
            StoredAs(f"{base}.qzeros", "I32", (groups, _words(row, outputs, form.bits))),
            StoredAs(f"{base}.g_idx", "I32", (inputs,), True),
        ),
    )  # fmt: skip


def _awq(row: TensorRow, form: Form, base: str) -> TensorRow:
    outputs, inputs = row.shape
    groups, words = _groups(row, form.block[1]), _words(row, outputs, form.bits)
    return replace(
        row, dtype=_integer(form), scale_name=f"{base}.scales", scale_shape=(groups, outputs),
        scale_dtype=form.scale_dtype,
        stored=StoredAs(f"{base}.qweight", "I32", (inputs, words)),
        extras=(StoredAs(f"{base}.qzeros", "I32", (groups, words)),),
    )  # fmt: skip


def _mxfp4(row: TensorRow, form: Form, base: str) -> TensorRow:
    """Blocks of 16 bytes and their exponents, the experts of a layer in one tensor."""
    groups = _groups(row, MX_GROUP)
    stack = (row.experts, row.shape[0], groups) if row.stacked else (row.shape[0], groups)
    return replace(
        row, dtype="e2m1", scale_name=f"{base}_scales", scale_shape=(row.shape[0], groups),
        scale_dtype="e8m0",
        stored=StoredAs(f"{base}_blocks", "U8", (*stack, MX_GROUP // 2)),
        stored_scale=StoredAs(f"{base}_scales", "U8", stack),
    )  # fmt: skip


def _deepseek_fp4(row: TensorRow, form: Form, base: str) -> TensorRow:
    """Two E2M1 in a byte of type I8, one E8M0 for 32 inputs."""
    groups = _groups(row, MX_GROUP)
    return replace(
        row, dtype="e2m1", scale_name=f"{base}.scale", scale_shape=(row.shape[0], groups),
        scale_dtype="e8m0", stored=StoredAs(row.name, "I8", (row.shape[0], row.shape[1] // 2)),
    )  # fmt: skip


def _nvfp4(row: TensorRow, form: Form, base: str) -> TensorRow:
    """Two E2M1 in a byte, one E4M3 for 16 inputs, FP32 scales of weight and activations."""
    groups = _groups(row, NVFP4_GROUP)
    ct = form.style == "nvfp4-ct"
    packed = f"{base}.weight_packed" if ct else f"{base}.weight"
    second = "weight_global_scale" if ct else "weight_scale_2"
    third = "input_global_scale" if ct else "input_scale"
    shape = (1,) if ct else ()
    extras = [StoredAs(f"{base}.{second}", "F32", shape)]
    if form.calibrated:
        extras.append(StoredAs(f"{base}.{third}", "F32", shape, True))
    return replace(
        row, dtype="e2m1", scale_name=f"{base}.weight_scale", scale_shape=(row.shape[0], groups),
        scale_dtype="e4m3fn",
        stored=StoredAs(packed, "U8", (row.shape[0], row.shape[1] // 2)), extras=tuple(extras),
    )  # fmt: skip


def _modelopt_int4(row: TensorRow, form: Form, base: str) -> TensorRow:
    """Two INT4 of neighbouring outputs in a byte, scales in groups, one factor an input."""
    groups, (outputs, inputs) = _groups(row, form.block[1]), row.shape
    return replace(
        row, dtype="int4", scale_name=f"{base}.weight_scale", scale_shape=(outputs, groups),
        scale_dtype=form.scale_dtype, stored=StoredAs(row.name, "U8", (-(-outputs // 2), inputs)),
        extras=(StoredAs(f"{base}.pre_quant_scale", stored_type(form.scale_dtype).name, (inputs,),
                         True),),
    )  # fmt: skip


def _mx_ct(row: TensorRow, form: Form, base: str) -> TensorRow:
    """compressed-tensors MXFP4 (two E2M1 in a byte) and MXFP8, E8M0 scales of type U8."""
    groups, packed = _groups(row, MX_GROUP), form.bits == 4
    shape = (row.shape[0], groups)
    return replace(
        row, dtype="e2m1" if packed else "e4m3fn", scale_name=f"{base}.weight_scale",
        scale_shape=shape, scale_dtype="e8m0",
        stored=StoredAs(f"{base}.weight_packed", "U8", (row.shape[0], row.shape[1] // 2))
        if packed else None, stored_scale=StoredAs(f"{base}.weight_scale", "U8", shape),
    )  # fmt: skip


def _bnb_4bit(row: TensorRow, form: Form, base: str) -> TensorRow:
    """bitsandbytes: codes of the whole tensor in pairs, maxima of blocks of 64 in FP32 or, nested,
    in a byte; the last tensor is a text whose length varies by a few bytes."""
    blocks, nested = -(-row.elements // NF4_BLOCK), form.scheme.endswith("-nested")
    maxima = StoredAs(f"{base}.weight.absmax", "U8" if nested else "F32", (blocks,))
    extras = [StoredAs(f"{base}.weight.quant_map", "F32", (16,))]
    if nested:
        extras += [
            StoredAs(f"{base}.weight.nested_absmax", "F32", (-(-blocks // NF4_NESTED),)),
            StoredAs(f"{base}.weight.nested_quant_map", "F32", (256,)),
        ]
    state = (
        f'{{"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": '
        f"[{row.shape[0]}, {row.shape[1]}]}}"
        + (
            ', "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": '
            "0.0000000000000000"
            if nested
            else ""
        )
    )
    extras.append(
        StoredAs(
            f"{base}.weight.quant_state.bitsandbytes__{form.scale}",
            "U8",
            (len(state),),
            any_length=True,
        )
    )
    return replace(
        row, dtype="int4", scale_name=maxima.name, scale_shape=(blocks,),
        scale_dtype="int8" if nested else "fp32",
        stored=StoredAs(row.name, "U8", (-(-row.elements // 2), 1)), stored_scale=maxima,
        extras=tuple(extras),
    )  # fmt: skip


def _bnb_8bit(row: TensorRow, form: Form, base: str) -> TensorRow:
    """LLM.int8(): a row's largest value in FP32, and a byte that names the layout."""
    shape = (row.shape[0],)
    return replace(
        row,
        dtype="int8",
        scale_name=f"{base}.SCB",
        scale_shape=shape,
        scale_dtype="fp32",
        stored_scale=StoredAs(f"{base}.SCB", "F32", shape),
        extras=(StoredAs(f"{base}.weight_format", "U8", (), True),),
    )


def _integer(form: Form) -> str:
    return f"int{form.bits}"


_STYLES: dict[str, Callable[[TensorRow, Form, str], TensorRow]] = {
    "fp8": _scaled, "scalar": _scaled, "int8": _scaled, "pack-quantized": _pack_quantized,
    "gptq": _gptq, "awq": _awq, "mxfp4": _mxfp4, "deepseek-fp4": _deepseek_fp4,
    "nvfp4": _nvfp4, "nvfp4-ct": _nvfp4, "mx-ct": _mx_ct, "modelopt-int4": _modelopt_int4,
    "bnb-4bit": _bnb_4bit, "bnb-8bit": _bnb_8bit,
}  # fmt: skip
DEEPSEEK_FP4 = Form("deepseek-fp4", "mxfp4-w4a8", bits=4)
