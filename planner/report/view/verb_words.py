"""Words of the verbs' answers, a folder of ``lang_verbs`` each, and what they rest on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from planner.base.units import format_bytes, format_seconds
from planner.messages.catalogue import ORIGINAL
from planner.messages.message import Note, Text
from planner.messages.words import foreign, in_language, unmarked
from planner.planning.plan.record import Assumption, Estimate
from planner.quality.loss_units import NATS, loss_unit_of
from planner.report.phrases import Phrases, phrases
from planner.report.view.assumed_sections import assumption
from planner.report.view.record import Items, Section, View

FOLDER = Path(__file__).resolve().parents[1] / "lang_verbs"
SHARED = "shared"


def verb_phrases(verb: str, lang: str) -> Phrases:
    """The texts of a verb's answer; ``shared`` are those of several.

    Raises:
        UnknownNameError: no such language.
    """
    return phrases(lang, FOLDER / verb)


def word(t: Phrases, section: str, key: str) -> str:
    """The word of a section for ``key``; ``key`` itself, a name, where there is none."""
    return t.texts.get(f"{section}.{key}", key)


def shared_word(t: Phrases, section: str, key: str) -> str:
    """:func:`word` of what several verbs say: bases, bottlenecks, kinds of memory."""
    return word(verb_phrases(SHARED, t.lang), section, key)


def data_text(text: Text, lang: str) -> str:
    """What a data file says: in the catalogue's words, else as a quotation in another language."""
    said = in_language(text, lang)
    return quotation(text, lang) if foreign(said) else said


def quotation(text: str, lang: str) -> str:
    """``text``, marked as a quotation where it is a sentence in another language."""
    return f"“{text}”" if lang != ORIGINAL and foreign(text) else text


def loss_unit(t: Phrases, unit: str) -> str:
    """A unit of losses, as records name it, in words."""
    kind, relative_to = loss_unit_of(unit)
    text = verb_phrases(SHARED, t.lang)
    return text("loss.nats") if kind == NATS else text("loss.relative", scheme=relative_to)


def span(t: Phrases, value: Estimate, *, bytes: bool = False) -> str:
    """A time (or bytes) with its 80 % interval and what it rests on."""
    show = format_bytes if bytes else format_seconds
    basis = shared_word(t, "basis", value.basis)
    return f"{show(value.value)} ({show(value.low)}–{show(value.high)}, {basis})"


def capital(text: str) -> str:
    """``text`` as the start of a line."""
    return text[:1].upper() + text[1:]


def notes_view(notes: Iterable[Note | Assumption], lang: str) -> View:
    """What an answer rests on, an item each."""
    t, own = phrases(lang), verb_phrases(SHARED, lang)
    texts = []
    for note in notes:
        item = Assumption(note.key, note.value, note.reason)
        name, value, reason = assumption(t, item)  # what is quoted stays marked, for pages
        name = own.names.get(note.key, unmarked(name))
        value, reason = (quotation(text, lang) for text in (value, reason))
        texts.append(own("notes.item", name=name, value=value, reason=reason))
    return View("", (), (Section(own("notes.title"), (Items(tuple(texts)),)),))
