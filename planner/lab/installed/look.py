"""Look for engines on this machine, by the same folders, variables and Pythons that ``plan
verify`` and ``plan measure`` use. What cannot be asked is told as a problem, never an error."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from planner.base.errors import InputError, PlannerError
from planner.base.system import WINDOWS
from planner.hardware.host.detect import host_facts
from planner.lab.installed.known_engines import (
    KnownEngine,
    engine_named,
    install_commands,
    known_engines,
)
from planner.lab.installed.records import (
    EngineLibrary,
    EnginePackage,
    EngineProgram,
    EngineStatus,
)
from planner.lab.measuring.find_ggml import find_ggml
from planner.lab.verifying.llama_programs import (
    VARIABLE,
    devices_listed,
    output_of,
    program_folders,
    version_of,
)
from planner.lab.verifying.python_engines import python_of, versions_in

LLAMA = "llama.cpp"
FIRST = ("llama-bench", "llama-server", "llama-cli")
"""Programs of llama.cpp that tell its version and devices; the first that is there is started."""
SYSTEMS = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}
ROCM = ("/opt/rocm", "/dev/kfd")
"""What AMD's driver or its libraries leave on a Linux machine."""


def this_system() -> tuple[str, tuple[str, ...]]:
    """(linux, macos or windows; what computes here besides the CPU)."""
    system = SYSTEMS.get(platform.system(), platform.system().lower())
    facts = host_facts()
    accelerators = []
    if any("NVIDIA" in name.upper() for name in facts.gpus):
        accelerators.append("cuda")
    if system == "linux" and any(os.path.exists(place) for place in ROCM):
        accelerators.append("rocm")
    if system == "macos" and facts.machine == "arm64":
        accelerators.append("metal")
    return system, tuple(accelerators)


def engine_status(name: str, engine_dir: str | os.PathLike[str] | None = None) -> EngineStatus:
    """What is there of the engine ``name``, and what installs it.

    Raises:
        UnknownNameError: no such engine. InputError: ``engine_dir`` is named for another engine
            than llama.cpp, or is no folder.
    """
    return _status(engine_named(name), None if engine_dir is None else os.fspath(engine_dir))


def engine_statuses(
    engine_dir: str | os.PathLike[str] | None = None,
) -> tuple[EngineStatus, ...]:
    """The same of every engine; ``engine_dir`` is llama.cpp's.

    Raises:
        InputError: ``engine_dir`` is no folder.
    """
    named = None if engine_dir is None else os.fspath(engine_dir)
    return tuple(
        _status(engine, named if engine.id == LLAMA else None)
        for engine in known_engines().values()
    )


def _status(engine: KnownEngine, named: str | None) -> EngineStatus:
    _check_folder(engine, named)
    problems: list[str] = []
    programs = _programs(engine, named)
    libraries: tuple[EngineLibrary, ...] = ()
    devices: tuple[str, ...] = ()
    if engine.id == LLAMA:
        programs, devices = _llama_versions(programs, problems)
        libraries = _ggml(named, problems)
    elif engine.version:
        programs = _with_versions(engine, programs, problems)
    packages = _packages(engine, problems)
    system, accelerators = this_system()
    return EngineStatus(
        engine.id,
        engine.title,
        bool(programs or libraries or {p.name for p in packages} & set(engine.needed)),
        programs,
        packages,
        libraries,
        devices,
        tuple(problems),
        system,
        accelerators,
        install_commands(engine.id, system, accelerators),
    )


def _check_folder(engine: KnownEngine, named: str | None) -> None:
    if named is None:
        return
    if engine.id != LLAMA:
        raise InputError(
            f"engine_dir: {engine.title} has no folder of programs",
            hint="leave --engine-dir out; it names the folder of llama.cpp's programs",
        )
    if not Path(named).is_dir():
        raise InputError(f"--engine-dir {named!r} is no folder", hint="name that of its programs")


def _programs(engine: KnownEngine, named: str | None) -> tuple[EngineProgram, ...]:
    """Programs by name: of the folder that is named, else of PATH and the engine's own places."""
    given = named or (os.environ.get(VARIABLE, "") if engine.id == LLAMA else "")
    folders = [*program_folders(given)] if given else [Path(p).expanduser() for p in engine.places]
    out = []
    for name in engine.programs:
        path = None if given else shutil.which(name)
        file = f"{name}.exe" if WINDOWS else name
        if path is None:
            path = next((str(f / file) for f in folders if (f / file).is_file()), None)
        if path is not None:
            out.append(EngineProgram(name, str(Path(path).absolute()), ""))
    return tuple(out)


def _llama_versions(
    programs: tuple[EngineProgram, ...], problems: list[str]
) -> tuple[tuple[EngineProgram, ...], tuple[str, ...]]:
    """llama.cpp's programs with the version of each folder, and the devices of the first."""
    by_name = {program.name: program for program in programs}
    first = next((by_name[name] for name in FIRST if name in by_name), None)
    if first is None:
        return programs, ()
    version, devices = "", tuple[str, ...]()
    try:
        ran = output_of(Path(first.path), "--version")
        version = version_of(ran.stdout + ran.stderr)
        ran = output_of(Path(first.path), "--list-devices")
        devices = devices_listed(ran.stdout + ran.stderr)
    except PlannerError as error:
        problems.append(error.message)
    folder = Path(first.path).parent
    return tuple(
        EngineProgram(p.name, p.path, version if Path(p.path).parent == folder else "")
        for p in programs
    ), devices


def _with_versions(
    engine: KnownEngine, programs: Iterable[EngineProgram], problems: list[str]
) -> tuple[EngineProgram, ...]:
    """Programs with what they say of their version."""
    out = []
    for program in programs:
        version = ""
        try:
            ran = output_of(Path(program.path), *engine.version)
            match = re.search(engine.pattern, ran.stdout + ran.stderr)
            version = match[1] if match else ""
        except PlannerError as error:
            problems.append(error.message)
        out.append(EngineProgram(program.name, program.path, version))
    return tuple(out)


def _ggml(named: str | None, problems: list[str]) -> tuple[EngineLibrary, ...]:
    """The libraries that ``plan measure`` loads."""
    try:
        files = find_ggml(named)
    except InputError as error:
        if named is None:
            problems.append(error.message)
        return ()
    if files is None:
        return ()
    word = files.where.partition(":")[0]
    return tuple(EngineLibrary(str(path), word) for path in (files.base, files.cpu))


def _packages(engine: KnownEngine, problems: list[str]) -> tuple[EnginePackage, ...]:
    """Its packages in its Python."""
    if not engine.packages:
        return ()
    try:
        python = python_of(None, engine.python)
        versions = versions_in(python, engine.packages)
    except PlannerError as error:
        problems.append(error.message)
        return ()
    return tuple(
        EnginePackage(name, versions[name], python) for name in engine.packages if name in versions
    )
