"""What engines are known by, and what installs them: ``data/engines.toml``, read once."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from planner.base.errors import UnknownNameError
from planner.base.records import record
from planner.lab.installed.records import InstallCommand, InstallSource

DATA = Path(__file__).resolve().parent / "data" / "engines.toml"
SYSTEMS = ("linux", "macos", "windows", "docker")
DEVICES = ("any", "cpu", "cuda", "rocm", "vulkan", "sycl")
DOCKER, ANY, CPU, VULKAN = "docker", "any", "cpu", "vulkan"
WITH_VULKAN = ("cuda", "rocm")
"""Devices whose drivers bring Vulkan as well: its builds run on them too, after their own."""
_SEPARATORS = str.maketrans("", "", " -_.")


@record
class KnownEngine:
    """How an engine is looked for: ``programs`` on PATH and in ``places``, ``packages`` in the
    Python that the variable ``python`` names, of which one of ``needed`` makes it complete.
    ``version`` are the words that ask its first program, ``pattern`` reads the answer."""

    id: str
    title: str
    aliases: tuple[str, ...]
    programs: tuple[str, ...]
    places: tuple[str, ...]
    packages: tuple[str, ...]
    needed: tuple[str, ...]
    python: str
    version: tuple[str, ...]
    pattern: str


def known_engines() -> dict[str, KnownEngine]:
    """Engines by id, in the order of the file."""
    return {
        id: KnownEngine(
            id,
            row["title"],
            tuple(row.get("aliases", ())),
            tuple(row.get("programs", ())),
            tuple(row.get("places", ())),
            tuple(row.get("packages", ())),
            tuple(row.get("needed", row.get("packages", ()))),
            row.get("python", ""),
            tuple(row.get("version", {}).get("arguments", ())),
            row.get("version", {}).get("pattern", ""),
        )
        for id, row in _file()["engines"].items()
    }


def engine_named(name: str) -> KnownEngine:
    """The engine of a name, without regard to case, spaces, hyphens, underscores and dots.

    Raises:
        UnknownNameError: none is called so.
    """
    wanted = _plain(name)
    for engine in known_engines().values():
        if wanted in map(_plain, (engine.id, engine.title, *engine.aliases)):
            return engine
    raise UnknownNameError("engine", name, known_engines())


def install_commands(
    id: str, system: str, accelerators: tuple[str, ...]
) -> tuple[InstallCommand, ...]:
    """Ways to install the engine ``id``: this system's that compute on what is here, an
    accelerator's own before those of any device, then containers, then the others."""
    file = _file()
    sources = {key: InstallSource(**row) for key, row in file["sources"].items()}
    rows = [
        InstallCommand(
            row["system"],
            row["device"],
            tuple(row["run"]),
            row.get("needs", ""),
            sources[row["source"]],
            _fits(row, system, accelerators),
        )
        for row in file["commands"]
        if row["engine"] == id
    ]
    return tuple(sorted(rows, key=lambda row: _order(row, system, accelerators)))


def _fits(row: dict[str, Any], system: str, accelerators: tuple[str, ...]) -> bool:
    """Whether a way is for a machine of ``system`` with ``accelerators``: containers of GPUs run on
    Linux alone."""
    device = row["device"]
    has_device = (
        device == ANY
        or device in accelerators
        or (device == CPU and not accelerators)
        or (device == VULKAN and bool(set(accelerators) & set(WITH_VULKAN)))
    )
    if row["system"] == DOCKER:
        return has_device and (device == CPU or system == SYSTEMS[0])
    return has_device and row["system"] == system


def _order(row: InstallCommand, system: str, accelerators: tuple[str, ...]) -> tuple[int, ...]:
    systems = [system, *(name for name in SYSTEMS if name not in (system, DOCKER)), DOCKER]
    own = row.device in accelerators
    if row.fits_here:
        return (0, int(row.system == DOCKER), int(not own), 0)
    return (1, systems.index(row.system), 0, DEVICES.index(row.device))


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(DATA.read_text(encoding="utf-8"))


def _plain(name: str) -> str:
    return name.strip().lower().translate(_SEPARATORS)
