"""Results kept by the identity of what they were made of.

Models, devices and fabrics are frozen records with large fields: to hash or compare them would take
longer than most of what is made of them. An entry holds its arguments, so that none is freed and
its address given to another. Threads may share them: at worst two compute the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar

Result = TypeVar("Result")
PLAIN = (str, int, float, frozenset, type(None))


def by_identity(size: int, of: Callable[..., tuple[Any, ...]] | None = None,
                weigh: Callable[[Any], float] = lambda result: 1,
                ) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Keep the last ``size`` results of a pure function of immutable arguments: plain values and
    tuples of them by value, all else by identity. ``of`` gives what of the arguments a result
    depends on, absent: the arguments. ``weigh`` says for how many a large result counts."""
    def wrapped(function: Callable[..., Result]) -> Callable[..., Result]:
        known: dict[Any, tuple[tuple[Any, ...], Result, float]] = {}

        @wraps(function)
        def remembered(*args: Any) -> Result:
            key = _key(args if of is None else of(*args))
            found = known.pop(key, None)
            if found is None:
                result = function(*args)
                found = args, result, weigh(result)
                while known and sum(one[2] for one in list(known.values())) + found[2] > size:
                    drop_oldest(known)
            known[key] = found
            return found[1]

        return remembered

    return wrapped


def drop_oldest(known: dict[Any, Any]) -> None:
    """Forget the entry that was used longest ago, unless another thread changes them just now."""
    with suppress(StopIteration, RuntimeError):
        known.pop(next(iter(known)), None)


def _key(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple([_key(part) for part in value])
    return (type(value), value) if isinstance(value, PLAIN) else id(value)
