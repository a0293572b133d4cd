"""AMD's matrix cores as records, by generation.

Parameters are those of MMA-Sim 2.1 (arXiv 2511.10909), the only published model; AMD documents
operands and shapes, not how sums are cut. Two instructions of MI200 multiply BF16: those of MI100
(``cdna2-bf16``) and the ``_1k`` ones that compilers use (``cdna2``).
"""

from __future__ import annotations

from planner.numerics.matrix_units import DotRule, Unit

_FNUZ = ("e4m3fnuz", "e5m2fnuz")
_OCP = ("e4m3fn", "e5m2", "e3m2", "e2m3", "e2m1")
_MODEL = (
    "another model: equal to MMA-Sim on random bits, subnormal numbers, infinities and NaN "
    "included (signs and payloads of NaN are not modelled). No results of silicon are public"
)
_SOURCE = "MMA-Sim (arXiv 2511.10909); AMD {} Instruction Set Architecture, V_MFMA"
_FP32 = DotRule(("fp32",), ("fp32",), "fp32", 1, None, "rne-fp32", 1, arithmetic="fma")


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
         (_exact("fp16", 4), _exact("bf16", 2), _FP32), True, _MODEL,
         _SOURCE.format("Instinct MI100")),
    Unit("cdna2", "CDNA2 MFMA (MI210, MI250; BF16 by the _1k instructions)", "mfma",
         (_pairs(("fp16", "bf16"), 4, 16), _FP32), True, _MODEL, _SOURCE.format("Instinct MI200")),
    Unit("cdna2-bf16", "CDNA2 MFMA, BF16 by the instructions of MI100", "mfma",
         (_pairs(("bf16",), 2, 8),), True, _MODEL, _SOURCE.format("Instinct MI200")),
    Unit("cdna3", "CDNA3 MFMA (MI300, MI325)", "mfma",
         (_staged(("fp16", "bf16"), 8), _staged(("tf32",), 4), _staged(_FNUZ, 16, split=True),
          _FP32), True, _MODEL + ". TF32 is AMD's XF32", _SOURCE.format("Instinct MI300")),
    Unit("cdna4", "CDNA4 MFMA (MI350, MI355; arithmetic of CDNA3 assumed)", "mfma",
         (_staged(("fp16", "bf16"), 8), _staged(_OCP, 16, split=True), _FP32), True,
         "documents only: they name the operands (OCP FP8, FP6 and FP4, no XF32) and not how sums "
         "are cut, which is taken from CDNA3. Block scales are not modelled",
         "AMD CDNA4 Instruction Set Architecture, V_MFMA_F32_*_F8F6F4"),
)  # fmt: skip
