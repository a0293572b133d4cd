"""How a parameter is declared: a field, and how people say it."""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, Literal, TypeVar, dataclass_transform

from planner.base.records import record

Class = TypeVar("Class")
Kind = Literal["count", "seconds", "number", "share", "text", "names", "switch"]
"""What a value is: a whole number above 0, a time (milliseconds where people write it), a number
above 0, a share, a text, a list of names, or a flag without a value."""
NO_LIMIT: Literal["none"] = "none"
"""That a limit shall not hold, be it a default."""
ANY_ENGINE, AUTO_ENGINE = "any", "auto"


class Default(str):
    """A default that can be told from the same word given: only the latter overrides a scenario."""

    __slots__ = ()


THROUGHPUT, AUTO, BF16, ANY, ENGINES = (
    Default(v) for v in ("throughput", "auto", "bf16", ANY_ENGINE, AUTO_ENGINE)
)


@record
class ParameterText:
    """How a value is said: its flag, what it is, and the line of ``--help``. ``recorded``: plan
    files say it among what was asked. ``may_be_none``: a limit that the word none leaves out.
    ``shown_default``: the flag's own default, which ``--help`` shows."""

    flag: str
    kind: Kind
    help: str
    metavar: str | None = None
    also: str = ""
    recorded: bool = True
    may_be_none: bool = False
    shown_default: str | None = None

    @property
    def key(self) -> str:
        """The flag as a key of files and of click's values."""
        return self.flag.removeprefix("--").replace("-", "_")


def parameter(
    *,
    default: Any,
    kind: Kind,
    help: str,
    flag: str = "",
    metavar: str | None = None,
    also: str = "",
    recorded: bool = True,
    may_be_none: bool = False,
    shown_default: str | None = None,
) -> Any:
    """A field with how people say it; the flag is made of its name."""
    declaration = ParameterText(
        flag, kind, help, metavar, also, recorded, may_be_none, shown_default
    )
    return field(default=default, metadata={"parameter": declaration})


def subject(*, default: Any = MISSING, kw_only: bool = False) -> Any:
    """A field that may be given by its position."""
    return field(default=default)


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(Field, field, parameter, subject)
)
def group(cls: type[Class]) -> type[Class]:
    """The class as a group of parameters, of which others are made."""
    return dataclass(init=False, repr=False, eq=False)(cls)


def parameters(*groups: type) -> dict[str, ParameterText]:
    """The parameters of groups by name, in the order in which they are declared."""
    out: dict[str, ParameterText] = {}
    for group_class in groups:
        for f in fields(group_class):
            declaration: ParameterText | None = f.metadata.get("parameter")
            if declaration is not None:
                flag = declaration.flag or "--" + f.name.replace("_seconds", "-ms").replace(
                    "_", "-"
                )
                out[f.name] = replace(declaration, flag=flag)
    return out
