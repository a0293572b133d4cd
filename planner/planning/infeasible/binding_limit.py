"""Which limit leaves a question without a plan, without the way out that ``diagnose`` looks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.base.errors import InputError
from planner.base.units import format_bytes
from planner.messages.message import LINKED, Message, Text, joined, message, with_name
from planner.placement.layout import Layout, shape_problem
from planner.planning.infeasible.conflicting_limits import contradiction, limit_words, limits_of
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
    text: Text


def binding(questions: Sequence[Question]) -> Binding:
    """The limit that excludes every plan of a question, served in any of its ways.

    Raises:
        InputError: the question's layout or batch does not exist at all.
    """
    least = least_memory(questions)
    if least is None:
        raise not_placed(questions)
    first = questions[0]
    if least.total >= ILLEGAL:
        return no_legal_scheme(first)
    if least.total > budget(first):
        return over_memory(first, least.total, least.layout.ranks)
    return excluded_by(build_model(first, load_prior()), contradiction(questions))


def no_legal_scheme(question: Question) -> Binding:
    """That no scheme of the question is legal everywhere."""
    text = message(
        "refusals.no_scheme_among_is_legal",
        schemes=", ".join(question.schemes),
        m=question.spec.id,
        d=question.device.id,
    )
    return Binding(("schemes",), text)


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
    text = message(
        "refusals.at_least_on_each_of_given" if given else "refusals.at_least_on_each_of",
        b=format_bytes(least),
        k=ranks,
        d=question.device.id,
        h=format_bytes(have),
    )
    return Binding((name,), with_name(name, text))


def excluded_by(model: CostModel, names: tuple[str, ...]) -> Binding:
    """In words: limits that exclude every plan; none of them: they do together with memory."""
    values = limits_of(model)
    limits = [limit_words(name, values[name]) for name in names or values]
    if not names:
        limits = ["memory", *limits]
    return Binding(
        names or ("memory", *values),
        message(
            "refusals.excludes_every_plan" if len(limits) == 1 else "refusals.exclude_every_plan",
            x=joined(limits, LINKED),
            m=model.question.spec.id,
            d=model.question.device.id,
        ),
    )


def not_placed(questions: Sequence[Question]) -> Exception:
    """The error of a question whose layout or batch does not exist."""
    layouts = [layout for question in questions for layout in possible_layouts(question)]
    return no_slot(questions[0], layouts) if layouts else no_layout(questions[0])


def no_layout(question: Question) -> Exception:
    """What keeps every layout from being a candidate: the last hurdle that any of them meets."""
    fixed = {k: v for k, v in question.fixed.items() if v is not None}
    words = ", ".join(f"{k} {v}" for k, v in fixed.items()) or "search"
    hint: Text = message("refusals.leave_flag_out_to_search")
    reasons = [reason for _, reason in considered(question)]
    if reasons:
        hurdle = max(reasons, key=lambda reason: _hurdle(question, reason))
        if question.engine != ANY_ENGINE and _of_engine(question, hurdle):
            hint = message("refusals.leave_flag_out_or_another_engine")
        return InputError(message("refusals.layout", words=words, y=hurdle), hint=hint)
    tp, dp, pp = (fixed.get(k) or 1 for k in ("tp", "dp", "pp"))
    ranks, most = tp * dp * pp, max(question.sizes)
    why = shape_problem(question.spec, tp, dp, pp)
    if not why:
        why = (
            message("refusals.tp_dp_pp_exceeds_devices", ranks=ranks, most=most)
            if ranks > most
            else message("refusals.tp_dp_pp_does_not", ranks=ranks, most=most)
        )
        if not question.devices_given:
            hint = joined([hint, message("refusals.devices_gives_as_many", n=ranks)])
    return InputError(message("refusals.layout", words=words, y=why), hint=hint)


def _hurdle(question: Question, reason: Text) -> int:
    """How far a layout came: past its numbers, the links, the engine's rules."""
    if _of_engine(question, reason):
        return 2
    return int(isinstance(reason, Message) and reason.id == "refusals.has_no_link_for_group")


def _of_engine(question: Question, reason: Text) -> bool:
    return question.engine != ANY_ENGINE and str(reason).startswith(question.engine)


def no_slot(question: Question, layouts: Sequence[Layout]) -> Exception:
    """The error of a batch that no layout divides."""
    if question.concurrency is not None:
        fewest = min(la.dp * question.replicas(la.ranks) for la in layouts)
        return InputError(
            message("refusals.requests_in_flight_leave_idle_anywhere", n=question.concurrency),
            hint=f"--concurrency {fewest} or more, or fewer devices",
        )
    steps = sorted({la.dp * la.pp for la in layouts})
    hint = "dp·pp here: " + ", ".join(map(str, steps))
    batch = question.batch or 0
    if any(la.dp * question.replicas(la.ranks) <= batch < la.dp * la.pp for la in layouts):
        # Fewer requests than stages: a request passes them all, one after the other.
        hint += f"; fewer requests in flight than stages: --concurrency {batch} instead of --batch"
    return InputError(
        message("refusals.batch_is_not_multiple_of_dp", batch=batch),
        hint=hint,
    )
