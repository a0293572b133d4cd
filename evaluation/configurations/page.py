"""docs/evidence/configurations.md from what became of every configuration."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.configurations.anew import SAME
from evaluation.configurations.registries import reasons, registries, table
from evaluation.configurations.tried import ASKED, DEVICE, STEPS, Tried
from evaluation.pages import moved

HEAD = """# Configurations as people bring them

Every configuration in a folder of releases is asked for an inventory, memory, an estimate and a
plan ({devices} × {device}, context of {context:,} tokens, no engine's rules). Every bundled model
is then read and written by transformers and must stay the same model. Made by
`python -m evaluation.configurations FOLDER`; no weights are read.
"""


def page(found: Sequence[Tried], anew: Sequence[tuple[str, str]], version: str) -> str:
    """The whole page; ``version`` is that of transformers, "" where it is not installed."""
    parts = [HEAD.format(device=DEVICE, **ASKED), *_releases(found), *_registries()]
    if version:
        parts += _anew(anew, version)
    return "\n".join(parts) + "\n"


def _releases(found: Sequence[Tried]) -> list[str]:
    counts = ", ".join(f"{sum(step in one.answers for one in found)} {step}" for step in STEPS)
    lines = [
        "| configuration | parameters | stored as | answers | remarks, or why not |",
        "|---|---:|---|---|---|",
    ]
    for one in found:
        told = "; ".join((*one.remarks, *((one.reason,) if one.reason else ())))
        size = f"{one.parameters:,}" if one.parameters else "–"
        answers = "all" if one.answers == STEPS else ", ".join(one.answers) or "none"
        lines.append(
            f"| {one.name} | {size} | {one.stored_as or '–'} | {answers} "
            f"| {told.replace('|', chr(92) + '|')} |"
        )
    every = moved("configurations", "Every release, with remarks", lines)
    return [f"## Releases: {len(found)}", "", f"Answered: {counts}. {every}", ""]


def _registries() -> list[str]:
    """The engines' registries: what becomes of their classes, and why some are refused."""
    found = registries()
    why = moved("configurations-refused", "Why classes are refused", reasons(found))
    return ["## Registries of engines", "", *table(found), "", why, ""]


def _anew(anew: Sequence[tuple[str, str]], version: str) -> list[str]:
    same = sum(word == SAME for _, word in anew)
    other = [(name, word) for name, word in anew if word != SAME]
    lines = [f"## Written anew by transformers {version}: {same} of {len(anew)} the same", ""]
    if other:
        rows = (f"| {name} | {word} |" for name, word in other)
        head = ("| model | what became of it |", "|---|---|")
        lines += [moved("configurations-anew", "The others, with why", (*head, *rows)), ""]
    return lines
