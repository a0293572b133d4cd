"""Six questions at two service levels, in the words of both tools."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """Limits of TTFT and TPOT [ms]."""

    name: str
    ttft_ms: float
    tpot_ms: float


@dataclass(frozen=True, slots=True)
class SideQuestion:
    """A question to both: ``model``, ``system`` and ``backend`` are theirs. ``scheme`` is what
    their checkpoint is in, in our words; None: as our model is released."""

    id: str
    our_model: str
    device: str
    devices: int
    our_engine: str
    model: str
    system: str
    backend: str
    scheme: str | None
    isl: int = 4000
    osl: int = 1000

    def theirs(self) -> dict[str, Any]:
        """The question as their script takes it."""
        return {
            "model": self.model,
            "system": self.system,
            "devices": self.devices,
            "engine": self.backend,
            "isl": self.isl,
            "osl": self.osl,
        }


LEVELS = (ServiceLevel("relaxed", 5000, 50), ServiceLevel("tight", 2000, 25))
TRT = "tensorrt-llm", "trtllm"
QUESTIONS = (
    SideQuestion(
        "deepseek-v3 on 16 × h200",
        "deepseek-v3",
        "h200-sxm",
        16,
        "sglang",
        "deepseek-ai/DeepSeek-V3",
        "h200_sxm",
        "sglang",
        None,
    ),
    SideQuestion(
        "deepseek-v3 on 32 × h200",
        "deepseek-v3",
        "h200-sxm",
        32,
        TRT[0],
        "deepseek-ai/DeepSeek-V3",
        "h200_sxm",
        TRT[1],
        None,
    ),
    SideQuestion(
        "qwen3-235b on 8 × h100",
        "qwen3-235b-a22b",
        "h100-sxm",
        8,
        TRT[0],
        "Qwen/Qwen3-235B-A22B-FP8",
        "h100_sxm",
        TRT[1],
        "fp8-block",
    ),
    SideQuestion(
        "llama-3.1-70b on 8 × b200",
        "llama-3.1-70b",
        "b200-sxm",
        8,
        TRT[0],
        "nvidia/Llama-3.1-70B-Instruct-FP8",
        "b200_sxm",
        TRT[1],
        "fp8-tensor",
    ),
    SideQuestion(
        "gpt-oss-120b on 8 × h100",
        "gpt-oss-120b",
        "h100-sxm",
        8,
        "vllm",
        "openai/gpt-oss-120b",
        "h100_sxm",
        "vllm",
        None,
    ),
    SideQuestion(
        "qwen3-32b on 8 × h200",
        "qwen3-32b",
        "h200-sxm",
        8,
        "sglang",
        "Qwen/Qwen3-32B-FP8",
        "h200_sxm",
        "sglang",
        "fp8-block",
    ),
)
GEMM_MODES = {
    "bf16": "bfloat16",
    "fp8-block": "fp8_block",
    "fp8-tensor": "fp8",
    "fp8-channel": "fp8",
    "nvfp4": "nvfp4",
    "int4-w4a16": "int4_wo",
    "int8-w8a8": "sq",
    "int8-w8a16": "int8_wo",
}
"""Our scheme of a linear → their mode. They have no per-channel scales: per tensor stands for
them."""
EXPERT_MODES = {
    "bf16": "bfloat16",
    "fp8-block": "fp8_block",
    "fp8-tensor": "fp8",
    "fp8-channel": "fp8",
    "nvfp4": "nvfp4",
    "int4-w4a16": "int4_wo",
    "mxfp4-w4a16": "w4a16_mxfp4",
}
CACHE_MODES = {"bf16": "bfloat16", "fp16": "bfloat16", "fp8": "fp8", "int8": "int8"}
CACHES = {"bfloat16": "bf16", "fp8": "fp8", "int8": "int8"}
"""Their cache → ours."""


def level_words(level: ServiceLevel) -> dict[str, float]:
    """The level as their script takes it."""
    return {key: value for key, value in asdict(level).items() if key != "name"}
