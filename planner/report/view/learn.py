"""The view of ``plan learn``: predicted beside measured, a line a quantity, what is kept and why
other runs are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from planner.base.units import format_seconds
from planner.messages.words import in_language
from planner.report.phrases import Phrases
from planner.report.view.record import Block, Code, Items, Prose, Section, Table, View
from planner.report.view.verb_words import verb_phrases, word

Values = Mapping[str, Any]
VERB = "learn"
MOST_LINES, MOST_LEARNED, MOST_REASONS = 8, 2, 2
"""Lines of a table, and of what was learned or not, on a terminal: 25 lines in all."""
INSIDE = {True: "yes", False: "no", None: "unknown"}
HEADS = ("run", "quantity", "predicted", "interval", "learned", "measured", "ratio", "inside")
INTERVAL, LEARNED = HEADS.index("interval"), HEADS.index("learned")


class ShownLearning(Protocol):
    """What learning tells of itself."""

    def to_dict(self) -> dict[str, Any]:
        """Its JSON values."""


def learn_view(answer: ShownLearning, lang: str) -> View:
    """The runs, or what is kept where none was given."""
    t, data = verb_phrases(VERB, lang), answer.to_dict()
    sections = (
        [*_compared(t, data["runs"], lang)] if data["runs"] else [*_kept_runs(t, data["kept"])]
    )
    notes = [t("note.damaged", text=text) for text in data["damaged"]]
    if data["forgotten"]:
        notes.insert(0, t("note.forgotten", ids=", ".join(data["forgotten"])))
    if notes:
        sections.append(Section("", (Items(tuple(notes)),)))
    return View(_title(t, data), (), tuple(sections))


def _title(t: Phrases, data: Values) -> str:
    runs = data["runs"]
    if not runs:
        return t("head.kept", n=len(data["kept"]))
    judged = [time["inside"] for run in runs for time in run["times"]]
    known = [inside for inside in judged if inside is not None]
    kept = sum(run["kept"] for run in runs)
    return t("head.title", n=len(runs), kept=kept, inside=sum(known), all=len(known))


def _compared(t: Phrases, runs: Sequence[Values], lang: str) -> Iterator[Section]:
    lines = [line for run in runs for line in _lines(t, run, lang)]
    blocks: list[Block] = []
    if lines:
        shown, left = lines[:MOST_LINES], len(lines) - MOST_LINES
        notes = (t("table.more", n=left),) if left > 0 else ()
        heads = tuple(t(f"table.{head}") for head in HEADS)
        known = any(line[LEARNED] != "-" for line in shown)
        gone = INTERVAL if known else LEARNED  # 80 columns have room for one of the two
        heads, *shown = (line[:gone] + line[gone + 1 :] for line in (heads, *shown))
        blocks.append(Table(heads, tuple(shown), (0, 1, len(heads) - 1), notes))
    yield Section("", tuple(blocks))
    texts = [*_learned(t, runs), *_refused(t, runs, lang)]
    if texts:
        yield Section("", (Items(tuple(texts)),))
    kept = [run["id"] for run in runs if run["kept"]]
    if kept:
        yield Section(t("section.forget"), (Code((f"  plan learn --forget {kept[0]}",)),))


def _lines(t: Phrases, run: Values, lang: str) -> Iterator[tuple[str, ...]]:
    for i, time in enumerate(run["times"]):
        low, high = (_figure(time, time[end]) for end in ("low", "high"))
        yield (
            in_language(run["load"], lang) if i == 0 else "",
            word(t, "quantity", time["quantity"]),
            _figure(time, time["predicted"]),
            "-" if time["low"] is None else f"{low}–{high}",
            _figure(time, time["learned"]),
            _figure(time, time["measured"]),
            f"{time['ratio']:.2f}",
            t(f"inside.{INSIDE[time['inside']]}"),
        )


def _figure(time: Values, value: float | None) -> str:
    if value is None:
        return "-"
    return format_seconds(value) if time["quantity"].endswith("_seconds") else f"{value:,.4g}"


def _learned(t: Phrases, runs: Sequence[Values]) -> Iterator[str]:
    """What was learned, the first runs each on a line."""
    learned = [run for run in runs if run["id"] is not None]
    for run in learned[:MOST_LEARNED]:
        yield t(
            "note.kept" if run["kept"] else "note.would_keep",
            id=run["id"],
            factors=t("factor.join").join(
                t(f"factor.{name}", factor=f"{factor:.3g}")
                for name, factor in run["factors"].items()
                if factor is not None
            ),
            model=run["model"],
            device=run["device"],
            engine=run["engine"].replace("@", " "),
        )
    if len(learned) > MOST_LEARNED:
        yield t("note.more_learned", n=len(learned) - MOST_LEARNED)


def _refused(t: Phrases, runs: Sequence[Values], lang: str) -> Iterator[str]:
    refused = [run for run in runs if run["refused"]]
    for run in refused[:MOST_REASONS]:
        reasons = t("factor.clause").join(in_language(reason, lang) for reason in run["refused"])
        yield t("note.refused", source=run["source"], reasons=reasons)
    if len(refused) > MOST_REASONS:
        yield t("note.more_refused", n=len(refused) - MOST_REASONS)


def _kept_runs(t: Phrases, kept: Sequence[Values]) -> Iterator[Section]:
    if not kept:
        yield Section("", (Prose(t("head.nothing")),))
        return
    lines = tuple(
        t(
            "kept.line",
            id=run["id"],
            model=run["model"],
            device=run["device"],
            engine=" ".join(filter(None, (run["engine"], run["version"]))),
            load=run["load"],
            factors=t("factor.join").join(
                t(f"factor.{name}", factor=f"{run[name]['factor']:.3g}")
                for name in ("steps", "prompts")
                if run[name] is not None
            ),
            date=run["date"],
        )
        for run in kept[:MOST_LINES]
    )
    more = len(kept) - MOST_LINES
    yield Section("", (Items((*lines, *([t("table.more", n=more)] if more > 0 else []))),))
