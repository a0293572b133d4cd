"""The answer of ``train`` for a terminal of 80 columns."""

from __future__ import annotations

from planner.base.units import GIB, format_bytes, format_count
from planner.memory.training import COMPONENTS, TrainingMemory, TrainingStage
from planner.memory.training_advice import shortfall
from planner.report.terminal.columns import table_lines
from planner.report.terminal.columns import wrapped as _wrapped

_LABELS = {
    "weights": "weights (working copies)",
    "gradients": "gradients",
    "master": "master copies",
    "moments": "optimizer moments",
    "buffers": "ZeRO buffers",
    "activations": "activations",
    "recompute": "recompute workspace",
    "runtime": "runtime",
}
SHOWN_STAGES = 4


def train_text(answer: TrainingMemory) -> str:
    """Headline, components of the fullest stage, other stages, verdict; ends with a newline."""
    lines = [part for line in _headline(answer) for part in _wrapped(line)]
    lines += ["", *_components(answer.fullest, answer.usable_bytes), ""]
    lines += [part for line in _stages(answer) for part in _wrapped(line)]
    lines += ["", *(part for line in _verdict(answer) for part in _wrapped(line))]
    return "\n".join(lines) + "\n"


def train_assumptions(answer: TrainingMemory) -> str:
    """The assumptions, one a line, for stderr."""
    lines = ["assumptions:"]
    for key, value, reason in answer.assumptions:
        lines += _wrapped(f"  {key}: {value} — {reason}", "    ")
    return "\n".join(lines) + "\n"


def _headline(answer: TrainingMemory) -> list[str]:
    la, setup = answer.layout, answer.setup
    shape = " ".join(
        f"{name}{value}"
        for name, value in (
            ("tp", la.tp),
            ("cp", la.cp),
            ("pp", la.pp),
            ("dp", la.dp),
            ("ep", la.ep),
            ("etp", la.etp),
        )
        if value > 1
    )
    mode = "full training" if setup.mode == "full" else f"LoRA of rank {setup.lora_rank}"
    return [
        f"{answer.model}, {mode} in {setup.recipe.id} on {la.devices} × {answer.device}"
        + (f" ({shape})" if shape else ""),
        f"{format_count(answer.trained)} of {format_count(answer.parameters)} parameters trained; "
        f"{setup.micro_batch} × {setup.seq:,} tokens a micro-batch; ZeRO {setup.zero}, "
        f"{'no' if setup.recompute == 'none' else setup.recompute} recompute"
        + (", sequence parallel" if setup.sequence_parallel else ""),
    ]


def _components(stage: TrainingStage, usable: int) -> list[str]:
    rows = [(f"stage {stage.stage}, one device", "GiB", "share of usable")]
    for name in COMPONENTS:
        size = int(getattr(stage, name))
        if size:
            rows.append((_LABELS[name], f"{size / GIB:.2f}", f"{size / usable:.1%}"))
    rows.append(("total", f"{stage.total / GIB:.2f}", f"{stage.total / usable:.1%}"))
    rows.append(("usable", f"{usable / GIB:.2f}", ""))
    return table_lines(rows, gap=2)


def _stages(answer: TrainingMemory) -> list[str]:
    if len(answer.stages) == 1:
        return [
            f"parameters on a device: {format_count(answer.fullest.dense_parameters)} dense, "
            f"{format_count(answer.fullest.expert_parameters)} in routed experts"
        ]
    chosen = sorted(answer.stages, key=lambda s: -s.total)[:SHOWN_STAGES]
    lines = [
        f"stage {s.stage}: {format_bytes(s.total)}, "
        f"{format_count(s.dense_parameters + s.expert_parameters)} parameters"
        for s in sorted(chosen, key=lambda s: s.stage)
    ]
    hidden = len(answer.stages) - len(chosen)
    return lines + ([f"{hidden} emptier stages not shown (--json lists them)"] if hidden else [])


def _verdict(answer: TrainingMemory) -> list[str]:
    lines = []
    over = answer.fullest.total - answer.usable_bytes
    if over <= 0:
        lines.append(f"fits, {format_bytes(-over)} to spare")
    else:
        lines.append(
            f"does not fit: {format_bytes(over)} too many; "
            f"{shortfall(answer.fullest, answer.usable_bytes)}"
        )
        lines.append(
            f"smallest change found: {answer.change.flags} "
            f"({format_bytes(answer.change.total_bytes)} a device)"
            if answer.change
            else "no change of flags that was tried makes it fit"
        )
    scaling = answer.loss_scaling
    if scaling is not None:
        lines.append(
            f"loss scale {scaling.scale}: gradients above {scaling.largest_gradient:.4g} overflow "
            f"(margin {scaling.overflow_margin_bits:+.2f} bits at a gradient of "
            f"{scaling.reference:g}), below {scaling.smallest_normal:.2g} they lose bits, from "
            f"{scaling.smallest_subnormal / 2:.2g} down they vanish"
        )
    return lines
