"""Names, versions and version-bound constants of the engines, from ``data/engines.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from planner.base.errors import InputError, UnknownNameError
from planner.base.records import record

_DATA = Path(__file__).resolve().parents[1] / "data" / "engines.toml"
_VERSION = re.compile(r"v?([0-9]{1,9}(?:\.[0-9]{1,9}){0,3})(?:\.x)?(?:-(v[01]))?")
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
    since: tuple[int, ...]
    source: str
    date: str
    kind: str
    note: str


@record
class Engine:
    """An engine at a version. ``generation`` is vLLM's worker, ``v0`` or ``v1``, else empty."""

    name: str
    version: tuple[int, ...]
    generation: str
    constants: Mapping[str, Constant]
    stated: bool = True

    @property
    def version_text(self) -> str:
        """The version as printed, e.g. ``0.19``; empty where none is known (llama.cpp's builds)."""
        if self.version == (0,):
            return ""
        text = ".".join(str(part) for part in self.version)
        return f"{text}-{self.generation}" if self.generation == "v0" else text

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
    return tuple(_tables()["defaults"])


def parse_engine(text: str) -> Engine:
    """``NAME`` or ``NAME@VERSION``; vLLM versions may end in ``-v0`` or ``-v1`` (the worker).

    Raises:
        UnknownNameError: no such engine.
        InputError: a version that is not a number with dots.
    """
    name, mark, version = text.strip().lower().partition("@")
    name = _ALIASES.get(name, name)
    if name not in engine_names():
        raise UnknownNameError("engine", name, engine_names())
    if not mark:
        return engine_at(name, _parts(_tables()["defaults"][name]), stated=False)
    match = _VERSION.fullmatch(version)
    if match is None or (match[2] and name != "vllm"):
        raise InputError(
            f"engine {name}: version {version[:40]!r} is not understood",
            hint=f"for example {name}@{_tables()['defaults'][name]}",
        )
    return engine_at(name, _parts(match[1]), generation=match[2] or "")


def engine_at(
    name: str, version: tuple[int, ...], *, generation: str = "", stated: bool = True
) -> Engine:
    """The engine ``name`` with the constants that hold at ``version``."""
    if name == "vllm" and not generation:
        generation = "v0" if version < (0, 8) else "v1"
    chosen: dict[str, Constant] = {}
    for constant in _constants(name):
        if constant.since <= version:
            chosen[constant.key] = constant
    return Engine(name, version, generation, chosen, stated)


def default_version(name: str) -> tuple[int, ...]:
    """The version taken where none is stated."""
    return _parts(_tables()["defaults"][name])


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
                    _parts(entry["since"]),
                    source["title"],
                    source["date"],
                    entry["kind"],
                    entry.get("note", ""),
                )
            )
    return tuple(sorted(constants, key=lambda constant: constant.since))


def _parts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(_DATA.read_text(encoding="utf-8"))
