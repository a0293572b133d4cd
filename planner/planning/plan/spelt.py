"""Texts of a plan without characters that a plan file must not hold: names and paths come from
users, and what is written must be read again."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any

from planner.planning.plan.record import Plan

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that no text of a plan file holds: what a terminal or an editor would obey."""
_SPELT = re.compile(rf"{CONTROL.pattern}|[\ud800-\udfff]")
"""Those, and bytes of a path that are not UTF-8, which no file could hold either."""


def spelt_out(plan: Plan) -> Plan:
    """``plan`` with such characters as ``\\x1b`` and ``\\u202e`` are written in Python; the same
    record where there are none."""
    found: Plan = _spelt(plan)
    return found


def _spelt(value: Any) -> Any:
    """``value`` itself where nothing in it changes."""
    if isinstance(value, str):
        return (
            value
            if value.isascii() and value.isprintable()
            else _SPELT.sub(lambda found: ascii(found[0])[1:-1], value)
        )
    if isinstance(value, tuple):
        items = tuple(map(_spelt, value))
        return value if all(map(_same, items, value)) else items
    if not is_dataclass(value) or isinstance(value, type):
        return value
    named = {item.name: getattr(value, item.name) for item in fields(value)}
    new = {name: _spelt(one) for name, one in named.items()}
    changed = {name: one for name, one in new.items() if not _same(one, named[name])}
    return replace(value, **changed) if changed else value


def _same(new: object, old: object) -> bool:
    return new is old or (isinstance(old, str) and new == old)
