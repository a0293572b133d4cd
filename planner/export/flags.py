"""The servers' flags that commands use, each with where it was read: ``data/flags.csv``.

No server is started here, so a flag is known from its engine's documentation or code alone.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_DATA = Path(__file__).resolve().parent / "data" / "flags.csv"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of a program: what it means for a plan, and its source."""

    engine: str
    name: str
    means: str
    source: str
    date: str


@cache
def flags(engine: str) -> dict[str, Flag]:
    """The known flags of an engine's command, by name."""
    with _DATA.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["engine"] == engine]
    return {
        row["flag"]: Flag(engine, row["flag"], row["means"], row["source"], row["date"])
        for row in rows
    }


def sources_of(engine: str, words: Sequence[str]) -> list[str]:
    """``source, date`` of every flag in a command, each once, in the command's order."""
    known = flags(engine)
    return list(
        dict.fromkeys(
            f"{known[word].source}, {known[word].date}" for word in words if word in known
        )
    )
