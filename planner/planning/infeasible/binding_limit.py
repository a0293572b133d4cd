"""Which limit leaves a question without a plan, without the way out that ``diagnose`` looks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.planning.infeasible.conflicting_limits import contradiction, limits_of
from planner.planning.infeasible.diagnose import no_layout, no_slot
from planner.planning.question.question import Question
from planner.planning.space.candidates import possible_layouts
from planner.planning.space.least_memory import least_rank
from planner.planning.space.memory import budget
from planner.planning.space.model import CostModel
from planner.units import format_bytes


@dataclass(frozen=True, slots=True)
class Binding:
    """``limits`` by name: one, or several that contradict each other; ``text`` says it."""

    limits: tuple[str, ...]
    text: str


def binding(model: CostModel) -> Binding:
    """The limit that excludes every plan of a question without one.

    Raises:
        InputError: the question's layout or batch does not exist at all.
    """
    question = model.question
    layouts = possible_layouts(question)
    if not layouts:
        raise no_layout(question)
    least, index = least_rank(model, layouts)
    if least is None:
        raise no_slot(question, layouts)
    where = f"{question.spec.id} on {question.device.id}"
    if least >= np.iinfo(np.int64).max:
        return Binding(("schemes",), f"no scheme among {', '.join(question.schemes)} is legal for "
                                     f"every unit of {where}")
    if least > budget(question):
        return over_memory(question, least, layouts[index].ranks)
    return excluded_by(model, contradiction(model), where)


def over_memory(question: Question, least: int, ranks: int) -> Binding:
    """In words: ``least`` bytes on each of ``ranks`` devices are more than the budget."""
    given = question.memory_bytes is not None and question.memory_bytes < question.usable_bytes
    name = "memory-bytes" if given else "memory"
    return Binding((name,), f"{name}: {format_bytes(least)} at least on each of "
                            f"{ranks} × {question.device.id}, {format_bytes(budget(question))} "
                            f"{'given' if given else 'usable'}")


def excluded_by(model: CostModel, names: tuple[str, ...], where: str) -> Binding:
    """In words: limits that exclude every plan; none of them: they do together with memory."""
    values = limits_of(model)
    told = [f"{name} {values[name]}" for name in names or values]
    if not names:
        return Binding(("memory", *values), " and ".join(["memory", *told])
                       + f" exclude every plan for {where}")
    return Binding(names, f"{' and '.join(told)} exclude{'s' if len(told) == 1 else ''} every plan "
                          f"for {where}")
