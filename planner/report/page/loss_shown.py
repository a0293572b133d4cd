"""What a report says of the loss's origin: the measured models, and what its band is made of."""

from __future__ import annotations

from dataclasses import dataclass

from planner.planning.inspect.derived_figures import DerivedFigures
from planner.planning.inspect.loss_origin import LossOrigin, MeasuredSister
from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.phrases import Phrases
from planner.report.terminal.headline import noted

BASIS, LEVEL = "loss basis", "loss level"
"""Keys of the assumptions on the loss."""


@dataclass(frozen=True, slots=True)
class LossShown:
    """Sentences with quotations marked, then measured models as (name, family, parameters,
    matrices, baseline, level), and their source with its date."""

    lines: list[str]
    models: list[tuple[str, ...]]
    source: str
    date: str


def loss_shown(t: Phrases, plan: Plan, made: DerivedFigures | None) -> LossShown:
    """On what the loss of ``plan`` rests: from what was ``made`` beside it, else from its
    assumptions."""
    found = None if made is None else made.loss
    basis, level = noted(plan, BASIS), noted(plan, LEVEL)
    if found is None:
        text = "" if basis is None else f"{basis.value}; {basis.reason}"
        key = "not_told" if plan.quality.tier.startswith("T0") else "profile"
        return LossShown([t(f"loss_origin.{key}", text=t.marked(text))] if text else [], [], "", "")
    lines = [t(f"loss_origin.{found.match}", n=_counted(t, len(found.models))), _band(t, found)]
    if level is not None:
        lines.append(
            t("loss_origin.level_from", text=t.marked(level.reason), value=t.marked(level.value))
        )
    return LossShown(lines, [_row(one) for one in found.models], found.source, found.date)


def _counted(t: Phrases, count: int) -> str:
    return t("loss_origin.model" if count == 1 else "loss_origin.models", n=count)


def _band(t: Phrases, found: LossOrigin) -> str:
    return t(
        "loss_origin.band",
        band=f"{found.band:.2g}",
        level=f"{found.level:.3g}",
        kinds=f"{found.kinds:.3g}",
        formats=f"{found.formats:.3g}",
        judged=found.judged,
        rank=f"{found.rank:.2f}",
    )


def _row(one: MeasuredSister) -> tuple[str, ...]:
    return (
        one.name,
        one.family,
        f"{one.parameters_billion:g}",
        words.count(one.points),
        one.baseline,
        "" if one.level is None else f"{one.level:.2g}",
    )
