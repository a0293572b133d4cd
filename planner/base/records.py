"""Frozen records: ``dataclass(frozen=True, slots=True)``, defined at a quarter of its cost.

``dataclass`` compiles six methods of each class from text, up to half a millisecond a class, and a
plan's command defines 150 classes before it answers. Here ``__init__`` alone is compiled; records
are compared, hashed, printed and pickled by the functions below. ``fields``, ``replace``,
``asdict``, defaults and ``match`` are those of dataclasses; type checkers read a record as one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

Class = TypeVar("Class")


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def record(cls: type[Class]) -> type[Class]:
    """The class as a frozen record with slots, equal and hashed by its fields."""
    return _frozen(cls, slots=True)


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def cached_record(cls: type[Class]) -> type[Class]:
    """A record without slots, which ``cached_property`` needs."""
    return _frozen(cls, slots=False)


def _frozen(cls: type[Class], slots: bool) -> type[Class]:
    """The class with the methods of a record.

    Raises:
        TypeError: it has one of them but ``__repr__`` already, or a field that no record has.
    """
    if cls.__doc__ is None:  # dataclass would read the signature of __init__ for it: 0.5 ms
        cls.__doc__ = f"{cls.__name__}({', '.join(cls.__annotations__)})"
    cls = dataclass(init=False, repr=False, eq=False, slots=slots)(cls)
    key = attrgetter(*(f.name for f in fields(cls) if f.compare))  # type: ignore[arg-type]
    methods = {
        "__init__": _initialiser(cls),
        "__repr__": _shown,
        "__eq__": _equality(key),
        "__hash__": lambda self: hash(key(self)),
        "__setattr__": _refuse_assignment,
        "__delattr__": _refuse_deletion,
    }
    if slots:
        methods.update(__getstate__=_state, __setstate__=_restore)
    if "__repr__" in vars(cls):  # a large record shows itself in one line
        del methods["__repr__"]
    for name, method in methods.items():
        if name in vars(cls):
            raise TypeError(f"{cls.__qualname__} has its own {name}; use dataclass")
        setattr(cls, name, method)
    return cls


def _initialiser(cls: Any) -> Callable[..., None]:
    """``__init__`` with the fields as parameters, compiled so that Python checks its calls."""
    names: dict[str, Any] = {"assign": object.__setattr__, "absent": MISSING}
    parameters, lines = ["self"], []
    for f in fields(cls):
        if f.kw_only or not f.init:
            raise TypeError(f"{cls.__qualname__}.{f.name}: no plain field; use dataclass")
        parameter = value = f.name
        if f.default is not MISSING:
            names[f"default_{f.name}"] = f.default
            parameter = f"{f.name}=default_{f.name}"
        elif f.default_factory is not MISSING:
            names[f"make_{f.name}"] = f.default_factory
            parameter = f"{f.name}=absent"
            value = f"make_{f.name}() if {f.name} is absent else {f.name}"
        parameters.append(parameter)
        lines.append(f"    assign(self, {f.name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append("    self.__post_init__()")
    exec("\n".join([f"def __init__({', '.join(parameters)}):", *lines]), names)
    made: Callable[..., None] = names["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__annotations__ = {f.name: f.type for f in fields(cls)} | {"return": None}
    return made


def _equality(key: Callable[[Any], Any]) -> Callable[[Any, object], Any]:
    """``__eq__`` of records by what ``key`` gets of them."""

    def equal(self: Any, other: object) -> Any:
        return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented

    return equal


def _refuse_assignment(self: Any, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _shown(self: Any) -> str:
    inside = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr)
    return f"{type(self).__qualname__}({inside})"


def _state(self: Any) -> list[Any]:
    """The fields in order, for pickle, whose own way would assign them."""
    return [getattr(self, f.name) for f in fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for f, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, f.name, value)
