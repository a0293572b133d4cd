"""One model on vLLM's CPU back end: as released, INT8 and FP8, predicted and measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import planner

SCHEMES = ("int8-w8a8", "fp8-channel")
REQUEST = {"isl": 448, "osl": 64, "batch": 1}


def run(model: str, base: Path, python: Path, folder: Path, chunks: int,
        tell: Callable[[str], None]) -> dict[str, Any]:
    """The verification of the model's answer for vLLM with SCHEMES beside it.

    Raises:
        PlannerError: vLLM failed; what was measured stays in the folder.
    """
    tell(f"{model} on vLLM")
    plan = planner.plan(model, "host", engine="vllm", **REQUEST)
    found = planner.verify(
        plan, base, engine="vllm", python=python, also=SCHEMES, chunks=chunks, output=folder,
        prompt_tokens=REQUEST["isl"], output_tokens=REQUEST["osl"],
        progress=lambda step: tell(f"{model} on vLLM: {step}"))
    return found.to_dict()
