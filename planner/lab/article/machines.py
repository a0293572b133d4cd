"""Claims on devices: rates, instructions, generations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from planner.formats.elements import element
from planner.hardware.catalog import device_ids
from planner.hardware.profile import DeviceProfile, Quantity
from planner.lab.article.facts import rule
from planner.lab.article.record import Claim, Finding, Part, near, published
from planner.lookup import load_device
from planner.memory.training_setup import recipe
from planner.numerics import decode, encode

_WITH_FP8 = ("Hopper", "Blackwell", "Blackwell Ultra")


def edge(claim: Claim) -> Finding:
    devices = [load_device(n) for n in ("jetson-agx-orin-64gb", "jetson-agx-thor-t5000")]
    has = {d.id: [f for f in ("int8", "fp8", "nvfp4") if d.rate(f) is not None] for d in devices}
    old, new = has[devices[0].id], has[devices[1].id]
    return Finding(
        tuple(published(f"8- and 4-bit formats of {k}", len(v), "") for k, v in has.items()),
        (
            Part("Orin multiplies INT8 and no FP8", rule("int8" in old and "fp8" not in old)),
            Part("edge means INT8", rule("fp8" not in new, "imprecise")),
        ),
        "; ".join(f"{k}: {', '.join(v)}" for k, v in has.items()) + "; on Thor the choice is open",
    )


def fp8_rate(claim: Claim) -> Finding:
    figures = []
    for name in device_ids():
        device = load_device(name)
        rate = device.rate("fp8")
        if device.kind != "gpu" or not device.architecture.startswith(_WITH_FP8) or rate is None:
            continue
        figures.append(published(f"{name} dense", rate.dense.value, "FLOP/s"))
        if rate.sparse is not None:
            figures.append(published(f"{name} sparse", rate.sparse.value, "FLOP/s"))
    stated = claim.stated["rate"]
    hits = [f.name for f in figures if near(f.value, stated)]
    close = min(figures, key=lambda f: abs(f.value - stated))
    return Finding(
        tuple(figures),
        (Part("3.6 PFLOPS", rule(bool(hits))),),
        f"no Hopper or Blackwell part has it; nearest is {close.name}, "
        f"{close.value / 1e15:.3g} PFLOPS"
        if not hits
        else ", ".join(hits),
    )


def xeon(claim: Claim) -> Finding:
    devices = [load_device(n) for n in device_ids()]
    cpus = [d for d in devices if d.kind == "cpu" and d.id.startswith("xeon")]
    vector = all(("avx512", f) in d.rates for d in cpus for f in ("bf16", "fp16"))
    no_fp8 = all(d.rate("fp8") is None for d in cpus)
    amx = {
        d.id: d.rates["amx", "bf16"].dense.value / d.rates["avx512", "bf16"].dense.value
        for d in cpus
        if ("amx", "bf16") in d.rates
    }
    return Finding(
        tuple(published(f"AMX ÷ AVX-512, BF16, {k}", v, "×") for k, v in amx.items()),
        (
            Part("AVX-512 has BF16 and FP16", rule(vector, "imprecise")),
            Part("FP8 in software", rule(no_fp8)),
        ),
        f"true of the {len(cpus)} profiles; it leaves out AMX, "
        f"{' to '.join(dict.fromkeys(f'{f(amx.values()):.0f}' for f in (min, max)))} times the "
        "BF16 peak of AVX-512",
    )


def thor(claim: Claim) -> Finding:
    orin, thor_x = load_device("drive-orin-x"), load_device("drive-thor-x")
    rates = {f"{d.id} INT8 {w}": q.value for d in (orin, thor_x) for w, q in _int8(d)}
    hit = any(near(v, claim.stated["rate"]) for v in rates.values())
    blackwell = orin.architecture.startswith("Blackwell")
    least = min(v for k, v in rates.items() if k.startswith("drive-thor"))
    return Finding(
        tuple(published(k, v, "OP/s") for k, v in rates.items()),
        (Part("Orin-X is Blackwell", rule(blackwell)), Part("18.4 TOPS", rule(hit))),
        f"Orin-X is {orin.architecture}; Thor-X has at least "
        f"{least / claim.stated['rate']:.0f} times the figure, and no part is named "
        "Thor-X-Super in NVIDIA's documents",
    )


def _int8(device: DeviceProfile) -> list[tuple[str, Quantity]]:
    rate = device.rate("int8")
    assert rate is not None
    return [(w, q) for w, q in (("dense", rate.dense), ("sparse", rate.sparse)) if q is not None]


def training(claim: Claim) -> Finding:
    deepseek, half = recipe("fp8-deepseek"), recipe("fp16")
    per = {r.id: r.gradient + r.master + r.moments for r in (deepseek, half)}
    same = deepseek.weights == half.weights or deepseek.other == half.other
    return Finding(
        tuple(
            published(f"gradient, master and moments, {k}", v, "B/parameter")
            for k, v in per.items()
        ),
        (Part("the example fits the recommendation", rule(same)),),
        f"the example contradicts it: DeepSeek multiplies in {deepseek.weights}, keeps "
        f"the rest in {deepseek.other} with FP32 master weights and gradients; no FP16",
    )


def older_hardware(claim: Claim) -> Finding:
    a100 = load_device("a100-sxm")
    rates = {f: r.dense.value for f in ("fp16", "bf16", "int8") if (r := a100.rate(f)) is not None}
    gain, same = rates["int8"] / rates["bf16"], rates["fp16"] / rates["bf16"]
    past = np.array([element("fp16").max_finite * 2], dtype=np.float32)
    unsafe = bool(np.isinf(decode(encode(past, "fp16"), "fp16"))[0])
    return Finding(
        (published("INT8 ÷ BF16 on a100-sxm", gain, "×"), published("FP16 ÷ BF16", same, "×")),
        (
            Part("INT8 is faster on older hardware", rule(gain > 1)),
            Part("FP16 rather than BF16", rule(same > 1 and not unsafe, "imprecise")),
        ),
        f"INT8 has {gain:.2g} times the BF16 peak of an A100; FP16 is no faster than BF16 there "
        "and overflows, so BF16 is the safer half; r2 plans it",
    )


CHECKS: dict[str, Callable[[Claim], Finding]] = {
    "11": edge,
    "15": fp8_rate,
    "16": xeon,
    "17": thor,
    "20": training,
    "21": older_hardware,
}
