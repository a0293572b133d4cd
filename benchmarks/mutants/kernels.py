"""Compiled kernels behind the functions that a test calls: their calls never show.

Whatever names a kernel is taken to call it, and a kernel those that it names. One that is made in a
function counts as called there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

Names = dict[str, Any]


def compiled_by(frame: FrameType) -> CodeType | None:
    """The code that numba is to compile where ``frame``, a ``wrapper``, is its decorator's."""
    if not frame.f_globals.get("__name__", "").startswith("numba."):
        return None
    function = frame.f_locals.get("func")
    return function.__code__ if isinstance(function, FunctionType) else None


def named_kernels(names: dict[CodeType, Names]) -> set[CodeType]:
    """The kernels behind codes, given the global names that each sees."""
    found: set[CodeType] = set()
    left = list(names.items())
    while left:
        code, seen = left.pop()
        for value in _values(code, seen):
            function = getattr(value, "py_func", None)
            if isinstance(function, FunctionType) and function.__code__ not in found:
                found.add(function.__code__)
                left.append((function.__code__, function.__globals__))
    return found


def _values(code: CodeType, names: Names) -> Iterator[Any]:
    """What a code names: globals, and what it takes from modules, those included that it imports
    itself."""
    words = _words(code)
    modules = [
        one
        for word in words
        for one in (names.get(word, sys.modules.get(word)),)
        if isinstance(one, ModuleType)
    ]
    yield from (names[word] for word in words & names.keys())
    for module in modules:
        taken = [vars(module)[word] for word in words & vars(module).keys()]
        yield from taken
        modules += [one for one in taken if isinstance(one, ModuleType) and one not in modules]


def _words(code: CodeType) -> set[str]:
    inner = [_words(one) for one in code.co_consts if isinstance(one, CodeType)]
    return set(code.co_names).union(*inner)
