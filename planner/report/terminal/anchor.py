"""The human anchor under a plan's headline: what others measured, and who."""

from __future__ import annotations

from planner.planning.plan.record import Plan
from planner.quality.anchor import RELEASED, WIDENED, told
from planner.quality.neighbours import publisher
from planner.report.terminal.columns import width_of_output, wrapped

LEAD = "measured elsewhere: "
FIRST = (RELEASED, WIDENED)
"""First parts of an anchor that stand on the line of the second."""


def anchor_lines(plan: Plan) -> list[str]:
    """A sentence for the weights and one for the cache; none where a plan file has no anchor.

    A sentence that does not fit is broken before its figure. The publisher stands in brackets, its
    owner alone where that lets the line fit; the whole source is in the plan file and the report.
    """
    found = plan.quality.measured_anchor
    if found is None:
        return []
    parts = told((found.text, found.source))
    before = ""
    if len(parts) > 1 and parts[0][0] in FIRST:
        before, parts = f"{parts[0][0]}; ", parts[1:]
    led = next((n for n, (_, source) in enumerate(parts) if source), -1)
    lines: list[str] = []
    for number, (part, source) in enumerate(parts):
        lead = LEAD if number == led else ""
        if before and not number:
            lead = before + lead.replace(" elsewhere", "")
        end = ";" if number + 1 < len(parts) else ""
        lines += _sentence(lead, part, publisher(source), end, "  " * bool(number))
    return lines


def _sentence(lead: str, part: str, name: str, end: str, indent: str) -> list[str]:
    if not name:
        return wrapped(lead + part + end, indent + "  ", first=indent)
    subject, _, figure = part.rpartition(": ")
    inner = indent + "  "
    names = [f" ({shown}){end}" for shown in (name, name.partition("/")[0])]
    for shown in names:
        line = f"{indent}{lead}{part}{shown}"
        if len(line) <= width_of_output():
            return [line]
    last = next((n for n in names if len(inner + figure + n) <= width_of_output()), names[-1])
    return wrapped(f"{lead}{subject}:", inner, first=indent) + wrapped(
        figure + last, inner, first=inner
    )
