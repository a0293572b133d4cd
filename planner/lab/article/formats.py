"""Claims on number formats: bytes, range, error."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from planner.formats.elements import element
from planner.formats.schemes import scheme
from planner.formats.sizes import bits_per_element
from planner.lab.article.facts import V3, rule
from planner.lab.article.record import Claim, Finding, Part, counted, emulated, published
from planner.lookup import load_device, load_model
from planner.numerics import decode, encode
from planner.planning.inspect.format_table import binades, sample, sqnr
from planner.throughput.kernels import refusal


def payload(claim: Claim) -> Finding:
    elements = {"fp32": "fp32", "fp16": "fp16", "fp8": "e4m3fn", "int8": "int8"}
    bits = {k: element(e).bits / 8 for k, e in elements.items()}
    extra = {f"{n} weights": bits_per_element(scheme(n).weight) / 8 for n in ("fp8-block", "nvfp4")}
    extra["fp8-block activations"] = bits_per_element(scheme("fp8-block").activation) / 8
    return Finding(
        tuple(published(k, v, "B/element") for k, v in (bits | extra).items()),
        (Part("payload", rule(all(bits[k] == v for k, v in claim.stated.items()))),),
        "true of the payload; scales come on top: "
        + ", ".join(f"{k} {v:.5g} B" for k, v in extra.items()),
    )


def blocks(claim: Claim) -> Finding:
    recipe = scheme("fp8-block")
    assert recipe.weight.scale is not None
    assert recipe.activation.scale is not None
    sizes = {
        "weight_rows": recipe.weight.scale.block_rows,
        "weight_columns": recipe.weight.scale.block_columns,
        "activation_rows": recipe.activation.scale.block_rows,
        "activation_columns": recipe.activation.scale.block_columns,
    }
    rows = [r for r in load_model(V3).rows if r.scale_shape is not None]
    stored = all(r.scale_shape == tuple(-(-n // 128) for n in r.shape) for r in rows)
    same = all(sizes[k] == v for k, v in claim.stated.items())
    return Finding(
        tuple(counted(k.replace("_", " "), v, "elements") for k, v in sizes.items()),
        (Part("block sides", rule(same and stored)),),
        f"the released scales of all {len(rows)} quantised tensor classes have one "
        "value a 128×128 block",
    )


def fragmentation(claim: Claim) -> Finding:
    x = sample("outlier")
    per_block, per_tensor = sqnr(x, "fp8-block"), sqnr(x, "fp8-tensor")
    int_block, int_row = sqnr(x, "int8-block"), sqnr(x, "int8-w8a8")
    more = bits_per_element(scheme("fp8-block").weight) - bits_per_element(
        scheme("fp8-tensor").weight
    )
    return Finding(
        (
            counted("scales", more / 8, "B/element more than one a tensor"),
            emulated("FP8 with outliers: blocks − tensor", per_block - per_tensor, "dB"),
            emulated("INT8 with outliers: blocks − row", int_block - int_row, "dB"),
        ),
        (Part("blocks save memory", rule(more < 0)),),
        f"blocks cost {more / 8:.2g} B an element; they confine outliers "
        f"({int_block - int_row:+.1f} dB for INT8 activations with an outlier channel)",
    )


def pytorch(claim: Claim) -> Finding:
    past = np.array([480.0], dtype=np.float32)
    cast = float(decode(encode(past, "e4m3fn", policy="torch<2.12"), "e4m3fn")[0])
    e4m3, e5m2 = element("e4m3fn"), element("e5m2")
    return Finding(
        (
            published("largest E4M3", e4m3.max_finite, ""),
            published("largest E5M2", e5m2.max_finite, ""),
        ),
        (Part("both formats", rule(e4m3.bits == 8 and e5m2.bits == 8)),),
        f"true; its casts before 2.12 do not saturate: 480 becomes "
        f"{'NaN' if math.isnan(cast) else f'{cast:g}'} in E4M3",
    )


def overflow(claim: Claim) -> Finding:
    largest = element("fp16").max_finite
    past = np.array([largest * 1.01], dtype=np.float32)
    half = float(decode(encode(past, "fp16"), "fp16")[0])
    brain = float(decode(encode(past, "bf16"), "bf16")[0])
    return Finding(
        (
            published("largest FP16", largest, ""),
            published("largest BF16", element("bf16").max_finite, ""),
        ),
        (Part("FP16 overflows", rule(math.isinf(half) and math.isfinite(brain))),),
        f"FP16 ends at {largest:,.0f}; 1 % above it becomes infinite, in BF16 it stays",
    )


def dynamic_range(claim: Claim) -> Finding:
    spans = {n: binades(n) for n in ("e4m3fn", "e5m2", "int8")}
    errors = {
        k: (sqnr(sample(k), "int8-block"), sqnr(sample(k), "fp8-block"))
        for k in ("gaussian", "heavy-tailed", "outlier")
    }
    figures = [counted(f"range of {k}", v, "binades") for k, v in spans.items()]
    for kind, (integer, floating) in errors.items():
        figures += [
            emulated(f"{kind}, INT8", integer, "dB"),
            emulated(f"{kind}, E4M3", floating, "dB"),
        ]
    return Finding(
        tuple(figures),
        (Part("wider range", rule(min(spans["e4m3fn"], spans["e5m2"]) > spans["int8"])),),
        f"{spans['e4m3fn']:.1f} and {spans['e5m2']:.1f} binades against {spans['int8']:.1f}; the "
        "range says nothing of precision: in blocks of 1×128 a Gaussian has "
        f"{errors['gaussian'][0]:.1f} dB in INT8 and {errors['gaussian'][1]:.1f} dB in E4M3",
    )


def int8_efficiency(claim: Claim) -> Finding:
    rates = {}
    for name in ("h100-sxm", "b300-sxm", "a100-sxm"):
        device = load_device(name)
        integer, wide = device.rate("int8"), device.rate("fp8") or device.rate("bf16")
        assert integer is not None
        assert wide is not None
        rates[f"INT8 ÷ {wide.format.upper()} on {name}"] = integer.dense.value / wide.dense.value
    gain, beside = (
        sqnr(sample(kind), "int8-w8a8") - sqnr(sample(kind), "fp8-channel")
        for kind in ("gaussian", "outlier")
    )
    refused = refusal(load_device("b300-sxm"), scheme("int8-w8a8"))
    figures = (
        *(published(k, v, "×") for k, v in rates.items()),
        emulated("INT8 − FP8, token scales, Gaussian", gain, "dB"),
        emulated("INT8 − FP8, token scales, outlier channel", beside, "dB"),
    )
    return Finding(
        figures,
        (
            Part("faster than FP8 everywhere", rule(min(list(rates.values())[:2]) > 1)),
            Part("low stability without calibration", rule(gain < 0, "imprecise")),
        ),
        "no faster than FP8 where both exist ("
        + ", ".join(f"{v:.3g}× {k.split('on ')[1]}" for k, v in rates.items() if "FP8" in k)
        + f"); per-token scales need no calibration, and a Gaussian has {gain:+.1f} dB of FP8's, "
        f"one with an outlier channel {beside:+.1f} dB" + (f"; {refused}" if refused else ""),
    )


CHECKS: dict[str, Callable[[Claim], Finding]] = {
    "7": payload,
    "12": int8_efficiency,
    "13": blocks,
    "13b": fragmentation,
    "19": pytorch,
    "22": overflow,
    "23": dynamic_range,
}
