"""Comparisons by hand: no plan is searched for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from planner.messages.message import message
from planner.planning.plan.recommendation import MeasuredAnchor
from planner.planning.plan.record import Estimate
from planner.planning.what_if.compared import Compared, ComparedPair, ComparedPlan
from planner.planning.what_if.compared_roles import with_roles

NATS = "nats (mean KL of next-token distributions)"
REQUEST = message("comparison.in_out", i="7,168", o="1,024")
LIMITS = message(
    "structure.remark",
    text=message("comparison.tpot_within", x="50 ms"),
    remark=message("assumptions.default"),
)
PUBLISHED = (
    MeasuredAnchor(
        message("reasons.on_pt", f="fp8-tensor", m="Llama-3.3-70B-Instruct", c="MMLU −0.29 ± 0.9"),
        "NVIDIA/TensorRT-LLM tests/mmlu.yaml",
        "short",
    ),
    MeasuredAnchor(message("reasons.no_accuracy_published_for_in", names="KV fp8"), "", None),
)


def estimate(value: float, factor: float = 1.2) -> Estimate:
    """A value with an interval."""
    return Estimate(value, value / factor, value * factor, "fitted")


def row(
    name: str,
    rate: float,
    loss: float,
    *,
    usd: float | None = 3.0,
    **more: Any,
) -> ComparedPlan:
    """A row with a plan on a device that makes ``rate`` tokens/s; ``usd`` a device-hour."""
    values: dict[str, Any] = {
        "model": "llama-3.1-70b",
        "device": "h100-sxm",
        "kind": "uniform",
        "engine": "vllm 0.21",
        "schemes": (name,),
        "kv": "fp8",
        "reason": "",
        "within_limits": True,
        "weights": "new",
        "checkpoint": "",
        "devices": 2,
        "tp": 2,
        "dp": 1,
        "pp": 1,
        "ep": 1,
        "users": 48,
        "total_bytes_per_device": 60 << 30,
        "output_tokens_per_second": estimate(2 * rate),
        "output_tokens_per_second_per_device": estimate(rate),
        "tpot_seconds": estimate(0.0495),
        "ttft_seconds": estimate(0.9),
        "joules_per_output_token": estimate(1.4),
        "usd_per_million_output_tokens": None if usd is None else estimate(usd / 3.6e-3 / rate),
        "loss": loss,
        "loss_low": loss / 2,
        "loss_high": loss * 2,
        "loss_unit": NATS,
    }
    return ComparedPlan(**{**values, "name": name, **more})


def rows(model: str, device: str, scale: float, usd: float | None) -> list[ComparedPlan]:
    """What a model is on a device: recommended, as released, uniform, late, beaten, refused."""

    def one(name: str, rate: float, loss: float, **more: Any) -> ComparedPlan:
        return row(name, rate * scale, loss, usd=usd, model=model, device=device, **more)

    best = one(
        "fp8-tensor",
        480,
        0.0032,
        weights="ready-made",
        checkpoint="nvidia/Llama-3.1-70B-Instruct-FP8",
        measured_anchor=PUBLISHED,
    )
    return [
        replace(best, name="recommended", kind="recommended"),
        one(
            "as released",
            300,
            0.001,
            kind="released",
            schemes=("bf16",),
            weights="released",
            checkpoint="meta-llama/Llama-3.1-70B",
        ),
        one("nvfp4", 900, 0.027),
        best,
        one(
            "int8-w8a8",
            414,
            0.0033,
            weights="made while loading",
            checkpoint="--quantization int8",
            engine="pytorch 2.4",
        ),
        one(
            "Q4_K_M", 46, 0.0097, schemes=("ggml-q4_k", "ggml-q6_k"), kv="bf16", engine="llama.cpp"
        ),
        one(
            "Q8_0",
            22,
            0.0002,
            schemes=("ggml-q8_0",),
            kv="bf16",
            engine="llama.cpp",
            within_limits=False,
        ),
        ComparedPlan(model, device, "mxfp4", "uniform", "", (), "", "not possible for every unit"),
    ]


def compared(
    models: tuple[str, ...] = ("llama-3.1-70b", "qwen3-32b"),
    devices: tuple[str, ...] = ("h100-sxm", "b200-sxm"),
    *,
    usd: float | None = 3.0,
    step: float = 2.4,
    **more: Any,
) -> Compared:
    """A comparison in which each device is ``step`` times as fast as the one before."""
    pairs, found = [], []
    for n, model in enumerate(models):
        for i, device in enumerate(devices):
            mine = rows(model, device, step**i / (n + 1), usd)
            found += with_roles(mine, more.get("objective", "throughput"))
            pairs.append(
                ComparedPair(
                    model,
                    device,
                    ("bf16",),
                    REQUEST,
                    LIMITS,
                    usd,
                    "given" if usd else "",
                )
            )
    return Compared(more.get("objective", "throughput"), tuple(pairs), tuple(found))
