"""Claims on speed and the recommendations, tested against plans."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from planner.api import plan as verbs
from planner.article.facts import V3, priced, rule
from planner.article.record import Claim, Figure, Finding, Part, near
from planner.formats.schemes import scheme
from planner.lookup import load_device
from planner.memory.training_setup import recipe
from planner.planning.plan.record import Plan, UnitPlan
from planner.planning.question.named import MIXES
from planner.quality.loss_units import told_unit

LITE = "deepseek-v2-lite"
WITH_FP8 = ("h100-sxm", "l40s", "b200-sxm")
ADVISED = next(iter(MIXES))
"""The article's mixture among the baselines: FP16 attention, INT8 experts."""
best_plan = partial(verbs.plan, engine="any", tpot_seconds="none", exact=True)
"""The optimum, by the device alone where no engine is named."""
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
    h100 = load_device("h100-sxm")
    fp8, wide = h100.rate("fp8"), h100.rate("fp16")
    assert fp8 is not None
    assert wide is not None
    peak = fp8.dense.value / wide.dense.value
    ratios = {}
    for batch in (8, 64):
        one, two = (rate(priced("llama-3.1-70b", h100, scheme=s, devices=4, tp=4, pp=1,
                                dp=1, batch=batch, isl=1024, osl=256))
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
        plan = priced(V3, "h200-sxm", scheme=name, context=8192, objective="memory")
        fewest[name] = plan.device.count
    return Finding(
        tuple(Figure(f"fewest h200-sxm for {k}", v, "devices") for k, v in fewest.items()),
        (Part("1.8 times faster: no such measurement is published", "not computable"),),
        f"BF16 needs {fewest['bf16']} devices where FP8 needs {fewest['fp8-block']}, so no like "
        "for like ratio exists; TensorRT-LLM had no FP8 for V3 at release, and the 1.8× in V3's "
        "report is of multi-token prediction")


def fp8_first(claim: Claim) -> Finding:
    """The plans of a server on four devices that multiply FP8; no server runs INT8 on the newest,
    so what is free of engines says little there."""
    plans = [best_plan(LITE, device, devices=1, engine="vllm") for device in WITH_FP8]
    looser = best_plan(LITE, WITH_FP8[-1], devices=1, engine="vllm", max_loss="nvfp4")
    shares = {p.device.id: weight_share(p, ("fp8",)) for p in plans}
    narrow = weight_share(looser, ("nvfp4",))
    figures = [Figure(f"FP8 share of linear weights, {d}", v, "share") for d, v in shares.items()]
    figures += [Figure(f"gain over best uniform, {p.device.id}", p.comparison.gain, "share")
                for p in plans]
    return Finding(
        (*figures, Figure(f"NVFP4 share, {looser.device.id}, loss of nvfp4 allowed", narrow,
                          "share")),
        tuple(Part(f"FP8 is the choice on {d}", rule(v > 0.5, "imprecise"))
              for d, v in shares.items()),
        f"{LITE} under vLLM, no lossier than uniform 8-bit, FP8 share of the linear weights: "
        + ", ".join(f"{shares[p.device.id]:.0%} on {p.device.id} (most {_most(p)})" for p in plans)
        + f"; where NVFP4's loss is allowed, {narrow:.0%} are NVFP4 on {looser.device.id}")


def mixed_int8(claim: Claim) -> Finding:
    figures: list[Figure] = []
    parts: list[Part] = []
    texts: list[str] = []
    for device in ("a100-sxm", "jetson-agx-orin-64gb"):
        plan = best_plan(LITE, device, devices=1)
        rows = {row.name: row for row in plan.baselines}
        mix, whole_int8 = rows[ADVISED], rows["int8-w8a8"]
        ratio = mix.output_tokens_per_second_per_device \
            / whole_int8.output_tokens_per_second_per_device
        lossier = mix.loss / whole_int8.loss
        experts = [u for u in plan.units if u.kind.startswith("experts")]
        heads = [u for u in plan.units if u.kind.startswith(("mla", "attention"))]
        whole = all(scheme(u.scheme).compute == "int8" for u in experts)
        half = all(u.scheme == "fp16" for u in heads)
        figures += [Figure(f"INT8 share of linear weights, {device}", weight_share(
            plan, ("int8",)), "share"), Figure(f"gain over best uniform, {device}",
                                               plan.comparison.gain, "share"),
                    Figure(f"advised mixture ÷ uniform INT8, tokens/s, {device}", ratio, "×"),
                    Figure(f"advised mixture ÷ uniform INT8, loss, {device}", lossier, "×")]
        parts += [Part(f"INT8 experts on {device}", rule(whole, "imprecise")),
                  Part(f"FP16 attention on {device}", rule(half)),
                  Part(f"the mixture is nearly as fast as INT8 alone and loses less on {device}",
                       rule(ratio > 0.95 and lossier < 1))]
        texts.append(f"{device}: experts {_schemes(experts)}, attention {_schemes(heads)}; the "
                     f"article's mixture has {ratio:.0%} of uniform INT8's tokens/s at "
                     f"{lossier:.0%} of its loss")
    return Finding(tuple(figures), tuple(parts), "best plans at no more loss than uniform 8-bit; "
                   + "; ".join(texts))


def keep_fp32(claim: Claim) -> Finding:
    plans = {s: priced(LITE, "h100-sxm", scheme=s, devices=1, context=8192, batch=8)
             for s in ("fp32", "bf16")}
    weights = plans["fp32"].memory_per_device.weights_bytes \
        / plans["bf16"].memory_per_device.weights_bytes
    slower = plans["fp32"].performance.tpot_seconds.value \
        / plans["bf16"].performance.tpot_seconds.value
    better = plans["bf16"].quality.loss - plans["fp32"].quality.loss
    mixed = recipe("bf16")
    kept = mixed.master + mixed.moments
    return Finding(
        (Figure("weights, FP32 ÷ BF16", weights, "×"), Figure("TPOT, FP32 ÷ BF16", slower, "×"),
         Figure("FP32 states of BF16 training", kept, "B/parameter"),
         Figure("loss saved", better, told_unit(plans["bf16"].quality.relative_to))),
        (Part("more storage", rule(weights > 1)),
         Part("more precise than the BF16 release", rule(better > 0))),
        f"{weights:.2f}× the weights and {slower:.2f}× the time a token on h100-sxm; the release "
        f"is BF16, and up-casting it lowers the loss by {better:.3g}; fine-tuning in BF16 keeps "
        f"{kept:.0f} B a parameter of FP32 states anyway")


def _most(plan: Plan) -> str:
    """The scheme of most bytes of linear layers, and the caches."""
    sizes: dict[str, int] = {}
    for unit in plan.units:
        if unit.kind.startswith(LINEAR):
            sizes[unit.scheme] = sizes.get(unit.scheme, 0) + unit.weight_bytes
    caches = dict.fromkeys(u.kv_layout for u in plan.units if u.kv_layout)
    return f"{max(sizes, key=lambda name: sizes[name])}, cache {'/'.join(map(str, caches))}"


def _schemes(units: list[UnitPlan]) -> str:
    return "/".join(dict.fromkeys(u.scheme for u in units))


CHECKS: dict[str, Callable[[Claim], Finding]] = {
    "9": twice, "18": trtllm, "r1": fp8_first, "r2": mixed_int8, "r3": keep_fp32,
}
