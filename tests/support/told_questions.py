"""Questions whose answers say between them whatever a plan can say: every kind of device, engine,
model and option. Pages of them are read for sentences that no language file knows."""

from typing import Any

Told = tuple[str, str, str, dict[str, Any]]
"""(verb, model, device, arguments)."""

SHORT = {"workload": "chat"}

PLANS: tuple[Told, ...] = (
    # Accelerators and engines
    ("plan", "llama-3.1-8b", "h100-sxm", {"context": 4096, "devices": 1}),
    ("plan", "llama-3.1-8b", "h100-sxm", {"devices": 1, "engine": "any", "context": 4096}),
    ("plan", "deepseek-v3", "h100-sxm", {**SHORT}),
    ("plan", "deepseek-v3", "h100-sxm", {"context": 131072}),
    (
        "plan",
        "deepseek-v3.2",
        "h200-sxm",
        {"objective": "quality", "kv": "fp8-ds-mla", "devices": 16},
    ),
    ("plan", "qwen3-235b-a22b", "b200-sxm", {"tpot_seconds": 0.02, "context": 32768}),
    ("plan", "gpt-oss-120b", "h100-sxm", {"devices": 1, **SHORT}),
    ("plan", "gpt-oss-20b", "b200-sxm", {"devices": 1, "workload": "rag"}),
    ("plan", "llama-3.1-70b", "h200-sxm", {"engine": "vllm", "devices": 2, **SHORT}),
    ("plan", "llama-3.1-70b", "h100-sxm", {"engine": "sglang", "devices": 4, **SHORT}),
    ("plan", "llama-3.1-70b", "b300-sxm", {"engine": "tensorrt-llm", "devices": 2, **SHORT}),
    ("plan", "qwen3-30b-a3b", "l40s", {"devices": 2, **SHORT}),
    ("plan", "qwen3-30b-a3b", "h20", {"devices": 2, "engine": "sglang", "workload": "agent"}),
    ("plan", "qwen3-32b", "a100-sxm", {"devices": 2, "engine": "any", "workload": "reasoning"}),
    ("plan", "llama-3.1-8b", "a10", {**SHORT}),
    ("plan", "qwen3-8b", "l4", {**SHORT}),
    ("plan", "qwen3-1.7b", "t4", {**SHORT}),
    ("plan", "deepseek-v4-flash", "b200-sxm", {"devices": 8, **SHORT}),
    ("plan", "deepseek-v4-flash-fp8", "h200-sxm", {"devices": 8, **SHORT}),
    ("plan", "kimi-k2-instruct", "gb300", {"devices": 16, **SHORT}),
    ("plan", "llama-4-scout", "gh200", {"devices": 8, **SHORT}),
    ("plan", "llama-3.1-405b", "h800-sxm", {"devices": 8, "objective": "latency", **SHORT}),
    ("plan", "qwen3.5-35b-a3b", "h100-nvl", {"devices": 2, **SHORT}),
    ("plan", "qwen3-next-80b-a3b", "h200-sxm", {"devices": 2, **SHORT}),
    ("plan", "nemotron-3-nano-30b-a3b", "h100-sxm", {"devices": 1, **SHORT}),
    ("plan", "minimax-m2", "gb200", {"devices": 4, **SHORT}),
    ("plan", "glm-4.5-air", "h200-sxm", {"devices": 2, **SHORT}),
    ("plan", "kimi-k3", "b300-sxm", {"devices": 16, **SHORT}),
    ("plan", "mimo-v2-flash", "h100-pcie", {"devices": 8, **SHORT}),
    # Workstations, boards, other makers
    ("plan", "llama-3.1-8b", "rtx-4090", {**SHORT}),
    ("plan", "qwen3-32b", "rtx-5090", {"objective": "quality", "context": 8192}),
    ("plan", "gemma-3-27b", "rtx-3090", {"devices": 2, **SHORT}),
    ("plan", "qwen3-14b", "rtx-pro-6000", {"devices": 1, **SHORT}),
    ("plan", "qwen3-32b", "rtx-6000-ada", {"devices": 2, **SHORT}),
    ("plan", "gpt-oss-20b", "dgx-spark", {**SHORT}),
    (
        "plan",
        "llama-3.1-8b",
        "jetson-agx-orin-64gb",
        {"objective": "latency", "schemes": ["bf16", "int8-w8a16", "int4-w4a16"]},
    ),
    ("plan", "qwen2.5-0.5b", "jetson-orin-nano-8gb", {"devices": 1, "context": 2048}),
    ("plan", "qwen3-8b", "jetson-agx-thor-t5000", {**SHORT}),
    ("plan", "qwen3-8b", "drive-thor-x", {"context": 4096}),
    ("plan", "qwen3-4b", "drive-orin-x", {"context": 4096}),
    ("plan", "llama-3.1-70b", "mi300x", {"devices": 1, **SHORT}),
    ("plan", "deepseek-v3", "mi355x", {"devices": 8, **SHORT}),
    ("plan", "gpt-oss-120b", "mi325x", {"devices": 1, "engine": "sglang", **SHORT}),
    ("plan", "llama-3.1-8b", "gaudi-3", {"devices": 1, **SHORT}),
    ("plan", "qwen3-32b", "ascend-910b", {"devices": 2, **SHORT}),
    ("plan", "llama-3.1-8b", "tpu-v6e", {"devices": 1, **SHORT}),
    ("plan", "llama-3.1-8b", "tpu-v7", {"devices": 1, **SHORT}),
    ("plan", "llama-3.1-8b", "trainium2", {"devices": 1, **SHORT}),
    ("plan", "llama-3.1-8b", "apple-m3-ultra", {**SHORT}),
    ("plan", "gemma-3-4b", "apple-m4-max", {**SHORT}),
    ("plan", "qwen3-30b-a3b", "strix-halo", {**SHORT}),
    # CPUs
    ("plan", "qwen3-8b", "epyc-9575f", {**SHORT}),
    ("plan", "llama-3.1-8b", "xeon-6980p", {"engine": "vllm", **SHORT}),
    ("plan", "llama-3.1-8b", "xeon-platinum-8480", {"engine": "pytorch", **SHORT}),
    ("plan", "qwen3-4b", "graviton4", {"engine": "llama.cpp", **SHORT}),
    ("plan", "llama-3.1-8b", "xeon-platinum-8592", {"engine": "sglang", "tpot_seconds": "none"}),
    # llama.cpp
    ("plan", "llama-3.1-8b", "rtx-4090", {"engine": "llama.cpp", "context": 8192, "batch": 1}),
    ("plan", "qwen3-30b-a3b", "rtx-3090", {"engine": "llama.cpp", "batch": 1}),
    ("plan", "llama-3.1-8b", "mi300x", {"engine": "llama.cpp", "context": 4096}),
    ("estimate", "llama-3.1-8b", "rtx-4090", {"scheme": "ggml-q4_k"}),
    ("estimate", "qwen3-30b-a3b", "h100-sxm", {"scheme": "ggml-q6_k", "engine": "llama.cpp"}),
    ("estimate", "gemma-3-4b", "apple-m4-max", {"scheme": "ggml-q4_k"}),
    # Other models
    ("plan", "gemma-3n-e4b", "l40s", {**SHORT}),
    ("plan", "gemma-2-9b", "a100-sxm", {"devices": 1, **SHORT}),
    ("plan", "deepseek-v2-lite", "rtx-4090", {**SHORT}),
    ("plan", "mixtral-8x7b", "a100-sxm", {"devices": 2, **SHORT}),
    ("plan", "phi-4", "l40s", {"objective": "memory", "context": 8192}),
    ("plan", "smollm2-135m", "h100-sxm", {"objective": "cost", "devices": 1, "context": 2048}),
    ("plan", "command-r7b", "h100-sxm", {"devices": 1, **SHORT}),
    ("plan", "qwen3-vl-8b", "h100-sxm", {"devices": 1, **SHORT}),
    ("plan", "olmoe-1b-7b", "h100-sxm", {"devices": 1, "workload": "batch"}),
    ("plan", "gpt2", "h100-sxm", {"devices": 1, "context": 1024}),
    ("plan", "ernie-4.5-0.3b", "rtx-4090", {**SHORT}),
    ("plan", "exaone-4.0-32b", "h100-sxm", {"devices": 1, **SHORT}),
    ("plan", "gemma-4-26b-a4b", "h100-sxm", {"devices": 1, **SHORT}),
    ("plan", "minimax-m3", "b200-sxm", {"devices": 8, **SHORT}),
    ("plan", "nemotron-super-49b", "h100-sxm", {"devices": 4, **SHORT}),
    ("plan", "glm-5.2-fp8", "b200-sxm", {"devices": 8, **SHORT}),
    ("plan", "qwen3-235b-a22b-nvfp4", "b200-sxm", {"devices": 4, **SHORT}),
    # Options
    ("plan", "deepseek-v3", "h200-sxm", {"speculation": "mtp", "devices": 8, **SHORT}),
    ("plan", "deepseek-v3", "h200-sxm", {"speculation": "auto", "devices": 8, **SHORT}),
    ("plan", "llama-3.1-8b", "h100-sxm", {"speculation": "eagle", "devices": 1, **SHORT}),
    (
        "plan",
        "llama-3.1-70b",
        "h100-sxm",
        {"speculation": "llama-3.2-1b", "devices": 4, "acceptance": 0.7, **SHORT},
    ),
    ("plan", "llama-3.1-8b", "h100-sxm", {"reuse": "auto", "workload": "agent", "devices": 1}),
    (
        "plan",
        "llama-3.1-70b",
        "h100-sxm",
        {
            "reuse": "auto",
            "workload": "agent",
            "devices": 4,
            "kv_offload": "host",
            "kv_offload_bytes": 200 * 2**30,
            "engine": "vllm",
        },
    ),
    ("plan", "deepseek-v3", "h200-sxm", {"mode": "disaggregated", "devices": 32, **SHORT}),
    (
        "plan",
        "llama-3.1-70b",
        "h100-sxm",
        {"mode": "disaggregated", "devices": 16, "workload": "rag", "engine": "vllm"},
    ),
    (
        "plan",
        "llama-3.1-70b",
        "h200-sxm",
        {"mode": "auto", "devices": 16, "workload": "rag", "prefill_device": "h100-sxm"},
    ),
    (
        "plan",
        "deepseek-v3",
        "rtx-4090",
        {"host": "epyc-9575f", "host_sockets": 2, "batch": 1, "context": 8192},
    ),
    ("plan", "gpt-oss-120b", "rtx-4090", {"host": "xeon-platinum-8592", "context": 8192}),
    (
        "plan",
        "llama-3.1-70b",
        "rtx-5090",
        {"host": "epyc-9575f", "engine": "vllm", "context": 4096, "tpot_seconds": "none"},
    ),
    (
        "plan",
        "llama-3.1-8b",
        "h100-sxm",
        {"devices": 1, "exact": True, "untie": True, "context": 4096},
    ),
    (
        "plan",
        "llama-3.1-8b",
        "h100-sxm",
        {"devices": 1, "context": 4096, "drop_policies": ["head", "embedding", "first-layers"]},
    ),
    (
        "plan",
        "qwen3-30b-a3b",
        "h100-sxm",
        {"devices": 1, **SHORT, "drop_policies": ["router", "norm"], "engine": "any"},
    ),
    ("plan", "llama-3.1-8b", "h100-sxm", {"devices": 1, "anchor": "tpot_ms=12.3", **SHORT}),
    (
        "plan",
        "llama-3.1-8b",
        "h100-sxm",
        {"devices": 1, "max_loss": "bf16", "context": 8192, "slots": "full", "ttft_seconds": 2.0},
    ),
    (
        "plan",
        "llama-3.1-8b",
        "h100-sxm",
        {"devices": 1, "max_loss": 0.02, "context": 8192, "prefix_hit_rate": 0.5},
    ),
    (
        "plan",
        "llama-3.1-8b",
        "h100-sxm",
        {"devices": 1, "memory_bytes": 40 * 10**9, "context": 8192},
    ),
    ("plan", "", "", {"scenario": "h100-fp8-throughput"}),
    ("plan", "", "", {"scenario": "orin-int8"}),
    ("plan", "", "", {"scenario": "xeon-fp8-in-software"}),
    ("plan", "", "", {"scenario": "thor-fp4"}),
    ("plan", "", "", {"scenario": "b200-fp4"}),
    ("plan", "", "", {"scenario": "a100-fp16-int8"}),
    ("plan", "", "", {"scenario": "h100-128k-compressed-kv"}),
    (
        "estimate",
        "deepseek-v3",
        "h200-sxm",
        {"scheme": "fp8-block", "kv": "fp8", "tp": 8, "ep": 8, "devices": 8, "batch": 64},
    ),
    ("estimate", "meta-llama/Llama-3.1-70B", "h100-sxm", {"scheme": "int8-w8a8", "devices": 4}),
    (
        "estimate",
        "deepseek-v3",
        "h200-sxm",
        {"tp": 1, "dp": 8, "ep": 8, "devices": 8, "engine": "sglang", **SHORT},
    ),
    ("estimate", "qwen3-8b", "l40s", {"scheme": "int4-w4a16", "pp": 2, "devices": 2, **SHORT}),
)

REFUSED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("qwen2.5-0.5b", "h100-sxm", {"devices": 1, "tpot_seconds": 1e-5, "context": 2048}),
    ("qwen2.5-0.5b", "h100-sxm", {"devices": 1, "memory_bytes": 10**8, "context": 2048}),
    ("llama-3.1-8b", "a100-sxm", {"schemes": ["fp8-tensor"]}),
    ("llama-3.1-8b", "h100-sxm", {"tp": 3, "devices": 3}),
    ("llama-3.1-8b", "rubin-r200", {}),
    ("glm-4.5-air", "rubin-r200", {"devices": 2, **SHORT}),
    ("deepseek-v3", "h100-sxm", {"devices": 1}),
    ("deepseek-v3", "h100-sxm", {"devices": 8, "max_loss": "bf16", "context": 8192}),
    ("llama-3.1-70b", "h100-sxm", {"devices": 2, "max_loss": "bf16", "tpot_seconds": 0.01}),
    (
        "llama-3.1-8b",
        "h100-sxm",
        {"devices": 1, "objective": "memory", "context": 4096, "memory_bytes": 3 * 10**9},
    ),
    ("llama-3.1-8b", "t4", {"context": 131072, "batch": 8}),
)
"""(model, device, arguments) of plans that there are not."""

FLEET_REFUSALS = (
    (
        "no replica keeps TTFT ≤ 300 ms and TPOT ≤ 20 ms for 95 % of requests: one that meets "
        "no other takes 412 ms and 31 ms"
    ),
    "no replica keeps TPOT ≤ 20 ms for 99 % of requests: one that meets no other takes 31 ms",
    "deepseek-v3 does not fit 8 × l40s",
    "no layout holds a request",
    (
        "the stock does not serve these rates: chat at 20/s: all devices together serve "
        "12.5/s of it; each model alone is served, all together are not"
    ),
    (
        "the smallest stock that would do: 12 × h100-sxm (4 more), the cheapest addition at "
        "36.00 USD an hour; or lower rates or other limits"
    ),
    "max-loss fp8-block excludes every plan for llama-3.1-8b on h100-sxm, and so does tpot 10 ms",
)
"""What fleets and capacities are refused with, as they are worded."""
