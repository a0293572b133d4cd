"""The what-if page inside a report: its section, styles and script, in one language.

The script only looks up what was planned when the page was made. The page's policy allows this one
script, by its digest, and no connection at all.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from planner.errors import InputError
from planner.planning.plan.record import Plan
from planner.planning.whatif.grid import Grid, Planned
from planner.report import words
from planner.report.page.interactive_axes import shown
from planner.report.page.interactive_data import page_data
from planner.report.phrases import Phrases, phrases_on

HERE = Path(__file__).resolve().parents[1]
LANGUAGE_FOLDER = HERE / "lang_what_if"
SCRIPTS = tuple(HERE / "templates" / f"interactive{part}.js" for part in ("_data", "_chart", ""))
FIGURES = ("rate", "each", "tpot", "ttft", "users", "loss", "used", "usd", "joules")
"""Rows of the table; the last only where the device states its power."""
MAX_BYTES = 2 << 20
"""The most that the data of a page may take."""


@dataclass(frozen=True, slots=True)
class Interactive:
    """What a template needs: the page's texts ``w``, its controls by group, the axes that the chart
    may go along, rows of the table, data as JSON values, the script and its digest for the page's
    policy."""

    w: Phrases
    points: str
    groups: tuple[tuple[str, tuple[dict[str, Any], ...]], ...]
    charted: tuple[tuple[int, dict[str, Any]], ...]
    figures: tuple[str, ...]
    loss: str
    data: dict[str, Any]
    script: str
    digest: str

    @property
    def first(self) -> int:
        """The axis that the chart goes along at first: the one of most positions."""
        return max(self.charted, key=lambda one: len(one[1]["values"]), default=(0, {}))[0]


def interactive(grid: Grid, plan: Plan, lang: str) -> Interactive:
    """The what-if page of a grid around ``plan``.

    Raises:
        UnknownNameError: no such language.
    """
    w = phrases_on(plan.device.id, lang, LANGUAGE_FOLDER)
    data = page_data(grid, plan, phrases_on(plan.device.id, lang), w)
    script, digest = _script()
    groups = shown(grid.axes)
    axes = data["axes"]
    unit = data["loss_unit"]
    powered = any(
        isinstance(p, Planned) and p.performance.joules_per_output_token is not None
        for p in grid.points
    )
    return Interactive(
        w,
        words.count(len(grid.points)),
        tuple((group, tuple(axes[place] for place in places)) for group, places in groups),
        tuple((place, axes[place]) for _, places in groups for place in places),
        FIGURES if powered else FIGURES[:-1],
        w("figure.relative", scheme=unit) if unit else w("figure.nats"),
        data,
        script,
        digest,
    )


def check_bytes(size: int) -> None:
    """Refuse data that is too large to embed. That is known with the plans alone: texts that are
    equal stand in a page once, and how many differ is what planning finds. The most points there
    may be take less than half of it (about 150 bytes each), unless every layer decides by itself.

    Raises:
        InputError: it is.
    """
    if size > MAX_BYTES:
        raise InputError(
            f"the grid takes {size / 2**20:.1f} MiB of the page; at most {MAX_BYTES >> 20} MiB are "
            "embedded",
            hint="name fewer values, e.g. --grid context=8192,32768, or leave out --untie",
        )


@cache
def _script() -> tuple[str, str]:
    """The script, its parts in one scope, and its digest."""
    parts = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    text = f'(() => {{\n"use strict";\n{parts}}})();\n'
    digest = hashlib.sha256(f"\n{text}".encode()).digest()
    return text, base64.b64encode(digest).decode()
