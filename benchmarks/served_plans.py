"""Plans that a named engine serves: solved, written, parsed by its reader, read back, compared.

    python benchmarks/served_plans.py [--only h200-sxm,l40s] [--write docs/evidence/plans.md]

For each pair of model and device the plan of its engine must be optimal and proved; its export is
parsed by the consumer's own library (the [oracle] extra; told where it is absent) and imported
again. The gain is over the best uniform plan at no more loss. No engine is started.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import planner
from evaluation.pages import insert, moved, narrow
from planner.base.errors import InfeasibleError, PlannerError
from planner.base.units import GIB
from planner.export.lint import CONSUMERS
from planner.export.plan_files import export_plan, import_plan
from planner.export.run import Export
from planner.memory.engines.catalog import engine_names
from planner.models import catalog
from planner.planning.answer.servability import verdicts
from planner.planning.plan.record import Plan

TARGETS = {"modelopt-mixed": "modelopt", "gguf": "llama.cpp"}
"""Checkpoint formats of the engine matrix whose export has another name."""
# Model, device, devices (None: searched), the engine that is known to serve it there, and where.
PAIRS: tuple[tuple[str, str, int | None, str], ...] = (
    ("deepseek-v3", "h200-sxm", 8, "vllm@0.25"),
    ("deepseek-v3", "h100-sxm", 16, "vllm@0.25"),
    ("deepseek-v3", "b200-sxm", 8, "vllm@0.25"),
    ("deepseek-v3", "xeon-6980p", 4, "sglang"),
    ("deepseek-v2-lite", "jetson-agx-orin-64gb", 1, "vllm"),
    ("deepseek-v2-lite", "jetson-agx-thor-t5000", 1, "vllm"),
    ("llama-3.1-70b", "h100-sxm", 2, "vllm@0.25"),
    ("llama-3.1-70b", "a100-sxm", 4, "vllm@0.25"),
    ("qwen3-30b-a3b", "l40s", None, "vllm@0.25"),
    ("qwen3-30b-a3b", "rtx-pro-6000", None, "tensorrt-llm"),
)
NVIDIAS = "deepseek-v3.1-nvfp4.hf_quant_config.json"
KEPT = ("embedding", "norm", "router", "head", "indexer")


@dataclass(frozen=True)
class Row:
    """One plan that was solved, written and read back."""

    plan: Plan
    engine: str
    container: str
    parsed: str
    back: str
    seconds: float


def main() -> int:
    """Print the tables; with ``--write`` put them into the page. 1 where a check failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="devices, with commas")
    parser.add_argument("--write", type=Path, help="page whose generated part is replaced")
    given = parser.parse_args()
    wanted = set(filter(None, given.only.split(",")))
    pairs = [pair for pair in PAIRS if not wanted or pair[1] in wanted]
    rows = [served(*pair) for pair in pairs]
    parts = [plans_table(rows), schemes_table(rows), others_table(pairs)]
    if not wanted or "b200-sxm" in wanted:
        parts.append(nvidia_table())
    text = "\n\n".join(parts) + "\n"
    print(text)
    if given.write:
        insert(given.write, text, MARK)
    return int(any("not" in row.parsed.split()[:1] or row.back != "same" for row in rows))


MARK = "plans"


def served(model: str, device: str, devices: int | None, engine: str) -> Row:
    """Plan, check, export, parse, import.

    Raises:
        AssertionError: the plan is not proved, not servable, or reads back as another.
    """
    start = time.process_time()
    plan = planner.plan(model, device, devices=devices, engine=engine)
    seconds = time.process_time() - start
    assert plan.solver.status == "optimal", plan.solver
    assert plan.solver.proved, plan.solver
    verdict = verdicts(
        planner.load_model(model), planner.load_device(device), plan.units, plan.layout, [engine]
    )[0]
    assert verdict.status == "yes", verdict
    target = TARGETS.get(verdict.container, verdict.container) or next(iter(CONSUMERS))
    written = export_plan(plan, target)
    assert [one.status for one in written.findings] == ["yes"], written.findings
    back = read_back(plan, written)
    row = Row(plan, engine, verdict.container, parse(target, written), back, seconds)
    print(f"{model} on {device}: {seconds:.1f} s, {row.parsed}, read back: {back}", file=sys.stderr)
    return row


def read_back(plan: Plan, written: Export) -> str:
    """Whether the folder, imported, is the same plan: ``same``, or what differs."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in written.files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        again = import_plan(folder, plan.model.id)
    if decided(again) != decided(plan):
        return "other schemes"
    ratio = again.performance.tpot_seconds.value / plan.performance.tpot_seconds.value
    return "same" if abs(ratio - 1) < 1e-9 else f"TPOT {ratio - 1:+.2%}"


def decided(plan: Plan) -> set[tuple[str, int, str]]:
    """(kind, layer, scheme or cache layout) of everything in the stack."""
    return {(u.kind, layer, u.kv_layout or u.scheme) for u in plan.units for layer in u.layers}


def parse(target: str, written: Export) -> str:
    """The library that parsed the configuration, with its version, or why none did."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _PARSERS[target](written.files)
        except ImportError as error:
            return f"not parsed: {error.name} is not installed ([oracle] extra)"


def _compressed_tensors(files: dict[str, str]) -> str:
    module = importlib.import_module("compressed_tensors")
    quantization = importlib.import_module("compressed_tensors.quantization")
    config = quantization.QuantizationConfig.model_validate(
        json.loads(files["quantization_config.json"])
    )
    return f"compressed-tensors {module.__version__}: {len(config.config_groups)} groups"


def _modelopt(files: dict[str, str]) -> str:
    convert = importlib.import_module("modelopt.torch.export.convert_hf_config")
    data = json.loads(files["hf_quant_config.json"])
    found = convert.convert_hf_quant_config_format(data)
    assert found["quant_method"] == "modelopt"
    version = importlib.import_module("modelopt").__version__
    return f"modelopt {version}: {found['quant_algo']}"


def _fp8(files: dict[str, str]) -> str:
    transformers = importlib.import_module("transformers")
    data = json.loads(files["quantization_config.json"])
    data.pop("quant_method")
    config, _ = transformers.FineGrainedFP8Config.from_dict(data, return_unused_kwargs=True)
    assert tuple(config.weight_block_size) == (128, 128)
    return f"transformers {transformers.__version__}: FineGrainedFP8Config"


_PARSERS: dict[str, Callable[[dict[str, str]], str]] = {
    "compressed-tensors": _compressed_tensors,
    "modelopt": _modelopt,
    "fp8": _fp8,
}


def plans_table(rows: list[Row]) -> str:
    """Figures of every plan."""
    heads = (
        "model",
        "devices",
        "engine",
        "layout, batch",
        "tokens/s",
        "loss",
        "GiB a device",
        "checkpoint",
        "parsed by",
        "gain over the best uniform plan",
    )
    out = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        p, lay = row.plan, row.plan.layout
        layout = f"tp{lay.tp} dp{lay.dp} pp{lay.pp} ep{lay.ep}, {p.workload.batch}"
        rate = p.performance.output_tokens_per_second
        out.append(
            "| "
            + " | ".join(
                (
                    p.model.id,
                    f"{p.device.count} × {p.device.id}",
                    words(row.engine),
                    layout,
                    f"{rate.value:,.0f} ({rate.low:,.0f}–{rate.high:,.0f})",
                    f"{p.quality.loss:.3g}",
                    f"{p.memory_per_device.total_bytes / GIB:.1f} of "
                    f"{p.memory_per_device.usable_bytes / GIB:.1f}",
                    row.container or "as it is",
                    row.parsed,
                    p.comparison.text,
                )
            )
            + " |"
        )
    every = moved("plans", "Layout, checkpoint, parser and gain", out)
    return f"{narrow(out, (0, 1, 2, 3, 4, 5))}\n\n{every}"


def schemes_table(rows: list[Row]) -> str:
    """What every plan gives to its modules and caches."""
    out = ["| plan | schemes by module | caches |", "|---|---|---|"]
    for row in rows:
        by_scheme: dict[str, dict[str, None]] = {}
        for unit in row.plan.units:
            if unit.kind not in KEPT and unit.kv_layout is None:
                by_scheme.setdefault(unit.scheme, {})[unit.kind] = None
        caches = dict.fromkeys(u.kv_layout for u in row.plan.units if u.kv_layout)
        text = "; ".join(f"**{name}** {', '.join(kinds)}" for name, kinds in by_scheme.items())
        out.append(
            f"| {row.plan.model.id}, {row.plan.device.id} | {text} | "
            f"{', '.join(map(str, caches))} |"
        )
    return moved("plans-schemes", "Schemes by module", out)


def others_table(pairs: list[tuple[str, str, int | None, str]]) -> str:
    """What the matrix lets each engine's default version do with each pair."""
    names = engine_names()
    out = [
        "| pair | " + " | ".join(map(words, names)) + " |",
        "|---|" + "---|" * len(names),
    ]
    for model, device, devices, _ in pairs:
        cells = [_cell(model, device, devices, name) for name in names]
        out.append(f"| {model}, {device} | " + " | ".join(cells) + " |")
    return moved("plans-every-engine", "The same questions to every engine", out)


def _cell(model: str, device: str, devices: int | None, engine: str) -> str:
    try:
        plan = planner.plan(model, device, devices=devices, engine=engine)
    except InfeasibleError:
        return "memory"
    except PlannerError as error:
        return "refused" if "refused" in error.message else "unknown"
    rate = plan.performance.output_tokens_per_second.value
    inside = ", in the band" if "inside" in plan.comparison.text else ""
    return f"{rate:,.0f}; {plan.comparison.gain:.1%}{inside}"


def nvidia_table() -> str:
    """NVIDIA's released plan beside ours, on one layout and batch and on the best of each."""
    file = Path(catalog.__file__).parent / "configs" / NVIDIAS
    engine, model = "vllm@0.25", "deepseek-v3.1"
    asked: dict[str, Any] = {"devices": 8, "engine": engine}
    theirs = import_plan(file, model, "b200-sxm", **asked)
    fixed = {
        "tp": theirs.layout.tp,
        "dp": theirs.layout.dp,
        "pp": theirs.layout.pp,
        "ep": theirs.layout.ep,
        "batch": theirs.workload.batch,
    }
    named = {
        "NVIDIA's": theirs,
        "ours, no lossier than uniform nvfp4, same layout and batch": planner.plan(
            model, "b200-sxm", max_loss="nvfp4", **fixed, **asked
        ),
        "ours, no lossier than uniform nvfp4": planner.plan(
            model, "b200-sxm", max_loss="nvfp4", **asked
        ),
        "ours, no lossier than uniform fp8-block": planner.plan(
            model, "b200-sxm", max_loss="fp8-block", **asked
        ),
    }
    out = [
        "## NVIDIA's plan for DeepSeek-V3.1",
        "",
        f"`{NVIDIAS}` as released, imported and priced on 8 × b200-sxm for {words(engine)}.",
        "",
        "| plan | layout, batch | tokens/s | TPOT | loss (T0) | weights a device |",
        "|---|---|---|---|---|---|",
    ]
    for name, plan in named.items():
        lay, perf = plan.layout, plan.performance
        out.append(
            f"| {name} | tp{lay.tp} dp{lay.dp} pp{lay.pp} ep{lay.ep}, {plan.workload.batch} "
            f"| {perf.output_tokens_per_second.value:,.0f} | "
            f"{perf.tpot_seconds.value * 1e3:.0f} ms | {plan.quality.loss:.3g} | "
            f"{plan.memory_per_device.weights_bytes / GIB:.1f} GiB |"
        )
    return "\n".join(out)


def words(engine: str) -> str:
    """``vllm@0.25`` as people write it."""
    return engine.replace("@", " ")


if __name__ == "__main__":
    sys.exit(main())
