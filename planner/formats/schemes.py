"""The catalogue of schemes: what weights and activations are stored as, and which unit multiplies.

A scheme is data. What a device or an engine can execute is decided elsewhere, from ``compute``,
``kernel`` and ``path``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from planner.base.errors import UnknownNameError
from planner.formats.ggml_types import GGML_WEIGHTS, PREFIX, SOURCE, GgmlBlockType
from planner.formats.spec import ExecutionPath, ScaleRule, ScaleSpec, Scheme, TensorFormat

_MX = "OCP Microscaling Formats (MX) Specification 1.0"
_DEEPSEEK = "DeepSeek-V3 Technical Report (arXiv:2412.19437) section 3.3; deepseek-ai/DeepGEMM"
_INT = "NVIDIA TensorRT-LLM numerical precision reference"
_NVFP4 = (
    "NVIDIA, Introducing NVFP4 for Efficient and Accurate Low-Precision Inference (2025); "
    "tensor scale amax / 2688, block scales E4M3 of amax / 6 over it"
)
_GPTQ = (
    "GPTQ and AWQ checkpoints as compressed-tensors 0.20 stores them: 16-bit scales of "
    "amax / 7.5, codes -8 … 7 (calculate_qparams)"
)
_COMPRESSED = (
    "compressed-tensors 0.20: weights' scales are amax / 127.5, codes -128 … 127 "
    "(calculate_qparams)"
)

_BF16 = TensorFormat("bf16")


def _scaled(
    element: str,
    scale: str,
    rows: int,
    columns: int,
    rule: ScaleRule = "amax",
    *,
    tensor_scale: bool = False,
) -> TensorFormat:
    return TensorFormat(element, ScaleSpec(scale, rows, columns, rule, tensor_scale))


def _mx(element: str) -> TensorFormat:
    return _scaled(element, "e8m0", 1, 32, "ocp-floor")


_SCALE_OF: Mapping[str, tuple[str, ScaleRule]] = {
    "mxfp4": ("e8m0", "ocp-floor"),
    "nvfp4": ("ue4m3", "amax"),
}


def _ggml(name: str, element: str, block: int, block_bytes: int) -> TensorFormat:
    scale, rule = _SCALE_OF.get(name, ("fp16", "amax"))
    return TensorFormat(element, ScaleSpec(scale, 1, block, rule), block_bytes, block_type=name)


_FP8_TENSOR = _scaled("e4m3fn", "fp32", 0, 0)
_FP8_ROW = _scaled("e4m3fn", "fp32", 1, 0)
_INT8_ROW = _scaled("int8", "fp32", 1, 0)
_INT8_STORED = _scaled("int8", "fp32", 1, 0, "half-range")
_NVFP4_BLOCK = _scaled("e2m1", "ue4m3", 1, 16, tensor_scale=True)
_INPUTS: Mapping[str, TensorFormat] = {
    "q8_0": _ggml("q8_0", "int8", 32, 34),
    # As Q8_0, with the sum of the elements for the minima of the weights.
    "q8_1": _ggml("q8_1", "int8", 32, 36),
    # 256 INT8, an FP32 scale and sixteen 16-bit sums: what CPUs pair with the K types (CUDA: blocks
    # of 32, as Q8_0, whose error is smaller).
    "q8_k": TensorFormat("int8", ScaleSpec("fp32", 1, 256, "amax"), 292, block_type="q8_k"),
}


def _plain(id: str, title: str, source: str) -> Scheme:
    return Scheme(id, title, TensorFormat(id), TensorFormat(id), id, id, "native", source)


def _weight_only(id: str, title: str, weight: TensorFormat, kernel: str, source: str) -> Scheme:
    path: ExecutionPath = "weight-only"
    return Scheme(id, title, weight, _BF16, "bf16", kernel, path, source)


def _native(
    id: str,
    title: str,
    weight: TensorFormat,
    activation: TensorFormat,
    compute: str,
    kernel: str,
    source: str,
) -> Scheme:
    return Scheme(id, title, weight, activation, compute, kernel, "native", source)


def _stored(ggml_block_type: GgmlBlockType) -> Scheme:
    """A ggml block format; its bytes are ``block_bytes``, whatever the element says. ggml's own
    kernels multiply it with blocks of activations in integers."""
    return Scheme(
        PREFIX + ggml_block_type.name,
        f"{ggml_block_type.title}, {ggml_block_type.inputs.upper()} A",
        _ggml(
            ggml_block_type.name,
            ggml_block_type.element,
            ggml_block_type.elements,
            ggml_block_type.bytes,
        ),
        _INPUTS[ggml_block_type.inputs],
        "int8",
        "ggml",
        "storage",
        SOURCE,
    )


_ALL = (
    _plain("fp32", "FP32 weights and activations", "IEEE 754-2019"),
    _plain("bf16", "BF16 weights and activations", "bfloat16 Hardware Numerics Definition (2018)"),
    _plain("fp16", "FP16 weights and activations", "IEEE 754-2019"),
    _native(
        "fp8-tensor",
        "E4M3 W and A, one FP32 scale a tensor, dynamic",
        _FP8_TENSOR,
        _FP8_TENSOR,
        "fp8",
        "fp8-tensor",
        _INT,
    ),
    _native(
        "fp8-channel",
        "E4M3 W per channel, A per token, FP32 scales",
        _FP8_ROW,
        _FP8_ROW,
        "fp8",
        "fp8-tensor",
        _INT,
    ),
    _native(
        "fp8-block",
        "E4M3 W 128×128, A 1×128, FP32 scales",
        _scaled("e4m3fn", "fp32", 128, 128),
        _scaled("e4m3fn", "fp32", 1, 128),
        "fp8",
        "fp8-block",
        _DEEPSEEK,
    ),
    _native(
        "fp8-block-ue8m0",
        "E4M3 W 128×128, A 1×128, power-of-two scales rounded up",
        _scaled("e4m3fn", "e8m0", 128, 128, "rceil"),
        _scaled("e4m3fn", "e8m0", 1, 128, "rceil"),
        "fp8",
        "fp8-block",
        _DEEPSEEK,
    ),
    # Blocks, not channels: an FP8 block checkpoint then keeps its stored weights unchanged.
    _weight_only(
        "fp8-w8a16",
        "E4M3 W 128×128, FP32 scales, BF16 A",
        _scaled("e4m3fn", "fp32", 128, 128),
        "w8a16",
        "vLLM FP8 Marlin weight-only kernels, which take 128×128 block scales",
    ),
    _native(
        "int8-w8a8",
        "INT8 W per channel, A per token, dynamic, symmetric",
        _INT8_STORED,
        _INT8_ROW,
        "int8",
        "int8",
        _COMPRESSED + "; inputs by amax / 127 (vLLM scaled_int8_quant)",
    ),
    _native(
        "int8-block",
        "INT8 W 128×128, A 1×128, FP32 scales, symmetric",
        _scaled("int8", "fp32", 128, 128),
        _scaled("int8", "fp32", 1, 128),
        "int8",
        "int8",
        "SGLang block-wise INT8 kernels; scales as in " + _DEEPSEEK,
    ),
    _weight_only("int8-w8a16", "INT8 W per channel, BF16 A", _INT8_STORED, "w8a16", _COMPRESSED),
    _weight_only(
        "int4-w4a16",
        "INT4 W in groups of 128 with BF16 scales, BF16 A",
        _scaled("int4", "bf16", 1, 128, "half-range"),
        "w4a16",
        _GPTQ,
    ),
    _weight_only(
        "int4-w4a16-g32",
        "INT4 W in groups of 32 with BF16 scales, BF16 A",
        _scaled("int4", "bf16", 1, 32, "half-range"),
        "w4a16",
        _GPTQ,
    ),
    _native(
        "nvfp4",
        "E2M1 W and A in blocks of 16, E4M3 block and FP32 tensor scales",
        _NVFP4_BLOCK,
        _NVFP4_BLOCK,
        "nvfp4",
        "nvfp4",
        _NVFP4,
    ),
    _weight_only("nvfp4-w4a16", "NVFP4 W, BF16 A", _NVFP4_BLOCK, "w4a16", _NVFP4),
    _native(
        "mxfp4",
        "E2M1 W and A in blocks of 32, E8M0 scales",
        _mx("e2m1"),
        _mx("e2m1"),
        "mxfp4",
        "mxfp4",
        _MX,
    ),
    _native("mxfp4-w4a8", "MXFP4 W, MXFP8 A", _mx("e2m1"), _mx("e4m3fn"), "mxfp8", "mxfp8", _MX),
    _weight_only("mxfp4-w4a16", "MXFP4 W, BF16 A", _mx("e2m1"), "w4a16", _MX),
    _native(
        "mxfp8",
        "E4M3 W and A in blocks of 32, E8M0 scales",
        _mx("e4m3fn"),
        _mx("e4m3fn"),
        "mxfp8",
        "mxfp8",
        _MX,
    ),
    Scheme(
        "mxfp6",
        "E2M3 W and A in blocks of 32, E8M0 scales; storage only",
        _mx("e2m3"),
        _mx("e2m3"),
        "mxfp6",
        "",
        "storage",
        _MX,
    ),
    *map(_stored, GGML_WEIGHTS.values()),
)


class _Catalogue(dict[str, Scheme]):
    """The schemes that plans choose from; those that checkpoints alone have are found by id, and
    are neither counted nor listed."""

    def __missing__(self, id: str) -> Scheme:
        unlisted = _unlisted(id)
        if unlisted is None:
            raise KeyError(id)
        return unlisted


def _unlisted(id: str) -> Scheme | None:
    """A scheme of checkpoints alone (``stored_schemes``) or of a recipe (``recipes``)."""
    from planner.formats.recipes import RECIPES
    from planner.formats.stored_schemes import stored_scheme

    if id in RECIPES:
        return RECIPES[id].made(SCHEMES[RECIPES[id].base])
    return stored_scheme(id)


SCHEMES: Mapping[str, Scheme] = MappingProxyType(_Catalogue({s.id: s for s in _ALL}))

SCHEME_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "bfloat16": "bf16",
        "int4-wo": "int4-w4a16",
        "w4a16-mxfp4": "mxfp4-w4a16",
        "w4a8-mxfp4-mxfp8": "mxfp4-w4a8",
    }
)
COMMON_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "awq": "int4-w4a16",
        "gptq": "int4-w4a16",
        "autoround": "int4-w4a16",
        "int4": "int4-w4a16",
        "w4a16": "int4-w4a16",
        "int8": "int8-w8a8",
        "w8a8": "int8-w8a8",
        "w8a16": "int8-w8a16",
        "fp8": "fp8-tensor",
        "fp8-dynamic": "fp8-channel",
        "f16": "fp16",
        "f32": "fp32",
    }
)
"""Names of methods and families → the scheme that most of their releases are in."""
_GGML = "ggml-"


def is_common_name(name: str) -> bool:
    """Whether ``name`` is a method's or a family's, and its scheme the commonest variant."""
    return _spelling(name) in COMMON_NAMES and _spelling(name) not in SCHEMES


def _spelling(name: str) -> str:
    return name.strip().lower().replace("_", "-")


_BY_SPELLING: Mapping[str, str] = MappingProxyType(
    {_spelling(id).removeprefix(_GGML): id for id in SCHEMES}
    | {_spelling(id): id for id in SCHEMES}
    | dict(SCHEME_ALIASES)
    | dict(COMMON_NAMES)
)


def scheme_ids() -> tuple[str, ...]:
    """All scheme ids, in catalogue order."""
    return tuple(SCHEMES)


def in_catalogue_order(names: Collection[str]) -> list[str]:
    """Those of ``names`` that are schemes, in the order of the catalogue, those that only
    checkpoints have last."""
    from planner.formats.stored_schemes import stored_scheme

    listed = [name for name in SCHEMES if name in names]
    return listed + sorted(name for name in set(names).difference(listed) if stored_scheme(name))


def scheme(id: str) -> Scheme:
    """The scheme ``id``, of the catalogue, (``stored_schemes``) of checkpoints alone or
    (``recipes``) of a recipe; table names, underscores, upper case, ggml's names without their
    prefix and :data:`COMMON_NAMES` are accepted.

    Raises UnknownNameError for a name outside the catalogue.
    """
    known_id = id if id in SCHEMES else _BY_SPELLING.get(_spelling(id))
    if known_id is None:
        unlisted = _unlisted(_spelling(id))
        if unlisted is not None:
            return unlisted
        raise UnknownNameError("scheme", id, SCHEMES)
    return SCHEMES[known_id]


def stores_exactly(reference: str, fmt: TensorFormat) -> bool:
    """Whether ``fmt`` holds the weights of a checkpoint released as ``reference`` unchanged.

    True for the same elements and blocks with scales that the format can represent (FP32 holds
    every power of two), and for FP32, which holds everything.
    """
    released = scheme(reference).weight
    if fmt == released or fmt.element == "fp32":
        return True
    if fmt.scale is None or released.scale is None or fmt.element != released.element:
        return False
    a, b = fmt.scale, released.scale
    same_blocks = (a.block_rows, a.block_columns) == (b.block_rows, b.block_columns)
    return same_blocks and a.format == "fp32" and b.format == "e8m0"
