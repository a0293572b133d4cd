"""What a run has found so far, a line each, so that one that was interrupted goes on from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.meta.compare import Compared
from evaluation.meta.explained import Explained
from evaluation.meta.types import Covered

_HERE = Path(__file__).parent
_SOURCES = (_HERE, _HERE.parents[1] / "planner" / "models")


def sources() -> str:
    """A digest of the code and data that an answer depends on."""
    found = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".toml", ".json"):
                found.update(path.read_bytes())
    return found.hexdigest()


class Journal:
    """Answers by key in ``path``; those of another ``state`` (versions, code) are not found."""

    def __init__(self, path: Path, state: str) -> None:
        self._path, self._state = path, state
        self._known: dict[str, dict[str, Any]] = {}
        self.resumed = 0
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                key, answer = json.loads(line)
            except ValueError:  # the line that an interruption cut
                continue
            self._known[key] = answer

    def compared(self, name: str, make: Callable[[], Compared]) -> Compared:
        """The comparison ``name``, made where the journal lacks it."""
        values = self._answer(f"own {name}", lambda: asdict(make()))
        why = values.pop("why")
        lists = {key: tuple(values.pop(key)) for key in ("differences", "names")}
        return Compared(
            **values,
            **lists,
            why=why and Explained(tuple(why["reasons"]), tuple(why["there"]), tuple(why["here"])),
        )

    def covered(self, kind: str, make: Callable[[], Covered]) -> Covered:
        """What is known of type ``kind``, found out where the journal lacks it."""
        return Covered(**self._answer(f"type {kind}", lambda: asdict(make())))

    def close(self) -> None:
        """The run is complete: the next one begins anew."""
        self._path.unlink(missing_ok=True)

    def _answer(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        key = f"{self._state} {name}"
        if key in self._known:
            self.resumed += 1
            return json.loads(json.dumps(self._known[key]))  # type: ignore[no-any-return]
        found = make()
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps([key, found]) + "\n")
        return found


def state(versions: Iterable[str]) -> str:
    """What answers depend on beside their configuration, in few letters."""
    return hashlib.sha256(" ".join((sources(), *versions)).encode()).hexdigest()[:16]
