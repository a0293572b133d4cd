"""One model on vLLM's CPU back end: as released, INT8 and FP8, predicted and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import planner
from evaluation.closed_loop.llama import formats
from evaluation.closed_loop.parts import Clock
from planner.placement.modules import AS_RELEASED_KINDS
from planner.planning.plan.record import Plan

SCHEMES = {"smollm2-135m": ("int8-w8a8", "fp8-channel"), "gemma-3-270m": ("int8-w8a8",)}
"""Model → the schemes that are run beside its BF16 checkpoint. FP8 takes seconds a token on a CPU,
so that one model is enough to tell it."""
CHUNKS, REPEATS, STEP_SECONDS = 4, 3, 600
REQUEST = {"isl": 448, "osl": 64, "batch": 1}


def run(model: str, base: Path, python: Path, folder: Path, clock: Clock) -> dict[str, Any]:
    """The verification of the model's answer for vLLM with SCHEMES beside it; a scheme that the
    answer has throughout is not run twice.

    Raises:
        PlannerError: vLLM failed; what was measured stays in the folder.
    """
    plan = planner.plan(model, "host", engine="vllm", **REQUEST)
    same = throughout(plan)
    found = planner.verify(
        plan, base, engine="vllm", python=python, chunks=CHUNKS, output=folder, repeats=REPEATS,
        also=[scheme for scheme in SCHEMES[model] if scheme != same],
        prompt_tokens=REQUEST["isl"], output_tokens=REQUEST["osl"], step_seconds=STEP_SECONDS,
        progress=lambda step: clock.tell(f"{model} on vLLM: {step}"))
    return {**found.to_dict(), "plan_formats": formats(plan), "plan_is": same}


def throughout(plan: Plan) -> str:
    """The scheme that all matrices of the layers have; empty where there are several."""
    found = {unit.scheme for unit in plan.units
             if unit.kv_layout is None and unit.kind not in AS_RELEASED_KINDS}
    return found.pop() if len(found) == 1 else ""
