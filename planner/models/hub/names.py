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
GGUF_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
"""How the parts of a GGUF file in several are named."""
_SOURCE = re.compile(
    r"hf:(?P<repository>[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)@[0-9a-f]{40}/"
    r"(?P<file>[A-Za-z0-9._/-]+)"
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


def name_of_source(source: str) -> str:
    """What engines call a model of the hub by its ``source``: ``org/name``, with the quantisation
    of a GGUF file behind a colon; empty for a model of another place."""
    found = _SOURCE.fullmatch(source)
    if found is None:
        return ""
    quant = f":{quant_of(found['file'])}" if found["file"].endswith(".gguf") else ""
    return found["repository"] + quant


def quant_of(file: str) -> str:
    """What a GGUF file is quantised in, by its name: ``UD-Q4_K_XL`` of
    ``Qwen3-8B-UD-Q4_K_XL.gguf``."""
    stem = GGUF_PART.sub("", file.rsplit("/", 1)[-1]).removesuffix(".gguf")
    found = re.search(
        r"(?:^|[-.])((?:UD-)?(?:I?Q\d\w*|T?Q\d\w*|BF16|F16|F32|MXFP4\w*|NVFP4\w*))$", stem, re.I
    )
    return found[1] if found else stem
