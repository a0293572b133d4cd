"""The matrix units, with their sources.

Two models of NVIDIA tensor cores are published: MMA-Sim (arXiv 2511.10909) and MATLAB-tensor-core
(arXiv 2512.07004), the second with results of real GPUs. Parameters agree between them except:

* an all-zero sum. MMA-Sim up to 2.0 gave zero the exponent of the smallest normal number (-126);
  its 2.1 and the MATLAB models of 2026 give it the floor that is used here (-133 on Hopper and
  Blackwell, -132 on Ampere and Ada, -131 on Volta). Only sums of tiny terms can tell them apart.
* B200 with an FP16 accumulator. The MATLAB model floors the exponent at -15, MMA-Sim at -21, which
  is used here for Hopper and Blackwell alike (-20 Ampere and Ada, -19 Volta).
* ``mma.sync`` with FP8 operands on Hopper and Blackwell. Neither model reproduces the MATLAB
  project's own H100, H200 and B200 results with an FP16 accumulator, nor those of the B200 with an
  FP32 accumulator; the rules below (two interleaved halves, accumulator added afterwards) do.

NaN and infinity follow MMA-Sim: any NaN, ∞-∞ or 0·∞ gives 0x7FFFFFFF (FP16: 0x7FFF), and sums that
round to zero give +0.

The matrix unit of a device, by the names that people and profiles give devices.

A device has several: the one here is what its libraries multiply floats with, and ``int8-imma`` (on
tensor cores) for integers. Generations: NVIDIA CUDA GPU compute capability table; AMD ROCm
accelerator and GPU hardware specifications; Intel ARK.

AMD's matrix cores as records, by generation.

Parameters are those of MMA-Sim 2.1 (arXiv 2511.10909), the only published model; AMD documents
operands and shapes, not how sums are cut. Two instructions of MI200 multiply BF16: those of MI100
(``cdna2-bf16``) and the ``_1k`` ones that compilers use (``cdna2``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from planner.base.errors import UnknownNameError
from planner.base.typed import typed
from planner.numerics.matrix_units import Accumulator, DotRule, Rounding, Unit, index_units

_FP8 = ("e4m3fn", "e5m2")
_F8F6F4 = ("e4m3fn", "e5m2", "e3m2", "e2m3", "e2m1")
_FLOATS = ("fp32", "tf32", "bf16", "fp16", "e4m3fn", "e5m2", "e3m2", "e2m3", "e2m1")
_INTS = ("int8", "int4")
_SOURCES = "MMA-Sim (arXiv 2511.10909); MATLAB-tensor-core (arXiv 2512.07004)"
_VECTORS = "the public tensor-core results of MATLAB-tensor-core: {} of {} equal"


def _same(
    formats: tuple[str, ...], terms: int, bits: int, floor: int, k: int,
    rounding: Rounding = "rz-fp32", accumulator: Accumulator = "fp32", mixed: bool = False,
) -> DotRule:  # fmt: skip
    return DotRule(formats, formats, accumulator, terms, bits, rounding, k, floor, mixed=mixed)


def _fp16_accumulator(terms: int, bits: int, floor: int, k: int,
          formats: tuple[str, ...] = ("fp16",), mixed: bool = False) -> DotRule:  # fmt: skip
    return _same(formats, terms, bits, floor, k, "rne-fp16", "fp16", mixed)


_AMPERE_RULES = (
    _same(("fp16", "bf16"), 8, 24, -132, 16), _same(("tf32",), 4, 24, -132, 8),
    _fp16_accumulator(8, 24, -20, 16),
)  # fmt: skip
_HOPPER_RULES = (
    _same(("fp16", "bf16"), 16, 25, -133, 16), _same(("tf32",), 8, 25, -133, 8),
    _fp16_accumulator(16, 25, -21, 16),
)  # fmt: skip
_INTERLEAVED = DotRule(_FP8, _FP8, "fp16", 16, 25, "rne-fp16", 32, -21, "interleaved", "added",
                       mixed=True)  # fmt: skip

_EXACT = Unit(
    "exact", "Exact sum, rounded once to FP32", "exact",
    (DotRule(_FLOATS, _FLOATS, "fp32", 0, None, "rne-fp32", 1, k_order="any", mixed=True),
     DotRule(_INTS, _INTS, "fp32", 0, None, "rne-fp32", 1, k_order="any", mixed=True)),
    False, "its definition: rational arithmetic", "IEEE 754-2019",
)  # fmt: skip
_FP32 = Unit(
    "fp32", "FP32 fused multiply-adds in the order of k", "fma",
    (DotRule(_FLOATS, _FLOATS, "fp32", 1, None, "rne-fp32", 1, mixed=True),),
    False, "its definition: rational arithmetic", "IEEE 754-2019, fusedMultiplyAdd",
)  # fmt: skip
_VOLTA = Unit(
    "volta", "Volta HMMA (V100)", "fused",
    (_same(("fp16",), 4, 23, -131, 4), _fp16_accumulator(4, 23, -19, 4)), True,
    "V100 silicon: " + _VECTORS.format("10,000", "10,000")
    + ". Tiny sums and non-finite operands: MMA-Sim only", _SOURCES,
)  # fmt: skip
_FP64 = Unit(
    "fp64", "FP64 fused multiply-adds in the order of k (A100 to B200, MI200, MI300)", "fma",
    (DotRule(("fp64",), ("fp64",), "fp64", 1, None, "rne-fp64", 1),), False,
    "its definition: rational arithmetic; another model: equal to MMA-Sim's DMMA and F64 MFMA on "
    "random bits. matmul_fp64 multiplies it", "IEEE 754-2019, fusedMultiplyAdd; " + _SOURCES,
)  # fmt: skip
_TURING = Unit(
    "turing", "Turing mma.sync (T4, RTX 20)", "fused",
    (_same(("fp16",), 8, 24, -132, 8), _fp16_accumulator(8, 24, -20, 8)), True,
    "another model: equal to MMA-Sim on random bits. No silicon results are public. The m8n8k4 of "
    "Volta, which Turing also has, adds as volta does", _SOURCES,
)  # fmt: skip
_AMPERE = Unit(
    "ampere", "Ampere mma.sync (A100, A2; Orin by inference)", "fused", _AMPERE_RULES, True,
    "A100 and A2 silicon: " + _VECTORS.format("40,000", "40,000")
    + ". Orin (sm_87) is assumed to be the same, without results. Tiny sums and non-finite "
    "operands: MMA-Sim only", _SOURCES + "; arXiv 2510.15884",
)  # fmt: skip
_ADA = Unit(
    "ada", "Ada mma.sync (L40S, RTX)", "fused",
    (*_AMPERE_RULES, _same(_FP8, 16, 13, -132, 32, "rz-e8m13", mixed=True),
     _fp16_accumulator(16, 13, -20, 32, _FP8, mixed=True)), True,
    "Ada RTX-1000 and L40S silicon: " + _VECTORS.format("70,000", "70,000")
    + " (FP16 accumulators on the RTX-1000 only). Mixed E4M3 × E5M2, tiny sums and non-finite "
    "operands: MMA-Sim only", _SOURCES,
)  # fmt: skip
_WGMMA = Unit(
    "hopper-wgmma", "Hopper wgmma (H100, H200)", "fused",
    (*_HOPPER_RULES, _same(_FP8, 32, 13, -133, 32, "rz-e8m13", mixed=True),
     _fp16_accumulator(32, 13, -21, 32, _FP8, mixed=True)), True,
    "H100 and H200 silicon through mma.sync, which shares the arithmetic: "
    + _VECTORS.format("60,000", "60,000") + ", FP8 into FP32 with a zero accumulator. wgmma "
    "itself, other accumulators, tiny sums, NaN and infinity: equal to MMA-Sim on random bits",
    _SOURCES,
)  # fmt: skip
_HOPPER_MMA = Unit(
    "hopper-mma", "Hopper mma.sync (H100, H200)", "fused",
    (*_HOPPER_RULES, _same(_FP8, 32, 13, -133, 32, "rz-e8m13", mixed=True), _INTERLEAVED), True,
    "H100 and H200 silicon: " + _VECTORS.format("80,000", "80,000") + ". FP8 into FP32 was "
    "measured with a zero accumulator; fusing another one is inferred from wgmma. The order for "
    "an FP16 accumulator was found on the same results that it reproduces",
    _SOURCES,
)  # fmt: skip
_TCGEN05 = Unit(
    "blackwell-tcgen05", "Blackwell tcgen05.mma, no block scales (B200)", "fused",
    (*_HOPPER_RULES, _same(_F8F6F4, 32, 25, -133, 32, mixed=True),
     _fp16_accumulator(32, 25, -21, 32, _F8F6F4, mixed=True)), True,
    "another model: equal to MMA-Sim on random bits (FP8, with accumulator, NaN, infinity). No "
    "silicon results of tcgen05 are public; FP16, BF16 and TF32 reproduce those of B200's mma.sync",
    _SOURCES,
)  # fmt: skip
_BLACKWELL_MMA = Unit(
    "blackwell-mma", "Blackwell mma.sync (B200)", "fused",
    (*_HOPPER_RULES,
     DotRule(_FP8, _FP8, "fp32", 32, 25, "rz-fp32", 32, -133, c_entry="added", mixed=True),
     _INTERLEAVED), True,
    "B200 silicon: " + _VECTORS.format("40,000", "40,000") + ". The separate addition of the "
    "accumulator to FP8 products was found on the same results that it reproduces; consumer "
    "Blackwell (sm_120) fuses it, as blackwell-tcgen05 does, in MMA-Sim",
    _SOURCES,
)  # fmt: skip
_GEFORCE = Unit(
    "blackwell-geforce", "Blackwell mma.sync of sm_120 (RTX 50, GB10), no block scales", "fused",
    (*_HOPPER_RULES, _same(_F8F6F4, 32, 25, -133, 32, mixed=True),
     _fp16_accumulator(32, 25, -21, 32, _F8F6F4, mixed=True)), True,
    "another model: equal to MMA-Sim on random bits. No silicon results are public", _SOURCES,
)  # fmt: skip
_BLOCK_SCALED = Unit(
    "blackwell-block-scaled", "Blackwell block-scaled MX and NVFP4 (tcgen05, sm_120)",
    "block-scaled",
    (DotRule(("e2m1",), ("e2m1",), "fp32", 64, 35, "rz-fp32", 64, -139,
             scales=(("e8m0", 32), ("e8m0", 16), ("ue4m3", 16))),
     DotRule(_F8F6F4, _F8F6F4, "fp32", 32, 25, "rz-fp32", 32, -133, mixed=True,
             scales=(("e8m0", 32),))), True,
    "another model: equal to MMA-Sim on random bits. No silicon results are public",
    "MMA-Sim (arXiv 2511.10909); NVIDIA PTX ISA 8.7, mma with block scaling",
)  # fmt: skip
_MXF8F6F4 = Unit(
    "blackwell-mxf8f6f4", "Blackwell block-scaled kind::mxf8f6f4, FP4 × FP4 too (tcgen05, sm_120)",
    "block-scaled",
    (DotRule(_F8F6F4, _F8F6F4, "fp32", 32, 25, "rz-fp32", 32, -133, mixed=True,
             scales=(("e8m0", 32),)),), True,
    "another model: equal to MMA-Sim on random bits, FP4 × FP4 included. No silicon results are "
    "public. blackwell-block-scaled multiplies FP4 × FP4 by the rule of kind::mxf4",
    "MMA-Sim (arXiv 2511.10909); NVIDIA PTX ISA 8.7, mma with block scaling",
)  # fmt: skip
_IMMA = Unit(
    "int8-imma", "Integer tensor cores (Turing to Blackwell, Orin)", "integer",
    (DotRule(_INTS, _INTS, "int32", 0, None, "wrap-int32", 32, k_order="any"),), False,
    "documents only: exact products and sums modulo 2^32 (satfinite clamps instead)",
    "NVIDIA PTX ISA 8.7, mma .s8/.s4",
)  # fmt: skip
_AVX512_BF16 = Unit(
    "avx512-bf16", "AVX512_BF16 VDPBF16PS", "fma",
    (DotRule(("bf16",), ("bf16",), "fp32", 1, None, "rne-fp32-daz-ftz", 2, k_order="odd-first"),),
    False,
    "AMD Zen 4 silicon: every non-NaN result of random bits equal (the tests repeat this where "
    "the processor has the instruction); the signs and payloads of NaN are not modelled",
    "Intel 64 and IA-32 Software Developer's Manual, VDPBF16PS",
)  # fmt: skip
_VNNI = Unit(
    "avx512-vnni", "AVX-512 VNNI VPDPBUSD, VPDPBUSDS", "integer",
    (DotRule(("uint8", "int8"), ("int8",), "int32", 4, None, "wrap-int32", 4, mixed=True),),
    False,
    "AMD Zen 4 silicon: random and extreme bytes equal (the tests repeat this where the "
    "processor has the instruction)",
    "Intel 64 and IA-32 Software Developer's Manual, VPDPBUSD",
)  # fmt: skip
_MADDUBS = Unit(
    "avx2-maddubs", "AVX2 VPMADDUBSW, VPMADDWD, VPADDD", "integer",
    (DotRule(("uint8", "int8"), ("int8",), "int32", 4, None, "saturate-int16-wrap-int32", 4,
             mixed=True),), False,
    "AMD Zen 4 silicon: random and extreme bytes equal (the tests repeat this where the "
    "processor has the instructions)",
    "Intel 64 and IA-32 Software Developer's Manual, VPMADDUBSW",
)  # fmt: skip
_AMX_BF16 = Unit(
    "amx-bf16", "AMX TDPBF16PS", "fma",
    (DotRule(("bf16",), ("bf16",), "fp32", 1, None, "rne-fp32-daz-ftz", 32, k_order="two-chains",
             c_entry="added"),), False,
    "documents only: the manual's pseudo-code",
    "Intel 64 and IA-32 Software Developer's Manual, TDPBF16PS",
)  # fmt: skip
_AMX_INT8 = Unit(
    "amx-int8", "AMX TDPBSSD, TDPBSUD, TDPBUSD, TDPBUUD", "integer",
    (DotRule(("int8", "uint8"), ("int8", "uint8"), "int32", 4, None, "wrap-int32", 64,
             mixed=True),), False,
    "documents only: exact products and sums modulo 2^32",
    "Intel 64 and IA-32 Software Developer's Manual, TDPBSSD",
)  # fmt: skip

_FNUZ = ("e4m3fnuz", "e5m2fnuz")
_OCP = ("e4m3fn", "e5m2", "e3m2", "e2m3", "e2m1")
_MODEL = (
    "another model: equal to MMA-Sim on random bits, subnormal numbers, infinities and NaN "
    "included (signs and payloads of NaN are not modelled). No results of silicon are public"
)
_SOURCE = "MMA-Sim (arXiv 2511.10909); AMD {} Instruction Set Architecture, V_MFMA"
_AMD_FP32 = DotRule(("fp32",), ("fp32",), "fp32", 1, None, "rne-fp32", 1, arithmetic="fma")


def _exact(format: str, terms: int) -> DotRule:
    return DotRule(
        (format,), (format,), "fp32", terms, None, "rne-fp32", terms, arithmetic="exact-groups"
    )


def _pairs(formats: tuple[str, ...], terms: int, k: int) -> DotRule:
    return DotRule(
        formats, formats, "fp32", terms, None, "rne-fp32-daz-ftz", k, arithmetic="flushed-pairs"
    )


def _staged(formats: tuple[str, ...], terms: int, *, split: bool = False) -> DotRule:
    return DotRule(
        formats,
        formats,
        "fp32",
        terms,
        24,
        "rne-fp32",
        terms,
        k_order="even-and-odd" if split else "sequential",
        mixed=split,
        arithmetic="two-stage",
    )


AMD_UNITS = (
    Unit("cdna1", "CDNA1 MFMA (MI100)", "mfma",
         (_exact("fp16", 4), _exact("bf16", 2), _AMD_FP32), True, _MODEL,
         _SOURCE.format("Instinct MI100")),
    Unit("cdna2", "CDNA2 MFMA (MI210, MI250; BF16 by the _1k instructions)", "mfma",
         (_pairs(("fp16", "bf16"), 4, 16), _AMD_FP32), True, _MODEL,
         _SOURCE.format("Instinct MI200")),
    Unit("cdna2-bf16", "CDNA2 MFMA, BF16 by the instructions of MI100", "mfma",
         (_pairs(("bf16",), 2, 8),), True, _MODEL, _SOURCE.format("Instinct MI200")),
    Unit("cdna3", "CDNA3 MFMA (MI300, MI325)", "mfma",
         (_staged(("fp16", "bf16"), 8), _staged(("tf32",), 4), _staged(_FNUZ, 16, split=True),
          _AMD_FP32), True, _MODEL + ". TF32 is AMD's XF32", _SOURCE.format("Instinct MI300")),
    Unit("cdna4", "CDNA4 MFMA (MI350, MI355; arithmetic of CDNA3 assumed)", "mfma",
         (_staged(("fp16", "bf16"), 8), _staged(_OCP, 16, split=True), _AMD_FP32), True,
         "documents only: they name the operands (OCP FP8, FP6 and FP4, no XF32) and not how sums "
         "are cut, which is taken from CDNA3. Block scales are not modelled",
         "AMD CDNA4 Instruction Set Architecture, V_MFMA_F32_*_F8F6F4"),
)  # fmt: skip


UNITS: Mapping[str, Unit] = index_units((
    _EXACT, _FP32, _FP64, _VOLTA, _TURING, _AMPERE, _ADA, _WGMMA, _HOPPER_MMA, _TCGEN05,
    _BLACKWELL_MMA, _GEFORCE, _BLOCK_SCALED, _MXF8F6F4, *AMD_UNITS, _IMMA, _AVX512_BF16, _VNNI,
    _MADDUBS, _AMX_BF16, _AMX_INT8,
))  # fmt: skip


@typed
def unit(id: str) -> Unit:
    """The unit ``id`` (case and underscores do not matter), or the one that a device of that name
    multiplies floats with (``H100``, ``rtx-4090``).

    Raises UnknownNameError for a name outside ``unit_ids()`` that is no device's either.
    """
    return unit_by_name(id, UNITS)


def unit_ids() -> tuple[str, ...]:
    """The ids of all units, exact arithmetic first."""
    return tuple(UNITS)


_MAKERS = re.compile(r"^(nvidia|amd|intel|geforce|tesla|quadro|instinct|jetson|drive)-")
_NAMES: tuple[tuple[str, str], ...] = (
    (r"(g?h[128]00|h20|hopper|sm-?90a?)", "hopper-wgmma"),
    (
        r"(g?b[123]00|hgx-b\d+|blackwell|sm-?10[03]a?|sm-?110a?|t[45]000|agx-thor.*|thor.*)",
        "blackwell-tcgen05",
    ),
    (
        r"(rtx-50\d0(-?ti)?|rtx-pro-\d{4}.*|gb10|dgx-spark|spark|sm-?12[01]a?|blackwell-rtx)",
        "blackwell-geforce",
    ),
    (
        r"(a100|a800|a30|a10g?|a40|a16|a2|rtx-a\d000|rtx-30\d0(-?ti)?|orin|agx-orin.*|orin-.*|sm-?8[067])",
        "ampere",
    ),
    (r"(l4|l20|l40s?|rtx-40\d0(-?ti)?|rtx-\d000-ada|sm-?89)", "ada"),
    (r"(t4g?|rtx-20\d0(-?ti)?|titan-rtx|rtx-[4568]000|sm-?75)", "turing"),
    (r"(v100s?|titan-v|sm-?7[02])", "volta"),
    (r"(mi100|gfx908)", "cdna1"),
    (r"(mi210|mi250x?|gfx90a)", "cdna2"),
    (r"(mi300[axc]|mi308x?|mi325x?|gfx94[0-2])", "cdna3"),
    (r"(mi350x|mi355x|gfx950)", "cdna4"),
    (r"(xeon-(platinum-)?(84|85|69)\w+|sapphire-rapids|emerald-rapids|granite-rapids)", "amx-bf16"),
    (r"(epyc-9\w+|zen-?[45]|genoa|bergamo|turin)", "avx512-bf16"),
)
# Forms, memories and sizes that say nothing about the unit: "H100 80GB HBM3", "h200-sxm".
_SUFFIX = re.compile(r"(-(sxm\d?|pcie|nvl\d*|oam|hbm\w*|\d+gb|d|laptop|super|gpu|\d{2,3}))+$")
_PATTERNS = tuple((re.compile(pattern), id) for pattern, id in _NAMES)
_INTEGERS: Mapping[str, str] = {"amx-bf16": "amx-int8", "avx512-bf16": "avx512-vnni"}


def device_unit(name: str) -> str | None:
    """The id of the unit that a device of this name multiplies floats with, None where unknown."""
    text = re.sub(r"[\s_]+", "-", name.strip().lower())
    while True:
        shorter = _MAKERS.sub("", text)
        if shorter == text:
            break
        text = shorter
    for spelling in (text, _SUFFIX.sub("", text)):
        for pattern, id in _PATTERNS:
            if pattern.fullmatch(spelling):
                return id
    return None


def unit_by_name(name: str, units: Mapping[str, Unit], *, integers: bool = False) -> Unit:
    """The unit ``name``, or that of the device ``name``, of which ``integers`` takes the unit that
    multiplies them.

    Raises UnknownNameError for other names, and for devices whose unit is not emulated.
    """
    id = name.strip().lower().replace("_", "-")
    if id in units:
        return units[id]
    device = device_unit(name)
    if device is None:
        raise UnknownNameError(
            "unit", name, units, own="A device's name is taken too: 'h100', 'rtx-4090'."
        )
    if integers:
        device = _INTEGERS.get(device, device if device.startswith("cdna") else "int8-imma")
    if device not in units:
        raise UnknownNameError("unit", name, units, note=f"its unit, {device}, is not emulated")
    return units[device]


def units_as_data() -> list[dict[str, Any]]:
    """Every unit as JSON values."""
    return [
        {
            "id": u.id,
            "title": u.title,
            "formats": list(u.formats()),
            "promotion": u.promotion,
            "verified_against": u.verified_against,
            "source": u.source,
        }
        for u in map(unit, unit_ids())
    ]
