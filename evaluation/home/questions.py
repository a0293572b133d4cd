"""The questions, their machines, and what is published for them: ``questions.toml``."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from planner.base.records import record

FILE = Path(__file__).with_name("questions.toml")


@record
class HomeQuestion:
    """One question. ``words`` are the model and the device as they are asked for; ``device`` and
    ``count`` the machine that is meant. ``engines`` and the beginnings of ``files`` are published
    for it, ``decode`` is the range of tokens/s of one request that ``sources`` measured; how, where
    they have another file or machine, says ``derived``. ``pending``: what the product lacks, "" for
    nothing."""

    machine: str
    asks: str
    words: tuple[str, str]
    device: str
    count: int
    engines: tuple[str, ...]
    files: tuple[str, ...]
    decode: tuple[float, float]
    derived: str
    sources: tuple[str, ...]
    pending: str

    @property
    def command(self) -> str:
        """What is typed."""
        return " ".join(("plan", *(f'"{w}"' if " " in w else w for w in self.words)))


@cache
def questions() -> tuple[HomeQuestion, ...]:
    """All questions in their order."""
    rows = tomllib.loads(FILE.read_text(encoding="utf-8"))["question"]
    return tuple(
        HomeQuestion(
            row["machine"],
            row["asks"],
            (row["words"][0], row["words"][1]),
            row["device"],
            row.get("count", 1),
            tuple(row["engines"]),
            tuple(row["files"]),
            (row["decode"][0], row["decode"][1]),
            row["derived"],
            tuple(row["sources"]),
            row.get("pending", ""),
        )
        for row in rows
    )
