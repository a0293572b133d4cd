"""What a report shows first: three figures, the cost, other plans, the command, what to measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import attrgetter
from shlex import split

from planner.export.serve_line import serving_command
from planner.planning.plan.record import Estimate, PerformanceInfo, Plan
from planner.planning.question.time_limits import REQUEST_TIME
from planner.quality.anchor import short_alone
from planner.quality.loss_units import NATS
from planner.quality.neighbours import publisher
from planner.report import key_figures, words
from planner.report.key_figures import KeyFigure
from planner.report.phrases import Phrases
from planner.report.plan_terms import LIMIT_DEFAULT, LIMIT_DROPPED, assumption_of
from planner.report.view.rival_plans import RivalsView, rivals_view
from planner.report.view.shell_lines import server_lines

NAMES = ("output", "each", "tpot", "ttft", "users", "memory", "loss", "engines")
"""Key figures in the order of :func:`planner.report.key_figures.key_figures`."""
THREE = {
    "latency": ("tpot", "output", "loss"),
    "memory": ("memory", "tpot", "loss"),
    "quality": ("loss", "output", "tpot"),
}
"""The figures that count, by objective; elsewhere rate, time of a token and loss."""
RATE_FIRST = ("output", "tpot", "loss")
ESTIMATES: dict[str, Callable[[PerformanceInfo], Estimate]] = {
    "output": attrgetter("output_tokens_per_second"),
    "tpot": attrgetter("tpot_seconds"),
    "ttft": attrgetter("ttft_seconds"),
}
COLUMNS = 60
"""Columns of the command beside the chart."""


@dataclass(frozen=True, slots=True)
class FirstScreen:
    """``figures`` are three and the cost, ``rest`` the other key figures; ``anchor`` what others
    measured, with who did; ``rivals`` None where nothing was weighed."""

    figures: tuple[KeyFigure, ...]
    rest: tuple[KeyFigure, ...]
    anchor: str
    rivals: RivalsView | None
    command: str
    measure: tuple[str, str] | None


def first_screen(t: Phrases, plan: Plan, command: str) -> FirstScreen:
    """The first screen of ``plan``, whose question was typed as ``command`` (empty: not known)."""
    every = dict(zip(NAMES, key_figures.key_figures(t, plan), strict=True))
    if plan.deployment is not None and every["memory"].label == t("figures.cost"):
        del every["memory"]  # pools have a table of their memory
    flags = given_flags(command)
    three = _three(plan, flags)
    if any(name not in every for name in three):
        three = RATE_FIRST
    line = serving_command(plan)
    return FirstScreen(
        figures=(
            *(_figure_in_words(t, plan, name, every[name], flags) for name in three),
            _cost(t, plan),
        ),
        rest=tuple(figure for name, figure in every.items() if name not in three),
        anchor=_anchor(t, plan),
        rivals=rivals_view(t, plan),
        command="\n".join(row.removeprefix("  ") for row in server_lines(line, COLUMNS))
        if line.words
        else "",
        measure=_measure(t, plan),
    )


def given_flags(command: str) -> dict[str, str]:
    """Flags of a command with their values; none of what no shell reads."""
    try:
        parts = split(command)
    except ValueError:
        return {}
    flags = {}
    for part, following in pairwise([*parts, ""]):
        name, equals, value = part.partition("=")
        if name.startswith("--"):
            flags[name] = value if equals else following
    return flags


def _three(plan: Plan, flags: dict[str, str]) -> Sequence[str]:
    """The three that count: the time to the first token in place of that of a token where only the
    former was limited."""
    three = THREE.get(plan.objective, RATE_FIRST)
    free = "--tpot-ms" not in flags and assumption_of(plan, LIMIT_DEFAULT) is None
    if "--ttft-ms" in flags and free and plan.objective != "latency":
        return ["ttft" if name == "tpot" else name for name in three]
    return three


def _figure_in_words(
    t: Phrases,
    plan: Plan,
    name: str,
    figure: KeyFigure,
    flags: dict[str, str],
) -> KeyFigure:
    """A figure with what limits it, or what else it is measured by."""
    more = ""
    if name == "output" and plan.device.count > 1:
        each = plan.performance.output_tokens_per_second_per_device
        more = t("first.each", rate=words.three_digits(each.value))
    elif name in ("tpot", "ttft"):
        more = t("answer.join").join(
            filter(None, (_limit(t, plan, name, flags), _request(t, plan)))
        )
    elif name == "loss":
        quality = plan.quality
        unit = NATS if quality.unit == NATS else ""
        meant = words.meaning(t, quality)
        ends = figure.interval if quality.high > 0 else t("answer.lossless")
        return replace(
            figure,
            unit=unit,
            interval=ends,
            note=t("answer.join").join(filter(None, (meant, t.original(quality.tier)))),
        )
    estimate = ESTIMATES.get(name)
    note = figure.note if estimate is None else _basis(t, estimate(plan.performance))
    return replace(figure, note=t("answer.join").join(filter(None, (more, note))))


def _basis(t: Phrases, estimate: Estimate) -> str:
    """What an estimate rests on; how it compared with measurements stands among the sources."""
    return key_figures.basis(t, replace(estimate, evidence=None))


def _limit(t: Phrases, plan: Plan, name: str, flags: dict[str, str]) -> str:
    default = assumption_of(plan, LIMIT_DEFAULT)
    if name == "tpot" and default is not None:
        return t("first.limit_default", value=default.value)
    if name == "tpot" and assumption_of(plan, LIMIT_DROPPED) is not None:
        return t("first.limit_dropped")
    value = flags.get(f"--{name}-ms", "")
    return t("first.limit", value=value) if value.replace(".", "", 1).isdigit() else ""


def _request(t: Phrases, plan: Plan) -> str:
    """What a whole request takes, where it is limited."""
    note = assumption_of(plan, REQUEST_TIME)
    return "" if note is None else t("first.request", value=t.original(note.value))


def _cost(t: Phrases, plan: Plan) -> KeyFigure:
    """What a million output tokens cost, or how to say what a device costs; energy beside it."""
    money = plan.performance.usd_per_million_output_tokens
    energy = plan.performance.joules_per_output_token
    joules = (
        t("first.no_energy")
        if energy is None
        else t(
            "answer.energy",
            value=words.three_digits(energy.value),
            low=words.three_digits(energy.low),
            high=words.three_digits(energy.high),
            basis=t.texts.get(f"basis.{energy.basis}", energy.basis),
        )
    )
    if money is None:
        return KeyFigure(t("figures.cost"), t("first.no_price"), "", t("first.price"), joules)
    return KeyFigure(
        t("figures.cost"),
        words.three_digits(money.value),
        t("figures.cost_unit"),
        f"{words.three_digits(money.low)} – {words.three_digits(money.high)}",
        t("answer.join").join(filter(None, (joules, _basis(t, money)))),
    )


def _measure(t: Phrases, plan: Plan) -> tuple[str, str] | None:
    """What to measure first, with what it decides, and the command."""
    said = plan.recommendation
    if said is None or not said.measure_next:
        return None
    item = said.measure_next[0]
    what = t.pieced(" ".join(filter(None, (item.operator, item.scheme, item.shape))))
    return t("first.measure_what", what=what, swing=f"{item.swing:.0%}"), item.command


def _anchor(t: Phrases, plan: Plan) -> str:
    """What others measured, with its publishers: the whole source stands among the sources."""
    parts = plan.quality.measured_anchor
    if not any(part.source for part in parts):
        return words.anchor(t, plan)
    texts = [
        t.original(p.text) + (t("advice.anchored", text=publisher(p.source)) if p.source else "")
        for p in parts
    ]
    said = t("first.anchor", text=t("answer.join").join(texts))
    return said + (t("first.short_alone") if short_alone(parts) else "")
