"""Which of a question's schemes an engine's checkpoints can hold: written at all, and told
apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from planner.base.errors import UnsupportedError
from planner.formats.schemes import in_catalogue_order, scheme_ids
from planner.memory.engines.catalog import Engine
from planner.messages.message import CLAUSES, Text, joined, message, with_name
from planner.placement.modules import modules
from planner.planning.engines.rules import PLAIN, formats_of, kind_group, rules, support_cell
from planner.planning.engines.writers import writing_refusal
from planner.planning.question.decisions import split_modules
from planner.planning.question.question import Question


def written_in_format(
    question: Question, kinds: Sequence[str], group: str, container: str, schemes: Iterable[str]
) -> frozenset[str]:
    """Those of ``schemes`` in which weights of some of ``kinds`` of ``group`` can be had in
    ``container``."""
    mine = [kind for kind in kinds if kind_group(kind) == group]
    return frozenset(
        s
        for s in schemes
        if any(
            not writing_refusal(question.spec, kind, s, container, question.engine) for kind in mine
        )
    )


def carried_schemes(
    question: Question,
    engine: Engine,
    kinds: Sequence[str],
    container: str,
) -> dict[str, tuple[str, ...]]:
    """The schemes of all, beside plain ones, in which each group of ``kinds`` can be had in
    ``container`` and ``engine`` serves it."""
    return {
        group: tuple(
            in_catalogue_order(
                written_in_format(
                    question,
                    kinds,
                    group,
                    container,
                    (
                        s
                        for s in scheme_ids()
                        if s not in PLAIN
                        and support_cell(
                            engine, question.device, "scheme", s, group, container
                        ).status
                        == "supported"
                    ),
                )
            )
        )
        for group in dict.fromkeys(map(kind_group, kinds))
    }


def other_schemes_error(
    question: Question,
    engine: Engine,
    stored_formats: Mapping[str, Sequence[str]],
) -> UnsupportedError:
    """The refusal of schemes that are not those of a model's only checkpoint format."""
    each = joined(
        [
            message("engines.group_in", x=group, y=joined(names, "structure.either"))
            for group, names in stored_formats.items()
        ],
        CLAUSES,
    )
    every = ",".join(dict.fromkeys(name for names in stored_formats.values() for name in names))
    return UnsupportedError(
        message(
            "engines.on",
            m=question.spec.id,
            d=question.device.id,
            y=with_name(
                engine.label,
                message(
                    "engines.its_checkpoints_have_not_with",
                    x=each,
                    y=", ".join(question.schemes),
                ),
            ),
        ),
        hint=f"--schemes {every}, another engine, or --engine any",
    )


def no_checkpoint_reason(question: Question, engine: Engine, scheme: str) -> Text:
    """Why no checkpoint that ``engine`` reads holds the model in ``scheme``; empty where one
    does."""
    kinds = [m.kind for m in split_modules(modules(question.spec))[0]]
    reasons: list[Text] = [
        next(
            (
                why
                for kind in kinds
                if (why := writing_refusal(question.spec, kind, scheme, container, engine.name))
            ),
            "",
        )
        for container in formats_of(engine, question.spec)
        if any(
            support_cell(
                engine, question.device, "scheme", scheme, kind_group(kind), container
            ).status
            == "supported"
            for kind in kinds
        )
    ]
    return reasons[0] if reasons and all(reasons) else ""


def schemes_run_alike(question: Question, engine: Engine) -> dict[str, Text]:
    """Schemes of ``question`` that ``engine`` runs as another of them, with the reason: of the
    names of a row of the axis ``alike``, one stays, what the release is stored in where it is among
    them."""
    out: dict[str, Text] = {}
    stored = (question.spec.quantization, *(m.released_as for m in modules(question.spec)))
    for rule in rules("alike", engine.name):
        both = [s for s in question.schemes if s in rule.names]
        if len(both) > 1 and rule.fits(engine, question.device, "", ""):
            kept = next((s for s in stored if s in both), both[0])
            out |= {
                name: with_name(
                    engine.label,
                    message("engines.one_scheme_with", x=kept, why=rule.cell.reason),
                )
                for name in both
                if name != kept
            }
    return out
