"""What would hold a model that a device does not: other devices, by the least of their memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from planner.errors import PlannerError
from planner.hardware.profile import DeviceProfile
from planner.memory.footprint import usable_bytes
from planner.planning.question.asked import Asked
from planner.planning.question.question import Question
from planner.planning.question.resolve import build_question
from planner.planning.search.best_first import search
from planner.planning.space.candidates import possible_layouts
from planner.planning.space.least_memory import least_rank
from planner.planning.space.memory import budget
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior

COUNTS = (1, 2, 4, 8)
TRIALS = 24
"""Candidates that are looked at: those with the least memory that could be enough."""
SLACK = 0.8
"""Share of the bytes needed here below which another device is not looked at: its formats may be
smaller, and fewer ranks keep fewer buffers."""


def larger_devices(question: Question, devices: Iterable[DeviceProfile], total: int) -> str:
    """``8 × h100-sxm``: other devices that hold the question's model and context, the least memory
    of those that could, with a plan for it; ``total`` bytes are needed here over all ranks. Empty
    where none is found among them."""
    able = sorted((usable_bytes(d) * count, count, d.id, d) for d in devices for count in COUNTS
                  if d.kind != "cpu" and d.status == "released" and d.id != question.device.id
                  and usable_bytes(d) * count >= SLACK * total)
    for _, count, name, device in able[:TRIALS]:
        try:
            trial = _on(question, device, count)
        except PlannerError:
            continue
        layouts = possible_layouts(trial)
        if not layouts:
            continue
        model = build_model(trial, load_prior())
        least, _ = least_rank(model, layouts)
        if least is not None and least <= budget(trial) and search(model) is not None:
            return f"{count} × {name}"
    return ""


def wider(question: Question) -> Question | None:
    """``question`` with every scheme and cache layout of its device, None where it has them.

    Raises:
        PlannerError: the device cannot run the model.
    """
    work = question.workload
    asked = Asked(context=work.context, isl=work.isl, osl=work.osl)
    full = build_question(question.spec, question.device, asked, None, uniform=None, given=None)
    if set(full.schemes) <= set(question.schemes) and set(full.kv) <= set(question.kv):
        return None
    return replace(question, schemes=full.schemes, kv=full.kv, as_released=False)


def _on(question: Question, device: DeviceProfile, count: int) -> Question:
    """The question on ``count`` of another device: its workload, and its schemes where it has one.

    Raises:
        PlannerError: the device cannot run the model.
    """
    work, batch = question.workload, question.batch
    uniform = "" if question.as_released else \
        question.schemes[0] if len(question.schemes) == 1 else None
    asked = Asked(devices=count, context=work.context, isl=work.isl, osl=work.osl, batch=batch)
    return build_question(question.spec, device, asked, None, uniform=uniform, given=None)
