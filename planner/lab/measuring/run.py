"""``plan measure``: the parts one after the other, each in a process of its own.

What a part has told is kept, whatever becomes of it: a crash, a library that hangs, an interrupt.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planner.base.system import end_group, load_average
from planner.lab.measuring.find_ggml import NOWHERE, GgmlFiles
from planner.lab.measuring.request import (
    FULL_SECONDS,
    PARTS,
    QUICK_SECONDS,
    MeasuringPart,
    PartRequest,
)
from planner.lab.measuring.rows import Row
from planner.planning.question.host_notes import BUSY

LATE = "left out: what came before took the part's time; --only gives an operator more"
ONLY = 2.0
LATEST, GRACE_SECONDS = 6.0, 60.0
"""A part is ended after so many times its seconds, and this: it hangs."""
Tell = Callable[[int, int, str], None]


@dataclass
class MeasuredParts:
    """What was measured: ``rows`` of tables, parts that were ``skipped`` and parts (or cases) that
    ``failed``, both as (what, why); ``seconds`` it took."""

    rows: list[Row] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class TimedMachine:
    """What parts need to know of the machine: ``threads`` of ``device``, its last cache and memory
    in bytes, ggml's files, and the id of a GPU that torch reaches (empty: none)."""

    device: str
    threads: int
    cache_bytes: int
    memory_bytes: int
    ggml: GgmlFiles | None
    gpu: str = ""


def wanted_parts(
    operators: Sequence[str],
    machine: TimedMachine,
) -> tuple[list[MeasuringPart], list[tuple[str, str]]]:
    """(parts to run, parts whose library is missing with the reason)."""
    run, left = [], []
    for part in PARTS:
        if operators and part.operator not in operators:
            continue
        if why := _missing(part, machine):
            left.append((part.name, why))
        else:
            run.append(part)
    return run, left


def _missing(part: MeasuringPart, machine: TimedMachine) -> str:
    """Why a part cannot run here; empty if it can."""
    if part.needs == "ggml" and machine.ggml is None:
        return NOWHERE
    if part.needs == "torch" and importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    return ""


def requests(
    parts: Sequence[MeasuringPart], machine: TimedMachine, quick: bool
) -> Iterator[PartRequest]:
    """What each part is told; the time is shared by weight among all that run. Where few were asked
    for they get up to ONLY times what they would get beside all others that can run here."""
    total = sum(part.share for part in parts)
    beside = sum(part.share for part in PARTS if not _missing(part, machine))
    total_seconds = QUICK_SECONDS if quick else FULL_SECONDS
    files = (
        {}
        if machine.ggml is None
        else {"base": str(machine.ggml.base), "cpu": str(machine.ggml.cpu)}
    )
    for part in parts:
        seconds = total_seconds * part.share * min(1 / total, ONLY / beside)
        yield PartRequest(
            part.name,
            quick,
            seconds,
            machine.threads,
            machine.device,
            machine.cache_bytes,
            machine.memory_bytes,
            files if part.needs == "ggml" else {},
            machine.gpu if part.needs == "torch" else "",
        )


def run_parts(
    requests: Sequence[PartRequest], parts: MeasuredParts, tell: Tell, save: Callable[[], None]
) -> None:
    """Run every part; ``parts`` grows as rows are told, ``save`` is called after each part, and
    when an interrupt ends the run."""
    start = time.monotonic()
    try:
        for done, request in enumerate(requests):
            tell(done, len(requests), request.part)
            run_part(request, parts)
            parts.seconds = time.monotonic() - start
            save()
    except BaseException:
        if parts.rows:
            save()
        raise
    tell(len(requests), len(requests), "")


def run_part(request: PartRequest, parts: MeasuredParts) -> None:
    """One process; its lines go to ``parts``."""
    end = time.monotonic() + LATEST * request.seconds + GRACE_SECONDS
    with subprocess.Popen(
        command_of(request),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=_environment(request),
        start_new_session=True,
    ) as process:
        try:
            done, errors = _listen(process, request, parts, end)
        finally:
            if process.poll() is None:
                end_group(process)
    if not done:
        parts.failed.append(
            (request.part, _failure(process.returncode, errors, time.monotonic() > end))
        )


def command_of(request: PartRequest) -> list[str]:
    """The program that measures a part."""
    return [sys.executable, "-m", "planner.lab.measuring.worker", request.text()]


def _listen(
    process: subprocess.Popen[str],
    request: PartRequest,
    parts: MeasuredParts,
    end: float,
) -> tuple[bool, list[str]]:
    """(whether the last line came, the last lines of stderr)."""
    lines: queue.Queue[str | None] = queue.Queue()
    errors: list[str] = []

    def read_rows() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    def read_errors() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            errors.append(line.strip())
            del errors[:-20]

    readers = [threading.Thread(target=read, daemon=True) for read in (read_rows, read_errors)]
    for reader in readers:
        reader.start()
    done = False
    while time.monotonic() < end:
        try:
            line = lines.get(timeout=max(0.01, min(1.0, end - time.monotonic())))
        except queue.Empty:
            continue
        if line is None:
            break
        done = _take(line, request, parts) or done
    if process.poll() is None and not done:
        end_group(process)
    process.wait()
    readers[1].join(1.0)
    return done, [line for line in errors if line]


def _take(line: str, request: PartRequest, parts: MeasuredParts) -> bool:
    """Take in one line; whether it was the last. What is no line of ours (a library that prints) is
    passed over."""
    try:
        record: Any = json.loads(line)
    except ValueError:
        return False
    if not isinstance(record, dict):
        return False
    if "row" in record:
        parts.rows.append(record["row"])
    elif "skipped" in record:
        what, why = record["skipped"]
        parts.failed.append((f"{request.part}: {what}", why))
    elif "late" in record:
        parts.skipped.append((f"{request.part}: {_several(record['late'])}", LATE))
    return bool(record.get("done"))


def _several(cases: Sequence[str]) -> str:
    """Cases in few words: how many, the first and the last."""
    if len(cases) == 1:
        return cases[0]
    return f"{len(cases)} cases, {cases[0]} to {cases[-1]}"


def _failure(code: int | None, errors: Sequence[str], late: bool) -> str:
    if late:
        return "took too long and was ended"
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"ended by {name}" + (f": {errors[-1][:200]}" if errors else "")
    return errors[-1][:300] if errors else f"ended with exit code {code}"


def _environment(request: PartRequest) -> dict[str, str]:
    """Threads of the numeric libraries, and the package that this process runs."""
    threads = "1" if request.part == "bandwidth" else str(request.threads)
    package = str(Path(__file__).resolve().parents[3])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "GGML_NO_BACKTRACE": "1",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
    }


def busy(machine: TimedMachine) -> str:
    """That other programs compute, where they do: times are then too long."""
    load = load_average()
    if load is None or load < 0.5 * machine.threads:
        return ""
    return (
        f"{BUSY} (load {load:.1f} on {machine.threads} cores): times come out too long; "
        "measure again when the machine is idle"
    )
