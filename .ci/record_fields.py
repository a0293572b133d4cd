"""Fields of the records that public functions return, for docs/reference/api.md.

Names and types are those of the declarations; a meaning is in the record's docstring, or in
``fields.toml`` beside this file: by name where it is the same in every record, else by record.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

SHOWN = (
    "planner.export",
    "planner.memory.answer",
    "planner.memory.breakdown",
    "planner.memory.engines.records",
    "planner.memory.resident",
    "planner.memory.training",
    "planner.placement.layout",
    "planner.placement.tiers",
    "planner.planning",
    "planner.quality.layer_error",
    "planner.sizing",
)
"""Modules whose records are results; those of models, devices and the laboratory are not shown."""
HEAD = """## Fields of results

Records that the functions above return, and the records inside them, with the types of their
fields; `float?` may be None. Times are in seconds, sizes in bytes, rates per second. A name that
its record does not explain means the same everywhere:
"""


def fields_part() -> str:
    """The part of the page about fields."""
    shared = meanings()["shared"]
    records = result_records()
    used = {f.name for one in records for f in public_fields(one)}
    parts = [
        HEAD,
        "| field | meaning |\n|---|---|\n"
        + "\n".join(f"| `{name}` | {text} |" for name, text in shared.items() if name in used),
    ]
    parts += [_record(one) for one in records]
    return "\n\n".join(part.strip() for part in parts)


def unexplained() -> list[str]:
    """``Record.field`` of every shown field without a meaning."""
    return [
        f"{one.__name__}.{f.name}"
        for one in result_records()
        for f in public_fields(one)
        if not meaning_of(one, f.name)
    ]


def needless() -> list[str]:
    """Entries of ``fields.toml`` that no shown field uses."""
    records = {one.__name__: one for one in result_records()}
    used = {f.name for one in records.values() for f in public_fields(one)}
    found = [f"shared.{name}" for name in meanings()["shared"] if name not in used]
    for record, texts in meanings().items():
        if record != "shared":
            own = {f.name for f in public_fields(records[record])} if record in records else set()
            found += [f"{record}.{name}" for name in texts if name not in own]
    return found


def meaning_of(record: type, name: str) -> str:
    """What a field means; "" where nothing says it."""
    own = meanings().get(record.__name__, {}).get(name)
    if own:
        return own
    if f"``{name}``" in _doc(record):
        return "above"
    return meanings()["shared"].get(name, name if name in clear_names() else "")


def meanings() -> dict[str, dict[str, str]]:
    """Meanings by record, and ``shared`` ones."""
    return {name: texts for name, texts in _file().items() if isinstance(texts, dict)}


def clear_names() -> list[str]:
    """Names that need no words."""
    return list(_file()["clear"])


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("fields.toml").read_text(encoding="utf-8"))


@cache
def result_records() -> tuple[Any, ...]:
    """Records reachable from what public functions return, results first, then what they hold."""
    import planner

    known = _records()
    found: dict[str, Any] = {}
    waiting = [
        word
        for name in planner.__all__
        if callable(verb := getattr(planner, name)) and not inspect.isclass(verb)
        for word in re.findall(r"[A-Z]\w+", str(inspect.signature(verb).return_annotation))
    ]
    while waiting:
        name = waiting.pop(0)
        record = known.get(name)
        if record is None or name in found:
            continue
        found[name] = record
        inner = [w for f in public_fields(record) for w in re.findall(r"[A-Z]\w+", str(f.type))]
        waiting = [*inner, *waiting]
    return tuple(found.values())


def public_fields(record: Any) -> list[dataclasses.Field[Any]]:
    """Its fields without those that are internal."""
    return [f for f in dataclasses.fields(record) if not f.name.startswith("_")]


@cache
def _records() -> dict[str, Any]:
    """Dataclasses of the shown modules by name; a test holds that no two share one."""
    import planner

    found: dict[str, Any] = {}
    for info in pkgutil.walk_packages(planner.__path__, "planner."):
        if info.name.startswith(SHOWN) or any(one.startswith(info.name + ".") for one in SHOWN):
            module = importlib.import_module(info.name)
            for name, value in vars(module).items():
                shown = inspect.isclass(value) and dataclasses.is_dataclass(value)
                if shown and value.__module__.startswith(SHOWN):
                    found[name] = value
    return found


def _record(record: Any) -> str:
    """Heading, docstring, and a row a type: the fields of it, with what they mean only here."""
    own = meanings().get(record.__name__, {})
    by_type: dict[str, list[str]] = {}
    for one in public_fields(record):
        kind = re.sub(r"(?:[a-z_]+[.])+([A-Z])", r"\1", str(one.type))
        text = f"`{one.name}`" + (f" ({own[one.name]})" if one.name in own else "")
        by_type.setdefault(kind.replace(" | None", "?").replace(" | ", "|"), []).append(text)
    lines = [f"### {record.__name__}", ""]
    if _doc(record):
        lines += [_markdown(_doc(record)), ""]
    lines += [f"* `{kind}`: {', '.join(names)}" for kind, names in by_type.items()]
    return "\n".join(lines)


def _doc(record: Any) -> str:
    text = inspect.getdoc(record) or ""
    if text.startswith(f"{record.__name__}("):
        return ""  # made by dataclass
    return " ".join(_paragraphs(text))


def _paragraphs(text: str) -> Iterator[str]:
    for part in text.split("\n\n"):
        yield " ".join(part.split())


def _markdown(text: str) -> str:
    return re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", text).replace("``", "`")
