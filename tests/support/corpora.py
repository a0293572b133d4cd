"""Tapes that are kept: what they reach in the readers, and which of them are enough.

A corpus is a text file, a tape a line in hexadecimal. A tape means what it does to today's samples:
after a change of these it is another damage, as good as any, until ``make fuzz`` finds new ones.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from support.command_words import ROOT
from support.entrances import ENTRANCES
from support.slow_entrances import SLOW
from support.table_entrances import TABLES
from support.tape import Tape
from support.toml_entrances import TOML

ATTACKS = {**ENTRANCES, **SLOW, **TOML, **TABLES}
READERS: dict[str, tuple[str, ...]] = {
    "plan-read": (
        "planning.plan.schema",
        "planning.plan.bounds",
        "planning.plan.known_names",
        "base.strict_json",
    ),
    "plan-verbs": ("planning.plan", "export", "report", "api", "planning.inspect"),
    "quantised-config": ("models.quantization", "models.fields", "base.strict_json"),
    "import-read": (
        "models.quantization",
        "models.fields",
        "export.read_back",
        "export.llama_cpp_back",
        "export.assignment",
    ),
    "import-folder": ("export.deployment", "models.fields", "export.plan_files"),
    "device-file": (
        "hardware.loader",
        "hardware.schema",
        "hardware.rules",
        "hardware.checks",
        "hardware.classes",
        "hardware.short",
        "toml_text",
    ),
    "calibrate": ("lab.calibration", "lab.validation.reader", "lab.validation.op_rows"),
    "validate": ("lab.validation",),
    "workload": ("workloads", "reuse", "toml_text"),
    "fleet": ("sizing.fleet.fleet_file", "sizing.fleet.read", "toml_text"),
    "sweep-file": ("sweeping.read", "sweeping.record", "planning.question.prices", "toml_text"),
    "sweep-left": ("jobs.journal", "sweeping.output", "sweeping.columns", "sweeping.run"),
    "losses": ("lab.verifying.learning", "lab.verifying.learned", "lab.verifying.posterior"),
}
"""Modules of the package, or folders of them, that read what an entrance is given: the fuzzer is
guided by these, and their lines are counted."""
FOLDER = ROOT / "tests" / "attack" / "corpus"
PACKAGE = ROOT / "planner"
Line = tuple[str, int]
LONGEST = 2.5
"""Traced seconds of a tape that is kept: `make test` runs each, about twice as quick."""
_OPTIMISED = 1  # the flag of functions' code, which module and class bodies lack


def kept(name: str) -> list[bytes]:
    """The tapes of an entrance's corpus."""
    path = FOLDER / f"{name}.txt"
    return (
        [bytes.fromhex(line) for line in path.read_text(encoding="ascii").split()]
        if path.exists()
        else []
    )


def keep(name: str, tapes: Iterable[bytes]) -> None:
    """Write an entrance's corpus."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.txt").write_text(
        "".join(f"{tape.hex()}\n" for tape in tapes if tape), encoding="ascii"
    )


def reader_files(name: str) -> list[Path]:
    """The modules that read what the entrance is given; all of the package where none are named."""
    if name not in READERS:
        return sorted(PACKAGE.rglob("*.py"))
    found: set[Path] = set()
    for module in READERS[name]:
        place = PACKAGE.joinpath(*module.split("."))
        found |= set(place.rglob("*.py")) if place.is_dir() else {place.with_suffix(".py")}
    return sorted(found)


def lines_of(files: Iterable[Path]) -> set[Line]:
    """Lines inside functions: what an import alone does not run."""
    return {
        (str(path), line)
        for path in files
        for code in _codes(compile(path.read_text(encoding="utf-8"), str(path), "exec"))
        if code.co_flags & _OPTIMISED
        for _, _, line in code.co_lines()
        if line is not None and line > code.co_firstlineno
    }


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


class Reached:
    """Lines of some modules that run within ``with``."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._files = {str(path) for path in files}
        self.lines: set[Line] = set()

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._line if frame.f_code.co_filename in self._files else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line

    def __enter__(self) -> "Reached":
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)


def reached(name: str, tape: bytes, files: Iterable[Path]) -> set[Line]:
    """Lines that an attack runs, whether or not it fails."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Reached(files) as found,
        contextlib.suppress(Exception),
    ):  # a failure is told by the fuzzer
        ATTACKS[name](Tape(tape), Path(folder))
    return found.lines


def enough(name: str, tapes: Iterable[bytes]) -> tuple[list[bytes], set[Line]]:
    """(the fewest short tapes found that reach what all do that take no longer than LONGEST, the
    lines that any reaches)."""
    files = reader_files(name)
    inside = lines_of(files)
    each: dict[bytes, set[Line]] = {}
    everything: set[Line] = set()
    for tape in sorted(set(tapes), key=lambda t: (len(t), t)):
        begun = time.process_time()
        found = reached(name, tape, files) & inside
        everything |= found
        if time.process_time() - begun <= LONGEST:
            each[tape] = found
    chosen: list[bytes] = []
    left: set[Line] = set().union(*each.values())
    while left:
        best = max(each, key=lambda tape: (len(each[tape] & left), -len(tape)))
        chosen.append(best)
        left -= each[best]
    return chosen, everything
