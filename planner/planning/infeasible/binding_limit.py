"""Which limit leaves a question without a plan, without the way out that ``diagnose`` looks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.base.errors import InputError
from planner.base.units import format_bytes
from planner.placement.layout import Layout, shape_problem
from planner.planning.infeasible.conflicting_limits import contradiction, limits_of
from planner.planning.infeasible.feasible import ILLEGAL, least_memory
from planner.planning.question.question import Question
from planner.planning.space.candidates import possible_layouts
from planner.planning.space.layouts import considered
from planner.planning.space.memory import budget
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior
from planner.throughput.calibration import ANY_ENGINE


@dataclass(frozen=True, slots=True)
class Binding:
    """``limits`` by name: one, or several that contradict each other; ``text`` says it."""

    limits: tuple[str, ...]
    text: str


def binding(questions: Sequence[Question]) -> Binding:
    """The limit that excludes every plan of a question, served in any of its ways.

    Raises:
        InputError: the question's layout or batch does not exist at all.
    """
    least = least_memory(questions)
    if least is None:
        raise not_placed(questions)
    first = questions[0]
    where = f"{first.spec.id} on {first.device.id}"
    if least.total >= ILLEGAL:
        return Binding(
            ("schemes",),
            f"no scheme among {', '.join(first.schemes)} is legal for every unit of {where}",
        )
    if least.total > budget(first):
        return over_memory(first, least.total, least.layout.ranks)
    return excluded_by(build_model(first, load_prior()), contradiction(questions), where)


def limited(question: Question, least: int) -> bool:
    """Whether it is the limit of bytes that ``least`` bytes break, not the device's memory."""
    return (
        question.memory_bytes is not None
        and question.memory_bytes < question.usable_bytes
        and least <= question.usable_bytes
    )


def over_memory(question: Question, least: int, ranks: int) -> Binding:
    """In words: ``least`` bytes on each of ``ranks`` devices are more than the budget."""
    given = limited(question, least)
    name = "memory-bytes" if given else "memory"
    have = budget(question) if given else question.usable_bytes
    return Binding(
        (name,),
        f"{name}: {format_bytes(least)} at least on each of "
        f"{ranks} × {question.device.id}, {format_bytes(have)} "
        f"{'given' if given else 'usable'}",
    )


def excluded_by(model: CostModel, names: tuple[str, ...], where: str) -> Binding:
    """In words: limits that exclude every plan; none of them: they do together with memory."""
    values = limits_of(model)
    limit_texts = [f"{name} {values[name]}" for name in names or values]
    if not names:
        return Binding(
            ("memory", *values),
            " and ".join(["memory", *limit_texts]) + f" exclude every plan for {where}",
        )
    return Binding(
        names,
        f"{' and '.join(limit_texts)} exclude{'s' if len(limit_texts) == 1 else ''} every plan "
        f"for {where}",
    )


def not_placed(questions: Sequence[Question]) -> Exception:
    """The error of a question whose layout or batch does not exist."""
    layouts = [layout for question in questions for layout in possible_layouts(question)]
    return no_slot(questions[0], layouts) if layouts else no_layout(questions[0])


def no_layout(question: Question) -> Exception:
    """What keeps every layout from being a candidate: the last hurdle that any of them meets."""
    fixed = {k: v for k, v in question.fixed.items() if v is not None}
    words = ", ".join(f"{k} {v}" for k, v in fixed.items()) or "search"
    hint = "leave a flag out to search it"
    reasons = [reason for _, reason in considered(question)]
    if reasons:
        hurdle = max(reasons, key=lambda reason: _hurdle(question, reason))
        if question.engine != ANY_ENGINE and hurdle.startswith(question.engine):
            hint += ", or name another engine, or --engine any"
        return InputError(f"layout {words}: {hurdle}", hint=hint)
    tp, dp, pp = (fixed.get(k) or 1 for k in ("tp", "dp", "pp"))
    ranks, most = tp * dp * pp, max(question.sizes)
    why = shape_problem(question.spec, tp, dp, pp)
    if not why:
        why = (
            f"tp·dp·pp = {ranks} exceeds the {most} devices"
            if ranks > most
            else f"tp·dp·pp = {ranks} does not divide {most} devices"
        )
        hint += "" if question.devices_given else f"; --devices {ranks} gives as many"
    return InputError(f"layout {words}: {why}", hint=hint)


def _hurdle(question: Question, reason: str) -> int:
    """How far a layout came: past its numbers, the links, the engine's rules."""
    if question.engine != ANY_ENGINE and reason.startswith(question.engine):
        return 2
    return int(reason.startswith(f"{question.device.id} has no link"))


def no_slot(question: Question, layouts: Sequence[Layout]) -> Exception:
    """The error of a batch that no layout divides."""
    if question.concurrency is not None:
        fewest = min(la.dp * la.pp * question.replicas(la.ranks) for la in layouts)
        return InputError(
            f"{question.concurrency} requests in flight leave some of the devices idle in any "
            "layout",
            hint=f"--concurrency {fewest} or more, or fewer devices",
        )
    steps = sorted({la.dp * la.pp for la in layouts})
    return InputError(
        f"batch {question.batch} is not a multiple of dp·pp of any layout",
        hint="dp·pp here: " + ", ".join(map(str, steps)),
    )
