"""Results cached by the identity of what they were made of.

Models, devices and fabrics are frozen records with large fields: to hash or compare them would take
longer than most of what is made of them. An entry holds its arguments, so that none is freed and
its address given to another. Threads may share them: at worst two compute the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import update_wrapper
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
PLAIN = (str, int, float, frozenset, type(None))


class IdentityCache(Generic[Result]):
    """A pure function that keeps its last results; see :func:`cached_by_identity`."""

    def __init__(
        self,
        function: Callable[..., Result],
        size: int,
        of: Callable[..., tuple[Any, ...]] | None,
        size_of: Callable[[Any], float],
    ) -> None:
        update_wrapper(self, function)
        self._function, self._size, self._of, self._weigh = function, size, of, size_of
        self._known: dict[Any, tuple[tuple[Any, ...], Result, float]] = {}

    def __call__(self, *args: Any) -> Result:
        known = self._known
        key = _key(args if self._of is None else self._of(*args))
        entry = known.pop(key, None)
        if entry is None:
            result = self._function(*args)
            entry = args, result, self._weigh(result)
            while (
                known
                and sum(kept_entry[2] for kept_entry in list(known.values())) + entry[2]
                > self._size
            ):
                drop_oldest(known)
        known[key] = entry
        return entry[1]

    def forget(self) -> None:
        """Keep nothing any more: for results that only the question at hand asks for again."""
        self._known.clear()


def cached_by_identity(
    size: int,
    of: Callable[..., tuple[Any, ...]] | None = None,
    size_of: Callable[[Any], float] = lambda result: 1,
) -> Callable[[Callable[..., Result]], IdentityCache[Result]]:
    """Keep the last ``size`` results of a pure function of immutable arguments: plain values and
    tuples of them by value, all else by identity. ``of`` gives what of the arguments a result
    depends on, absent: the arguments. ``size_of`` says for how many a large result counts."""
    return lambda function: IdentityCache(function, size, of, size_of)


def drop_oldest(known: dict[Any, Any]) -> None:
    """Forget the entry that was used longest ago, unless another thread changes them just now."""
    with suppress(StopIteration, RuntimeError):
        known.pop(next(iter(known)), None)


def _key(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple([_key(part) for part in value])
    return (type(value), value) if isinstance(value, PLAIN) else id(value)
