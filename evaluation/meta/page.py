"""The page on models: own families beside transformers, and every other type through ``[hf]``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from evaluation.meta.compare import Compared
from evaluation.meta.types import Covered

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
    return "\n".join([
        "# Models, counted twice", "",
        "Every family's tensors and caches beside those of the model that transformers builds on "
        f"the meta device, and what `[hf]` makes of all other types. {versions}. Renew with "
        "`python -m evaluation.meta`, in an environment with `[hf]`.", "",
        "Names and shapes of all tensors are compared, prediction layers aside (transformers "
        "leaves them out), and the entries of every layer's cache after a prompt that is run "
        "without weights. Quantised releases are compared as plain elements.", "",
        *_own(own), "", *_types(types), ""])


def _own(found: Sequence[Found]) -> list[str]:
    built = [one for _, _, one in found if not one.unbuilt]
    alike = [one for one in built if one.alike]
    lines = ["## Own families", "",
             f"{len(alike)} of {len(built)} configurations that transformers builds have the same "
             f"tensors ({sum(one.tensors for one in alike):,} of them; "
             f"{sum(bool(one.names) for one in alike)} under other names than the release, which "
             "transformers does not give back); in "
             f"{sum(bool(one.cache_difference) for one in alike)} a cache differs.", "",
             "| type | releases alike | drawn alike | refused here | not built there | layers of "
             "caches alike |", "|---|---|---|---|---|---|"]
    for kind, group in groupby(sorted(found, key=lambda one: one[0]), key=lambda one: one[0]):
        lines.append(_own_row(kind, [(name, one) for _, name, one in group]))
    return [*lines, "", *_differences(found)]


def _own_row(kind: str, group: Sequence[tuple[str, Compared]]) -> str:
    released = [one for name, one in group if not name.isdigit()]
    drawn = [one for name, one in group if name.isdigit()]
    refused = sum(bool(one.refused) for _, one in group)
    unbuilt = sum(bool(one.unbuilt) for _, one in group)
    layers = sum(one.caches for _, one in group)
    other = sum(bool(one.cache_difference) for _, one in group)
    return (f"| {kind} | {_share(released)} | {_share(drawn)} | {refused or ''} | {unbuilt or ''} "
            f"| {layers:,}{f', {other} models differ' if other else ''} |")


def _share(found: Sequence[Compared]) -> str:
    built = [one for one in found if not one.unbuilt]
    return f"{sum(one.alike for one in built)} of {len(built)}" if built else ""


def _differences(found: Iterable[Found]) -> list[str]:
    lines = []
    for kind, name, one in found:
        text = one.refused or "; ".join(one.differences) or one.cache_difference or one.unbuilt \
            or "; ".join(one.names)
        if text:
            word = "refused" if one.refused else "not built" if one.unbuilt else \
                "tensors" if one.differences else "cache" if one.cache_difference else "names"
            lines.append(f"| {kind} {name} | {word} | {_short(text)} |")
    return ["What differs, is refused here or is not built there:", "",
            "| configuration | what | which |", "|---|---|---|", *lines] if lines else []


def _types(types: Sequence[Covered]) -> list[str]:
    counts = {state: [one for one in types if one.state == state] for state in _STATES}
    rest = [one for one in types if not one.own]
    lines = ["## Every other type", "",
             f"{len(types)} types of this transformers have a generative head (causal, image and "
             f"text to text, sequence to sequence); {len(types) - len(rest)} have a family of "
             f"their own, which is what is used. Built from the defaults of their classes and "
             "classified by name and shape:", "",
             "| | all | without a family | meaning |", "|---|---|---|---|"]
    for state in _STATES:
        alone = sum(not one.own for one in counts[state])
        lines.append(f"| {state} | {len(counts[state])} | {alone} | {_MEANING[state]} |")
    for state in _STATES[1:]:
        lines += ["", f"### {state.capitalize()}", "", "| type | why |", "|---|---|"]
        lines += [f"| {one.kind}{' (own family)' if one.own else ''} | {_short(one.reason)} |"
                  for one in counts[state]]
    names = ", ".join(one.kind for one in counts["planned"])
    return [*lines, "", "### Planned", "", names]


def _short(text: str) -> str:
    flat = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return flat if len(flat) <= _LONGEST else flat[:_LONGEST] + "…"
