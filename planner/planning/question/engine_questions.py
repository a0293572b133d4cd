"""What an engine makes of a question: one question for every way in which it can serve the model.

A way goes with a set of cache layouts; the best answer of all counts. Choices that the engine does
not serve are absent, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.errors import InputError, UnsupportedError
from planner.base.records import record
from planner.memory.engines.catalog import Engine, parse_engine
from planner.memory.engines.versions import default_known
from planner.messages.message import Message, Note, Text, message, with_name
from planner.placement.cache_entries import cache_units
from planner.placement.modules import modules
from planner.planning.engines.cache_rules import (
    KEYS_VALUES,
    SKIP,
    WHOLE_PAST,
    WINDOWS,
    mixing_mode,
    mixing_refusal,
)
from planner.planning.engines.layouts import AXES, layout_rules
from planner.planning.engines.rules import (
    OF_V4,
    PLAIN,
    cache_group,
    formats_of,
    kind_group,
    kinds_decided_by_quantiser,
    on_platform,
    rule_names,
    split_problem,
    support_cell,
    types_each_matrix,
)
from planner.planning.engines.writers import writing_refusal
from planner.planning.question.checkpoint_formats import schemes_run_alike
from planner.planning.question.decisions import split_modules
from planner.planning.question.named import BY_KIND
from planner.planning.question.question import Question
from planner.planning.question.serving_ways import Way, kept_quantised, scheme_status, serving_ways
from planner.planning.question.unserved import (
    cannot_keep,
    cannot_serve,
    refused_schemes,
    require_model,
    require_platform,
)
from planner.throughput.attended import COMPRESSED
from planner.throughput.calibration import ANY_ENGINE


def engine_of(question: Question) -> Engine | None:
    """The question's engine, None for any."""
    if question.engine == ANY_ENGINE:
        return None
    return parse_engine(f"{question.engine}@{question.engine_version}".rstrip("@"))


def decided_kinds(question: Question) -> tuple[str, ...]:
    """Kinds that the engine's own quantiser types as it does others."""
    engine = engine_of(question)
    return () if engine is None else kinds_decided_by_quantiser(engine, question.device)


def engine_questions(
    question: Question,
    *,
    schemes_named: bool = False,
    kv_named: bool = False,
    in_one_mode: bool = False,
    any_cache: bool = False,
    each_container: bool = False,
) -> tuple[Question, ...]:
    """The questions whose best answer is the best that the question's engine can serve.

    ``schemes_named``, ``kv_named``: the user named them, so the engine must serve each;
    ``in_one_mode``: a given assignment, all of which one way must carry, where ``any_cache`` holds
    with any of the question's caches; ``each_container``: by every container that can carry it.

    Raises:
        UnsupportedError: it cannot; the message gives the reason and its source.
    """
    engine = engine_of(question)
    if engine is None:
        return (question,)
    # Of schemes by kind each is served for its own kinds alone: pricing them tells which is not.
    schemes_named = schemes_named and BY_KIND not in question.named
    require_platform(engine, question.device)
    require_model(engine, question.spec)
    question = replace(
        _laid_out(question, engine), apart=types_each_matrix(engine, question.device)
    )
    alike = schemes_run_alike(question, engine)
    if alike and (schemes_named or in_one_mode):
        raise cannot_serve(question, engine, alike, ())
    question = replace(
        question,
        refused=(*question.refused, *alike.items()),
        schemes=tuple(s for s in question.schemes if s not in alike),
    )
    kinds = [m.kind for m in split_modules(modules(question.spec))[0]]
    kept = kept_quantised(question)
    ways = serving_ways(question, engine, kinds, kept, each_container=each_container)
    _require_caches(question, engine)
    sets = _cache_sets(question, engine)
    layouts = [caches.layouts for caches in sets]
    refused = refused_schemes(question, engine, kinds, ways)
    dropped = {name for name, _ in refused} & set(question.schemes)
    gone = [name for name in question.kv if not any(name in kv for kv in layouts)]
    if in_one_mode:
        ways = [w for w in ways if set(question.schemes) <= set().union(*w.schemes.values())]
        if not any_cache:
            sets = [caches for caches in sets if set(question.kv) <= set(caches.layouts)]
            layouts = [caches.layouts for caches in sets]
    at_fault = dict(refused) if schemes_named or in_one_mode or not ways else {}
    if (
        kept
        and not ways
        and (
            formats_of(engine, question.spec) == (OF_V4,)
            or serving_ways(question, engine, kinds, ())
        )
    ):
        raise cannot_keep(question, engine, kept)
    if not ways or not layouts or (schemes_named and dropped) or (kv_named and gone):
        raise cannot_serve(question, engine, at_fault, gone)
    fused = tuple(
        names
        for names in rule_names(engine, question.device, "fused")
        if all(name in kinds for name in names) and _compressed_queries(question)
    )
    return tuple(
        _restricted(question, way, caches, kinds, refused, fused) for way in ways for caches in sets
    )


def _laid_out(question: Question, engine: Engine) -> Question:
    """The question with the layouts that the engine has, and a note on the engine.

    Raises:
        InputError: another layout was asked for.
    """
    reasons = (message("assumptions.choices_that_it_does_not"), *version_notes(engine))
    notes = (
        Note("engine", engine.label, message("structure.semicolons", parts=reasons)),
        *question.notes,
    )
    here = on_platform(engine, question.device)
    if here is not None and here.note and here.source is not None:
        notes = (
            notes[0],
            Note(
                "platform",
                message(
                    "structure.names", parts=(question.device.platform, question.device.target)
                ),
                message("assumptions.here", x=engine.name, reason=here.reason),
            ),
            *notes[1:],
        )
    rules = layout_rules(engine, question.device)
    for name, rule in rules.items():
        value = question.fixed.get(name) or 1
        if rule.takes == "one" and value > 1:
            others = [f"--{axis}" for axis in AXES if axis in rules and rules[axis].takes != "one"]
            raise InputError(
                with_name(engine.label, with_name(f"{name} {value}", rule.cell.reason)),
                hint=f"use {' or '.join(others)} for several devices",
            )
    if any(axis not in rules or rules[axis].takes != "one" for axis in ("tp", "dp", "ep")):
        return replace(question, notes=notes)
    return replace(
        question,
        notes=(
            *notes,
            Note(
                "layout",
                message("assumptions.pipeline_stages_only"),
                message("assumptions.splits_layers_over_devices", e=engine.name),
            ),
        ),
    )


def version_notes(engine: Engine) -> tuple[Message, ...]:
    """Why the version is the default, or which known one an unknown version is taken as; nothing
    of a known one that is not the default."""
    known = default_known(engine.name)
    if not known.text:
        return (message("assumptions.builds_alike", source=known.source),)
    if engine.taken is not None:
        name = "version_older_than_known" if engine.taken.older_than_all else "version_not_known"
        return (
            message(
                f"assumptions.{name}",
                engine=engine.name,
                version=engine.version_text,
                taken=engine.taken.known.text,
            ),
        )
    if engine.version == known.version:
        return (message("assumptions.newest_version_read"),)
    return ()


@record
class CacheSet:
    """Cache layouts that an engine can serve together; ``barred``: (word for caches, layout) that
    it cannot beside the others."""

    layouts: tuple[str, ...]
    barred: frozenset[tuple[str, str]] = frozenset()


def _require_caches(question: Question, engine: Engine) -> None:
    """Refuse layouts named apart that no server of the engine keeps together."""
    if not question.caches_named:
        return
    caches = [
        (unit.kind, layer, question.layout_of(unit.kind, layer, ""))
        for unit in cache_units(question.spec)
        for layer in unit.layers
    ]
    why = mixing_refusal(engine, question.device, question.spec, caches)
    if why:
        raise UnsupportedError(
            with_name(engine.label, why),
            hint=message("refusals.other_cache_or_version", kv=question.kv[0]),
        )


def _cache_sets(question: Question, engine: Engine) -> list[CacheSet]:
    """The sets of cache layouts that the engine can serve together."""
    spec, device = question.spec, question.device
    units = cache_units(spec)
    if not units:
        return [CacheSet(question.kv)]
    able = [
        name
        for name in question.kv
        if any(
            support_cell(engine, question.device, "kv", name, cache_group(u), "").status
            == "supported"
            for u in units
        )
    ]
    if question.kv_of_layer:
        return [CacheSet(question.kv)] if set(able) == set(question.kv) else []
    modes = {name: mixing_mode(engine, device, spec, name) for name in able}
    if question.kv_apart and KEYS_VALUES in modes.values():
        return [CacheSet(question.kv)] if set(able) == set(question.kv) else []
    plain = tuple(n for n in able if n in PLAIN)[:1]
    skipped = any(modes[name] == SKIP for name in able if name not in PLAIN)
    out: list[CacheSet] = []
    for name in able:
        if name in PLAIN:
            out += [] if skipped else [CacheSet((name,))]
        elif modes[name] in (SKIP, WINDOWS):
            whole = plain if modes[name] == WINDOWS else ()
            out.append(CacheSet((*plain, name), frozenset((WHOLE_PAST, n) for n in whole)))
        else:
            out.append(CacheSet((name,)))
    return out


def _compressed_queries(question: Question) -> bool:
    return any(
        (a.kind == "mla" or a.kind in COMPRESSED) and a.q_lora_rank is not None
        for a in question.spec.attention
    )


def _restricted(
    question: Question,
    way: Way,
    caches: CacheSet,
    kinds: Sequence[str],
    refused: tuple[tuple[str, Text], ...],
    fused: tuple[tuple[str, ...], ...],
) -> Question:
    kv = caches.layouts
    carried = frozenset[str]().union(*way.schemes.values())
    schemes = tuple(s for s in question.schemes if s in carried)
    barred = {
        (kind, s)
        for kind in kinds
        for s in schemes
        if s not in way.schemes[kind_group(kind)]
        or writing_refusal(question.spec, kind, s, way.container, question.engine)
    }
    barred |= {pair for pair in question.barred if pair[1] in schemes}
    barred |= (
        caches.barred | _barred_caches(question, kv) | _barred_splits(question, kinds, schemes)
    )
    if len(kv) > 1 and not question.kv_apart:
        fused = (*fused, ("kv-k", "kv-v"))
    return with_rule_bars(
        replace(
            question,
            schemes=schemes,
            kv=kv,
            container=way.container,
            fused=fused,
            barred=frozenset(barred),
            refused=refused,
            routes=way.routes,
        )
    )


def with_rule_bars(question: Question) -> Question:
    """``question`` without the schemes that its engine does not serve in the kinds whose rule is
    dropped, in its checkpoint format."""
    engine = engine_of(question)
    if engine is None or not question.dropped:
        return question
    barred = {
        (kind, s)
        for kind in question.dropped
        for s in question.schemes
        if scheme_status(question, engine, s, kind, question.container) != "supported"
        and s not in PLAIN
    }
    return replace(question, barred=question.barred | barred)


def _barred_splits(
    question: Question,
    kinds: Sequence[str],
    schemes: Sequence[str],
) -> set[tuple[str, str]]:
    engine = engine_of(question)
    assert engine is not None
    return {
        (kind, s)
        for kind in kinds
        for s in schemes
        if split_problem(engine, question.device, question.spec, kind, s)
    }


def _barred_caches(question: Question, kv: tuple[str, ...]) -> set[tuple[str, str]]:
    engine = engine_of(question)
    assert engine is not None
    groups = {cache_group(u) for u in cache_units(question.spec)}
    return {
        (g, name)
        for g in groups
        for name in kv
        if support_cell(engine, question.device, "kv", name, g, "").status != "supported"
    }
