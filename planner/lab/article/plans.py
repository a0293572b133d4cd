"""Claims on speed and the recommendations, tested against plans."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from planner.api import estimate as estimate_verb
from planner.api import plan as plan_verb
from planner.formats.schemes import scheme
from planner.lab.article.facts import V3, kept_figures, lost, measured_losses, rule
from planner.lab.article.ratios import basis_of, time_ratio
from planner.lab.article.record import (
    Claim,
    Figure,
    Finding,
    Part,
    counted,
    derived,
    near,
    published,
)
from planner.lookup import load_device
from planner.memory.training_setup import recipe
from planner.planning.plan.record import Plan, UnitPlan
from planner.planning.question.named import MIXES
from planner.quality.loss_units import unit_text
from planner.quality.measured_models import plain_name

LITE = "deepseek-v2-lite"
WITH_FP8 = ("h100-sxm", "l40s", "b200-sxm")
FP8_WEIGHTS = ("fp8-tensor", "fp8-channel", "fp8-block")
TOGETHER = 16
"""Devices on which DeepSeek-V3 runs in 16 bits too."""
NEARLY = 0.9
"""Nearly as fast: the interval of the ratio begins above."""
ADVISED = next(iter(MIXES))
"""The article's mixture among the baselines: FP16 attention, INT8 experts."""
best = partial(plan_verb.plan, devices=1, engine="any", tpot_seconds="none")
"""What is recommended, by the device alone where no engine is named."""
LINEAR = ("attention", "mla", "mlp", "experts", "shared")


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
    ratios = [
        time_ratio(
            f"llama-3.1-70b, 4 devices, batch {batch}",
            ("fp16", "bf16"),
            ("fp8-tensor", "bf16"),
            model="llama-3.1-70b",
            device=h100,
            devices=4,
            tp=4,
            pp=1,
            dp=1,
            batch=batch,
            isl=1024,
            osl=256,
        )
        for batch in (8, 64)
    ]
    all_cover = all(r.covers(claim.stated["ratio"]) for r in ratios)
    losses = measured_losses(FP8_WEIGHTS)
    under = [row for row in losses if lost(row) < claim.stated["loss"]]
    worst = losses[-1]
    return Finding(
        (
            published("dense peak, FP8 ÷ FP16", peak, "×"),
            *ratios,
            Figure(
                "published accuracies that lose under 1 %",
                len(under) / len(losses),
                "share",
                "measured elsewhere",
            ),
            *kept_figures(losses),
        ),
        (
            Part(
                "twice the throughput", rule(all_cover, "imprecise" if near(peak, 2) else "wrong")
            ),
            Part("under 1 % of accuracy", rule(len(under) == len(losses), "imprecise")),
        ),
        f"the peak is {peak:.2f}×; end to end {ratios[0].text} at batch 8 and {ratios[1].text} at "
        f"batch 64; {len(under)} of {len(losses)} published accuracies of FP8 weights are less "
        f"than 1 % below those of 16 bits, the worst {lost(worst):.1%} ({worst.change} on "
        f"{plain_name(worst.model)})",
    )


def trtllm(claim: Claim) -> Finding:
    fewest = {}
    for name in ("fp8-block", "bf16"):
        plan = estimate_verb.estimate(
            V3,
            "h200-sxm",
            scheme=name,
            context=8192,
            objective="memory",
            engine="any",
            tpot_seconds="none",
        )
        fewest[name] = plan.device.count
    ratio = time_ratio(
        f"time a token, BF16 ÷ FP8, {TOGETHER} × h200-sxm",
        ("bf16", "bf16"),
        ("fp8-block", "bf16"),
        engine="tensorrt-llm",
        model=V3,
        device="h200-sxm",
        devices=TOGETHER,
        context=8192,
    )
    return Finding(
        (*(counted(f"fewest h200-sxm for {k}", v, "devices") for k, v in fewest.items()), ratio),
        (
            Part(
                "1.8 times faster, as estimated where both run",
                rule(ratio.covers(claim.stated["ratio"])),
            ),
            Part(
                "1.8 times faster, as measured: no such measurement is published", "not computable"
            ),
        ),
        f"{ratio.text} by this product's estimate on {TOGETHER} devices, each format in its best "
        f"layout (BF16 needs {fewest['bf16']}, FP8 {fewest['fp8-block']}); nobody published a "
        "measurement: TensorRT-LLM had no FP8 for V3 at release, and the 1.8× in V3's report is of "
        "multi-token prediction",
    )


def fp8_first(claim: Claim) -> Finding:
    """What is recommended for a server on devices that multiply FP8; no server runs INT8 on the
    newest, so what is free of engines says little there."""
    plans = [best(LITE, device, engine="vllm") for device in WITH_FP8]
    looser = best(LITE, WITH_FP8[-1], engine="vllm", max_loss="nvfp4")
    shares = {p.device.id: weight_share(p, ("fp8",)) for p in plans}
    narrow = weight_share(looser, ("nvfp4",))
    gains = [gain(p) for p in plans]
    return Finding(
        (
            *(
                Figure(f"FP8 share of linear weights, {d}", v, "share", "planned")
                for d, v in shares.items()
            ),
            *gains,
            Figure(
                f"NVFP4 share, {looser.device.id}, loss of nvfp4 allowed",
                narrow,
                "share",
                "planned",
            ),
        ),
        tuple(
            Part(
                f"FP8 is the choice on {p.device.id}",
                rule(
                    shares[p.device.id] > 0.5 and not won.covers(0) and won.value > 0, "imprecise"
                ),
            )
            for p, won in zip(plans, gains, strict=True)
        ),
        f"{LITE} under vLLM at no more loss than uniform 8-bit: "
        + "; ".join(
            f"{shares[p.device.id]:.0%} of the linear weights are FP8 on {p.device.id} "
            f"(most {_most(p)}), {_faster(won)}"
            for p, won in zip(plans, gains, strict=True)
        )
        + f"; where NVFP4's loss is allowed, {narrow:.0%} are NVFP4 on {looser.device.id}",
    )


def gain(plan: Plan) -> Figure:
    """Tokens a second over the checkpoint as released, which runs there, with its interval."""
    recommendation = plan.recommendation
    assert recommendation is not None
    assert recommendation.gain is not None
    return Figure(
        f"gain over BF16 as released, {plan.device.id}",
        recommendation.gain.value,
        "share",
        basis_of(plan.performance.tpot_seconds.basis),
        recommendation.gain.low,
        recommendation.gain.high,
    )


def _faster(won: Figure) -> str:
    return f"{won.value:+.0%} ({won.low:+.0%} to {won.high:+.0%}) tokens/s over BF16"


def mixed_int8(claim: Claim) -> Finding:
    figures: list[Figure] = []
    parts: list[Part] = []
    texts: list[str] = []
    for device in ("a100-sxm", "jetson-agx-orin-64gb"):
        plan = best(LITE, device)
        rows = {row.name: row for row in plan.baselines}
        ratio = time_ratio(
            f"advised mixture ÷ uniform INT8, tokens/s, {device}",
            ("int8-w8a8", "bf16"),
            (ADVISED, "bf16"),
            model=LITE,
            device=device,
            devices=1,
        )
        lossier = rows[ADVISED].loss / rows["int8-w8a8"].loss
        assert ratio.low is not None
        experts = [u for u in plan.units if u.kind.startswith("experts")]
        heads = [u for u in plan.units if u.kind.startswith(("mla", "attention"))]
        all_int8 = all(scheme(u.scheme).compute == "int8" for u in experts)
        half = all(u.scheme == "fp16" for u in heads)
        figures += [
            Figure(
                f"INT8 share of linear weights, {device}",
                weight_share(plan, ("int8",)),
                "share",
                "planned",
            ),
            gain(plan),
            ratio,
            Figure(f"advised mixture ÷ uniform INT8, loss, {device}", lossier, "×", "learned"),
        ]
        parts += [
            Part(f"INT8 experts on {device}", rule(all_int8, "imprecise")),
            Part(f"FP16 attention on {device}", rule(half)),
            Part(
                f"the mixture is nearly as fast as INT8 alone and loses less on {device}",
                rule(ratio.low > NEARLY and lossier < 1),
            ),
        ]
        texts.append(
            f"{device}: experts {_schemes(experts)}, attention {_schemes(heads)}, "
            f"{_faster(figures[-3])}; the article's mixture has {ratio.text} of uniform "
            f"INT8's tokens/s at {lossier:.0%} of its loss, a part of the same sum"
        )
    return Finding(
        tuple(figures),
        tuple(parts),
        "what is recommended at no more loss than uniform 8-bit; " + "; ".join(texts),
    )


def keep_fp32(claim: Claim) -> Finding:
    arguments: dict[str, Any] = {
        "model": LITE,
        "device": "h100-sxm",
        "devices": 1,
        "context": 8192,
        "batch": 8,
    }
    plans = {
        s: estimate_verb.estimate(**arguments, scheme=s, engine="any", tpot_seconds="none")
        for s in ("fp32", "bf16")
    }
    weights = (
        plans["fp32"].memory_per_device.weights_bytes
        / plans["bf16"].memory_per_device.weights_bytes
    )
    slower = time_ratio(
        "TPOT, FP32 ÷ BF16", ("fp32", "bf16"), ("bf16", "bf16"), latency=True, **arguments
    )
    better = plans["bf16"].quality.loss - plans["fp32"].quality.loss
    mixed = recipe("bf16")
    kept = mixed.master + mixed.moments
    return Finding(
        (
            counted("weights, FP32 ÷ BF16", weights, "×"),
            slower,
            published("FP32 states of BF16 training", kept, "B/parameter"),
            derived("loss saved", better, unit_text(plans["bf16"].quality.relative_to)),
        ),
        (
            Part("more storage", rule(weights > 1)),
            Part("more precise than the BF16 release", rule(better > 0)),
        ),
        f"{weights:.2f}× the weights and {slower.text} the time a token on h100-sxm; the release "
        f"is BF16, and up-casting it lowers the loss by {better:.3g}; fine-tuning in BF16 keeps "
        f"{kept:.0f} B a parameter of FP32 states anyway",
    )


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
    "9": twice,
    "18": trtllm,
    "r1": fp8_first,
    "r2": mixed_int8,
    "r3": keep_fp32,
}
