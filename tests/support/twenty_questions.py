"""Twenty questions whose answers must be the same bytes on every machine.

Between them: tied and untied, one stage and pipelines, every objective, limits on time and memory,
engines, CPUs and the edge. Several have optima that differ by less than a solver proves.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

Asked = tuple[str, str, dict[str, Any]]

QUESTIONS: tuple[Asked, ...] = (
    ("deepseek-v3", "h100-sxm", {"context": 131072}),
    ("deepseek-v3", "h200-sxm", {"devices": 8, "tp": 8, "pp": 1}),
    ("deepseek-v3", "b200-sxm", {"devices": 8, "pp": 2, "engine": "vllm"}),
    ("llama-3.1-8b", "l40s", {}),
    ("llama-3.1-8b", "jetson-agx-orin-64gb", {"objective": "latency"}),
    ("llama-3.1-8b", "l40s", {"devices": 2, "pp": 2, "batch": 32, "untie": True}),
    ("llama-3.1-70b", "h100-sxm", {"devices": 2}),
    ("llama-3.1-70b", "h100-sxm", {"devices": 4, "pp": 4, "tp": 1, "batch": 64}),
    ("llama-3.1-70b", "a100-sxm", {"devices": 4, "objective": "quality", "tpot_seconds": 0.05}),
    ("qwen3-30b-a3b", "l40s", {"devices": 2, "objective": "memory"}),
    ("qwen3-30b-a3b", "rtx-pro-6000", {"devices": 1, "engine": "vllm"}),
    ("deepseek-v2-lite", "xeon-6980p", {"devices": 1}),
    ("deepseek-v2-lite", "jetson-agx-thor-t5000", {"untie": True, "batch": 32}),
    ("gpt-oss-20b", "h100-sxm", {"devices": 1, "objective": "cost"}),
    ("gpt-oss-20b", "l40s", {"devices": 1, "ttft_seconds": 2.0, "tpot_seconds": 0.05}),
    ("kimi-k2-instruct", "b200-sxm", {"devices": 8, "context": 32768}),
    ("qwen3-235b-a22b", "h200-sxm", {"devices": 4, "max_loss": "int4-w4a16"}),
    ("mistral-7b-v0.1", "l40s", {"objective": "quality", "memory_bytes": 12 << 30}),
    ("qwen2.5-0.5b", "jetson-orin-nano-8gb", {"max_loss": "int4-w4a16"}),
    ("smollm2-135m", "xeon-platinum-8480", {"objective": "latency", "untie": True}),
)


def digest(number: int) -> str:
    """Hash of the whole plan file that answers a question."""
    import planner

    model, device, asked = QUESTIONS[number]
    answer = planner.plan(model, device, **asked).to_dict()
    return hashlib.sha256(json.dumps(answer).encode()).hexdigest()


def main(*numbers: int) -> None:
    """Print the hashes of the answers to these questions, absent: to all, a line each."""
    for number in numbers or range(len(QUESTIONS)):
        print(digest(number), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
