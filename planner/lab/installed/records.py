"""What is known of an engine's installation, and what was seen of it on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from planner.base.records import record


@record
class InstallSource:
    """Where a command was read: ``title`` of the project's document, at ``version`` (a release or
    a commit), on the day ``read``."""

    title: str
    version: str
    read: str


@record
class InstallCommand:
    """One way to install an engine: the lines ``run`` on ``system`` (linux, macos, windows,
    docker) for ``device`` (cpu, cuda, rocm, vulkan, sycl, or any). ``needs`` is the id of what has
    to be there or known beforehand (empty: nothing); without lines there is no such way, and it
    says why. ``fits_here`` tells whether it is for this machine."""

    system: str
    device: str
    run: tuple[str, ...]
    needs: str
    source: InstallSource
    fits_here: bool


@record
class EngineProgram:
    """A program of an engine: its ``path``, and what it says of its ``version`` ("" where it was
    not asked, or does not say)."""

    name: str
    path: str
    version: str


@record
class EnginePackage:
    """A Python package, in the Python ``python``."""

    name: str
    version: str
    python: str


@record
class EngineLibrary:
    """A shared library of an engine: its ``path``, and by which setting it was seen."""

    path: str
    where: str


@record
class EngineStatus:
    """An engine on this machine.

    Attributes:
        id: its name in commands. title: its own name.
        installed: whether a program, a package or a library of it is there.
        programs: its programs, with paths. packages: its Python packages.
        libraries: its shared libraries.
        devices: what it computes on, as it says itself; empty where it names none, or no program
            of it can be asked.
        problems: what was there and could not be used, and why.
        system: this machine's (linux, macos, windows).
        accelerators: what computes here besides the CPU (cuda, rocm, metal).
        commands: ways to install it, those for this machine first.
    """

    id: str
    title: str
    installed: bool
    programs: tuple[EngineProgram, ...]
    packages: tuple[EnginePackage, ...]
    libraries: tuple[EngineLibrary, ...]
    devices: tuple[str, ...]
    problems: tuple[str, ...]
    system: str
    accelerators: tuple[str, ...]
    commands: tuple[InstallCommand, ...]

    def to_dict(self) -> dict[str, Any]:
        """Its JSON values."""
        return asdict(self)
