"""Where an installed llama.cpp has its libraries and tools.

Asked in this order: the folder that is named (``--engine-dir``), the variable PLAN_LLAMA_CPP, the
folder of the program ``llama-bench`` on the PATH, the Python package ``llama_cpp``.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from planner.base.errors import InputError

LLAMA_VARIABLE = "PLAN_LLAMA_CPP"
TOOL = "llama-bench"
SUFFIXES = (".so", ".dylib", ".dll")
NOWHERE = (
    "no llama.cpp was found: name the folder of its programs or libraries with "
    f"--engine-dir or {LLAMA_VARIABLE}, put {TOOL} on the PATH, or install the Python "
    "package llama-cpp-python (`plan engine llama.cpp` has the commands)"
)
_NEAR = ("", "bin", "lib", "build/bin", "build/lib", "../lib", "../bin")


@dataclass(frozen=True)
class GgmlFiles:
    """The two libraries, and where they were found."""

    base: Path
    cpu: Path
    where: str


def find_ggml(folder: str | os.PathLike[str] | None = None) -> GgmlFiles | None:
    """The libraries of an installed llama.cpp, None where none is found.

    Raises:
        InputError: a folder is named that does not exist or holds no such library.
    """
    named = [(folder, "--engine-dir"), (os.environ.get(LLAMA_VARIABLE) or None, LLAMA_VARIABLE)]
    for place, word in named:
        if place is not None:
            files = _under(Path(place), word)
            if files is None:
                raise InputError(
                    f"{word}: {os.fspath(place)!r} holds no libggml-base and libggml-cpu",
                    hint="name the folder of a built llama.cpp that "
                    "has them as shared libraries (bin or lib)",
                )
            return files
    for place, word in _installed():
        files = _under(place, word)
        if files is not None:
            return files
    return None


def _installed() -> Iterator[tuple[Path, str]]:
    tool = shutil.which(TOOL)
    if tool is not None:
        yield Path(tool).resolve().parent, f"{TOOL} on the PATH"
    package = importlib.util.find_spec("llama_cpp")
    for place in (package.submodule_search_locations or ()) if package is not None else ():
        yield Path(place), "the Python package llama_cpp"


def _under(folder: Path, word: str) -> GgmlFiles | None:
    for near in _NEAR:
        here = folder / near
        bases, cpus = _libraries(here, "ggml-base"), _libraries(here, "ggml-cpu")
        if bases and cpus:
            cpu = (
                cpus[0]
                if len(cpus) == 1
                else max(cpus, key=lambda p: (_score(bases[0], p), p.name))
            )
            return GgmlFiles(bases[0], cpu, f"{word}: {here.resolve()}")
    return None


def _libraries(folder: Path, stem: str) -> list[Path]:
    """Files ``libSTEM*.so`` (or as the system calls them) without versions behind the suffix."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix in SUFFIXES and path.name.removeprefix("lib").startswith(stem)
    )


def _score(base: Path, cpu: Path) -> int:
    """What a build for one kind of CPU says of this CPU: the loader of ggml takes the highest, 0
    does not run."""
    try:
        ctypes.CDLL(str(base), mode=ctypes.RTLD_GLOBAL)
        return int(ctypes.CDLL(str(cpu)).ggml_backend_score())
    except (OSError, AttributeError):
        return -1
