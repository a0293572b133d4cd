"""Arguments held against their annotations: a public function refuses a value of another type with
the name, the value and what it takes, before anything is computed with it.

Annotations are read as text, so that types which are only imported for the type checker cost
nothing: a class counts by its name among a value's classes. pydantic's ``validate_call`` would read
all of them when a module is loaded: importing pydantic takes 140 ms of CPU and each of the 65
functions 1.1 ms more, where ``plan --help`` starts in 60 ms altogether.
"""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from math import isnan
from numbers import Integral, Real
from typing import Any, Literal, ParamSpec, TypeVar, get_args, get_origin

from planner.base.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")
Check = Callable[[object], bool]
LONGEST_VALUE = 80
NUMBERS = "an array of numbers"
LONGEST_FILE_NAME = 255
RECORDS = frozenset({"ModelSpec", "DeviceProfile", "Scenario", "Profile"})
"""What a file may also state."""
ARRAYS = frozenset({"ArrayLike", "NDArray"})
ANYTHING = frozenset({"Any", "object"}) | ARRAYS


class Wanted:
    """What an annotation allows: ``words`` for people, whether a value is allowed, and ``turned``
    into a plain number of the annotation (of numpy, or a whole number for any). ``sure``: types
    whose every value is taken as it is."""

    def __init__(
        self,
        words: list[str],
        checks: list[Check],
        items: Wanted | None = None,
        *,
        path: bool = False,
    ) -> None:
        self.words, self.checks, self.items, self.path = words, checks, items, path
        texts = not path and any(w == PLAIN["str"][0] or w.startswith("one of ") for w in words)
        self.numbers = NUMBERS in words
        self.sure = frozenset(
            ([str] if texts else []) + [kind for kind, name in _SURE if name in words]
        )

    def takes(self, value: object) -> bool:
        """Whether ``value`` is one of the allowed types."""
        return any(check(value) for check in self.checks)

    def turned(self, value: object) -> object:
        """An allowed ``value`` as the annotation has it.

        Raises:
            OverflowError: a whole number beyond every float.
        """
        if isinstance(value, bool) or not isinstance(value, Real):
            return value
        if isinstance(value, Integral) and PLAIN["int"][0] in self.words:
            return int(value)
        return float(value) if PLAIN["float"][0] in self.words else value

    def text(self) -> str:
        """``a whole number or None``."""
        *first, last = self.words
        return f"{', '.join(first)} or {last}" if first else last


def typed(function: Callable[P, R]) -> Callable[P, R]:
    """``function`` with its arguments checked.

    Raises:
        InputError: (from the function returned) an argument of another type, or not a number.
    """
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    ordinary = not any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)
    names = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
    defaults = {p.name: p.default for p in parameters}
    wanted: dict[str, Wanted | None] = {}

    def one(name: str, value: object) -> Any:
        if name not in wanted:
            wanted[name] = _read(str(signature.parameters[name].annotation), function.__globals__)
        known = wanted[name]
        if known is None or type(value) in known.sure or (known.numbers and _plain_array(value)):
            return value
        return checked_value(name, value, known)

    def bound(args: Any, kwargs: Any) -> R:
        """Arguments checked in the order of the signature, after Python's own complaints."""
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError:
            refuse_milliseconds(kwargs, defaults)
            return function(*args, **kwargs)
        for name, value in given.arguments.items():
            parameter = signature.parameters[name]
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD and value is not defaults[name]:
                given.arguments[name] = one(name, value)
        return function(*given.args, **given.kwargs)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if not ordinary or len(args) > len(names) or not kwargs.keys() <= defaults.keys():
            return bound(args, kwargs)
        try:  # binding costs more than a small product
            own: Any = [
                one(name, value) if value is not defaults[name] else value
                for name, value in zip(names, args, strict=False)
            ]
            named: Any = {
                name: one(name, value) if value is not defaults[name] else value
                for name, value in kwargs.items()
            }
        except InputError:
            return bound(args, kwargs)
        return function(*own, **named)

    return checked


def refuse_milliseconds(given: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse the command line's times in milliseconds (``tpot_ms=50``) where the function takes
    seconds.

    Raises:
        InputError: naming all of them; the hint has the same times in seconds.
    """
    same = {
        name: seconds
        for name in given
        if name.endswith("_ms") and (seconds := name.removesuffix("_ms") + "_seconds") in known
    }
    if same:
        values = [
            f"{to}={given[name] / 1e3 if _number(given[name]) else given[name]!r}"
            for name, to in same.items()
        ]
        raise InputError(
            f"times are in seconds here, not {', '.join(same)}", hint=", ".join(values)
        )


def checked_value(name: str, value: object, wanted: Wanted | None) -> object:
    """``value`` for ``name`` as ``wanted`` has it; None takes everything.

    Raises:
        InputError: it is not taken.
    """
    if wanted is None:
        return value
    if not wanted.takes(value):
        raise _refusal(name, value, wanted)
    if (
        wanted.path
        and isinstance(value, str)
        and any(len(os.fsencode(part)) > LONGEST_FILE_NAME for part in value.split("/"))
    ):
        raise InputError(
            f"{name} = {_shown(value)} is too long for the name of a file",
            hint=f"{name} is {wanted.text()}",
        )
    try:
        return wanted.turned(value)
    except OverflowError:
        raise InputError(
            f"{name} = {_shown(value)} is out of range", hint=f"{name} is {wanted.text()}"
        ) from None


def _refusal(name: str, value: object, wanted: Wanted) -> InputError:
    shown = _shown(value)
    if NUMBERS in wanted.words:
        dtype = getattr(value, "dtype", None)
        return InputError(
            f"{name} = {shown} is not {NUMBERS}"
            + (f": its dtype is {dtype}" if dtype is not None else ""),
            hint=f"{name} is {wanted.text()}",
        )
    if isinstance(value, (str, bytes)) and wanted.items is not None:
        return InputError(f"{name} = {shown} is one text", hint=f"a list of names: [{shown}]")
    if isinstance(value, float) and isnan(value):
        return InputError(f"{name} = nan is not a number", hint=f"{name} is {wanted.text()}")
    if isinstance(value, Collection) and wanted.items is not None:
        for i, item in enumerate(value):
            if not wanted.items.takes(item):
                return InputError(
                    f"{name}[{i}] = {_shown(item)} is of type {type(item).__name__}",
                    hint=f"{name} is {wanted.text()}",
                )
    return InputError(
        f"{name} = {shown} is of type {type(value).__name__}", hint=f"{name} is {wanted.text()}"
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def _read(annotation: str, names: Mapping[str, Any]) -> Wanted | None:
    """What ``annotation`` allows, None for everything."""
    return _union(ast.parse(annotation, mode="eval").body, names)


def _union(node: ast.expr, names: Mapping[str, Any]) -> Wanted | None:
    parts = list(_parts(node))
    members = [_one(part, names) for part in parts]
    kept = [member for member in members if member is not None]
    if len(kept) < len(members):
        return None
    checks = [check for wanted in kept for check in wanted.checks]
    words = list(dict.fromkeys(word for wanted in kept for word in wanted.words))
    record = any(isinstance(part, ast.Name) and part.id in RECORDS for part in parts)
    if record and PLAIN["str"][0] in words:
        # A record may also be named by the path of its file.
        checks.append(lambda value: isinstance(value, os.PathLike))
    return Wanted(
        words,
        checks,
        next((wanted.items for wanted in kept if wanted.items is not None), None),
        path=record or any(wanted.path for wanted in kept),
    )


def _parts(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp):
        return [*_parts(node.left), *_parts(node.right)]
    return [node]


def _one(node: ast.expr, names: Mapping[str, Any]) -> Wanted | None:
    """One member of a union."""
    if isinstance(node, ast.Constant):
        return Wanted(["None"], [lambda value: value is None])
    if isinstance(node, ast.Subscript):
        return _generic(node, names)
    name = node.attr if isinstance(node, ast.Attribute) else ast.unparse(node)
    if name in PLAIN:
        words, check = PLAIN[name]
        return Wanted([words], [check])
    known = names.get(name)
    if name in ANYTHING or (known is not None and not isinstance(known, type)):
        return _alias(name, known)
    article = "an" if name[0] in "AEIOU" else "a"
    return Wanted([f"{article} {name}"], [lambda value: _is_a(value, name)])


def _generic(node: ast.Subscript, names: Mapping[str, Any]) -> Wanted | None:
    name = ast.unparse(node.value).rpartition(".")[2]
    if name == "PathLike":
        return Wanted(["a path"], [lambda value: isinstance(value, os.PathLike)], path=True)
    if name == "Callable":
        return Wanted(["a function"], [callable])
    if name in ARRAYS:
        return _alias(name, None)
    if name == "dict":
        return Wanted(["a dict"], [lambda value: isinstance(value, dict)])
    if name == "Mapping":
        return Wanted(["a mapping"], [lambda value: isinstance(value, Mapping)])
    if name == "Literal":
        texts = ast.literal_eval(node.slice)
        texts = texts if isinstance(texts, tuple) else (texts,)
        return Wanted(
            [repr(text) for text in texts],
            [lambda value: isinstance(value, str) and value in texts],
        )
    if name in ("Sequence", "list", "tuple"):
        items = _union(node.slice, names)
        several = "names" if items is not None and items.words == ["a name"] else "values"
        return Wanted([f"a list of {several}"], [lambda value: _list_of(value, items)], items)
    return None


def _list_of(value: object, items: Wanted | None) -> bool:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Collection):
        return False
    return items is None or all(items.takes(item) for item in value)


def _alias(name: str, known: Any) -> Wanted | None:
    """An array, a function, or one of the texts of a choice, which its reader checks; None for
    everything."""
    origin = get_origin(known)
    if name == "ArrayLike":
        return Wanted([NUMBERS], [_array])
    # numpy's NDArray[…] is an ndarray[…]; from 2.5 on it is an alias of its own.
    if name == "NDArray" or getattr(origin, "__name__", "") in ("ndarray", "NDArray"):
        return Wanted(["a numpy array"], [lambda value: _is_a(value, "ndarray")])
    if origin is Callable:
        return Wanted(["a function"], [callable])
    if origin is Literal:
        words = ", ".join(get_args(known))
        return Wanted([f"one of {words}"], [lambda value: isinstance(value, str)])
    return None


def _is_a(value: object, name: str) -> bool:
    return any(ancestor.__name__ == name for ancestor in type(value).__mro__)


def _plain_array(value: Any) -> bool:
    """Whether ``value`` is an array of numpy's own numbers, told without importing numpy."""
    return type(value).__name__ == "ndarray" and value.dtype.kind in "biuf"


def _array(value: object) -> bool:
    """Whether numpy makes an array of real numbers (or of one structured type) of ``value``."""
    import numpy as np

    if isinstance(value, (str, bytes, type(None))):
        return False
    try:
        return np.asarray(value).dtype.kind in "biufV"
    except ValueError:
        return False


def _integer(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and not isnan(value)


PLAIN: dict[str, tuple[str, Check]] = {
    "str": ("a name", lambda value: isinstance(value, str)),
    "bool": ("True or False", lambda value: isinstance(value, bool)),
    "int": ("a whole number", _integer),
    "float": ("a number", _number),
    "Path": ("a path", lambda value: isinstance(value, os.PathLike)),
}

_SURE: tuple[tuple[type, str], ...] = (
    (bool, PLAIN["bool"][0]),
    (int, PLAIN["int"][0]),
    (type(None), "None"),
)
