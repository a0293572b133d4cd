"""Plans and their exports judged by vLLM's own code: commands parsed, every module compared.

    python -m benchmarks.engine_judges --vllm ENGINE/bin/python [--only llama] [--write PAGE]

``make engines`` makes the environment. For each case a plan is solved and exported here; its
command and configuration go to ``engine_judges_vllm.py``, which runs in vLLM's environment on a
stand-in of the device. What vLLM gave each module (weights, granularity, activations, kernel) is
held against the plan. Exit status 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import planner
from benchmarks.engine_judges_page import page
from benchmarks.engine_judges_reading import Judged, compared
from evaluation.pages import publish
from planner.export.assignment import assignment_of
from planner.export.compressed_tensors import with_split_experts
from planner.export.plan_files import export_plan
from planner.export.serve_line import serving_command
from planner.models import catalog
from planner.placement.modules import PLANNED_KINDS
from planner.planning.plan.record import Plan, UnitPlan

VLLM = "vllm@0.32"
CONFIGS = Path(catalog.__file__).parent / "configs"
HELPER = Path(__file__).with_name("engine_judges_vllm.py")
LIMIT_SECONDS = 1800


@dataclass(frozen=True)
class Case:
    """A question, or a mixture: ``mixed`` are the schemes that layers take by turns, written in
    the format ``to``."""

    model: str
    device: str
    asked: dict[str, Any]
    mixed: tuple[str, ...] = ()
    to: str = ""

    @property
    def id(self) -> str:
        words = [self.model, self.device, *(f"{k} {v}" for k, v in self.asked.items())]
        return ", ".join([*words, *([f"{self.to}: {' '.join(self.mixed)}"] if self.mixed else [])])


CT = "compressed-tensors"
CASES = (
    Case("deepseek-v3", "h200-sxm", {"devices": 8}),
    Case("deepseek-v3", "h200-sxm", {"devices": 8, "exact": True}),
    Case("deepseek-v3", "b200-sxm", {"devices": 8, "max_loss": "nvfp4"}),
    Case("llama-3.1-70b", "h100-sxm", {"devices": 2}),
    Case("llama-3.1-70b", "a100-sxm", {"devices": 4}),
    Case("llama-3.1-8b", "l40s", {}),
    Case("qwen3-30b-a3b", "l40s", {}),
    Case("qwen3-32b", "h100-sxm", {"devices": 2}),
    Case("gpt-oss-120b", "h100-sxm", {"devices": 2}),
    Case("glm-4.6", "h200-sxm", {"devices": 8}),
    Case("gemma-3-1b", "h100-sxm", {}),
    Case("qwen3-235b-a22b", "b200-sxm", {"devices": 4}),
    Case("deepseek-v2-lite", "h100-sxm", {}),
    Case(
        "llama-3.1-8b",
        "h100-sxm",
        {"devices": 1},
        ("fp8-channel", "int8-w8a8", "bf16", "int4-w4a16", "fp8-block", "int8-w8a16"),
        CT,
    ),
    Case(
        "llama-3.1-8b",
        "b200-sxm",
        {"devices": 1},
        ("fp8-channel", "nvfp4", "bf16", "int4-w4a16-g32", "fp8-block", "mxfp8", "fp8-w8a16"),
        CT,
    ),
    Case(
        "qwen3-8b",
        "a100-sxm",
        {"devices": 1},
        ("int8-w8a8", "nvfp4-w4a16", "bf16", "mxfp4-w4a16", "fp8-w8a16"),
        CT,
    ),
    Case(
        "qwen3-30b-a3b",
        "h200-sxm",
        {"devices": 1},
        ("fp8-channel", "fp8-block", "bf16", "int4-w4a16", "int8-w8a8", "fp8-tensor"),
        CT,
    ),
    Case("glm-4.6", "b200-sxm", {"devices": 8}, ("fp8-channel", "nvfp4", "bf16", "fp8-block"), CT),
    Case("deepseek-v3", "h200-sxm", {"devices": 8}, ("fp8-block", "int4-w4a16", "fp8-channel"), CT),
    Case("deepseek-v3.1", "b200-sxm", {"devices": 8}, ("nvfp4", "fp8-tensor", "bf16"), "modelopt"),
    Case("qwen3-30b-a3b", "b200-sxm", {"devices": 1}, ("nvfp4", "bf16", "fp8-tensor"), "modelopt"),
    Case("gemma-3-1b", "h100-sxm", {"devices": 1}, ("fp8-channel", "bf16", "int4-w4a16"), CT),
    Case("qwen3-8b", "b200-sxm", {"devices": 1}, ("nvfp4-w4a16", "fp8-tensor"), "modelopt"),
    Case("llama-3.1-8b", "h100-sxm", {"devices": 1}, ("fp8-block", "bf16"), "fp8"),
    Case("qwen3-8b", "a100-sxm", {"devices": 1}, ("int4-w4a16", "int8-w8a16", "bf16"), "gptq"),
)


def prepared(case: Case, folder: Path) -> tuple[dict[str, Any], dict[str, tuple[str, int]]]:
    """What the judge is given, and what each module should be: (scheme, matrices of that name)."""
    engine = "any" if case.mixed else VLLM
    plan = planner.plan(case.model, case.device, engine=VLLM, **case.asked)
    spec = planner.load_model(case.model)
    if case.mixed:
        plan = replace(plan, units=tuple(turned(plan, case.mixed)))
    written = export_plan(plan, case.to, engine=engine if case.mixed else "")
    config = json.loads((CONFIGS / f"{case.model}.json").read_text(encoding="utf-8"))
    if "quantization_config.json" in written.files:
        config["quantization_config"] = json.loads(written.files["quantization_config.json"])
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    words = [
        str(folder) if at == 2 else word for at, word in enumerate(serving_command(plan).words)
    ]
    assignment = assignment_of(plan, spec)
    if case.to in ("", CT):
        assignment = with_split_experts(assignment)
    expected = dict(_expected(assignment))
    device = planner.load_device(case.device)
    given = {
        "id": case.id,
        "words": words,
        "names": list(expected),
        "memory_bytes": int(device.capacity_bytes.value),
        "capability": device.compute_capability,
    }
    return given, expected


def _expected(assignment: Any) -> Iterator[tuple[str, tuple[str, int]]]:
    """Name of a matrix → its scheme and how many it stands for: the first expert and the last
    answer for the experts of a layer."""
    for one in assignment.linears:
        if one.kind in ("mtp", "indexer") or "vision" in one.module:
            continue
        for layer in one.layers or (-1,):
            ends = (0,) if one.experts == 1 else (0, one.experts - 1)
            for expert in ends:
                yield (
                    one.module.format(layer=layer, expert=expert),
                    (one.scheme, one.experts // len(ends) or 1),
                )


def turned(plan: Plan, schemes: tuple[str, ...]) -> Iterator[UnitPlan]:
    """The plan's units with ``schemes`` by turns, layer by layer; what a fused matrix joins and
    both halves of the experts take the same."""
    for unit in plan.units:
        if unit.kind not in PLANNED_KINDS or unit.kv_layout is not None:
            yield unit
            continue
        by_scheme: dict[str, list[int]] = defaultdict(list)
        for layer in unit.layers:
            by_scheme[schemes[layer % len(schemes)]].append(layer)
        for number, (scheme, layers) in enumerate(by_scheme.items()):
            yield replace(unit, unit=f"{unit.unit}.{number}", scheme=scheme, layers=tuple(layers))


def main() -> int:
    """Prepare, judge, compare, print; with ``--write`` write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vllm", type=Path, required=True, help="python of vLLM's environment")
    parser.add_argument("--only", default="", help="cases whose name has this text")
    parser.add_argument("--write", type=Path, help="page to write")
    parser.add_argument("--keep", type=Path, help="folder for what the judge was given and said")
    given = parser.parse_args()
    cases = [case for case in CASES if given.only in case.id]
    with tempfile.TemporaryDirectory() as temporary:
        root = (given.keep or Path(temporary)).absolute()
        results, version = judge(cases, given.vllm, root)
    text = page(results, version)
    print(text)
    if given.write:
        publish(given.write, text)
    return int(any(result.error or result.differing for result in results))


def judge(cases: list[Case], python: Path, root: Path) -> tuple[list[Judged], str]:
    """Every case's comparison, in order, and vLLM's version; one process a compute capability."""
    by_capability: dict[str, list[dict[str, Any]]] = defaultdict(list)
    expected: dict[str, dict[str, tuple[str, int]]] = {}
    found: dict[str, Judged] = {}
    for number, case in enumerate(cases):
        folder = root / f"case{number}"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            ready, expected[case.id] = prepared(case, folder)
        except planner.PlannerError as error:
            found[case.id] = Judged(case.id, error=f"not exported: {error}")
            continue
        by_capability[ready["capability"]].append(ready)
    version = ""
    for capability, ready in by_capability.items():
        out = root / f"{capability}.said.json"
        (root / f"{capability}.json").write_text(json.dumps(ready), encoding="utf-8")
        done = subprocess.run(
            [python.absolute(), HELPER.resolve(), capability, root / f"{capability}.json", out],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"error: {HELPER.name} failed: {done.stderr[-2000:]}")
        said = json.loads(out.read_text(encoding="utf-8"))
        version = said["version"]
        for verdict in said["verdicts"]:
            words = next(one["words"] for one in ready if one["id"] == verdict["id"])
            found[verdict["id"]] = compared(verdict, expected[verdict["id"]], words)
    return [found[case.id] for case in cases], version


if __name__ == "__main__":
    sys.exit(main())
