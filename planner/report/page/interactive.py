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
from planner.planning.whatif.grid import Grid
from planner.report import words
from planner.report.page.interactive_data import page_data
from planner.report.phrases import Phrases, phrases

HERE = Path(__file__).resolve().parents[1]
LANGUAGE_FOLDER = HERE / "lang_what_if"
SCRIPT = HERE / "templates" / "interactive.js"
SLIDERS = ("context", "batch", "devices", "max-loss")
MAX_BYTES = 2 << 20
"""The most that the data of a page may take."""


@dataclass(frozen=True, slots=True)
class Interactive:
    """What a template needs: the page's texts ``w``, its axes, data as JSON values, the script and
    its digest for the page's policy."""

    w: Phrases
    points: str
    sliders: tuple[dict[str, Any], ...]
    choices: tuple[dict[str, Any], ...]
    data: dict[str, Any]
    script: str
    digest: str


def interactive(grid: Grid, plan: Plan, lang: str) -> Interactive:
    """The what-if page of a grid around ``plan``.

    Raises:
        UnknownNameError: no such language.
    """
    w = phrases(lang, LANGUAGE_FOLDER)
    data = page_data(grid, plan, phrases(lang), w)
    script, digest = _script()
    axes = tuple(data["axes"])
    return Interactive(
        w, words.count(len(grid.points)), tuple(a for a in axes if a["name"] in SLIDERS),
        tuple(a for a in axes if a["name"] not in SLIDERS), data, script, digest)


def check_bytes(size: int) -> None:
    """Refuse data that is too large to embed.

    Raises:
        InputError: it is.
    """
    if size > MAX_BYTES:
        raise InputError(
            f"the grid takes {size / 2**20:.1f} MiB of the page; at most {MAX_BYTES >> 20} MiB are "
            "embedded", hint="name fewer values, e.g. --grid context=8192,32768, or leave out "
            "--untie")


@cache
def _script() -> tuple[str, str]:
    text = SCRIPT.read_text(encoding="utf-8")
    digest = hashlib.sha256(f"\n{text}".encode()).digest()
    return text, base64.b64encode(digest).decode()
