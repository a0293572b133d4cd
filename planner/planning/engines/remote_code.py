"""Code that a release carries beside its weights: whether an engine runs it, and the flag that lets
it (``data/remote_code.csv``).

The flag is in a command only where the user gave it (:func:`trusting`): nothing that a file says
brings it there.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Literal

from planner.base.records import record
from planner.base.versions import Version, version_of
from planner.memory.engines.catalog import Engine
from planner.planning.engines.rules import DATA

Runs = Literal["nothing", "configuration", "tokenizer"]
FLAGS = {
    "vllm": "--trust-remote-code",
    "sglang": "--trust-remote-code",
    "tensorrt-llm": "--trust_remote_code",
    "mlx": "--trust-remote-code",
}
"""Engines that run code of a release when they are told to."""
_TRUSTED = ContextVar("trusted", default=False)


@record
class RemoteCode:
    """What of a release's own code an engine ``runs`` from version ``since`` on, for the models of
    a ``model_type``."""

    engine: str
    since: Version
    model_type: str
    runs: Runs
    source: str
    date: str


@contextmanager
def trusting(trusted: bool) -> Iterator[None]:
    """Commands inside the block have the flag where ``trusted``, or where a block around does."""
    token = _TRUSTED.set(trusted or _TRUSTED.get())
    try:
        yield
    finally:
        _TRUSTED.reset(token)


def trusted_flags(engine: str) -> list[str]:
    """The flag, where the user gave it and the engine has one."""
    return [FLAGS[engine]] if _TRUSTED.get() and engine in FLAGS else []


def is_trusted() -> bool:
    """Whether the user said that a release's code may run."""
    return _TRUSTED.get()


def remote_code(engine: Engine, model_type: str) -> RemoteCode | None:
    """What ``engine`` runs of a release's own code; None where no source says."""
    known = [
        row
        for row in remote_code_rows()
        if (row.engine, row.model_type) == (engine.name, model_type) and row.since <= engine.version
    ]
    return max(known, key=lambda row: row.since, default=None)


@cache
def remote_code_rows() -> tuple[RemoteCode, ...]:
    """The table."""
    with (DATA / "remote_code.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            RemoteCode(
                row["engine"],
                version_of(row["since"]),
                row["model_type"],
                row["runs"],  # type: ignore[arg-type]
                row["source"],
                row["date"],
            )
            for row in csv.DictReader(file)
        )
