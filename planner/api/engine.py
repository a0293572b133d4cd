"""``planner.engine`` and ``planner.engines``: engines on this machine, and what installs them."""

from __future__ import annotations

import os

from planner.base.typed import typed
from planner.lab.installed.look import engine_status, engine_statuses
from planner.lab.installed.records import EngineStatus


@typed
def engine(name: str, *, engine_dir: str | os.PathLike[str] | None = None) -> EngineStatus:
    """What is on this machine of an engine (programs, Python packages, libraries, devices), and the
    commands that install it, those for this system first.

    Args:
        name: llama.cpp, vllm, sglang, tensorrt-llm, pytorch, mlx, ollama or lm-studio.
        engine_dir: the folder of llama.cpp's programs (default: PLAN_LLAMA_CPP, else the PATH).

    Raises:
        UnknownNameError: no such engine.
        InputError: ``engine_dir`` is no folder, or the engine is another one.
    """
    return engine_status(name, engine_dir)


@typed
def engines(*, engine_dir: str | os.PathLike[str] | None = None) -> tuple[EngineStatus, ...]:
    """The same of every engine that is known.

    Args:
        engine_dir: the folder of llama.cpp's programs (default: PLAN_LLAMA_CPP, else the PATH).

    Raises:
        InputError: ``engine_dir`` is no folder.
    """
    return engine_statuses(engine_dir)
