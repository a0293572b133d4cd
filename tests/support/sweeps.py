"""Answers of sweeps made up for pages: nothing is planned for them."""

from itertools import product
from typing import Any

from planner.sweeping.columns import COLUMNS

MODELS = ("llama-3.1-8b", "qwen3-32b", "deepseek-v3")
DEVICES = ("h100-sxm", "l40s")
FACTOR = 1.2


def row(model: str, device: str, rate: float, **more: Any) -> dict[str, Any]:
    """A plan at ``rate`` tokens/s of a device, everything else following from it."""
    values: dict[str, Any] = {
        "verb": "plan",
        "model": model,
        "device": device,
        "key": f"{model}-{device}",
        "status": "ok",
        "served_by": "vllm 0.21",
        "devices": 8,
        "replicas": 4,
        "tp": 2,
        "dp": 1,
        "pp": 1,
        "ep": 1,
        "layout": "tp2",
        "batch": 16,
        "context_tokens": 9216,
        "isl": 8192,
        "osl": 1024,
        "tpot_basis": "fitted",
        "ttft_basis": "fitted",
        "loss_unit": "nats (mean KL of next-token distributions), T0",
        "weights_bytes": 8 << 30,
        "kv_cache_bytes": 4 << 30,
        "activation_bytes": 1 << 30,
        "runtime_bytes": 1 << 30,
        "total_bytes": 14 << 30,
        "usable_bytes": 70 << 30,
        "assignment": "mlp-down fp8-block",
        "gap": 0.0,
        "verdict": "uniform",
        "formats": "fp8-block",
        "cache": "fp8",
        "needs_new_weights": False,
        "checkpoint": "RedHatAI/model-FP8",
        "usd_per_device_hour": 2.5,
    }
    for name, value in (
        ("output_tokens_per_second", 8 * rate),
        ("output_tokens_per_second_per_device", rate),
        ("tpot_seconds", 32 / rate),
        ("ttft_seconds", 320 / rate),
        ("usd_per_million_output_tokens", 2.5 / 3600 / rate * 1e6),
        ("joules_per_output_token", 700 / rate),
        ("loss", 0.01),
    ):
        values |= {name: value, f"{name}_low": value / FACTOR, f"{name}_high": value * FACTOR}
    return values | more


def gone(
    model: str, device: str, limit: str | None, reason: str, status: str = "infeasible", **more: Any
) -> dict[str, Any]:
    """A question without an answer."""
    return {
        "verb": "plan",
        "model": model,
        "device": device,
        "key": f"{model}-{device}",
        "status": status,
        "limit": limit,
        "reason": reason,
        "usd_per_device_hour": 2.5,
    } | more


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Rows as the columns of a sweep."""
    return {
        name: [n + 1 if name == "question" else one.get(name) for n, one in enumerate(rows)]
        for name, _ in COLUMNS
    }


def grid() -> dict[str, list[Any]]:
    """Three models on two devices, one of which has no plan and one no engine."""
    rows = [
        row(model, device, 4000 / (1 + n))
        for n, (model, device) in enumerate(product(MODELS[:2], DEVICES))
    ]
    rows[1] |= {"verdict": "released", "formats": "bf16", "checkpoint": None}
    rows[2] |= {
        "verdict": "mix",
        "formats": "fp8-block + bf16",
        "needs_new_weights": True,
        "checkpoint": None,
    }
    return columns(
        [
            *rows,
            gone(
                MODELS[2],
                DEVICES[0],
                "memory",
                "memory: 80.2 GiB at least on each of 8 × h100-sxm, 70.00 GiB usable",
            ),
            gone(MODELS[2], DEVICES[1], None, "no engine serves it", "unsupported"),
        ]
    )


def contexts() -> dict[str, list[Any]]:
    """Two models and two devices over contexts in no order, one of them without a plan."""
    return columns(
        [
            row(model, device, 4e6 / context, asked_context=context)
            if (model, context) != (MODELS[1], 16384)
            else gone(
                model,
                device,
                "tpot",
                f"tpot 20 ms excludes every plan for {model} on {device}",
                asked_context=context,
            )
            for model, device, context in product(MODELS[:2], DEVICES, (8192, 16384, 4096))
        ]
    )
