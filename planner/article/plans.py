"""Claims on speed and the recommendations, tested against plans."""

from __future__ import annotations

from collections.abc import Callable

from planner import api
from planner.article.facts import V3, rule
from planner.article.record import Claim, Figure, Finding, Part, near
from planner.formats.schemes import scheme
from planner.planning.plan import Plan, UnitPlan

LITE = "deepseek-v2-lite"
LINEAR = ("attention", "mla", "mlp", "experts", "shared")


def rate(plan: Plan) -> float:
    """Output tokens a second and device."""
    return plan.performance.output_tokens_per_second_per_device.value


def weight_share(plan: Plan, compute: tuple[str, ...]) -> float:
    """Share of the bytes of linear layers whose scheme multiplies in one of ``compute``."""
    linear = [u for u in plan.units if u.kind.startswith(LINEAR) and u.weight_bytes]
    total = sum(u.weight_bytes for u in linear)
    return sum(u.weight_bytes for u in linear if scheme(u.scheme).compute in compute) / total


def twice(claim: Claim) -> Finding:
    h100 = api.load_device("h100-sxm")
    fp8, wide = h100.rate("fp8"), h100.rate("fp16")
    assert fp8 is not None
    assert wide is not None
    peak = fp8.dense.value / wide.dense.value
    ratios = {}
    for batch in (8, 64):
        one, two = (rate(api.estimate("llama-3.1-70b", h100, scheme=s, devices=4, tp=4, pp=1, dp=1,
                                      batch=batch, isl=1024, osl=256))
                    for s in ("fp8-tensor", "fp16"))
        ratios[batch] = one / two
    held = all(near(r, claim.stated["ratio"], 0.05) for r in ratios.values())
    return Finding(
        (Figure("dense peak, FP8 ÷ FP16", peak, "×"),
         *(Figure(f"llama-3.1-70b, 4 devices, batch {b}", r, "×") for b, r in ratios.items())),
        (Part("twice the throughput", rule(held, "imprecise" if near(peak, 2) else "wrong")),
         Part("under 1 % of accuracy: depends on the task; no task is run here",
              "not computable")),
        f"the peak is {peak:.2f}×; end to end "
        + " and ".join(f"{r:.2f}× at batch {b}" for b, r in ratios.items()))


def trtllm(claim: Claim) -> Finding:
    fewest = {}
    for name in ("fp8-block", "bf16"):
        plan = api.estimate(V3, "h200-sxm", scheme=name, context=8192, objective="memory")
        fewest[name] = plan.device.count
    return Finding(
        tuple(Figure(f"fewest h200-sxm for {k}", v, "devices") for k, v in fewest.items()),
        (Part("1.8 times faster: no such measurement is published", "not computable"),),
        f"BF16 needs {fewest['bf16']} devices where FP8 needs {fewest['fp8-block']}, so no like "
        "for like ratio exists; TensorRT-LLM had no FP8 for V3 at release, and the 1.8× in V3's "
        "report is of multi-token prediction")


def fp8_first(claim: Claim) -> Finding:
    plan = api.plan(LITE, "h100-sxm", devices=1)
    share = weight_share(plan, ("fp8",))
    return _tested(plan, share, "FP8", share > 0.5)


def mixed_int8(claim: Claim) -> Finding:
    figures: list[Figure] = []
    parts: list[Part] = []
    texts: list[str] = []
    for device in ("a100-sxm", "jetson-agx-orin-64gb"):
        plan = api.plan(LITE, device, devices=1)
        experts = [u for u in plan.units if u.kind.startswith("experts")]
        heads = [u for u in plan.units if u.kind.startswith(("mla", "attention"))]
        whole = all(scheme(u.scheme).compute == "int8" for u in experts)
        half = all(u.scheme == "fp16" for u in heads)
        figures += [Figure(f"INT8 share of linear weights, {device}", weight_share(
            plan, ("int8",)), "share"), Figure(f"gain over best uniform, {device}",
                                               plan.comparison.gain, "share")]
        parts += [Part(f"INT8 experts on {device}", rule(whole, "imprecise")),
                  Part(f"FP16 attention on {device}", rule(half))]
        texts.append(f"{device}: experts {_schemes(experts)}, attention {_schemes(heads)}")
    return Finding(tuple(figures), tuple(parts), "best plans at no more loss than uniform 8-bit; "
                   + "; ".join(texts))


def keep_fp32(claim: Claim) -> Finding:
    plans = {s: api.estimate(LITE, "h100-sxm", scheme=s, devices=1, context=8192, batch=8)
             for s in ("fp32", "bf16")}
    weights = plans["fp32"].memory_per_device.weights_bytes \
        / plans["bf16"].memory_per_device.weights_bytes
    slower = plans["fp32"].performance.tpot_seconds.value \
        / plans["bf16"].performance.tpot_seconds.value
    better = plans["bf16"].quality.loss - plans["fp32"].quality.loss
    return Finding(
        (Figure("weights, FP32 ÷ BF16", weights, "×"), Figure("TPOT, FP32 ÷ BF16", slower, "×"),
         Figure("loss saved", better, plans["bf16"].quality.unit)),
        (Part("more storage", rule(weights > 1)),
         Part("more precise than the BF16 release", rule(better > 0))),
        f"{weights:.2f}× the weights and {slower:.2f}× the time a token on h100-sxm; the release "
        f"is BF16, and up-casting it lowers the loss by {better:.3g}")


def _tested(plan: Plan, share: float, name: str, holds: bool) -> Finding:
    return Finding((Figure(f"{name} share of linear weights", share, "share"),
                    Figure("gain over best uniform", plan.comparison.gain, "share")),
                   (Part(f"{name} is the choice on {plan.device.id}", rule(holds, "imprecise")),),
                   f"{plan.model.id} on {plan.device.id}: {share:.0%} of the linear weights are "
                   f"{name}; {plan.comparison.text}")


def _schemes(units: list[UnitPlan]) -> str:
    return "/".join(dict.fromkeys(u.scheme for u in units))


CHECKS: dict[str, Callable[[Claim], Finding]] = {
    "9": twice, "18": trtllm, "r1": fp8_first, "r2": mixed_int8, "r3": keep_fp32,
}
