"""The Python side of ``plan measure``."""

from __future__ import annotations

import datetime
import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.base.display import with_former_keywords
from planner.base.errors import InputError, PlannerError, UnknownNameError
from planner.base.typed import typed
from planner.hardware.host.described import HOST, described, gpu_id
from planner.hardware.host.detect import host_facts
from planner.hardware.host.facts import HostFacts
from planner.hardware.loader import load_profile
from planner.lab.calibration.run import calibrate
from planner.lab.measuring.find_ggml import find_ggml
from planner.lab.measuring.folder import PROFILE, MeasurementFolder
from planner.lab.measuring.measured_profile import with_measured
from planner.lab.measuring.request import OPERATORS, PARTS
from planner.lab.measuring.rows import Row
from planner.lab.measuring.run import (
    MeasuredParts,
    TimedMachine,
    busy,
    requests,
    run_parts,
    wanted_parts,
)

FOLDER = "measured"
"""Where tables go where no folder is named."""
UNKNOWN_CACHE, UNKNOWN_MEMORY = 32 << 20, 2 << 30


def _nobody(*_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Measurement:
    """What ``plan measure`` found.

    ``folder`` holds the tables and ``host.toml``; ``rows`` are the tables' rows with their table,
    ``fits`` names of fitted operators; ``skipped``, ``unfitted`` (measured, and described by no
    fit) and ``failed`` are (what, why).
    """

    folder: Path
    rows: tuple[Row, ...]
    fits: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]
    seconds: float
    unfitted: tuple[tuple[str, str], ...] = ()


@with_former_keywords(told="notify")
@typed
def measure(
    output: str | os.PathLike[str] = FOLDER,
    *,
    quick: bool = False,
    only: Sequence[str] | None = None,
    engine_dir: str | os.PathLike[str] | None = None,
    force: bool = False,
    progress: Callable[[int, int, str], None] = _nobody,
    notify: Callable[[str], None] = _nobody,
) -> Measurement:
    """Time this machine's operators, and write tables and the device ``host``.

    Args:
        output: a new or empty folder; its tables are read by ``plan calibrate`` and ``plan
            validate``, its ``host.toml`` by ``--hardware-dir``.
        quick: few shapes, about 20 seconds; else all, two to three minutes.
        only: operators: bandwidth, gemm, attention, conversion, quantise, calls.
        engine_dir: the folder of a built llama.cpp (default: PLAN_LLAMA_CPP, ``llama-bench`` on the
            PATH, the Python package ``llama_cpp``).
        force: replace an earlier measurement in ``output``.
        progress, notify: called as the work goes on: (done, total, part), and with remarks.
    Raises:
        UnknownNameError: no such operator.
        InputError: the folder cannot be written or holds other files, or ``engine_dir`` no library.
        UnsupportedError: the system does not say what CPU this is.
    """
    operators = _operators(only)
    if (
        engine_dir is not None
        and operators
        and not any(part.needs == "ggml" and part.operator in operators for part in PARTS)
    ):
        raise InputError(
            f"engine_dir: llama.cpp has no part in {', '.join(operators)}",
            hint="leave one of engine_dir and only out",
        )
    facts, files = host_facts(), find_ggml(engine_dir)
    plain = described(facts)
    machine = TimedMachine(
        HOST,
        facts.threads,
        facts.cache_bytes or UNKNOWN_CACHE,
        facts.memory_available or facts.capacity or UNKNOWN_MEMORY,
        files,
        torch_gpu(facts),
    )
    parts, skipped = wanted_parts(operators, machine)
    if not parts:
        raise InputError(
            "nothing that was asked for can be measured here: "
            + "; ".join(f"{name}: {why}" for name, why in skipped),
            hint="install torch or llama.cpp, or leave --only out",
        )
    noise = busy(machine)
    for line in (noise, files.where if files is not None else ""):
        if line:
            notify(line)
    measured_parts = MeasuredParts(skipped=list(skipped))
    today = datetime.date.today().isoformat()
    folder = MeasurementFolder(Path(output), force=force)
    try:
        run_parts(
            list(requests(parts, machine, quick)),
            measured_parts,
            progress,
            lambda: folder.write(
                measured_parts.rows,
                with_measured(plain, measured_parts.rows, HOST, noise).text(today),
            ),
        )
        fits, unfitted = _fitted(folder, measured_parts, today)
    finally:
        folder.close()
    return Measurement(
        folder.path,
        tuple(measured_parts.rows),
        fits,
        tuple(measured_parts.skipped),
        tuple(measured_parts.failed),
        measured_parts.seconds,
        unfitted,
    )


def _operators(only: Sequence[str] | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in only or () if name.strip())
    for name in names:
        if name not in OPERATORS:
            raise UnknownNameError("operator", name, OPERATORS)
    return names


def _fitted(
    folder: MeasurementFolder, parts: MeasuredParts, date: str
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Fits of the tables, written into the profile, and what was not fitted."""
    if not any(row["device"] == HOST for row in parts.rows):
        return (), ()
    try:
        profile = load_profile(folder.path / PROFILE)
        made = calibrate(folder.path, profile, source="Measured on this machine", date=date)
    except PlannerError as error:
        return (), (("tables", error.message),)
    folder.write(parts.rows, made.text)
    return (
        tuple(f"{fit.operator} {fit.stack} {fit.variant}" for fit in made.fits),
        tuple(made.skipped),
    )


def torch_gpu(facts: HostFacts) -> str:
    """The id of the GPU that torch reaches (its own name where the catalogue has none), empty for
    none. torch is asked only where the system names a GPU: importing it takes seconds."""
    if not facts.gpus or importlib.util.find_spec("torch") is None:
        return ""
    import torch

    if not torch.cuda.is_available():
        return ""
    name = str(torch.cuda.get_device_name(0))
    return gpu_id(name, facts.memory_bytes) or name
