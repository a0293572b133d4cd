"""The views of ``plan engine``: what is here of an engine, and the commands that install it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

from planner.report.phrases import Phrases
from planner.report.view.record import Block, Code, Fact, Items, Prose, Section, Table, View
from planner.report.view.verb_words import verb_phrases

Values = Mapping[str, Any]
VERB = "engine"
ABSENT = "-"


class ShownEngine(Protocol):
    """What an engine's status tells of itself."""

    def to_dict(self) -> dict[str, Any]:
        """Its JSON values."""


def engine_view(engine: ShownEngine, lang: str) -> View:
    """What is here, then ways to install it on this machine, then on others, then the sources."""
    t, data = verb_phrases(VERB, lang), engine.to_dict()
    state = t("head.here" if data["installed"] else "head.absent", title=data["title"])
    here = [row for row in data["commands"] if row["fits_here"]]
    others = [row for row in data["commands"] if not row["fits_here"]]
    machine = t("join.list").join(
        (
            t(f"system.{data['system']}"),
            *(t(f"device.{a}") for a in data["accelerators"] or ("cpu",)),
        )
        if f"system.{data['system']}" in t.texts
        else (data["system"],)
    )
    sections = [
        Section(
            t("section.install", machine=machine),
            tuple(_ways(t, here)) or (Prose(t("note.no_way_here")),),
        )
    ]
    if others:
        sections.append(Section(t("section.others"), tuple(_ways(t, others))))
    sources = dict.fromkeys(
        t("note.source", title=s["title"], version=s["version"], date=s["read"])
        for s in (row["source"] for row in data["commands"])
    )
    sections.append(Section(t("section.sources"), (Items(tuple(sources)),)))
    return View(state, tuple(_facts(t, data)), tuple(sections))


def _facts(t: Phrases, data: Values) -> Iterator[Fact]:
    """What is here, a line a kind."""
    for folder, group in groupby(
        data["programs"], key=lambda p: p["path"].rpartition(p["name"])[0]
    ):
        programs = list(group)
        names = ", ".join(p["name"] for p in programs)
        version = next((p["version"] for p in programs if p["version"]), "")
        text = t("fact.in_folder", names=names, folder=folder)
        yield Fact(t("fact.programs"), f"{text}{t('fact.version', v=version) if version else ''}")
    for library in data["libraries"]:
        yield Fact(t("fact.library"), library["path"])
    for package in data["packages"]:
        text = f"{package['name']} {package['version']}"
        yield Fact(t("fact.package"), t("fact.of_python", text=text, python=package["python"]))
    if data["devices"]:
        yield Fact(t("fact.devices"), t("join.devices").join(data["devices"]))
    elif any(program["version"] for program in data["programs"]) and data["id"] == "llama.cpp":
        yield Fact(t("fact.devices"), t("fact.cpu_alone"))
    for problem in data["problems"]:
        yield Fact(t("fact.problem"), problem)


def _ways(t: Phrases, rows: Sequence[Values]) -> Iterator[Block]:
    """Ways to install it: where it is for, what it needs, its lines."""
    for row in rows:
        words = [t(f"system.{row['system']}")]
        if row["device"] != "any":
            words.append(t(f"device.{row['device']}"))
        place = t("join.list").join(words)
        if row["needs"]:
            place = t("join.needs", place=place, needs=t(f"needs.{row['needs']}"))
        yield Prose(place)
        if row["run"]:
            yield Code(tuple(f"  {line}" for line in row["run"]))


def engines_view(engines: Sequence[ShownEngine], lang: str) -> View:
    """A line an engine: whether it is here, its version, where."""
    t = verb_phrases(VERB, lang)
    rows = []
    for data in (engine.to_dict() for engine in engines):
        version = next((p["version"] for p in data["programs"] if p["version"]), "")
        version = version or next((p["version"] for p in data["packages"]), "")
        places = [p["path"] for p in data["programs"]] or [p["path"] for p in data["libraries"]]
        places = places or [p["python"] for p in data["packages"]]
        rows.append(
            (
                data["id"],
                t("table.yes" if data["installed"] else "table.no"),
                (version if data["installed"] else "") or ABSENT,
                (places[0] if places and data["installed"] else "") or ABSENT,
            )
        )
    heads = tuple(t(f"table.{head}") for head in ("engine", "here", "version", "place"))
    blocks = (Table(heads, tuple(rows), (0, 1, 2, 3)), Prose(t("note.one")))
    return View("", (), (Section("", blocks),))
