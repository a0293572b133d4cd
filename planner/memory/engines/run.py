"""One entry for every engine."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from planner.base.errors import UnsupportedError
from planner.memory.engines.catalog import Engine
from planner.memory.engines.records import Case, EngineResult, Given, Settings

_MODULES = {
    "vllm": "vllm",
    "sglang": "sglang",
    "tensorrt-llm": "trtllm",
    "llama.cpp": "llamacpp",
    "pytorch": "pytorch",
}
Size = Callable[[Case, Engine, Settings, Given], EngineResult]


def engine_size(
    case: Case, engine: Engine, settings: Settings, given: Given | None = None
) -> EngineResult:
    """What ``engine`` makes of the memory of its devices.

    Raises:
        InputError: a layout or setting out of range.
        UnsupportedError: a cache layout that the model's caches do not have, or an engine whose
            arithmetic is not modelled.
    """
    if engine.name not in _MODULES:
        raise UnsupportedError(
            f"the memory arithmetic of {engine.name} is not modelled",
            hint=f"leave out --engine, or one of {', '.join(_MODULES)}",
        )
    module = importlib.import_module(f"planner.memory.engines.{_MODULES[engine.name]}")
    result = cast(Size, module.size)(case, engine, settings, given or Given())
    if engine.taken is None or not engine.taken.known.text:
        return result
    known = engine.taken.known.text
    note = (
        f"{engine.label} is older than all that are known here: taken as {known}"
        if engine.taken.older_than_all
        else f"{engine.label} is not known here: taken as {known}"
    )
    return replace(result, notes=(note, *result.notes))
