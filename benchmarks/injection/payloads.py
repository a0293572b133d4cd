"""What a hostile file says in the place of a name, and where that can be said."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from planner.planning.plan.record import Plan
from planner.planning.plan.schema import plan_json_schema

LIVE = "LIVE"
"""The file that a payload makes where a shell runs it."""
HARMLESS = "harmless"
PAYLOADS = {
    "substitution": f"a/$(touch {LIVE})",
    "backticks": f"a/`touch {LIVE}`",
    "semicolon": f"a; touch {LIVE}",
    "ampersand": f"a & touch {LIVE}",
    "pipe": f"a | touch {LIVE}",
    "redirection": f"a > {LIVE}",
    "quote": f"a' ; touch {LIVE} ; '",
    "double quote": f'a" ; touch {LIVE} ; "',
    "brace": f"a}}; touch {LIVE}",
    "separator": f"a;touch${{IFS}}{LIVE}",
    "variable": "a/${HF_TOKEN}$(HF_TOKEN)",
    "backslash": "a\\",
    "dash": "--trust-remote-code",
    "newline": f"a\ntouch {LIVE}\ntrust_remote_code: true",
    "return": f"a\rtouch {LIVE}",
    "nul": "a\0b",
    "escape": "a\x1b[2Jb\x1b]0;c\x07",
    "bidi": "a\u202egnp.b",
    "invisible": "a\u200bb\u2066c",
    "yaml tag": "!!python/object/apply:os.system ['touch LIVE']",
    "yaml document": "--- {trust_remote_code: true}",
    "yaml anchor": "*x",
    "yaml comment": "a # b: c",
    "json": 'a", "trust_remote_code": true, "b": "',
    "python": f"a'''); open('{LIVE}', 'w') #",
    "template": "{{ cookiecutter }}${{ x }}{x}%s",
    "markdown link": "[a](javascript:alert(1)) ![b](http://c/d.png)",
    "markdown table": "a | b | c `d",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "html end": "</script></title></textarea>--><script>alert(1)</script>",
    "html attribute": '" onmouseover="alert(1)" x=\'',
    "formula": "=cmd|' /C calc'!A0",
}
"""Name → text. Each is one line unless it says otherwise."""


def places(value: object, place: str = "", owner: str = "") -> Iterator[tuple[str, str, str]]:
    """(dotted place, record, key) of every string of a plan, those that are left out among them;
    of a list the first and the last item."""
    if isinstance(value, tuple):
        for i in sorted({0, len(value) - 1} & set(range(len(value)))):
            if isinstance(value[i], str):
                yield f"{place}.{i}", owner, place.rpartition(".")[2]
            else:
                yield from places(value[i], f"{place}.{i}")
    elif is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            here = f"{place}.{item.name}" if place else item.name
            now = getattr(value, item.name)
            if isinstance(now, str) or (now is None and _may_be_text(type(value), item.name)):
                yield here, type(value).__name__, item.name
            else:
                yield from places(now, here, type(value).__name__)


@cache
def _may_be_text(owner: type, key: str) -> bool:
    kind = typing.get_type_hints(owner)[key]
    return str in typing.get_args(kind)


def of_each(plan: Plan) -> dict[tuple[str, str], str]:
    """(record, key) → the first place of a plan where it is."""
    out: dict[tuple[str, str], str] = {}
    for place, owner, key in places(plan):
        out.setdefault((owner, key), place)
    return out


@cache
def declared() -> frozenset[tuple[str, str]]:
    """(record, key) of every string that the schema of plan files knows."""
    schema = plan_json_schema()
    return frozenset(
        (record, key)
        for record, shape in {"Plan": schema, **schema["$defs"]}.items()
        for key, value in shape.get("properties", {}).items()
        if '"string"' in _words(value)
    )


def _words(value: Any) -> str:
    return str(value).replace("'", '"')


def with_text(data: Any, place: str, text: str) -> Any:
    """Plain data with ``text`` at a dotted place; what is not on the way there is shared."""
    key, _, rest = place.partition(".")
    out = list(data) if isinstance(data, list) else dict(data)
    at: Any = int(key) if isinstance(data, list) else key
    out[at] = with_text(out[at], rest, text) if rest else text
    return out


def with_texts(data: Any, texts: dict[str, str]) -> Any:
    """A copy of plain data with a text at each of several dotted places."""
    for place, text in texts.items():
        data = with_text(data, place, text)
    return data
