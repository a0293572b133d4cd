"""The questions whose answers are judged: drawn by seed from models, devices, engines, features.

Features take turns, so that each is in every run; a question that the planner refuses is no
answer, and the next is drawn.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SMALL = (
    "llama-3.1-8b", "qwen3-8b", "qwen2.5-7b", "mistral-7b-v0.3", "phi-4", "gemma-3-12b",
    "qwen3-0.6b", "olmo-2-7b", "granite-3.3-8b", "smollm3-3b", "falcon3-7b", "glm-4-9b",
)  # fmt: skip
MIDDLE = (
    "qwen3-32b", "llama-3.1-70b", "gemma-2-27b", "mistral-small-24b", "qwen3-32b-fp8",
    "llama-3.1-70b-fp8", "seed-oss-36b", "nemotron-super-49b", "qwq-32b", "command-r",
)  # fmt: skip
EXPERTS = (
    "qwen3-30b-a3b", "gpt-oss-20b", "gpt-oss-120b", "mixtral-8x7b", "glm-4.5-air",
    "qwen3-235b-a22b", "minimax-m2", "qwen3-coder-30b-a3b", "olmoe-1b-7b", "glm-4.6",
)  # fmt: skip
LATENT = (
    "deepseek-v2-lite", "deepseek-v3", "deepseek-r1", "deepseek-v3.1", "deepseek-v3.2",
    "kimi-k2-instruct", "glm-5-fp8", "deepseek-v3.1-nvfp4",
)  # fmt: skip
HYBRID = ("qwen3-next-80b-a3b", "nemotron-3-nano-30b-a3b", "qwen3.5-35b-a3b", "qwen3.5-27b")
SEEING = ("qwen3-vl-8b", "gemma-3-27b", "llama-4-scout", "mistral-small-3.2-24b", "qwen3-vl-32b")
LARGE_DEVICES = ("h100-sxm", "h200-sxm", "b200-sxm", "gb200", "mi300x", "mi355x", "h20")
SERVER_DEVICES = (*LARGE_DEVICES, "a100-sxm", "l40s", "rtx-pro-6000", "gh200")
SMALL_DEVICES = ("rtx-4090", "rtx-5090", "l4", "rtx-3090", "l40s", "a10")
EDGE = ("jetson-agx-orin-64gb", "jetson-agx-thor-t5000", "dgx-spark")
CPUS = ("xeon-6980p", "xeon-platinum-8592", "epyc-9575f", "graviton4")
PYTHON_ENGINES = ("vllm@0.33", "sglang@0.5.23", "tensorrt-llm@1.2")
"""The versions that the judges have."""
ENGINES = (*PYTHON_ENGINES, "llama.cpp")
OLDER = ("vllm@0.32",)
"""Versions before: that of the closed loop's environment."""


@dataclass(frozen=True)
class Feature:
    """Questions of one kind: what they choose from, and the arguments that they add."""

    name: str
    models: tuple[str, ...]
    devices: tuple[str, ...]
    engines: tuple[str, ...] = ENGINES
    counts: tuple[int, ...] = (1, 2, 4, 8)
    arguments: tuple[dict[str, Any], ...] = ({},)


FEATURES = (
    Feature("small dense", SMALL, (*SERVER_DEVICES, *SMALL_DEVICES), counts=(1, 2)),
    Feature("dense", MIDDLE, SERVER_DEVICES),
    Feature("experts", EXPERTS, SERVER_DEVICES),
    Feature("latent attention", LATENT, LARGE_DEVICES, counts=(8,)),
    Feature("hybrid", HYBRID, SERVER_DEVICES, PYTHON_ENGINES),
    Feature("images", SEEING, SERVER_DEVICES),
    Feature(
        "attention dp", (*LATENT, *EXPERTS), LARGE_DEVICES, PYTHON_ENGINES, (8,),
        ({"dp": 8}, {"dp": 4}, {"tp": 2, "dp": 4}, {"dp": 8, "ep": 8}, {"dp": 2, "tp": 4}),
    ),
    Feature(
        "pipeline", (*MIDDLE, *EXPERTS), SERVER_DEVICES, ENGINES, (4, 8),
        ({"pp": 2}, {"pp": 4}),
    ),
    Feature(
        "expert parallel", (*EXPERTS, *LATENT), LARGE_DEVICES, PYTHON_ENGINES, (8,),
        ({"tp": 8, "ep": 8}, {"tp": 4, "ep": 4, "dp": 2}, {"dp": 8, "ep": 8}),
    ),
    Feature("nodes", (*LATENT, "llama-3.1-405b", "glm-4.6"), LARGE_DEVICES, PYTHON_ENGINES, (16,)),
    Feature(
        "speculation", ("llama-3.1-70b", "qwen3-32b", "glm-4.6", "llama-3.1-8b", "deepseek-v3"),
        LARGE_DEVICES, ENGINES, (4, 8),
        ({"speculation": "auto"}, {"speculation": "mtp"}, {"speculation": "eagle"}),
    ),
    Feature(
        "draft model", ("llama-3.1-70b", "qwen3-32b", "qwen3-8b"), LARGE_DEVICES, ENGINES, (2, 4),
        ({"speculation": "llama-3.2-1b", "acceptance": 0.7},
         {"speculation": "qwen3-0.6b", "acceptance": 0.7}),
    ),
    Feature(
        "prefix cache", (*SMALL, *MIDDLE, *EXPERTS), SERVER_DEVICES, ENGINES, (2, 4, 8),
        ({"reuse": "chat", "workload": "chat", "kv_offload": "host"},
         {"prefix_hit_rate": 0.6, "workload": "rag"},
         {"reuse": "agent", "workload": "agent", "kv_offload": "nvme",
          "kv_offload_bytes": 1 << 40}),
    ),
    Feature(
        "pools", ("llama-3.1-8b", "llama-3.1-70b", "qwen3-32b", "qwen3-30b-a3b"), LARGE_DEVICES,
        PYTHON_ENGINES[:2], (4, 8), ({"mode": "disaggregated"},),
    ),
    Feature(
        "host memory", EXPERTS, ("rtx-4090", "rtx-5090", "h100-sxm"), ENGINES, (1,),
        ({"host": "epyc-9575f"}, {"host": "xeon-6980p"}),
    ),
    Feature(
        "four bits", (*MIDDLE, *EXPERTS), ("b200-sxm", "rtx-5090", "rtx-pro-6000", "h100-sxm"),
        ENGINES, (1, 2, 4), ({"max_loss": "nvfp4"}, {"max_loss": "int4-w4a16"}),
    ),
    Feature(
        "mixture", (*SMALL, *EXPERTS), ("h100-sxm", "b200-sxm", "l40s"), ENGINES, (1, 2),
        ({"exact": True}, {"objective": "memory", "max_loss": "0.05 nats"},
         {"objective": "quality"}),
    ),
    Feature(
        "cache types", (*SMALL, *MIDDLE), SERVER_DEVICES, ENGINES, (2, 4),
        ({"kv": "fp8"}, {"kv": "bf16"}, {"kv": "int8-token"}, {"kv": "nvfp4"}),
    ),
    Feature(
        "long context", (*EXPERTS, "llama-3.1-70b", "deepseek-v3.2"), LARGE_DEVICES, ENGINES,
        (4, 8), ({"context": 131072}, {"workload": "long"}, {"workload": "reasoning"}),
    ),
    Feature(
        "latency", (*MIDDLE, *LATENT), LARGE_DEVICES, ENGINES, (8,),
        ({"objective": "latency"}, {"tpot_seconds": 0.015}, {"ttft_seconds": 0.5}),
    ),
    Feature("edge", (*SMALL, "gpt-oss-20b", "qwen3-30b-a3b"), EDGE, ENGINES, (1,)),
    Feature("cpu", (*SMALL, "qwen3-30b-a3b"), CPUS, (*PYTHON_ENGINES[:2], "llama.cpp"), (1, 2)),
    Feature(
        "small device", (*SMALL, "gpt-oss-20b", "qwen3-30b-a3b"), SMALL_DEVICES, ENGINES, (1, 2),
        ({}, {"max_loss": "int4-w4a16"}, {"workload": "chat"}),
    ),
    Feature("any engine", (*SMALL, *MIDDLE, *EXPERTS), SERVER_DEVICES, ("auto",), (2, 4, 8)),
    Feature("older", (*SMALL, *MIDDLE, *EXPERTS), SERVER_DEVICES, OLDER, (2, 4, 8)),
)  # fmt: skip
DEPLOYMENTS = ("compose", "kubernetes", "llm-d", "dynamo")


@dataclass(frozen=True)
class Question:
    """A question to :func:`planner.plan`, or, ``priced``, to :func:`planner.estimate`; ``deploy``
    is the target that its export has."""

    feature: str
    model: str
    device: str
    arguments: dict[str, Any]
    deploy: str
    priced: bool = False

    @property
    def text(self) -> str:
        """The question in one line."""
        more = (f"{name} {value}" for name, value in self.arguments.items())
        return ", ".join([self.model, self.device, *more, *(["as given"] * self.priced)])

    @property
    def key(self) -> str:
        """Equal for questions that ask the same."""
        asked = [self.model, self.device, self.arguments, self.priced]
        return json.dumps(asked, sort_keys=True)


SEARCHED = ("exact", "objective", "tpot_seconds", "ttft_seconds", "max_loss")
"""Arguments that only a search has."""


def as_given(arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Arguments that price one choice in the place of a search; None where a search is the
    question: pools, or which engine."""
    if "mode" in arguments or arguments["engine"] == "auto":
        return None
    rest = {name: value for name, value in arguments.items() if name not in SEARCHED}
    loss = arguments.get("max_loss")
    return rest | ({"scheme": loss} if loss in ("nvfp4", "int4-w4a16") else {})


def drawn(seed: int) -> Iterator[Question]:
    """Questions without end, each once: features by turns, within one the engines by turns. After
    the first turn most are priced as given, which takes a tenth of the time of a search."""
    draw, seen = random.Random(seed), set[str]()
    turns = 0
    while True:
        for at, feature in enumerate(FEATURES):
            model, device = draw.choice(feature.models), draw.choice(feature.devices)
            engine = feature.engines[turns % len(feature.engines)]
            arguments = {
                "devices": draw.choice(feature.counts),
                "engine": engine,
                **draw.choice(feature.arguments),
            }
            deploy = DEPLOYMENTS[(turns + at) % len(DEPLOYMENTS)]
            given = as_given(arguments) if turns else None
            question = (
                Question(feature.name, model, device, arguments, deploy)
                if given is None
                else Question(feature.name, model, device, given, deploy, priced=True)
            )
            if question.key not in seen:
                seen.add(question.key)
                yield question
        turns += 1
