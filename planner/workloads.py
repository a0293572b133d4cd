"""Workloads as files: what a request is, by name or path, with the source of its numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.base.errors import DataError, UnknownNameError, nearest_names
from planner.base.files import data_folder
from planner.base.records import record
from planner.base.system import is_path
from planner.base.toml_text import parse_toml, read_toml_bytes

if TYPE_CHECKING:
    from planner.reuse import Reuse

_COUNTS = ("isl", "osl", "context")
_FLAGS = ("latency_limit", "fills_context")
_TEXTS = ("title", "source")
_SEE = "see scenarios/README.md, Workloads"


@record
class NamedWorkload:
    """One kind of request. Tokens of the prompt, the answer and the longest sequence; None: not
    said. ``prefix_hit_rate`` is the share of a prompt that the cache holds already.

    ``fills_context``: prompts are as long as the context allows, whose length is ``context`` or the
    model's positions where those are fewer. ``latency_limit``: whether a default limit on TPOT
    holds. ``reuse``: how prompts come back, which tells hits from the room of a cache.
    """

    id: str
    title: str
    source: str
    isl: int | None = None
    osl: int | None = None
    context: int | None = None
    prefix_hit_rate: float = 0.0
    latency_limit: bool = True
    fills_context: bool = False
    reuse: Reuse | None = None

    def to_dict(self) -> dict[str, Any]:
        """The workload as JSON values; tokens are None where it leaves them open."""
        return {
            "id": self.id,
            "title": self.title,
            "isl": self.isl,
            "osl": self.osl,
            "context": self.context,
            "prefix_hit_rate": self.prefix_hit_rate,
            "latency_limit": self.latency_limit,
            "source": self.source,
        }


def workload_ids() -> tuple[str, ...]:
    """Names of the bundled workloads, sorted."""
    return tuple(sorted(p.stem for p in _folder().glob("*.toml")))


def load_workload(name: str | os.PathLike[str]) -> NamedWorkload:
    """A bundled workload by name, or a TOML file by path.

    Raises:
        UnknownNameError: no such workload. DataError: the file does not exist or is not valid.
    """
    text = os.fspath(name)
    path = Path(text)
    if not isinstance(name, str) or is_path(text) or text.endswith(".toml"):
        if not path.is_file():
            raise DataError(
                f"workload file {text!r} does not exist",
                hint="bundled workloads: " + ", ".join(workload_ids()),
            )
    else:
        wanted = text.strip().lower().replace("_", "-")
        path = _folder() / f"{wanted}.toml"
        if wanted not in workload_ids():
            raise UnknownNameError("workload", text, workload_ids())
    return parse_workload(read_toml_bytes(path, hint=_SEE), place=path.name, id=path.stem)


def parse_workload(content: bytes, *, place: str, id: str) -> NamedWorkload:
    """Check a workload's text; every key must be known, of its type, and in its range.

    Raises:
        DataError: with the place of what is wrong.
    """
    data = parse_toml(content, place, hint=_SEE)
    known = {*_COUNTS, *_FLAGS, *_TEXTS, "prefix_hit_rate", "reuse"}
    for key in data:
        if key not in known:
            raise DataError(f"{place}: {key}: unknown key", hint=nearest_names(key, known))
    isl, osl, context = (_count(place, key, data.get(key)) for key in _COUNTS)
    workload = NamedWorkload(
        id,
        _text(place, data, "title"),
        _text(place, data, "source"),
        isl,
        osl,
        context,
        prefix_hit_rate=hit_rate(place, data.get("prefix_hit_rate", 0.0)),
        latency_limit=_flag(place, "latency_limit", data.get("latency_limit", True)),
        fills_context=_flag(place, "fills_context", data.get("fills_context", False)),
        reuse=_reuse(place, id, data),
    )
    _check_lengths(place, workload)
    return workload


def _reuse(place: str, id: str, data: Mapping[str, Any]) -> Reuse | None:
    if "reuse" not in data:
        return None
    from planner.reuse import parse_reuse  # what most questions do not ask for

    return parse_reuse(place, id, data["reuse"])


def _folder() -> Path:
    return data_folder("scenarios") / "workloads"


def _text(place: str, data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value.strip():
        what = "one line for a list" if key == "title" else "where its numbers come from"
        raise DataError(f"{place}: {key}: a text is required", hint=f'add {key} = "{what}"')
    return value.strip()


def _count(place: str, key: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1 << 40:
        raise DataError(
            f"{place}: {key} = {value!r}: a whole number above 0 is required",
            hint="tokens are plain numbers, for example isl = 8_192",
        )
    return value


def hit_rate(place: str, value: Any) -> float:
    """A prefix hit rate of a file.

    Raises:
        DataError: it is no share of a prompt.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise DataError(
            f"{place}: prefix_hit_rate = {value!r} is out of range",
            hint="the share of a prompt found in the cache: 0 to below 1",
        )
    return float(value)


def _flag(place: str, key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise DataError(f"{place}: {key}: true or false is required", hint=f"{key} = true")
    return value


def _check_lengths(place: str, workload: NamedWorkload) -> None:
    if workload.fills_context:
        if workload.isl is not None:
            raise DataError(
                f"{place}: isl and fills_context exclude each other",
                hint="prompts take what the answer leaves of the context: remove isl",
            )
        return
    if workload.isl is None or workload.osl is None:
        missing = "isl" if workload.isl is None else "osl"
        raise DataError(
            f"{place}: {missing}: a number of tokens is required",
            hint=f"add {missing} = 1_024, or fills_context = true",
        )
    if workload.context is not None and workload.isl + workload.osl > workload.context:
        raise DataError(
            f"{place}: isl {workload.isl} + osl {workload.osl} exceed context {workload.context}",
            hint="context is the longest sequence: at least "
            f"{workload.isl + workload.osl}, or leave it out",
        )
