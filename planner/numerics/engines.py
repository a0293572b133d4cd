"""Which code runs a kernel: numpy (always there) or numba (the ``[fast]`` extra).

Both give the same bits. Kernels are compiled serially, without fastmath, and release the global
interpreter lock; work is spread over threads by tiles, in a pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Any, Literal, TypeVar, cast, get_args

from planner.base.errors import InputError, UnknownNameError, UnsupportedError

Engine = Literal["numpy", "numba"]
Chosen = Literal["auto", "numpy", "numba"]
ENGINES: tuple[str, ...] = get_args(Chosen)
WORTH_COMPILING = 1 << 26
"""Elements of one call from which compiling a kernel (about a second) is soon repaid."""
_T = TypeVar("_T")
_R = TypeVar("_R")
_F = TypeVar("_F", bound=Callable[..., Any])


def resolve_engine(engine: Chosen, threads: int, elements: int, *, covered: bool = True) -> Engine:
    """The engine that runs: what was asked for, or of ``auto`` numba where it is installed, has the
    kernel (``covered``) and the array is large. Both give the same bits.

    Raises as :func:`check_engine`.
    """
    if engine != "auto":
        check_engine(engine, threads)
        return engine
    check_engine("numpy", threads)
    return "numba" if covered and elements >= WORTH_COMPILING and numba_installed() else "numpy"


def numba_installed() -> bool:
    """Whether the ``[fast]`` extra is there."""
    try:
        return find_spec("numba") is not None
    except ValueError:
        return False


def check_engine(engine: str, threads: int) -> None:
    """Raise UnknownNameError for another engine, UnsupportedError where numba is not installed,
    and InputError for fewer than one thread."""
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    if threads < 1:
        raise InputError(f"{threads} threads", hint="pass 1 or more")
    if engine == "numba":
        try:
            import numba  # noqa: F401
        except ImportError:
            raise UnsupportedError(
                "engine numba is not installed", hint="pip install 'precision-planner[fast]'"
            ) from None


def kernel(function: _F) -> _F:
    """``function`` compiled by numba on first call: nogil, serial, IEEE division, no fastmath."""
    from numba import njit

    return cast(_F, njit(nogil=True, error_model="numpy")(function))


def run(work: Callable[[_T], _R], tiles: Iterable[_T], threads: int) -> Iterator[_R]:
    """``work`` of every tile, in order; with several threads at once where asked."""
    if threads == 1:
        yield from map(work, tiles)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, tiles)
