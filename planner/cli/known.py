"""The commands by name: those that ``plan MODEL DEVICE`` does not need are imported when asked
for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from importlib import import_module

import click

ELSEWHERE = {
    "numerics": "numerics",
    "train": "train",
    "experts": "experts",
    "memory": "memory",
    "validate": "validate",
    "profile": "profile",
    "calibrate": "calibrate",
    "explain": "explain",
    "serve": "serve",
    "claims": "claims",
    "frontier": "frontier",
    "diff": "diff",
    "export": "export",
    "import": "export",
    "report": "report",
    "sweep": "sweep",
    "sensitivity": "sensitivity",
    "compare": "compare",
    "learn": "learn",
    "make": "make",
    "measure": "measure",
    "verify": "verify",
    "capacity": "capacity",
    "fit": "fit",
    "fleet": "fleet",
    "replay": "replay",
    "engine": "engine",
    "engines": "lists",
    "files": "lists",
    "workloads": "lists",
}
"""Command → the module of this package that has it, as ``<command>_command``."""


class Commands(MutableMapping[str, click.Command]):
    """Commands by name; ``prepare`` is called once on each."""

    def __init__(
        self,
        here: dict[str, click.Command],
        prepare: Callable[[click.Command], click.Command],
    ) -> None:
        self._here = {name: prepare(command) for name, command in here.items()}
        self._prepare = prepare
        self._modules = {**dict.fromkeys(here, ""), **ELSEWHERE}

    def __getitem__(self, name: str) -> click.Command:
        module_name = self._modules[name]
        if name not in self._here:
            module = import_module(f"planner.cli.{module_name}")
            command: click.Command = getattr(module, f"{name}_command")
            self._here[name] = self._prepare(command)
        return self._here[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._here[name], self._modules[name] = command, ""

    def __delitem__(self, name: str) -> None:
        del self._modules[name]
        self._here.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)
