"""Names of the hub: ``hf:org/name``, with a revision behind ``@``, and of a repository of GGUF
files the quantisation behind a colon (``hf:org/name-GGUF:UD-Q4_K_XL``)."""

from __future__ import annotations

import re

from planner.base.errors import InputError
from planner.base.records import record

PREFIX = "hf:"
MAIN = "main"
"""The branch that is meant where no revision is named."""
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_NAME = re.compile(
    rf"(?P<repository>{_PART}/{_PART})(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._-]{{0,95}}))?"
    r"(?::(?P<quant>[A-Za-z0-9][A-Za-z0-9._-]{0,95}))?"
)


@record
class HubName:
    """A repository, its revision, and which of its GGUF files (``quant``; empty: the usual one)."""

    repository: str
    revision: str = MAIN
    quant: str = ""

    @property
    def text(self) -> str:
        """The name as a user writes it."""
        revision = "" if self.revision == MAIN else f"@{self.revision}"
        return f"{PREFIX}{self.repository}{revision}" + (f":{self.quant}" if self.quant else "")


def is_hub_name(text: str) -> bool:
    """Whether ``text`` says that it is a name of the hub."""
    return text[: len(PREFIX)].lower() == PREFIX


def hub_name(text: str) -> HubName | None:
    """The repository that ``text`` names, with or without ``hf:``; None where it can be none."""
    bare = text[len(PREFIX) :] if is_hub_name(text) else text
    found = _NAME.fullmatch(bare)
    if found is None or ".." in bare or bare.startswith(("./", "../")):
        return None
    return HubName(found["repository"], found["revision"] or MAIN, found["quant"] or "")


def required_hub_name(text: str) -> HubName:
    """The repository that ``text`` names. Raises InputError where it is no such name."""
    name = hub_name(text)
    if name is None:
        raise InputError(
            f"{text[:120]!r} is no name of the hub",
            hint="hf:org/name, hf:org/name@REVISION, or hf:org/name-GGUF:Q4_K_M",
        )
    return name
