"""What an engine makes of a question: one question for every way in which it can serve the model.

A way is a checkpoint format with the schemes it may carry, and a set of cache layouts. Where a
format takes a scheme by module they are planned together; where it takes one, each is a question of
its own, and the best answer counts. Choices that the engine does not serve are absent, with the
reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product

from planner.base.errors import InputError, UnsupportedError
from planner.base.records import record
from planner.formats.kv import kv_layout_ids
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, parse_engine
from planner.messages.message import Note, message
from planner.placement.cache_entries import cache_units
from planner.placement.modules import modules
from planner.planning.engines.layouts import AXES, layout_rules
from planner.planning.engines.routes import Route, route
from planner.planning.engines.rules import (
    COMMON,
    OF_V4,
    PLAIN,
    cache_group,
    cell,
    decided_too,
    formats_of,
    kind_group,
    newest,
    on_platform,
    rule_names,
    runs_at_all,
    split_problem,
    types_apart,
)
from planner.planning.engines.writers import unwritable
from planner.planning.question.checkpoint_formats import (
    carried,
    not_all,
    not_told_apart,
    unwritten,
    written,
)
from planner.planning.question.decisions import split_modules
from planner.planning.question.policies import stands_for
from planner.planning.question.question import Question
from planner.throughput.attended import COMPRESSED
from planner.throughput.calibration import ANY_ENGINE


class ElsewhereError(UnsupportedError):
    """The engine is one of other platforms than CUDA and CPUs."""


@record
class Way:
    """One way to serve weights: a checkpoint format and the schemes of each group of modules, of
    which ``routes`` run on the kernels of other schemes."""

    container: str
    schemes: Mapping[str, frozenset[str]]
    routes: tuple[Route, ...] = ()

    def within(self, other: Way) -> bool:
        """Whether ``other`` can carry everything that this one can, each on a kernel as good."""
        mine = {(r.group, r.asked) for r in self.routes}
        slower = [
            r
            for r in other.routes
            if (r.group, r.asked) not in mine and r.asked in self.schemes.get(r.group, ())
        ]
        return not slower and all(
            own <= other.schemes[group] for group, own in self.schemes.items()
        )


def engine_of(question: Question) -> Engine | None:
    """The question's engine, None for any."""
    if question.engine == ANY_ENGINE:
        return None
    return parse_engine(f"{question.engine}@{question.engine_version}".rstrip("@"))


def decided_kinds(question: Question) -> tuple[str, ...]:
    """Kinds that the engine's own quantiser types as it does others."""
    engine = engine_of(question)
    return () if engine is None else decided_too(engine, question.device)


def engine_questions(
    question: Question,
    *,
    schemes_named: bool = False,
    kv_named: bool = False,
    together: bool = False,
) -> tuple[Question, ...]:
    """The questions whose best answer is the best that the question's engine can serve.

    ``schemes_named``, ``kv_named``: the user named them, so the engine must serve each;
    ``together``: a given assignment, all of which one way must carry.

    Raises:
        UnsupportedError: it cannot; the message gives the reason and its source.
    """
    engine = engine_of(question)
    if engine is None:
        return (question,)
    _require_platform(engine, question.device)
    question = replace(_laid_out(question, engine), apart=types_apart(engine, question.device))
    alike = not_told_apart(question, engine)
    if alike and (schemes_named or together):
        raise _cannot(question, engine, alike, ())
    question = replace(
        question,
        refused=(*question.refused, *alike.items()),
        schemes=tuple(s for s in question.schemes if s not in alike),
    )
    kinds = [m.kind for m in split_modules(modules(question.spec))[0]]
    kept = kept_quantised(question)
    ways = serving_ways(question, engine, kinds, kept)
    layouts = _cache_sets(question, engine)
    refused = _refused(question, engine, kinds, ways)
    dropped = {name for name, _ in refused} & set(question.schemes)
    gone = [name for name in question.kv if not any(name in kv for kv in layouts)]
    if together:
        ways = [w for w in ways if set(question.schemes) <= set().union(*w.schemes.values())]
        layouts = [kv for kv in layouts if set(question.kv) <= set(kv)]
    at_fault = dict(refused) if schemes_named or together or not ways else {}
    if (
        kept
        and not ways
        and (
            formats_of(engine, question.spec) == (OF_V4,)
            or serving_ways(question, engine, kinds, ())
        )
    ):
        raise _cannot_keep(question, engine, kept)
    if not ways or not layouts or (schemes_named and dropped) or (kv_named and gone):
        raise _cannot(question, engine, at_fault, gone)
    fused = tuple(
        names
        for names in rule_names(engine, question.device, "fused")
        if all(name in kinds for name in names) and _compressed_queries(question)
    )
    return tuple(
        _restricted(question, way, kv, kinds, refused, fused) for way in ways for kv in layouts
    )


def _require_platform(engine: Engine, device: DeviceProfile) -> None:
    """Refuse an engine that does not run on the platform of ``device``."""
    bar = runs_at_all(engine, device)
    if bar is None:
        return
    kind = ElsewhereError if device.platform in COMMON else UnsupportedError
    raise kind(
        f"{engine.label}: {bar.status}: {bar.reason}",
        hint="another engine, --engine auto, or --engine any: theory, without an engine's rules",
    )


def kept_quantised(question: Question) -> tuple[tuple[str, str], ...]:
    """(kind, scheme) of modules that stay as released and are quantised there (an indexer)."""
    kept = split_modules(modules(question.spec), question.dropped)[1]
    return tuple(dict.fromkeys((m.kind, m.released_as) for m in kept if m.released_as not in PLAIN))


def serving_ways(
    question: Question, engine: Engine, kinds: Sequence[str], kept: Sequence[tuple[str, str]] = ()
) -> list[Way]:
    """The ways that no other contains, in the order of the matrix; each carries what is ``kept``
    as well."""
    groups = tuple(dict.fromkeys(kind_group(kind) for kind in kinds))
    plain = _plain(question, engine, groups)
    found: list[Way] = []
    fixed = {scheme for _, scheme in kept}
    for container in formats_of(engine, question.spec) or ("",):
        if any(
            _status(question, engine, scheme, kind_group(kind), container) != "supported"
            for kind, scheme in kept
        ):
            continue
        bare = {g: written(question, kinds, g, container, plain) for g in groups}
        able = {
            g: written(
                question,
                kinds,
                g,
                container,
                (
                    s
                    for s in question.schemes
                    if s not in PLAIN and _status(question, engine, s, g, container) == "supported"
                ),
            )
            for g in groups
        }
        if all(
            cell(engine, question.device, "mixed", "*", g, container).status == "supported"
            for g in (*groups, *(kind_group(kind) for kind, _ in kept))
        ):
            found.append(Way(container, {g: able[g] | bare[g] for g in groups}))
        elif all(
            cell(engine, question.device, "mixed", "groups", g, container).status == "supported"
            for g in groups
        ):
            found += _by_group(container, able, fixed)
        else:
            ordered = [s for s in question.schemes if any(s in able[g] for g in groups)]
            found += [
                Way(container, {g: bare[g] | ({s} & able[g]) for g in groups})
                for s in ordered
                if fixed <= {s}
            ]
            if len(fixed) == 1 and plain:
                found.append(Way(container, bare))
    if plain and not any(all(w.schemes.values()) for w in found) and not kept:
        found.append(Way("", {g: written(question, kinds, g, "", plain) for g in groups}))
    found = [_routed(question, engine, w) for w in found if all(w.schemes.values())]
    return [
        w
        for i, w in enumerate(found)
        if not any(
            w.within(o) and (not o.within(w) or j < i) for j, o in enumerate(found) if j != i
        )
    ]


def _by_group(container: str, able: Mapping[str, frozenset[str]], fixed: set[str]) -> list[Way]:
    """Ways with one scheme for each group of modules, of which one is what is ``fixed``."""
    names = list(able)
    return [
        Way(container, {g: frozenset({s}) for g, s in zip(names, chosen, strict=True)})
        for chosen in product(*(sorted(able[g]) for g in names))
        if fixed <= set(chosen)
    ]


def _routed(question: Question, engine: Engine, way: Way) -> Way:
    """``way`` with what the engine runs on the kernels of other schemes."""
    found = [
        route(engine, question.device, s, group, way.container)
        for group, schemes in way.schemes.items()
        for s in question.schemes
        if s in schemes
    ]
    return replace(way, routes=tuple(r for r in found if r is not None))


def _status(question: Question, engine: Engine, scheme: str, group: str, container: str) -> str:
    return cell(engine, question.device, "scheme", scheme, group, container).status


def _plain(question: Question, engine: Engine, groups: Sequence[str]) -> frozenset[str]:
    """The plain types that modules may keep: one, the server's, unless tensors choose by
    themselves. BF16 goes first."""
    able = [
        s
        for s in PLAIN
        if s in question.schemes
        and all(_status(question, engine, s, g, "") == "supported" for g in groups)
    ]
    if ("any",) in rule_names(engine, question.device, "dtypes"):
        return frozenset(able)
    return frozenset(able[:1])


def _cache_sets(question: Question, engine: Engine) -> list[tuple[str, ...]]:
    """The sets of cache layouts that the engine can serve together."""
    units = cache_units(question.spec)
    if not units:
        return [question.kv]
    able = [
        name
        for name in question.kv
        if any(
            cell(engine, question.device, "kv", name, cache_group(u), "").status == "supported"
            for u in units
        )
    ]
    modes = rule_names(engine, question.device, "caches")
    if modes and modes[0] == ("skip",):
        plain = tuple(n for n in able if n in PLAIN)[:1]
        packed = [n for n in able if n not in PLAIN]
        return [(*plain, n) for n in packed] or ([plain] if plain else [])
    return [(name,) for name in able]


def _compressed_queries(question: Question) -> bool:
    return any(
        (a.kind == "mla" or a.kind in COMPRESSED) and a.q_lora_rank is not None
        for a in question.spec.attention
    )


def _restricted(
    question: Question,
    way: Way,
    kv: tuple[str, ...],
    kinds: Sequence[str],
    refused: tuple[tuple[str, str], ...],
    fused: tuple[tuple[str, ...], ...],
) -> Question:
    carried = frozenset[str]().union(*way.schemes.values())
    schemes = tuple(s for s in question.schemes if s in carried)
    barred = {
        (kind, s)
        for kind in kinds
        for s in schemes
        if s not in way.schemes[kind_group(kind)]
        or unwritable(question.spec, kind, s, way.container, question.engine)
    }
    barred |= {pair for pair in question.barred if pair[1] in schemes}
    barred |= _barred_caches(question, kv) | _barred_splits(question, kinds, schemes)
    if len(kv) > 1:
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
        if _status(question, engine, s, kind, question.container) != "supported" and s not in PLAIN
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
        if cell(engine, question.device, "kv", name, g, "").status != "supported"
    }


def _laid_out(question: Question, engine: Engine) -> Question:
    """The question with the layouts that the engine has, and a note on the engine.

    Raises:
        InputError: another layout was asked for.
    """
    last = newest(engine.name)
    later = (
        ""
        if engine.version <= last
        else f"; newer than any source ({'.'.join(map(str, last))}), whose rules are taken"
    )
    notes = (
        Note("engine", engine.label, "choices that it does not serve are absent" + later),
        *question.notes,
    )
    here = on_platform(engine, question.device)
    if here is not None and here.note and here.source is not None:
        notes = (
            notes[0],
            Note(
                "platform",
                f"{question.device.platform}, {question.device.target}",
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
                f"{engine.label}: {name} {value}: {rule.cell.reason}",
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


def _refused(
    question: Question,
    engine: Engine,
    kinds: Sequence[str],
    ways: Iterable[Way],
) -> tuple[tuple[str, str], ...]:
    """The device's refusals, then the schemes that no way carries with the engine's reason."""
    carried = {s for way in ways for schemes in way.schemes.values() for s in schemes}
    groups = tuple(dict.fromkeys(kind_group(kind) for kind in kinds))
    out = list(question.refused)
    for name in question.schemes:
        if name not in carried:
            out.append((name, refusal_words(question, engine, "scheme", name, groups)))
    return tuple(out)


def refusal_words(
    question: Question, engine: Engine, axis: str, name: str, groups: Sequence[str]
) -> str:
    """What the matrix says against a choice: the engine, the status, the note and the source."""
    label = engine.label
    found = [cell(engine, question.device, axis, name, g, "") for g in groups]
    against = [c for c in found if c.status not in ("supported", "unknown")]
    if against:
        return f"{label}: {against[0].status}: {against[0].reason}"
    if any(c.status == "supported" for c in found):
        if axis == "scheme" and (why := unwritten(question, engine, name)):
            return f"{label}: {why}"
        if name in PLAIN:
            return f"{label}: one data type a server, and another is taken"
        return f"{label}: not for every kind of module in one checkpoint format"
    said = next(
        (c.reason for c in found if c.source is not None),
        f"no source says that it serves {name} on {question.device.id}",
    )
    return f"{label}: unknown: {said}"


def _cannot_keep(
    question: Question,
    engine: Engine,
    kept: Sequence[tuple[str, str]],
) -> UnsupportedError:
    """The refusal of a model whose quantised, kept modules no checkpoint format carries, or whose
    caches the engine does not know."""
    groups = {cache_group(u) for u in cache_units(question.spec)}
    caches = [
        cell(engine, question.device, "kv", name, group, "")
        for name in question.kv
        for group in groups
    ]
    if len({c.reason for c in caches}) == 1 and caches[0].status in ("refused", "unknown"):
        return UnsupportedError(
            f"{question.spec.id} on {question.device.id}: {engine.label}: {caches[0].status}: "
            f"{caches[0].reason}",
            hint="another version (NAME@VERSION), another engine, or --engine any",
        )
    formats = formats_of(engine, question.spec)
    only = formats[0] if len(formats) == 1 else ""
    planned = split_modules(modules(question.spec), question.dropped)[0] if only else []
    held = carried(question, engine, [m.kind for m in planned], only)
    stored = [
        (m.kind, stands_for(question, m.released_as))
        for m in planned
        if m.released_as not in PLAIN and not held[kind_group(m.kind)]
    ]
    for kind, scheme in (*kept, *stored):
        found = cell(engine, question.device, "scheme", scheme, kind_group(kind), only)
        if found.status != "supported":
            words = f"{engine.label}: {found.status}: {found.reason}"
            break
    else:
        kind, scheme = kept[-1]
        words = f"{engine.label}: not together with {', '.join(question.schemes)}"
        if only == OF_V4 and all(held.values()):
            return not_all(question, engine, held)
    return UnsupportedError(
        f"{kind} as released, in {scheme}: {words}",
        hint="another version (NAME@VERSION), another engine, or --engine any",
    )


def _cannot(
    question: Question, engine: Engine, refused: Mapping[str, str], gone: Sequence[str]
) -> UnsupportedError:
    groups = tuple({cache_group(u) for u in cache_units(question.spec)})
    reasons = {refused.get(name, "") for name in question.schemes}
    if len(reasons) == 1 and len(question.schemes) > 1 and "" not in reasons:
        return UnsupportedError(
            f"{question.spec.id} on {question.device.id}: {reasons.pop()}",
            hint="another engine, or --engine any",
        )
    for name in question.schemes:
        if name in refused:
            return UnsupportedError(
                f"scheme {name!r}: {refused[name]}",
                hint="another scheme, another engine, or --engine any",
            )
    if gone:
        words = refusal_words(question, engine, "kv", gone[0], groups)
        return UnsupportedError(
            f"KV layout {gone[0]!r}: {words}", hint=_other_layout(question, engine)
        )
    return UnsupportedError(
        f"{engine.label}: no checkpoint format carries "
        f"{', '.join(question.schemes)} with caches in {', '.join(question.kv)} together",
        hint="one scheme, one cache layout, another engine, or --engine any",
    )


def _other_layout(question: Question, engine: Engine) -> str:
    """The first layout that the engine serves in every cache of the model, and the other ways."""
    groups = {cache_group(u) for u in cache_units(question.spec)}
    able = (
        f"--kv {name}, "
        for name in kv_layout_ids()
        if all(
            cell(engine, question.device, "kv", name, group, "").status == "supported"
            for group in groups
        )
    )
    return next(able, "") + "another version (NAME@VERSION), another engine, or --engine any"
