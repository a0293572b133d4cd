"""Weight-only schemes that checkpoints are stored in and no plan chooses.

GPTQ, AWQ, AutoRound and compressed-tensors store integers of 2, 3, 4 or 8 bits in groups of many
sizes, bitsandbytes 4-bit codes in blocks of 64. Their bytes are exact; their errors have no table.
``int3-w3a16-g128`` is 3 bits in groups of 128, ``int4-w4a16-row`` one scale a row.

MLX's formats are here too: ``mlx-4bit-g64`` has 4-bit codes in groups of 64 with a scale and a bias
in BF16, ``mlx-mxfp4`` E2M1 in blocks of 32. Plans for the engine mlx choose from them, and their
errors have a table; ``mlx-4bit`` is that in groups of 64, as releases mean it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from planner.formats.spec import ScaleSpec, Scheme, TensorFormat

INTEGER_BITS = (2, 3, 4, 8)
GROUPS = (16, 32, 64, 128, 256, 512, 1024)
NF4_BLOCK, NF4_NESTED = 64, 256
_INTEGER = re.compile(r"int(\d)-w(\d)a16-(?:g(\d{2,4})|row)")
_SOURCES = (
    "GPTQ, AWQ and AutoRound checkpoints (GPTQModel, AutoAWQ, intel/auto-round): symmetric "
    "scales are amax over half the range, the lowest code is used",
    "bitsandbytes functional.py, quantize_4bit: blocks of 64, absmax FP32 or nested",
)
MLX = "mlx-"
MLX_BITS = (2, 3, 4, 5, 6, 8)
MLX_GROUPS = (32, 64, 128)
_MLX_USUAL = 64
_MLX_AFFINE = re.compile(r"mlx-(\d)bit(?:-g(\d{2,3}))?")
_MLX_SOURCE = (
    "MLX documentation, mlx.core.quantize (ml-explore.github.io/mlx/build/html/python/"
    "_autosummary/mlx.core.quantize.html); mlx 0.32 mlx/backend/cpu/quantized.cpp"
)
_BF16 = TensorFormat("bf16")
_CODES = {
    f"{code}-w4a16{nested}": (code, nested) for code in ("nf4", "fp4") for nested in ("", "-nested")
}


def integer_id(bits: int, group: int) -> str | None:
    """The id of integers of ``bits`` in groups of ``group`` inputs (0: rows), None outside."""
    if bits not in INTEGER_BITS or group not in (0, *GROUPS):
        return None
    return f"int{bits}-w{bits}a16-{f'g{group}' if group else 'row'}"


@lru_cache(maxsize=64)
def stored_scheme(id: str) -> Scheme | None:
    """The scheme ``id``, None where it is not one of these."""
    if id in _CODES:
        return _code(id, *_CODES[id])
    if id.startswith(MLX):
        return _mlx(id)
    match = _INTEGER.fullmatch(id)
    if match is None or integer_id(int(match[1]), int(match[3] or 0)) != id:
        return None
    bits, group = int(match[1]), int(match[3] or 0)
    where = f"in groups of {group}" if group else "a row"
    return _weight_only(
        id,
        f"INT{bits} W {where} with 16-bit scales, BF16 A; stored only",
        TensorFormat(f"int{bits}", ScaleSpec("bf16", 1, group, "half-range")),
        "w8a16" if bits == 8 else "w4a16",
        _SOURCES[0],
    )


def mlx_scheme_ids() -> tuple[str, ...]:
    """MLX's formats, from the fewest bits an element on."""
    affine = [f"{MLX}{bits}bit-g{group}" for bits in MLX_BITS for group in reversed(MLX_GROUPS)]
    return (*affine, f"{MLX}mxfp4")


def _mlx(id: str) -> Scheme | None:
    if id == f"{MLX}mxfp4":
        weight = TensorFormat("e2m1", ScaleSpec("e8m0", 1, 32, "rceil"), 17, block_type=id)
        title = "E2M1 W in blocks of 32, E8M0 scales rounded up, BF16 A; MLX"
        return _weight_only(id, title, weight, "w4a16", _MLX_SOURCE)
    match = _MLX_AFFINE.fullmatch(id)
    if match is None:
        return None
    bits, group = int(match[1]), int(match[2] or _MLX_USUAL)
    if bits not in MLX_BITS or group not in MLX_GROUPS:
        return None
    return _weight_only(
        f"{MLX}{bits}bit-g{group}",
        f"{bits}-bit W in groups of {group} with a BF16 scale and bias, BF16 A; MLX",
        TensorFormat(
            "int8" if bits > 4 else f"int{bits}",
            ScaleSpec("bf16", 1, group, "amax"),
            bits * group // 8 + 4,
            block_type=f"mlx{bits}-g{group}",
        ),
        "w8a16" if bits > 4 else "w4a16",
        _MLX_SOURCE,
    )


def _code(id: str, code: str, nested: str) -> Scheme:
    scale = NF4_BLOCK // 2 + (1 if nested else 4)
    title = f"{code.upper()} W in blocks of 64, {'nested' if nested else 'FP32'} maxima, BF16 A"
    return _weight_only(
        id,
        title + "; stored only",
        TensorFormat("int4", ScaleSpec("fp32", 1, NF4_BLOCK, "amax"), scale, block_type=code),
        "w4a16",
        _SOURCES[1],
    )


def _weight_only(id: str, title: str, weight: TensorFormat, kernel: str, source: str) -> Scheme:
    return Scheme(id, title, weight, _BF16, "bf16", kernel, "weight-only", source)
