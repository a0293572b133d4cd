"""Names, versions and version-bound constants of the engines, from ``data/engines.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from planner.base.errors import UnknownNameError
from planner.base.records import record
from planner.base.versions import Version, version_of
from planner.memory.engines.versions import (
    TakenVersion,
    default_known,
    taken_version,
    versioned_engines,
)

_DATA = Path(__file__).resolve().parents[1] / "data" / "engines.toml"
_GENERATION = re.compile(r"(.+)-(v[01])")
_BUILDS = Version("0")
"""Of an engine whose releases are builds that are not told apart."""
_WORKERS_SINCE = Version("0.8")
"""The first vLLM whose worker is ``v1`` unless told otherwise."""
_ALIASES = {
    "trtllm": "tensorrt-llm",
    "trt-llm": "tensorrt-llm",
    "tensorrt_llm": "tensorrt-llm",
    "llamacpp": "llama.cpp",
    "llama-cpp": "llama.cpp",
    "torch": "pytorch",
    "transformers": "pytorch",
}


@record
class Constant:
    """One figure of an engine: ``value`` holds from version ``since``; ``source`` is a title."""

    key: str
    value: float
    since: Version
    source: str
    date: str
    kind: str
    note: str


@record
class Engine:
    """An engine at a version. ``generation`` is vLLM's worker, ``v0`` or ``v1``, else empty.

    ``version`` is what its rules are read at, ``text`` the version as it was given; where that is
    not known, ``taken`` is the known one that stands for it.
    """

    name: str
    version: Version
    generation: str
    constants: Mapping[str, Constant]
    stated: bool = True
    text: str = ""
    taken: TakenVersion | None = None

    @property
    def version_text(self) -> str:
        """The version as printed, e.g. ``0.19``; empty where none is known (llama.cpp's builds)."""
        return f"{self.text}-{self.generation}" if self.generation == "v0" else self.text

    @property
    def label(self) -> str:
        """Name and version, as people write them."""
        return f"{self.name} {self.version_text}".rstrip()

    @property
    def address(self) -> str:
        """What :func:`parse_engine` reads as this engine."""
        return f"{self.name}@{self.version_text}".rstrip("@")

    def integer(self, key: str) -> int:
        """A constant that is a whole number."""
        return int(self.constants[key].value)

    def number(self, key: str) -> float:
        """A constant."""
        return self.constants[key].value


def engine_names() -> tuple[str, ...]:
    """The engines whose arithmetic is modelled."""
    return versioned_engines()


@lru_cache(maxsize=1024)
def parse_engine(text: str) -> Engine:
    """``NAME`` or ``NAME@VERSION``; vLLM versions may end in ``-v0`` or ``-v1`` (the worker).

    Raises:
        UnknownNameError: no such engine.
        InputError: what stands for a version is none.
    """
    name, mark, version = text.strip().lower().partition("@")
    name = _ALIASES.get(name, name)
    if name not in engine_names():
        raise UnknownNameError("engine", name, engine_names())
    if not mark:
        known = default_known(name)
        return engine_at(name, known.version, stated=False, text=known.text)
    worker = _GENERATION.fullmatch(version) if name == "vllm" else None
    if worker is not None:
        version = worker[1]
    taken = taken_version(name, version)
    engine = engine_at(
        name,
        taken.known.version,
        generation=worker[2] if worker is not None else "",
        text=version.removeprefix("v"),
    )
    return engine if taken.exact else replace(engine, taken=taken)


def engine_at(
    name: str, version: Version, *, generation: str = "", stated: bool = True, text: str = ""
) -> Engine:
    """The engine ``name`` with the constants that hold at ``version``, known or not; ``text``
    where it is printed otherwise."""
    if name == "vllm" and not generation:
        generation = "v0" if version < _WORKERS_SINCE else "v1"
    chosen: dict[str, Constant] = {}
    for constant in _constants(name):
        if constant.since <= version:
            chosen[constant.key] = constant
    if not text and version != _BUILDS:
        text = str(version)
    return Engine(name, version, generation, chosen, stated, text)


def default_version(name: str) -> Version:
    """The version taken where none is stated."""
    return default_known(name).version


@cache
def _constants(name: str) -> tuple[Constant, ...]:
    """Constants of an engine, the oldest first; of one version, in the order of the file."""
    tables = _tables()
    constants = []
    for entry in tables["constant"]:
        if entry["engine"] != name:
            continue
        source = tables["sources"][entry["source"]]
        for key, value in entry["values"].items():
            constants.append(
                Constant(
                    key,
                    float(value),
                    version_of(entry["since"]),
                    source["title"],
                    source["date"],
                    entry["kind"],
                    entry.get("note", ""),
                )
            )
    return tuple(sorted(constants, key=lambda constant: constant.since))


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(_DATA.read_text(encoding="utf-8"))
