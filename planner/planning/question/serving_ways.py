"""The ways in which an engine can serve a model's weights.

A way is a checkpoint format with the schemes it may carry. Where a format takes a scheme by module
they are planned together; where it takes one, each is a way of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

from planner.base.records import record
from planner.memory.engines.catalog import Engine
from planner.placement.modules import modules
from planner.planning.engines.routes import Route, route
from planner.planning.engines.rules import (
    PLAIN,
    formats_of,
    kind_group,
    rule_names,
    support_cell,
)
from planner.planning.question.checkpoint_formats import (
    written_in_format,
)
from planner.planning.question.decisions import split_modules
from planner.planning.question.question import Question


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


def kept_quantised(question: Question) -> tuple[tuple[str, str], ...]:
    """(kind, scheme) of modules that stay as released and are quantised there (an indexer)."""
    kept = split_modules(modules(question.spec), question.dropped)[1]
    return tuple(dict.fromkeys((m.kind, m.released_as) for m in kept if m.released_as not in PLAIN))


def serving_ways(
    question: Question,
    engine: Engine,
    kinds: Sequence[str],
    kept: Sequence[tuple[str, str]] = (),
    *,
    each_container: bool = False,
) -> list[Way]:
    """The ways that no other contains, in the order of the matrix; each carries what is ``kept``
    as well. ``each_container``: those of different containers as well, whose kernels differ."""
    groups = tuple(dict.fromkeys(kind_group(kind) for kind in kinds))
    plain = _plain(question, engine, groups)
    ways: list[Way] = []
    fixed = {scheme for _, scheme in kept}
    for container in formats_of(engine, question.spec) or ("",):
        if any(
            scheme_status(question, engine, scheme, kind_group(kind), container) != "supported"
            for kind, scheme in kept
        ):
            continue
        bare = {g: written_in_format(question, kinds, g, container, plain) for g in groups}
        able = {
            g: written_in_format(
                question,
                kinds,
                g,
                container,
                (
                    s
                    for s in question.schemes
                    if s not in PLAIN
                    and scheme_status(question, engine, s, g, container) == "supported"
                ),
            )
            for g in groups
        }
        if all(
            support_cell(engine, question.device, "mixed", "*", g, container).status == "supported"
            for g in (*groups, *(kind_group(kind) for kind, _ in kept))
        ):
            ways.append(Way(container, {g: able[g] | bare[g] for g in groups}))
        elif all(
            support_cell(engine, question.device, "mixed", "groups", g, container).status
            == "supported"
            for g in groups
        ):
            ways += _by_group(container, able, fixed)
        else:
            ordered = [s for s in question.schemes if any(s in able[g] for g in groups)]
            ways += [
                Way(container, {g: bare[g] | ({s} & able[g]) for g in groups})
                for s in ordered
                if fixed <= {s}
            ]
            if len(fixed) == 1 and plain:
                ways.append(Way(container, bare))
    if plain and not any(all(w.schemes.values()) for w in ways) and not kept:
        ways.append(Way("", {g: written_in_format(question, kinds, g, "", plain) for g in groups}))
    ways = [_routed(question, engine, w) for w in ways if all(w.schemes.values())]
    return [
        w
        for i, w in enumerate(ways)
        if not any(
            w.within(o) and (not o.within(w) or j < i)
            for j, o in enumerate(ways)
            if j != i and not (each_container and w.container != o.container)
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
    routes = [
        route(engine, question.device, s, group, way.container)
        for group, schemes in way.schemes.items()
        for s in question.schemes
        if s in schemes
    ]
    return replace(way, routes=tuple(r for r in routes if r is not None))


def scheme_status(
    question: Question, engine: Engine, scheme: str, group: str, container: str
) -> str:
    return support_cell(engine, question.device, "scheme", scheme, group, container).status


def _plain(question: Question, engine: Engine, groups: Sequence[str]) -> frozenset[str]:
    """The plain types that modules may keep: one, the server's, unless tensors choose by
    themselves. BF16 goes first."""
    able = [
        s
        for s in PLAIN
        if s in question.schemes
        and all(scheme_status(question, engine, s, g, "") == "supported" for g in groups)
    ]
    if ("any",) in rule_names(engine, question.device, "dtypes"):
        return frozenset(able)
    return frozenset(able[:1])
