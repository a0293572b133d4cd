"""Every matrix instruction that MMA-Sim 2.1 models, the unit that adds like it, and seeded inputs.

Shapes that differ in M and N alone are one instruction here: no output knows of another.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from planner.formats.elements import element
from planner.numerics import decode, matmul, matmul_fp64
from planner.numerics.cast import code_dtype

M, N = 32, 16
VOLTA_MIXED = "m8n8k4.f32.f16.f16.f16"
KINDS = ("raw", "sparse", "close")
F8F6F4 = ("e5m2", "e4m3", "e3m2", "e2m3", "e2m1")
FORMATS = {
    "e4m3": "e4m3fn",
    "f16": "fp16",
    "f32": "fp32",
    "f64": "fp64",
    "xf32": "tf32",
    "fp8": "e4m3fnuz",
    "bf8": "e5m2fnuz",
}


@dataclass(frozen=True)
class Instruction:
    """``operation`` and ``arch`` as MMA-Sim names them; ``name`` selects the instruction."""

    operation: str
    arch: str
    name: str
    unit: str
    a: str
    b: str
    c: str
    k: int
    scale: str = ""
    group: int = 0

    @property
    def id(self) -> str:
        return f"{self.operation} {self.arch} {self.name}"


def _mma(arch: str, unit: str, names: list[str]) -> list[Instruction]:
    found = []
    for name in names:
        shape, a, b, c = name.split(".")[0], *name.split(".")[-3:]
        found.append(
            Instruction(
                "MMA",
                arch,
                name,
                unit,
                FORMATS.get(a, a),
                FORMATS.get(b, b),
                FORMATS.get(c, c),
                int(shape.split("k")[1]),
            )
        )
    return found


def _nvidia() -> list[Instruction]:
    sm70 = ["m8n8k4.f32.f16.f16.f32", "m8n8k4.f32.f16.f16.f16", "m8n8k4.f16.f16.f16.f16"]
    sm75 = ["m16n8k8.f32.f16.f16.f32", "m16n8k8.f16.f16.f16.f16"]
    sm80 = [
        "m8n8k4.f64.f64.f64.f64",
        "m16n8k8.f32.tf32.tf32.f32",
        "m16n8k4.f32.tf32.tf32.f32",
        "m16n8k16.f32.f16.f16.f32",
        "m16n8k16.f16.f16.f16.f16",
        "m16n8k16.f32.bf16.bf16.f32",
        "m16n8k8.f32.bf16.bf16.f32",
    ]
    sm89 = [
        f"m16n8k{k}.{d}.{a}.{b}.{d}"
        for k in (32, 16)
        for d in ("f32", "f16")
        for a in ("e5m2", "e4m3")
        for b in ("e5m2", "e4m3")
    ]
    sm90 = [f"m16n8k{k}.f64.f64.f64.f64" for k in (16, 8, 4)]
    sm120 = [
        f"m16n8k32.kind::f8f6f4.{d}.{a}.{b}.{d}"
        for d in ("f32", "f16")
        for a in F8F6F4
        for b in F8F6F4
    ]
    return [
        *_mma("Volta", "volta", sm70),
        *_mma("Turing", "turing", sm75),
        *_mma("Turing", "volta", sm70),
        *_mma("Ampere", "ampere", sm80 + sm75),
        *_mma("Ada Lovelace", "ada", sm89 + sm80 + sm75),
        *_mma("Hopper", "hopper-mma", sm90 + sm80 + sm75),
        *_mma("Blackwell", "blackwell-mma", sm80 + sm75),
        *_mma("RTX Blackwell", "blackwell-geforce", sm120 + sm89 + sm80 + sm75),
    ]


def _asynchronous() -> list[Instruction]:
    """wgmma and tcgen05.mma, whose accumulator has the type of the result."""
    plain = [
        ("8", "f32", "tf32", "tf32"),
        ("16", "f32", "f16", "f16"),
        ("16", "f16", "f16", "f16"),
        ("16", "f32", "bf16", "bf16"),
    ]
    fp8 = [
        ("32", d, a, b) for d in ("f32", "f16") for a in ("e5m2", "e4m3") for b in ("e5m2", "e4m3")
    ]
    mixed = [("32", d, a, b) for d in ("f32", "f16") for a in F8F6F4 for b in F8F6F4]
    kind = {"8": "tf32", "16": "f16", "32": "f8f6f4"}
    found = [
        ("WGMMA", "Hopper", f"m64n16k{k}.{d}.{a}.{b}", "hopper-wgmma", a, b, d, int(k))
        for k, d, a, b in plain + fp8
    ]
    found += [
        (
            "TCGen05MMA",
            "Blackwell",
            f"m64n16k{k}.kind::{kind[k]}.{d}.{a}.{b}",
            "blackwell-tcgen05",
            a,
            b,
            d,
            int(k),
        )
        for k, d, a, b in plain + mixed
    ]
    return [
        Instruction(o, arch, n, u, FORMATS.get(a, a), FORMATS.get(b, b), FORMATS[d], k)
        for o, arch, n, u, a, b, d, k in found
    ]


def _block_scaled() -> list[Instruction]:
    kinds = [("mxf8f6f4", 32, a, b, "ue8m0") for a in F8F6F4 for b in F8F6F4]
    kinds += [
        ("mxf4", 32, "e2m1", "e2m1", "ue8m0"),
        ("mxf4nvf4", 32, "e2m1", "e2m1", "ue8m0"),
        ("mxf4nvf4", 16, "e2m1", "e2m1", "ue8m0"),
        ("mxf4nvf4", 16, "e2m1", "e2m1", "ue4m3"),
    ]
    found = []
    for kind, group, a, b, scale in kinds:
        k, unit = (
            (32, "blackwell-mxf8f6f4") if kind == "mxf8f6f4" else (64, "blackwell-block-scaled")
        )
        for operation, arch, name in (
            (
                "TCGen05MMABlockScale",
                "Blackwell",
                f"m128n16k{k}.kind::{kind}.block{group}.f32.{a}.{b}.{scale}",
            ),
            (
                "MMABlockScale",
                "RTX Blackwell",
                f"m16n8k{k}.kind::{kind}.block{group}.f32.{a}.{b}.f32.{scale}",
            ),
        ):
            found.append(
                Instruction(
                    operation,
                    arch,
                    name,
                    unit,
                    FORMATS.get(a, a),
                    FORMATS.get(b, b),
                    "fp32",
                    k,
                    "e8m0" if scale == "ue8m0" else scale,
                    group,
                )
            )
    return found


CDNA1 = (
    "f32_32x32x2f32", "f32_32x32x1f32", "f32_16x16x4f32", "f32_16x16x1f32", "f32_4x4x1f32",
    "f32_32x32x8f16", "f32_32x32x4f16", "f32_16x16x16f16", "f32_16x16x4f16", "f32_4x4x4f16",
    "f32_32x32x4bf16", "f32_32x32x2bf16", "f32_16x16x8bf16", "f32_16x16x2bf16", "f32_4x4x2bf16",
)  # fmt: skip
CDNA2 = (
    "f64_16x16x4f64", "f64_4x4x4f64", "f32_32x32x8bf16_1k", "f32_32x32x4bf16_1k",
    "f32_16x16x16bf16_1k", "f32_16x16x4bf16_1k", "f32_4x4x4bf16_1k",
)  # fmt: skip
CDNA3 = (
    "f64_16x16x4_f64", "f64_4x4x4_4b_f64", "f32_32x32x1_2b_f32", "f32_16x16x1_4b_f32",
    "f32_4x4x1_16b_f32", "f32_32x32x2_f32", "f32_16x16x4_f32", "f32_16x16x8_xf32",
    "f32_32x32x4_xf32", "f32_32x32x4_2b_f16", "f32_16x16x4_4b_f16", "f32_4x4x4_16b_f16",
    "f32_32x32x8_f16", "f32_16x16x16_f16", "f32_32x32x4_2b_bf16", "f32_16x16x4_4b_bf16",
    "f32_4x4x4_16b_bf16", "f32_32x32x8_bf16", "f32_16x16x16_bf16", "f32_16x16x32_bf8_bf8",
    "f32_16x16x32_bf8_fp8", "f32_16x16x32_fp8_bf8", "f32_16x16x32_fp8_fp8", "f32_32x32x16_bf8_bf8",
    "f32_32x32x16_bf8_fp8", "f32_32x32x16_fp8_bf8", "f32_32x32x16_fp8_fp8",
)  # fmt: skip


def _amd() -> list[Instruction]:
    found = []
    for arch, names in (("CDNA1", CDNA1), ("CDNA2", CDNA2 + CDNA1), ("CDNA3", CDNA3)):
        for name in names:
            d, rest = name.split("_", 1)
            k = int(
                "".join(ch if ch.isdigit() or ch == "x" else " " for ch in rest)
                .split()[0]
                .split("x")[2]
            )
            text = rest.removesuffix("_1k")
            types = (
                text.split("_")[-2:]
                if text[-3:] in ("fp8", "bf8")
                else [next(t for t in ("xf32", "bf16", "f64", "f32", "f16") if text.endswith(t))]
                * 2
            )
            old = arch == "CDNA2" and types[0] == "bf16" and not name.endswith("_1k")
            found.append(
                Instruction(
                    "MFMA",
                    arch,
                    name,
                    "cdna2-bf16" if old else arch.lower(),
                    FORMATS.get(types[0], types[0]),
                    FORMATS.get(types[1], types[1]),
                    FORMATS[d],
                    k,
                )
            )
    return found


INSTRUCTIONS = {i.id: i for i in (*_nvidia(), *_asynchronous(), *_block_scaled(), *_amd())}


@dataclass(frozen=True)
class Inputs:
    """Codes (float64 numbers for FP64), scale codes, and the accumulator in its own type."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    a_scales: np.ndarray | None = None
    b_scales: np.ndarray | None = None


def _codes(rng: np.random.Generator, shape: tuple[int, int], format: str, kind: str) -> np.ndarray:
    """Random bits; or finite ones with zeros between them; or exponents near each other."""
    if format == "fp64":
        x = rng.integers(0, 1 << 64, shape, dtype=np.uint64).view(np.float64)
        if kind != "raw":
            x = rng.integers(-99, 100, shape) * 2.0 ** rng.integers(-40, 9, shape)
        return x
    fmt = element(format)
    codes = rng.integers(0, 1 << fmt.bits, shape).astype(code_dtype(fmt))
    if format == "tf32":
        codes &= np.uint32(0xFFFFE000)
    if kind == "raw":
        return codes
    codes = np.where(rng.random(shape) < 0.3, 0, codes).astype(codes.dtype)
    if kind == "close" and fmt.exponent_bits >= 5:
        field = ((1 << fmt.exponent_bits) - 1) << fmt.mantissa_bits
        bias = (fmt.bias + rng.integers(-9, 10, shape)) << fmt.mantissa_bits
        low = 13 if format == "tf32" else 0
        codes = (codes & ~codes.dtype.type(field << low)) | (bias << low).astype(codes.dtype)
    return np.where(np.isfinite(decode(codes, format)), codes, 0).astype(codes.dtype)


def inputs(one: Instruction, kind: str) -> Inputs:
    """The same in every run.

    Operands and accumulators of CDNA3's FP8 are finite: see :func:`drops_nan`. The FP16 accumulator
    that Volta adds into FP32 is not subnormal: MMA-Sim gives such a number the exponent of FP16's
    smallest normal one, ``matmul`` knows it as FP32.
    """
    rng = np.random.default_rng(zlib.crc32(f"{one.id} {kind}".encode()))
    a, b = _codes(rng, (M, one.k), one.a, kind), _codes(rng, (one.k, N), one.b, kind)
    c = _codes(rng, (M, N), one.c, kind)
    if one.c != "fp64":
        c = c.view({"fp32": np.float32, "fp16": np.float16}[one.c])
    c = np.where(rng.random((M, N)) < 0.3, 0, c).astype(c.dtype)
    if drops_nan(one):
        a, b = (np.where(x == 0x80, 0, x).astype(np.uint8) for x in (a, b))
        c = np.where(np.isfinite(c), c, 0).astype(c.dtype)
    if one.name == VOLTA_MIXED:
        c = np.where(np.abs(c) < 2.0**-14, 0, c).astype(c.dtype)
    if not one.scale:
        return Inputs(a, b, c)
    wide = (0, 256) if kind == "raw" else (110, 140) if one.scale == "e8m0" else (0, 0x7F)
    scales = [
        rng.integers(*wide, shape).astype(np.uint8)
        for shape in ((M, one.k // one.group), (one.k // one.group, N))
    ]
    return Inputs(a, b, c, *scales)


def drops_nan(one: Instruction) -> bool:
    """Where MMA-Sim ignores an accumulator that is NaN or infinite beside large products: it takes
    its exponent for that of a small number, which no arithmetic of NaN does. Here NaN stays NaN."""
    return one.a in ("e4m3fnuz", "e5m2fnuz")


def ours(one: Instruction, given: Inputs) -> np.ndarray:
    """The outputs of the unit, float32 or float64."""
    if one.a == "fp64":
        return matmul_fp64(given.a, given.b, c=given.c)
    scales = (
        {
            "a_scales": given.a_scales,
            "b_scales": given.b_scales,
            "scale_format": one.scale,
            "scale_group": one.group,
        }
        if one.scale
        else {}
    )
    # One form of Volta's takes an FP16 accumulator and returns FP32.
    into = "fp32" if one.name == VOLTA_MIXED else one.c
    return matmul(
        given.a,
        given.b,
        a_format=one.a,
        b_format=one.b,
        unit=one.unit,
        c=given.c.astype(np.float32),
        accumulator_format=into,
        engine="numpy",
        **scales,
    )


def digest(outputs: np.ndarray) -> str:
    """Of the bits, every NaN being one and the same."""
    words = np.ascontiguousarray(outputs).view(f"u{outputs.dtype.itemsize}").copy()
    words[np.isnan(outputs)] = np.array(np.nan, outputs.dtype).view(words.dtype)
    return sha256(words.astype(words.dtype.newbyteorder("<")).tobytes()).hexdigest()[:16]
