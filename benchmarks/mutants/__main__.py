"""Mutation testing of the core: a sample of changed operators and numbers, room by room.

    make mutants                                  # goes on where an earlier run ended
    python -m mutants [--count 400] [--seed 1] [--rooms memory,quality] [--minutes 60]

Run from ``benchmarks/``. A mutant is noticed where a test of its own room (tests/memory for
planner/memory) fails with it. The changes of known.toml come first. Answers are kept in
out/mutants.jsonl, a line each: one stands while the function says the same, and where no test
noticed, while the tests of the room do too. survivors.toml has what became of each survivor.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mutants.baseline import Kept, digest
from mutants.sample import KNOWN, SURVIVORS, Site, draw, entries, found, sites
from mutants.server import Reached, Server, load

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("throughput", "memory", "planning", "quality", "numerics")
JOURNAL = ROOT / "out" / "mutants.jsonl"
LIMIT_SECONDS = 30.0
"""CPU seconds of a test, beside four times what it takes unchanged, and of all of a mutant."""


@cache
def _tests(room: str) -> str:
    """A digest of the tests that may notice."""
    return digest(
        path
        for folder in (room, "support")
        for path in sorted((ROOT / "tests" / folder).rglob("*.py"))
    )


def _answers() -> dict[str, dict[str, Any]]:
    """The last answer about each site."""
    if not JOURNAL.is_file():
        return {}
    records = (json.loads(line) for line in JOURNAL.read_text(encoding="utf-8").splitlines())
    return {one["site"]: one for one in records}


def _told(site: Site, record: dict[str, Any] | None) -> bool:
    return record is not None and bool(record["says"] == site.place.digest)


def _stands(site: Site, record: dict[str, Any] | None) -> bool:
    """Whether the answer needs no other try: new tests may notice what none did."""
    return (
        record is not None
        and _told(site, record)
        and (record["noticed"] or record["tests"] == _tests(site.room))
    )


def try_room(room: str, left: Sequence[Site], end: float) -> None:
    """Try the mutants of one room; every answer lands in the journal at once."""
    JOURNAL.parent.mkdir(exist_ok=True)

    def wanted(reached: Reached) -> Iterator[Site]:
        if reached.failing:
            print(
                f"{room}: {len(reached.failing)} tests fail unchanged and are left out: "
                f"{', '.join(reached.failing[:3])}",
                flush=True,
            )
        yield from left

    def told(site: Site, result: dict[str, Any]) -> bool:
        record = {
            "site": site.name(),
            "says": site.place.digest,
            "tests": _tests(room),
            "place": f"{site.file}:{site.place.line}",
            "function": site.place.name,
            "before": site.place.before,
            "after": site.place.after,
            "ordinal": site.place.ordinal,
            **result,
        }
        with JOURNAL.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
        print(
            f"{'noticed' if result['noticed'] else 'SURVIVED'} {record['place']}: "
            f"{site.place.before}  →  {site.place.after}"
            f"{'' if result['noticed'] else ' (' + result['why'] + ')'}",
            flush=True,
        )
        return time.monotonic() < end

    def kept() -> Kept:
        common = [
            path
            for path in (ROOT / "planner").rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc")
        ]
        return Kept.read(
            JOURNAL.with_name(f"mutants-{room}.json"),
            ROOT,
            [*common, *(ROOT / "tests").rglob("conftest.py")],
        )

    load(ROOT / "planner" / room)
    server = Server(ROOT, LIMIT_SECONDS, kept, wanted, told)
    pytest.main(
        [
            str(ROOT / "tests" / room),
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-m",
            "not exhaustive and not oracle",
            "--rootdir",
            str(ROOT),
            "-c",
            str(ROOT / "pyproject.toml"),
        ],
        plugins=[server],
    )


def _summary(chosen: Sequence[Site], known: Sequence[Site]) -> str:
    """The table by folder, and how many of the known lines were noticed. What no test noticed
    counts as that until it is tried again."""
    answers, looked = _answers(), entries(SURVIVORS)
    lines = [
        "| folder | drawn | tried | noticed | share | equivalent |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    whole: list[tuple[bool, bool]] = []
    for room in ROOMS:
        drawn = [site for site in chosen if site.room == room]
        mine = [
            (
                bool(answers[site.name()]["noticed"]),
                any(one.is_of(site) and one.verdict == "equivalent" for one in looked),
            )
            for site in drawn
            if _told(site, answers.get(site.name()))
        ]
        whole += mine
        if mine:
            lines.append(_row(room, len(drawn), mine))
    lines.append(_row("all", len(chosen), whole))
    noticed = [
        site
        for site in known
        if _told(site, answers.get(site.name())) and answers[site.name()]["noticed"]
    ]
    lines.append(f"\n{len(noticed)} of {len(known)} known lines noticed")
    lines += [
        f"not {'noticed' if _told(site, answers.get(site.name())) else 'tried'}: "
        f"{site.file}:{site.place.line}: {site.place.before}"
        for site in known
        if site not in noticed
    ]
    return "\n".join(lines)


def _row(name: str, drawn: int, mine: Sequence[tuple[bool, bool]]) -> str:
    noticed = sum(one for one, _ in mine)
    equivalent = sum(same and not one for one, same in mine)
    return (
        f"| {name} | {drawn} | {len(mine)} | {noticed} | {noticed / max(len(mine), 1):.0%} | "
        f"{equivalent} |"
    )


def main() -> int:
    """Try what the journal does not know, then print the table by folder."""
    parser = argparse.ArgumentParser(description="Mutation testing of the core.")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rooms", default=",".join(ROOMS))
    parser.add_argument("--minutes", type=float, default=600.0)
    options = parser.parse_args()
    # Tests import folders of tests/ by names that modules of benchmarks/ have too.
    sys.path[:] = [one for one in sys.path if Path(one).resolve() != ROOT / "benchmarks"]
    rooms = tuple(options.rooms.split(","))
    end = time.monotonic() + 60 * options.minutes
    known = [found(ROOT, one) for one in entries(KNOWN)]
    chosen = draw(sites(ROOT, [f"planner/{room}" for room in ROOMS]), options.count, options.seed)
    answers = _answers()
    for room in rooms:
        left = [
            one
            for one in dict.fromkeys([*known, *chosen])
            if one.room == room and not _stands(one, answers.get(one.name()))
        ]
        if left and time.monotonic() < end:
            try_room(room, left, end)
    table = _summary(chosen, [one for one in known if one.room in rooms])
    print(f"\nseed {options.seed}\n\n{table}")
    return 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
