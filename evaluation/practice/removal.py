"""The table of published practice without the recipes of one question."""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from evaluation.practice.draw import family_of
from planner.hardware.catalog import resolve_device
from planner.planning.practice import recipes as table
from planner.planning.practice.recipes import FAMILIES, base_model

READERS = ("practice", "price", "search", "choose", "pools", "engines", "answer")
"""Packages of ``planner.planning`` that may keep what they read in the table."""


def makers_words(device: str) -> tuple[str, ...]:
    """The words for whatever the maker of ``device`` sells that guides name in its place."""
    name = resolve_device(device).name.lower()
    return tuple(word for word in FAMILIES if word in name)


def is_own(model: str, device: str, row_model: str, row_device: str) -> bool:
    """Whether a recipe is of the model, in whatever release, on the device, on one of its family,
    or on whatever its maker sells."""
    near = row_device == device or row_device in makers_words(device)
    family = family_of(device)
    return base_model(row_model) == base_model(model) and (
        near or (bool(family) and family == family_of(row_device))
    )


@contextmanager
def without_recipes(model: str, device: str) -> Iterator[int]:
    """The planner without the recipes of ``model`` on ``device`` (see :func:`is_own`); how many
    were left out. The table is as before when it ends."""
    before = table.TABLE
    with before.open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    at = head.index("model"), head.index("device")
    rest = [line for line in lines if not is_own(model, device, line[at[0]], line[at[1]])]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / before.name
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([head, *rest])
        try:
            table.TABLE = path
            _forget()
            yield len(lines) - len(rest)
        finally:
            table.TABLE = before
            _forget()


def _forget() -> None:
    """Clear what was kept of the table, and of what was made of it."""
    for forget in list(_kept()):
        forget()


def _kept() -> Iterator[Callable[[], None]]:
    names = tuple(f"planner.planning.{name}." for name in READERS)
    for name, module in list(sys.modules.items()):
        if not name.startswith(names):
            continue
        for value in list(vars(module).values()):
            if getattr(value, "__module__", None) != name:
                continue
            for method in ("cache_clear", "forget"):
                forget = getattr(value, method, None)
                if callable(forget) and not isinstance(value, type):
                    yield forget
