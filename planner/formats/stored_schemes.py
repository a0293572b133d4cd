"""Weight-only schemes that checkpoints are stored in and no plan chooses.

GPTQ, AWQ, AutoRound and compressed-tensors store integers of 2, 3, 4 or 8 bits in groups of many
sizes, bitsandbytes 4-bit codes in blocks of 64. Their bytes are exact; their errors have no table.
``int3-w3a16-g128`` is 3 bits in groups of 128, ``int4-w4a16-row`` one scale a row.
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
