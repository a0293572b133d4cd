"""Mutation testing of the core: a sample of changed operators and numbers, room by room.

    make mutants                                  # goes on where an earlier run ended
    python -m mutants [--count 400] [--seed 1] [--rooms memory,quality] [--minutes 60]

Run from ``benchmarks/``. A mutant is noticed where a test of its own room (tests/memory for
planner/memory) fails with it. Answers are kept in out/mutants.jsonl, a line each, by the digest of
the file: what has changed is tried again, the rest is not. docs/evidence/mutation.md has the
survivors of the last run and what became of each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mutants.baseline import Kept, Key
from mutants.places import Place, places
from mutants.server import Reached, Server

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "planner"
ROOMS = ("throughput", "memory", "planning", "quality", "numerics")
JOURNAL = ROOT / "out" / "mutants.jsonl"
LIMIT_SECONDS = 30.0
"""CPU seconds of a test, beside four times what it takes unchanged."""


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _places(path: Path) -> list[Place]:
    return places(_text(path))


def sample(rooms: tuple[str, ...], count: int, seed: int) -> list[tuple[Path, int]]:
    """``count`` places of all rooms, the same for a seed and a tree."""
    pool = [(path, place.number) for room in ROOMS
            for path in sorted((PACKAGE / room).rglob("*.py")) for place in _places(path)]
    chosen = random.Random(seed).sample(pool, min(count, len(pool)))
    return [one for one in chosen if one[0].relative_to(PACKAGE).parts[0] in rooms]


def _id(path: Path, number: int) -> str:
    digest = hashlib.sha256(_text(path).encode()).hexdigest()[:16]
    return f"{path.relative_to(PACKAGE).as_posix()}:{digest}:{number}"


def _known() -> dict[str, dict[str, Any]]:
    if not JOURNAL.is_file():
        return {}
    records = (json.loads(line) for line in JOURNAL.read_text(encoding="utf-8").splitlines())
    return {one["id"]: one for one in records}


def try_room(room: str, left: list[tuple[Path, int]], end: float) -> None:
    """Try the mutants of one room; every answer lands in the journal at once."""
    JOURNAL.parent.mkdir(exist_ok=True)

    def wanted(reached: Reached) -> Iterator[tuple[Path, int, Key]]:
        if reached.failing:
            print(f"{room}: {len(reached.failing)} tests fail unchanged and are left out: "
                  f"{', '.join(reached.failing[:3])}", flush=True)
        for path, number in left:
            place = _places(path)[number]
            yield path, number, (path.relative_to(PACKAGE).as_posix(), place.first, place.name)

    def told(path: Path, number: int, result: dict[str, Any]) -> bool:
        place = _places(path)[number]
        name = path.relative_to(PACKAGE).as_posix()
        record = {"id": _id(path, number), "place": f"{name}:{place.line}",
                  "change": f"{place.before}  →  {place.after}", **result}
        with JOURNAL.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
        word = "noticed" if result["noticed"] else "SURVIVED"
        print(f"{word} {record['place']}: {record['change']}"
              f"{'' if result['noticed'] else ' (' + result['why'] + ')'}", flush=True)
        return time.monotonic() < end

    def kept() -> Kept:
        return Kept.read(JOURNAL.with_name(f"mutants-{room}.json"),
                         [PACKAGE, ROOT / "tests/support", ROOT / "tests/conftest.py"])

    server = Server(PACKAGE, LIMIT_SECONDS, kept, wanted, told)
    pytest.main([str(ROOT / "tests" / room), "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
                 "-m", "not exhaustive and not oracle", "--rootdir", str(ROOT),
                 "-c", str(ROOT / "pyproject.toml")], plugins=[server])


def _summary(chosen: list[tuple[Path, int]]) -> str:
    known = _known()
    lines = ["| folder | mutants | noticed | share |", "|---|---:|---:|---:|"]
    total = [0, 0]
    for room in ROOMS:
        mine = [known[key] for path, number in chosen
                if path.relative_to(PACKAGE).parts[0] == room
                and (key := _id(path, number)) in known]
        noticed = sum(one["noticed"] for one in mine)
        total = [total[0] + len(mine), total[1] + noticed]
        if mine:
            lines.append(f"| {room} | {len(mine)} | {noticed} | {noticed / len(mine):.0%} |")
    lines.append(f"| all | {total[0]} | {total[1]} | {total[1] / max(total[0], 1):.1%} |")
    return "\n".join(lines)


def main() -> int:
    """Try what the journal does not know, then print the table by folder."""
    parser = argparse.ArgumentParser(description="Mutation testing of the core.")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rooms", default=",".join(ROOMS))
    parser.add_argument("--minutes", type=float, default=600.0)
    options = parser.parse_args()
    rooms = tuple(options.rooms.split(","))
    end = time.monotonic() + 60 * options.minutes
    chosen = sample(rooms, options.count, options.seed)
    known = _known()
    for room in rooms:
        left = [one for one in chosen if one[0].relative_to(PACKAGE).parts[0] == room
                and _id(*one) not in known]
        if left and time.monotonic() < end:
            try_room(room, left, end)
    print(f"\nseed {options.seed}\n\n{_summary(chosen)}")
    return 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
