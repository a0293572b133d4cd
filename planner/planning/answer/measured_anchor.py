"""What others measured with the formats of a plan: its anchor, and the rows beside it."""

from __future__ import annotations

from planner.messages.message import Note, Text, message
from planner.planning.engines.cache_rules import rotates
from planner.planning.plan.recommendation import MeasuredAnchor
from planner.planning.price.price import Priced
from planner.planning.space.model import CostModel
from planner.quality.anchor import RELEASED, UNCHANGED, WIDENED, anchor, sentence
from planner.quality.cache_reasoning import FOUR_BIT_KEY, is_four_bit, worst_reasoning
from planner.quality.measured_models import subject_of
from planner.quality.neighbours import PLAIN, nearest_cache, nearest_weights

MOST_ROWS = 3


def measured_anchor(model: CostModel, priced: Priced) -> tuple[MeasuredAnchor, ...]:
    """The nearest published measurements of the scheme, and of the cache layout, that carry most of
    the plan's loss."""
    schemes, layouts = changed_formats(model, priced)
    parts = anchor(
        subject_of(model.question.spec), next(iter(schemes), None), next(iter(layouts), None)
    )
    unchanged = RELEASED if priced.loss > 0 else UNCHANGED
    kept = WIDENED if _wider_than_released(model, priced) else None
    said: dict[Text, Text] = {UNCHANGED: kept or unchanged, RELEASED: kept or RELEASED}
    return tuple(MeasuredAnchor(said.get(p.text, p.text), p.source, p.kind) for p in parts)


def _wider_than_released(model: CostModel, priced: Priced) -> bool:
    """Whether some modules are in 16 bits that are released in fewer."""
    return any(
        model.units[c.segment.unit].role == "module"
        and c.segment.choice >= 0
        and model.choices[c.segment.choice] in PLAIN
        and model.planned[model.units[c.segment.unit].row].released_as not in PLAIN
        for c in priced.costs
    )


def measured_elsewhere(model: CostModel, priced: Priced) -> list[Note]:
    """A row for each format that loses, those that lose most first."""
    subject = subject_of(model.question.spec)
    schemes, layouts = changed_formats(model, priced)
    measured_rows = [
        nearest_weights(subject, scheme, next(iter(layouts), "bf16")) for scheme in schemes
    ]
    measured_rows += [nearest_cache(subject, layout) for layout in layouts]
    rows = list(dict.fromkeys(row for row in measured_rows if row is not None))
    return [
        Note("measured elsewhere", sentence(subject, row), row.source) for row in rows[:MOST_ROWS]
    ]


def reasoning_notes(model: CostModel, priced: Priced) -> list[Note]:
    """A warning for each cache of four bits: what such caches lost on long reasoning, which a loss
    in nats does not show."""
    out = []
    for layout in changed_formats(model, priced)[1]:
        if not is_four_bit(layout):
            continue
        turned = any(
            rotates(
                model.question.engine, model.question.engine_version, layout, unit.attention, "kv-k"
            )
            for unit in model.caches
        )
        worst, beside = worst_reasoning(layout, rotated=turned)
        why = (
            message(
                "assumptions.four_bit_caches_on_reasoning",
                model=worst.model,
                metric=worst.metric,
                lost=f"{-worst.drop:.1f}",
                source=worst.source,
            )
            if beside is None
            else message(
                "assumptions.four_bit_caches_hidden_by_short_tasks",
                model=worst.model,
                metric=worst.metric,
                lost=f"{-worst.drop:.1f}",
                short=beside.metric,
                hidden=f"{-beside.drop:.2f}",
                source=worst.source,
            )
        )
        out.append(Note(FOUR_BIT_KEY, layout, why))
    return out


def changed_formats(model: CostModel, priced: Priced) -> tuple[list[str], list[str]]:
    """(schemes, cache layouts) that lose something and differ from the release, by falling loss,
    then by name."""
    lost: tuple[dict[str, float], dict[str, float]] = {}, {}
    for cost in priced.costs:
        unit = model.units[cost.segment.unit]
        if cost.segment.choice < 0 or cost.loss <= 0:
            continue
        name, cache = model.choices[cost.segment.choice], unit.role == "cache"
        own = model.question.spec.kv_scheme if cache else model.planned[unit.row].released_as
        if name != own and name not in PLAIN:
            lost[cache][name] = lost[cache].get(name, 0.0) + cost.loss
    schemes, layouts = (sorted(part, key=lambda n: (-part[n], n)) for part in lost)
    return schemes, layouts
