"""A plan with a recommendation as text wants it: every field said, reasons of usual length."""

from dataclasses import replace
from typing import Any

from planner.planning.plan.evidence import Evidence
from planner.planning.plan.recommendation import (
    GainRange,
    MeasuredAnchor,
    MeasureNext,
    NextLossStep,
    OtherPlan,
    PublishedPlan,
    Recommendation,
)
from planner.planning.plan.record import Plan

TEXT = (
    "Serve the released FP8 checkpoint with an FP8 cache: 3,900 tokens/s. A mix of two formats "
    "would give 3 to 9 % more (7 in 10 that it is faster), and needs new weights."
)
SERVED = Evidence("related", "sglang, Hopper, experts, tp", 60, 4.5, -4.2, "e2e_silicon_shared")
"""What was measured of a related kind."""


def other(name: str, formats: int = 1, **more: Any) -> OtherPlan:
    """Another plan; what is not given is usual."""
    values: dict[str, Any] = {
        "schemes": ("fp8-block",)[:formats],
        "kv": "bf16",
        "needs_new_weights": formats > 0,
        "output_tokens_per_second": 1240.0,
        "tpot_seconds": 0.0516,
        "loss": 0.0018,
        "probability_better": 0.3,
        "why_not": "not likely faster",
        "devices": 8,
        "gain": None,
        "engine": "sglang",
        "engine_version": "0.5.5",
        "layout": "tp8 ep8",
        "evidence": SERVED,
    }
    return OtherPlan(name=name, formats=formats, **{**values, **more})


OTHERS = (
    other("as released, KV bf16", 0, probability_better=0.004, why_not="slower"),
    other("uniform fp8-channel, KV fp8", probability_better=0.4, loss=0.00231),
    other(
        "uniform int8-w8a8, KV fp8",
        probability_better=0.45,
        loss=0.00231,
        why_not="loss above the limit by more than its band",
    ),
    other(
        "best of 2 formats",
        2,
        probability_better=0.7,
        why_not="more than 3 % better in 44 of 100 draws",
    ),
    other("best of 3 formats", 3, probability_better=0.72, why_not="no better than 2 formats"),
    other("uniform bf16, KV bf16", probability_better=0.0, tpot_seconds=0.0981),
    other("engine's default", probability_better=None, why_not=""),
    other("exact optimum", 7, probability_better=0.75, output_tokens_per_second=1302.4),
)
PUBLISHED = PublishedPlan(
    engine="sglang",
    version="0.5.5",
    layout="tp8 ep8",
    formats=("fp8-block",),
    kv="bf16",
    speculation="",
    output_tokens_per_second=3120.0,
    tpot_seconds=0.0205,
    loss=0.0,
    probability_better=0.02,
    gain=GainRange(-0.2, -0.3, -0.1),
    source="sgl-project/sglang docs/basic_usage/deepseek_v3.md",
    date="2025-11-01",
    why_not="20 % slower",
    evidence=replace(SERVED, level="recipe", kind="published"),
)
"""A published deployment that is not taken."""
RELEASED = replace(PUBLISHED, layout="tp8", source="", date="", why_not="slower", evidence=SERVED)
"""The given checkpoint as it is."""
LOSSIER = NextLossStep(
    "uniform nvfp4, KV fp8",
    ("nvfp4",),
    "fp8",
    0.0123,
    1712.3,
    8,
    (
        MeasuredAnchor(
            "nvfp4 on DeepSeek-R1, same structure: MMLU −0.3 pt",
            "NVIDIA/Model-Optimizer docs@1",
            "short",
        ),
    ),
    None,
)
NEXT = (
    MeasureNext(
        "experts",
        "fp8-block",
        "m=64, 7168 × 2048",
        0.21,
        "plan measure --operator experts --device h200-sxm",
    ),
    MeasureNext("loss of kv-latent", "fp8", "", 0.08, "plan profile deepseek-v3"),
)


def recommended(plan: Plan, **more: Any) -> Plan:
    """``plan`` with a recommendation; ``more`` are its fields that differ."""
    values: dict[str, Any] = {
        "verdict": "released",
        "formats": 0,
        "needs_new_weights": False,
        "checkpoint": "",
        "text": TEXT,
        "gain": GainRange(0.06, 0.03, 0.09),
        "probability": 0.7,
        "alternatives": OTHERS,
        "recipe": PUBLISHED,
        "released": RELEASED,
        "lossier": LOSSIER,
        "measure_next": NEXT,
    }
    return replace(plan, recommendation=Recommendation(**{**values, **more}))
