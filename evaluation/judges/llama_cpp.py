"""llama.cpp's own parser on a server's command: the built ``llama-server``, without a model.

The model's path leads nowhere, so a command that the parser takes ends where the file is opened;
one that it refuses ends before, with the word. Repositories (``-hf``) would be fetched, so their
place is taken by the same path.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NOWHERE = "/nonexistent/model.gguf"
LIMIT_SECONDS = 60
_OPENED = ("failed to load model", "failed to open", "error loading model", "No such file")


def without_model(words: Sequence[str]) -> list[str]:
    """The arguments of ``llama-server``, its files in a place where none is."""
    start = next(at for at, word in enumerate(words) if word.endswith("llama-server")) + 1
    out: list[str] = []
    rest = list(words[start:])
    while rest:
        word, rest = rest[0], rest[1:]
        if word in ("-m", "--model", "-hf", "--hf-repo"):
            out += ["-m", NOWHERE]
            rest = rest[1:]
        elif word in ("--spec-draft-model", "-md", "--model-draft"):
            out += [word, NOWHERE]
            rest = rest[1:]
        else:
            out.append(word)
    return out


def judged(server: Path, case: Mapping[str, Any]) -> dict[str, Any]:
    """One case: taken where the server gets as far as the model."""
    try:
        done = subprocess.run(
            [server, *without_model(case["words"]), "--port", "0"],
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"id": case["id"], "error": str(error)}
    return verdict(case["id"], done.stdout + done.stderr)


def verdict(number: str, said: str) -> dict[str, Any]:
    """What the server's words mean."""
    if any(mark in said for mark in _OPENED):
        return {"id": number, "computed": {}}
    lines = [line for line in said.splitlines() if "error" in line.lower()] or said.splitlines()
    return {"id": number, "error": (lines[0] if lines else "it ended without a word")[:600]}


def version(server: Path) -> str:
    """The build that the binary names."""
    done = subprocess.run(
        [server, "--version"], capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    said = (done.stdout + done.stderr).splitlines()
    return next((line.strip() for line in said if line.startswith("version")), "of unknown build")
