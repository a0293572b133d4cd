"""Configurations as people bring them, each asked for an inventory, memory, an estimate, a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import planner
from planner.base.errors import PlannerError
from planner.models.inventory import Inventory
from planner.models.spec import ModelSpec

DEVICE = "b300-sxm"
ASKED: dict[str, Any] = {"devices": 8, "context": 8192, "engine": "any"}
STEPS = ("inventory", "memory", "estimate", "plan")
SUFFIX = "config.json"
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Tried:
    """``answers`` are those of STEPS that came, in order; ``reason`` is why the next did not."""

    name: str
    answers: tuple[str, ...]
    parameters: int = 0
    stored_as: str = ""
    remarks: tuple[str, ...] = ()
    reason: str = ""


def configurations(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and file of every configuration in a folder: NAME_config.json, or NAME/config.json."""
    for path in sorted((*folder.glob(f"*_{SUFFIX}"), *folder.glob(f"*/{SUFFIX}"))):
        if not path.name.endswith(f"hf_quant_{SUFFIX}"):
            name = path.name.removesuffix(f"_{SUFFIX}") if path.name != SUFFIX else path.parent.name
            yield name.replace("--", "/"), path


def tried(name: str, path: Path, *, plans: bool = True) -> Tried:
    """What becomes of one configuration; without ``plans`` nothing is searched."""
    try:
        spec = planner.load_model(str(path))
    except PlannerError as error:
        return Tried(name, (), reason=_short(error))
    questions: list[tuple[str, Callable[[ModelSpec], object]]] = [
        ("memory", lambda model: planner.memory_use(model)),
        ("estimate", lambda model: planner.estimate(model, DEVICE, **ASKED)),
    ]
    if plans:
        questions.append(("plan", lambda model: planner.plan(model, DEVICE, **ASKED)))
    answers, reason = ["inventory"], ""
    for step, ask in questions:
        try:
            ask(spec)
        except PlannerError as error:
            reason = reason or f"{step}: {_short(error)}"
        else:
            answers.append(step)
    counts = Inventory(spec)
    return Tried(
        name,
        tuple(answers),
        counts.parameters_total,
        spec.quantization,
        tuple(f"{key}: {value}" for key, value, _ in spec.remarks),
        reason,
    )


def _short(error: PlannerError) -> str:
    """The message without the place, which is a path of this machine."""
    text = " ".join(error.message.split())
    place, colon, rest = text.partition(": ")
    text = rest if colon and "/" in place else text
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
