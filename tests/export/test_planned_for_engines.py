"""What `--engine` plans, the export writes and the lint passes: no plan that an engine refuses."""

from typing import Any

import pytest

import planner
from planner.base.errors import UnsupportedError
from planner.export.launch import COMMANDS
from planner.export.lint import CONSUMERS
from planner.export.run import export_plan
from planner.memory.engines.catalog import engine_names
from planner.models.catalog import bundled_model
from planner.planning.answer.servability import verdicts

TARGETS = {"modelopt-mixed": "modelopt", "gguf": "llama.cpp"}
"""Checkpoint formats of the engine matrix whose export has another name."""
LATER = ("vllm@0.28", "vllm@0.17", "sglang@0.5.13", "tensorrt-llm@1.3")
ENGINES = (
    *(name for name in engine_names() if name in COMMANDS),
    *(pytest.param(name, marks=pytest.mark.exhaustive) for name in LATER),
)
QUESTIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("llama-3.2-1b", "h100-sxm", {"devices": 1, "max_loss": "nvfp4"}),
    ("llama-3.2-1b", "b200-sxm", {"devices": 1, "max_loss": "mxfp4"}),
    ("llama-3.2-1b", "a100-sxm", {"devices": 2, "max_loss": "int4-w4a16"}),
    ("llama-3.2-1b", "rtx-pro-6000", {"devices": 1, "max_loss": "nvfp4"}),
    ("llama-3.2-1b", "xeon-6980p", {"devices": 1, "max_loss": "int4-w4a16"}),
    ("deepseek-v2-lite", "h100-sxm", {"devices": 1}),
    ("deepseek-v3.2", "h200-sxm", {"devices": 16}),
    ("deepseek-v3.2", "b200-sxm", {"devices": 8}),
    ("deepseek-v2-lite", "xeon-6980p", {"devices": 1, "max_loss": "fp8-w8a16"}),
    ("deepseek-v2-lite", "jetson-agx-orin-64gb", {}),
    ("deepseek-v2-lite", "jetson-agx-thor-t5000", {"max_loss": "nvfp4"}),
]


@pytest.mark.sample(5)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("model", "device", "asked"), QUESTIONS)
def test_a_plan_for_an_engine_is_written_and_passes(
    model: str, device: str, asked: dict[str, Any], engine: str
) -> None:
    plan, refused = None, ""
    try:
        plan = planner.plan(model, device, engine=engine, tp=1, dp=1, ep=1, batch=16, **asked)
    except UnsupportedError as error:
        refused = error.message
    if plan is None:
        # Nothing is planned: the reason is the matrix's, with its source.
        assert "refused" in refused or "unknown" in refused
        return
    spec, where = bundled_model(model), planner.load_device(device)
    verdict = verdicts(spec, where, plan.units, plan.layout, [engine])[0]
    assert verdict.status == "yes", verdict.reason
    target = TARGETS.get(verdict.container, verdict.container)
    if not verdict.container:
        target = next(t for t, read in CONSUMERS.items() if verdict.engine in read)
    found = export_plan(plan, spec, where, target, engine)
    assert [finding.status for finding in found.findings] == ["yes"], found.findings


def test_int4_on_a_cpu_is_served_from_gptq_and_written() -> None:
    """vLLM 0.21 on CPUs takes INT4 from GPTQ checkpoints alone."""
    plan = planner.plan(
        "llama-3.2-1b",
        "xeon-6980p",
        engine="vllm@0.21",
        devices=1,
        tp=1,
        batch=4,
        max_loss="int4-w4a16",
        schemes=["bf16", "int4-w4a16"],
        exact=True,
    )
    assert "int4-w4a16" in {unit.scheme for unit in plan.units}
    spec, where = bundled_model("llama-3.2-1b"), planner.load_device("xeon-6980p")
    verdict = verdicts(spec, where, plan.units, plan.layout, ["vllm@0.21"])[0]
    assert (verdict.status, verdict.container) == ("yes", "gptq")
    found = export_plan(plan, spec, where, "gptq")
    assert [finding.status for finding in found.findings] == ["yes"]
    assert {"quantize_config.json", "quantization_config.json", "serve-vllm.sh"} <= set(found.files)
    other = export_plan(plan, spec, where, "compressed-tensors")
    assert [finding.status for finding in other.findings] == ["unknown"]
