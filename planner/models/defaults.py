"""Lists about keys as data: class defaults of transformers, and keys that change no tensor; and the
ledger of what reading a configuration came upon.

Both files hold a section a ``model_type``; only the section that is asked for is parsed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

_DATA = Path(__file__).resolve().parent / "data"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
EVERY = "every"
"""The section of keys that change no tensor of any model."""


@cache
def _text(file: str) -> str:
    return "\n" + (_DATA / file).read_text(encoding="utf-8")


@cache
def _section(file: str, name: str) -> Mapping[str, object]:
    """The table ``[name]`` of a data file, empty where there is none."""
    if not _NAME.fullmatch(name.removesuffix(".nested")):
        return {}
    section = _text(file).partition(f"\n[{name}]\n")[2]
    return tomllib.loads(section.partition("\n[")[0])


@cache
def class_defaults(model_type: str, *, nested: bool = False) -> Mapping[str, object]:
    """What the configuration class of ``model_type`` assumes for absent keys.

    Sizes are in it only for configurations inside a larger one (``nested``): a release states its
    own, and leaves out of an inner one what equals the class's.
    """
    values = {**_section("class_defaults.toml", model_type)}
    if nested:
        values |= _section("class_defaults.toml", model_type + ".nested")
    values.pop("version", None)
    return values


def defaults_version(model_type: str) -> str:
    """The version of transformers that the defaults of ``model_type`` are from, "" for none."""
    return str(_section("class_defaults.toml", model_type).get("version", ""))


@cache
def harmless_keys(model_type: str) -> Mapping[str, object]:
    """Keys that change no tensor: to None where any value is harmless, to a list of the harmless
    values, or to ``=KEY`` where it repeats another key's value."""
    keys: dict[str, object] = {}
    for reason, listed in _section("harmless_keys.toml", model_type).items():
        if reason == "as":
            assert isinstance(listed, list)
            for other in listed:
                keys |= harmless_keys(other)
        elif isinstance(listed, dict):
            keys |= listed
        else:
            assert isinstance(listed, list)
            keys |= dict.fromkeys(listed)
    return keys


class Ledger:
    """What reading one configuration came upon beside the keys that it understood.

    ``allowed`` are keys that the user says to pass over, by name or by place and name; ``dtype`` is
    the type of elements that the model states.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self.allowed = frozenset(allowed)
        self.harmless: set[str] = set()
        self.assumed: dict[str, str] = {}
        self.passed_over: set[str] = set()
        self.left_out: list[str] = []
        self.dtype: object = None
        self._used: set[str] = set()

    def allow(self, name: str, place: str) -> bool:
        """Whether the user says to pass over ``name`` at ``place``; it is noted if so."""
        meant = {name, place + name} & self.allowed
        self._used |= meant
        if meant:
            self.passed_over.add(place + name)
        return bool(meant)

    @property
    def idle(self) -> tuple[str, ...]:
        """Keys to pass over that no configuration had unread."""
        return tuple(sorted(self.allowed - self._used))
