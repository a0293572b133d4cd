"""The engines that a question is asked of: the one that is named, or all that serve the model.

``auto`` asks every engine; the best answer of all their ways to serve is the plan. What the user
named must be served, so that an engine which cannot is left out with its reason. Where none serves
the model on the device, the plan is theory: no engine's rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from planner.base.errors import InputError, UnsupportedError
from planner.base.records import record
from planner.hardware.segments import in_data_centre
from planner.memory.engines.catalog import Engine, engine_names, parse_engine
from planner.messages.message import Message, Note, Text, joined, message, with_name, without_name
from planner.planning.question.engine_questions import engine_questions
from planner.planning.question.question import Question
from planner.planning.question.unserved import ElsewhereError
from planner.throughput.calibration import ANY_ENGINE

AUTO_ENGINE = "auto"
"""The name that stands for the best of all engines."""
LIBRARY = "pytorch"
"""A library that batches what it is given: no server, so that ``auto`` never chooses it."""
AT_HOME = "llama.cpp"
"""An engine of desktops and boards: in a data centre ``auto`` takes it where no other serves."""
NOT_BY_AUTO = {
    LIBRARY: message("reasons.library_no_server", name=LIBRARY),
    AT_HOME: message("reasons.not_in_data_centre", name=AT_HOME),
}
"""Why an engine that serves is not among those that are compared."""
KEY = "engine"
Build = Callable[[Engine | None], Question]
"""The question as one engine is asked it, none for theory; raises UnsupportedError where the device
or engine cannot."""


@record
class NamedByUser:
    """What the user named, which the engine must serve. ``in_one_mode``: one assignment, all
    of which one way must carry; ``any_cache``: with any one of the caches that are tried;
    ``each_container``: by every container that can carry it.
    ``free`` asks the same without the names."""

    schemes: bool = False
    kv: bool = False
    in_one_mode: bool = False
    any_cache: bool = False
    each_container: bool = False
    free: Build | None = None


def ways_to_serve(build: Build, engine: str, named: NamedByUser) -> tuple[Question, ...]:
    """The questions whose best answer is the plan of ``engine``: a name, ``auto`` or ``any``.

    Raises:
        UnsupportedError: what is asked for is not served; the message gives each reason.
    """
    if engine == ANY_ENGINE:
        return (build(None),)
    if engine != AUTO_ENGINE:
        return _ways(build, parse_engine(engine), named)
    questions, against = _of_all(build, named)
    if questions:
        return _with_compared_note(questions, against)
    theory = build(None)
    if (named.schemes or named.kv) and (
        named.free is None or _of_all(named.free, NamedByUser())[0]
    ):
        raise UnsupportedError(
            message("fleet.no_engine_serves_what_is", against=_reasons(against)),
            hint=message("refusals.name_other_schemes_or_another"),
        )
    note = Note(
        KEY,
        message("assumptions.any_theory"),
        message("assumptions.no_engine_is_known_to", against=_reasons(against)),
    )
    return (replace(theory, notes=(note, *theory.notes)),)


def _ways(build: Build, engine: Engine, named: NamedByUser) -> tuple[Question, ...]:
    return engine_questions(
        build(engine),
        schemes_named=named.schemes,
        kv_named=named.kv,
        in_one_mode=named.in_one_mode,
        any_cache=named.any_cache,
        each_container=named.each_container,
    )


def _of_all(build: Build, named: NamedByUser) -> tuple[list[tuple[Question, ...]], dict[str, Text]]:
    """(the ways of every engine that serves it, why the others do not by label)."""
    questions: list[tuple[Question, ...]] = []
    against: dict[str, Text] = {}
    asked_wrongly: InputError | None = None
    last: dict[str, tuple[Question, ...]] = {}
    for name in engine_names():
        engine = parse_engine(name)
        try:
            ways = _ways(build, engine, named)
            if name == LIBRARY or (name == AT_HOME and in_data_centre(ways[0].device)):
                last[name] = ways
            else:
                questions.append(ways)
        except ElsewhereError:
            continue
        except InputError as error:
            against[engine.label] = error.text
            asked_wrongly = error if not isinstance(error, UnsupportedError) else asked_wrongly
    if not questions and AT_HOME in last:
        questions.append(last.pop(AT_HOME))
    if not questions and LIBRARY in last:
        device, spec = last[LIBRARY][0].device, last[LIBRARY][0].spec
        raise UnsupportedError(
            message("refusals.no_server_of_requests", m=spec.id, d=device.id, x=_reasons(against)),
            hint=message("refusals.library_batches", name=LIBRARY),
        )
    if not questions and asked_wrongly is not None and len(set(against.values())) == 1:
        raise asked_wrongly
    against |= {_label(ways[0]): NOT_BY_AUTO[name] for name, ways in last.items()}
    return questions, against


def _with_compared_note(
    by_engine: Sequence[tuple[Question, ...]],
    against: Mapping[str, Text],
) -> tuple[Question, ...]:
    """All ways, each with a note of the engines that were compared."""
    labels = tuple(_label(ways[0]) for ways in by_engine)
    parts = (
        message("assumptions.best_of_engines", labels=", ".join(labels))
        if len(labels) > 1
        else message("assumptions.only_engine_that_serves_it"),
        message("assumptions.choices_that_it_does_not"),
        message("assumptions.newest_versions_read"),
        *_refusals(against),
    )
    why = message("structure.semicolons", parts=parts)
    out = []
    for label, ways in zip(labels, by_engine, strict=True):
        for way in ways:
            notes = tuple(
                Note(key, value, why if (key, value) == (KEY, label) else reason)
                for key, value, reason in way.notes
            )
            out.append(replace(way, notes=notes, chosen_from=labels))
    return tuple(out)


def _refusals(against: Mapping[str, Text]) -> Iterator[Message]:
    """``not vllm 0.21: …``, ``sglang 0.5.8: …``: each engine once, with why it was left out."""
    for place, (label, text) in enumerate(against.items()):
        reason = without_name(text, label)
        if place == 0:
            yield message("structure.not_named", name=label, text=reason)
        else:
            yield with_name(label, reason)


def _reasons(against: Mapping[str, Text]) -> Text:
    """``vllm 0.21: …; sglang 0.5.8: …``, each engine named once."""
    return joined([with_name(label, without_name(text, label)) for label, text in against.items()])


def _label(question: Question) -> str:
    return f"{question.engine} {question.engine_version}".rstrip()
