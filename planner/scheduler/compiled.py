"""The kernel compiled by numba, where the ``[fast]`` extra is installed: the same functions, the
same results. Import lazily.

Functions get the tables behind one pointer, as 32 arrays by value take thrice the time to compile,
and ten times that to call. What was compiled is kept where numba keeps such files, under a name
that changes with the sources of the kernel; where none can be written it is compiled each time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, cast

from numba import njit
from numba.core import types
from numba.experimental import structref

from planner.scheduler import admission, decoding, ends, events, passes, slots, state, stretches
from planner.scheduler import cache as blocks
from planner.scheduler.events import play as _play
from planner.scheduler.state import State

MODULES = (blocks, ends, passes, decoding, slots, admission, stretches, events)
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


class Tables(structref.StructRefProxy):
    """:class:`planner.scheduler.state.State` as compiled functions see it."""


@structref.register
class _TablesType(types.StructRef):
    """Its type in compiled code."""


structref.define_constructor(Tables, _TablesType, State._fields)  # type: ignore[no-untyped-call]


def _entry(tables: Any, room: int) -> Any:
    kernel_tables: Any = Tables(*tables)  # type: ignore[no-untyped-call]
    return _play(kernel_tables, room)


@cache
def compiled_play() -> Callable[[State, int], bool]:
    """:func:`planner.scheduler.events.play` of tables that are arrays, compiled at its first call
    or read from where an earlier one kept it."""
    space = {**globals(), "_play": _compiled()["play"]}
    name = f"play_{_digest()}"
    entry = FunctionType(_entry.__code__, space, name)
    entry.__qualname__ = name
    compiled: Any
    try:
        compiled = njit(cache=True, **OPTIONS)(entry)
    except RuntimeError:  # no folder to keep it in
        compiled = njit(**OPTIONS)(entry)
    return cast(Callable[[State, int], bool], compiled)


def _compiled() -> dict[str, Any]:
    """The functions of the kernel, each from its own code among globals in which the others are
    compiled too; they are called by each other alone."""
    functions = [f for module in MODULES for f in _functions(module)]
    spaces = {f.__module__: dict(f.__globals__) for f in functions}
    inner = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **OPTIONS}
    compiled = {
        f.__name__: njit(**inner)(FunctionType(f.__code__, spaces[f.__module__], f.__name__))
        for f in functions
    }
    for space in spaces.values():
        space.update((name, f) for name, f in compiled.items() if name in space)
    return compiled


def _functions(module: ModuleType) -> list[FunctionType]:
    """The functions that a module defines."""
    return [
        f
        for f in vars(module).values()
        if isinstance(f, FunctionType) and f.__module__ == module.__name__
    ]


def _digest() -> str:
    """What the sources of the kernel are told apart by."""
    digest = sha256()
    for module in (*MODULES, state):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()[:16]
