"""The page on models: own families beside transformers, and every other type through ``[hf]``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from evaluation.meta.compare import Compared
from evaluation.meta.perturb import COUNT
from evaluation.meta.types import LAYERS, Covered
from evaluation.pages import moved

Found = tuple[str, str, Compared]
_STATES = ("planned", "counted", "unclassified", "unbuilt")
_MEANING = {
    "planned": "tensors and caches known: inventory, memory, estimate and plan",
    "counted": "tensors known, caches not: inventory",
    "unclassified": "a tensor is of no known kind: refused by name",
    "unbuilt": "transformers does not build it from its class's defaults",
}
_LONGEST = 160


def page(own: Sequence[Found], types: Sequence[Covered], versions: str) -> str:
    """The whole page in Markdown."""
    return "\n".join(
        [
            "# Models, counted twice",
            "",
            "Tensors and caches of every family beside those of the model that transformers "
            f"builds without weights, and what `[hf]` makes of all other types ({versions}). Names "
            "and shapes of all tensors but prediction layers are compared, and the entries of "
            "every layer's cache; quantised releases count as plain elements. A reason predicts "
            "from the configuration which tensors only one side has. Made by `python -m "
            "evaluation.meta`.",
            "",
            *_own(own),
            "",
            *_types(types),
            "",
        ]
    )


def _own(found: Sequence[Found]) -> list[str]:
    released = [one for _, name, one in found if not name.isdigit()]
    drawn = [one for _, name, one in found if name.isdigit()]
    every = [one for _, _, one in found]
    alike = [one for one in every if one.alike]
    lines = [
        "## Own families",
        "",
        "| | compared | same tensors | a difference that a reason predicts | unexplained | "
        "refused here | not built there |",
        "|---|---|---|---|---|---|---|",
        _sums(f"releases ({len(released)} configurations are bundled)", released),
        _sums(f"drawn, {COUNT} of each type", drawn),
        "",
        f"{sum(one.tensors for one in alike):,} tensors are the same in name and shape, or, "
        f"in {sum(bool(one.names) for one in alike)} configurations, in shape alone: "
        "transformers does not give back the release's names there. Caches of "
        f"{sum(one.caches for one in every):,} layers were compared; in "
        f"{sum(bool(one.cache_why) for one in every)} models one differs as predicted, in "
        f"{sum(bool(one.cache_difference) and not one.cache_why for one in every)} otherwise.",
        "",
    ]
    rows = [
        "| type | releases alike | drawn alike | as predicted | unexplained | refused here | "
        "not built there | layers of caches compared |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, group in groupby(sorted(found, key=lambda one: one[0]), key=lambda one: one[0]):
        rows.append(_own_row(kind, [(name, one) for _, name, one in group]))
    return [*lines, moved("models-types", "Every type", rows), *_differences(found)]


def _sums(what: str, found: Sequence[Compared]) -> str:
    built = [one for one in found if not one.unbuilt]
    return (
        f"| {what} | {len(built)} of {len(found)} | {sum(one.alike for one in built)} | "
        f"{sum(one.why is not None for one in built)} | "
        f"{sum(one.unexplained for one in built)} | {sum(bool(one.refused) for one in found)} "
        f"| {len(found) - len(built)} |"
    )


def _own_row(kind: str, group: Sequence[tuple[str, Compared]]) -> str:
    released = [one for name, one in group if not name.isdigit()]
    drawn = [one for name, one in group if name.isdigit()]
    every = [one for _, one in group]
    sums = (
        sum(one.why is not None for one in every),
        sum(one.unexplained for one in every),
        sum(bool(one.refused) for one in every),
        sum(bool(one.unbuilt) for one in every),
    )
    layers = sum(one.caches for one in every)
    other = sum(bool(one.cache_difference) for one in every)
    return (
        f"| {kind} | {_share(released)} | {_share(drawn)} | "
        f"{' | '.join(str(one or '') for one in sums)} "
        f"| {layers:,}{f', {other} models differ' if other else ''} |"
    )


def _share(found: Sequence[Compared]) -> str:
    built = [one for one in found if not one.unbuilt]
    return f"{sum(one.alike for one in built)} of {len(built)}" if built else ""


def _differences(found: Iterable[Found]) -> list[str]:
    """A row for each release that is not alike, and for each kind of difference of a type's
    draws."""
    groups: dict[tuple[str, str, str, str], list[Compared]] = {}
    for kind, name, one in found:
        for what, why in _words(one):
            key = (kind, "drawn" if name.isdigit() else name, what, why)
            groups.setdefault(key, []).append(one)
    lines = [
        f"| {kind} {len(ones) if name == 'drawn' else ''} {name} | {what} | "
        f"{_short(_which(ones[0], what))} | {why} |"
        for (kind, name, what, why), ones in groups.items()
    ]
    rows = ["| configuration | what | which | why |", "|---|---|---|---|", *lines]
    return [moved("models-differences", "What differs, and why", rows)] if lines else []


def _words(one: Compared) -> list[tuple[str, str]]:
    """(what differs, why) of a comparison."""
    if one.refused or one.unbuilt:
        return [("refused" if one.refused else "not built", "")]
    found = []
    if one.differences:
        found.append(("tensors", "unexplained" if one.why is None else "; ".join(one.why.reasons)))
    if one.names:
        found.append(
            (
                "names",
                "as many tensors of each shape; transformers has no conversion to "
                "the release's names",
            )
        )
    if one.cache_difference:
        found.append(("cache", one.cache_why or "unexplained"))
    return found


def _which(one: Compared, what: str) -> str:
    if what == "tensors" and one.why is not None:
        sides = ((one.why.there, "in transformers alone"), (one.why.here, "here alone"))
        return "predicted and counted: " + ", ".join(
            f"{tensors:,} tensors of {elements:,} elements {where}"
            for (tensors, elements), where in sides
            if tensors
        ).replace(" 1 tensors", " 1 tensor")
    return {
        "tensors": "; ".join(one.differences),
        "cache": one.cache_difference,
        "names": "; ".join(one.names),
    }.get(what, one.refused or one.unbuilt)


def _types(types: Sequence[Covered]) -> list[str]:
    counts = {state: [one for one in types if one.state == state] for state in _STATES}
    rest = [one for one in types if not one.own]
    lines = [
        "## Every other type",
        "",
        f"{len(types)} types of this transformers have a generative head; "
        f"{len(types) - len(rest)} have a family of their own, which is used. Built from the "
        f"defaults of their classes, of {LAYERS} layers where they take that, and classified by "
        "name and shape.",
        "",
        "| | all | without a family | meaning |",
        "|---|---|---|---|",
    ]
    for state in _STATES:
        alone = sum(not one.own for one in counts[state])
        lines.append(f"| {state} | {len(counts[state])} | {alone} | {_MEANING[state]} |")
    rows = ["| type | what | why |", "|---|---|---|"]
    rows += [
        f"| {one.kind}{' (own family)' if one.own else ''} | {state} | {_short(one.reason)} |"
        for state in _STATES
        for one in counts[state]
    ]
    return [*lines, "", moved("models-other-types", "Every other type", rows)]


def _short(text: str) -> str:
    flat = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return flat if len(flat) <= _LONGEST else flat[:_LONGEST] + "…"
