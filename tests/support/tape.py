"""Damage to valid samples, decided by a tape of bytes.

The tape is what hypothesis draws and what libFuzzer mutates, so both find and shrink the same
cases, and a failure is repeated by its tape alone. An empty tape changes nothing.
"""

import copy
import json
import math
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")
MANY = 6
"""Changes of a sample that is read in milliseconds."""
HOSTILE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    2**31,
    2**53,
    2**63,
    10**30,
    10**400,
    -(10**400),
    0.0,
    -0.5,
    1.5,
    1e308,
    -1e308,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
    "",
    " ",
    "0",
    "nan",
    "a" * 5000,
    "\0",
    "\x1b[31m",
    "\u202ex",
    "é𝄞",
    "\ud800",
    "../../etc/passwd",
    "{layer}",
    "%s%n",
    "re:(a+)+$",
    "<script>",
    [],
    {},
    [[]],
    [None],
    [0] * 1000,
    {"a": {"a": {"a": 1}}},
    ["x"] * 300,
    [-1, 10**30],
    [1.5, "a"],
)
KEYS = ("", "x", "ID", "value ", "__class__", "a.b", "é", "\0", "a" * 3000, "layers", "kind")
BYTES = (
    b"",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n\n",
    b'"',
    b"'",
    b"#",
    b"]",
    b"}",
    b",",
    b"-",
    b"9" * 400,
    b"e999",
    b"NaN",
    b"\xed\xa0\x80",
    b"\x1b[2J",
    b"[" * 300,
    b'{"a":' * 200,
    b"[" * 20_000,
    b"a." * 3000,
    b"=",
    b"1_000",
    b"0x10",
    b"\x80" * 64,
)


class Tape:
    """Choices read from bytes, in order; past the end every choice is 0."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def below(self, count: int) -> int:
        """A number from 0 to ``count`` − 1."""
        width = 1 if count <= 256 else 2 if count <= 1 << 16 else 4
        taken = self._data[self._at : self._at + width]
        self._at += width
        return int.from_bytes(taken, "little") % count

    def of(self, items: Sequence[T]) -> T:
        """One of ``items``."""
        return items[self.below(len(items))]

    @property
    def spent(self) -> bool:
        """Whether every byte was read."""
        return self._at >= len(self._data)


def damaged(sample: Any, tape: Tape, most: int = 3) -> Any:
    """A copy of the JSON-like ``sample`` with up to ``most`` changes."""
    tree = copy.deepcopy(sample)
    for _ in range(tape.below(most + 1)):
        places = list(_places(tree))
        if not places:
            break
        holder, key = tape.of(places)
        _CHANGES[tape.below(len(_CHANGES))](holder, key, tape, places)
    return tree


def _places(tree: Any) -> Any:
    """Every (container, key or index) of ``tree``; of long lists the first eight items."""
    stack = [tree]
    while stack:
        here = stack.pop()
        items = list(here.items()) if isinstance(here, dict) else list(enumerate(here))[:8]
        for key, value in items:
            yield here, key
            if isinstance(value, dict | list):
                stack.append(value)


def _replace(holder: Any, key: Any, tape: Tape, places: Any) -> None:
    holder[key] = copy.deepcopy(tape.of(HOSTILE))


def _drop(holder: Any, key: Any, tape: Tape, places: Any) -> None:
    del holder[key]


def _rename(holder: Any, key: Any, tape: Tape, places: Any) -> None:
    if isinstance(holder, dict):
        value = holder.pop(key)
        name = str(key)
        holder[tape.of((*KEYS, name.upper(), name + "s", name[:-1], name + "\n"))] = value
    else:
        holder.insert(key, copy.deepcopy(holder[key]))


def _add(holder: Any, key: Any, tape: Tape, places: Any) -> None:
    value = copy.deepcopy(tape.of(HOSTILE))
    if isinstance(holder, dict):
        holder[tape.of(KEYS)] = value
    else:
        holder.append(value)


def _nudge(holder: Any, key: Any, tape: Tape, places: Any) -> None:
    value = holder[key]
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or abs(value) > 1e300
        or value != value
    ):
        _swap(holder, key, tape, places)
        return
    holder[key] = tape.of(
        (
            -value,
            value + 1,
            value - 1,
            value * 2,
            value * 10**6,
            value // 2,
            float(value),
            str(value),
            [value],
            value * 7 + 3,
        )
    )


def _swap(holder: Any, key: Any, tape: Tape, places: Any) -> None:
    other, name = tape.of(places)
    holder[key] = copy.deepcopy(other[name]) if other is not holder or name != key else None


def _wrap(holder: Any, key: Any, tape: Tape, places: Any) -> None:
    value = holder[key]
    for _ in range(tape.of((1, 2, 40))):
        value = {"a": value} if tape.below(2) else [value]
    holder[key] = value


_CHANGES = (_replace, _replace, _nudge, _nudge, _drop, _rename, _add, _swap, _wrap)


def torn(text: bytes, tape: Tape, most: int = 2) -> bytes:
    """``text`` with up to ``most`` cuts, insertions, doublings and flips, often none."""
    for _ in range(max(0, tape.below(most + 3) - 2)):
        at, length = tape.below(len(text) + 1), tape.below(64)
        how = tape.below(6)
        if how == 0:
            text = text[:at]
        elif how == 1:
            text = text[:at] + text[at + length :]
        elif how == 2:
            text = text[:at] + text[at : at + length] * 2 + text[at + length :]
        elif how == 3 and at < len(text):
            text = text[:at] + bytes([text[at] ^ (1 << tape.below(8))]) + text[at + 1 :]
        else:
            text = text[:at] + tape.of(BYTES) + text[at:]
    return text


def json_bytes(tree: Any) -> bytes:
    """``tree`` as JSON, with NaN, infinity and lone surrogates as far as the text can say them."""
    return json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogatepass")


def toml_bytes(tree: Any) -> bytes:
    """``tree`` as TOML: inline throughout below the top, so every damaged value has a form."""
    lines = [f"{_toml_key(key)} = {_toml(value)}" for key, value in tree.items()]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def _toml_key(key: Any) -> str:
    return json.dumps(str(key), ensure_ascii=False)


def _toml(value: Any) -> str:
    if value is None:
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(str(value), ensure_ascii=False)
