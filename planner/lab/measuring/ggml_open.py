"""The library that a part was told to use."""

from __future__ import annotations

from pathlib import Path

from planner.lab.measuring.ggml_library import GgmlLibrary, load
from planner.lab.measuring.request import PartRequest


def opened(request: PartRequest) -> tuple[GgmlLibrary, str]:
    """(the library, its name as software in tables)."""
    found = load(Path(request.libraries["base"]), Path(request.libraries["cpu"]), request.threads)
    return found, f"llama.cpp {found.version}"
