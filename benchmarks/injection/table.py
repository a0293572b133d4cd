"""Fields × payloads × outputs: each refused where it is read, or inert where it is written."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import planner
from benchmarks.injection.judge import live
from benchmarks.injection.payloads import HARMLESS, PAYLOADS, of_each, with_text, with_texts
from benchmarks.injection.samples import MADE, REPORTED, data_of, exports, sample
from planner.api.report import report_extras
from planner.base.errors import PlannerError
from planner.planning.plan.record import Plan
from planner.planning.plan.schema import _adapter
from planner.planning.plan.texts import NAMES
from planner.report.columns import plain_width
from planner.report.render.html import page
from planner.report.render.markdown import markdown
from planner.report.render.plan_text import assumptions_text, plan_text

Field = tuple[str, str]
Known = Mapping[Field, Mapping[str, str | None]]
GUARDED = frozenset(
    {*NAMES, ("Recommendation", "checkpoint"), ("OffloadInfo", "flags"), ("EngineInfo", "name")}
)
"""Fields that reach a command, whose grammar stands in texts.py and schema.py."""


@dataclass
class Tally:
    """What was tried: cells by output, of fields that were refused and of those that were written,
    and the live ones in words."""

    refused: Counter[str] = field(default_factory=Counter)
    inert: Counter[str] = field(default_factory=Counter)
    live: list[str] = field(default_factory=list)


def refusal(name: str, place: str, text: str) -> str | None:
    """Where the reader says that a text is refused in a plan file; None where it takes it."""
    try:
        planner.read_plan(with_text(data_of(name), place, text))
    except PlannerError as error:
        said, bare = (_keys(words) for words in (str(error), place))
        return "" if error.hint and bare in said else f"{error} does not name {place}"
    return None


def _keys(text: str) -> str:
    """``text`` without the numbers of items."""
    return re.sub(r"\.\d+", "", text)


def written(plan: Plan, name: str, *, reports: bool = True) -> Iterator[tuple[str, str]]:
    """(output, text) of everything that is written of a plan; an export that refuses it has
    none."""
    known = sample(name)
    for target, engine, deploy in exports(name):
        try:
            files = planner.export_plan(
                plan,
                target,
                engine=engine,
                deploy=deploy,
                model=known.model.id,
                device=known.device.id,
            ).files
        except (PlannerError, KeyError, ValueError, StopIteration):
            continue
        for file, text in files.items():
            yield f"{target} {deploy or 'export'}: {file}".strip(), text
    if not reports:
        return
    yield "plan.json", json.dumps(plan.to_dict(), ensure_ascii=False)
    with plain_width():
        yield "terminal", plan_text(plan)
        yield "assumptions on the terminal", assumptions_text(plan)
    if name not in REPORTED:
        return
    extras = report_extras(plan)
    yield "report.html", page(plan, "en", extras)
    yield "report of another language.md", markdown(plan, "zh", extras)
    yield "report.md", markdown(plan, "en", extras)


@cache
def refused(names: tuple[str, ...] = tuple(MADE)) -> dict[Field, dict[str, str | None]]:
    """Field → payload → what :func:`refusal` says, in the first sample that has the field."""
    out: dict[Field, dict[str, str | None]] = {}
    for name in names:
        for field_, place in of_each(sample(name)).items():
            if field_ not in out:
                out[field_] = {
                    payload: refusal(name, place, text) for payload, text in PAYLOADS.items()
                }
    return out


def of_sample(name: str, payload: str, tally: Tally, known: Known) -> None:
    """One payload in every field of a sample that takes it, all together, in each output."""
    taken, outputs = [], [output for output, _ in control(name, ())]
    for field_, place in of_each(sample(name)).items():
        why = known[field_][payload]
        if why is None:
            taken.append(place)
        elif why:
            tally.live.append(f"{name}: {place}: {payload}: {why}")
        else:
            tally.refused.update(outputs)
    if not taken:
        return
    text, places = PAYLOADS[payload], tuple(taken)
    bad = planner.read_plan(with_texts(data_of(name), dict.fromkeys(places, text)))
    meant = dict(control(name, places))
    for output, words in written(bad, name):
        why = live(kind_of(output), words, meant[output], text) if output in meant else "new"
        if why:
            tally.live.append(f"{name}: {output}: {payload}: {why}")
        else:
            tally.inert[output] += len(places)


def behind_the_reader(name: str, payload: str, tally: Tally) -> None:
    """One payload in each field that has a grammar, alone, in a plan that no reader looked at: what
    is written is inert all the same, or the export refuses it."""
    text = PAYLOADS[payload]
    for field_, place in of_each(sample(name)).items():
        if field_ not in GUARDED:
            continue
        bad = _unread(name, place, text)
        meant = dict(_behind(name, place))
        files = {} if bad is None else dict(written(bad, name, reports=False))
        for output, good in meant.items():
            if output not in files:
                tally.refused[output] += 1
            elif why := live(kind_of(output), files[output], good, text):
                tally.live.append(f"{name}: {output}: {payload}: {why} ({place}, not read)")
            else:
                tally.inert[output] += 1


@cache
def _behind(name: str, place: str) -> tuple[tuple[str, str], ...]:
    plan = _unread(name, place, HARMLESS)
    return () if plan is None else tuple(written(plan, name, reports=False))


def _unread(name: str, place: str, text: str) -> Plan | None:
    """The plan with a text, of the right types but without any check; None where types refuse."""
    try:
        plan: Plan = _adapter().validate_json(json.dumps(with_text(data_of(name), place, text)))
    except ValueError:
        return None
    return plan


@cache
def control(name: str, places: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The outputs of a sample with a harmless word at some places."""
    data = with_texts(data_of(name), dict.fromkeys(places, HARMLESS))
    return tuple(written(planner.read_plan(data), name))


def kind_of(output: str) -> str:
    return "terminal" if "terminal" in output else output


def outputs_of(counted: Mapping[str, Any]) -> Counter[str]:
    """Counts by file, whatever the manifests beside it."""
    out: Counter[str] = Counter()
    for output, count in counted.items():
        out[output.partition(": ")[2] or output] += count
    return out
