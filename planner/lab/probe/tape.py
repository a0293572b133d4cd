"""Gradients of a forward pass that is written for numpy: operations noted as they run, then walked
back.

``TAPE`` stands where the forward pass has its module of functions (``xp``): it knows what the
models of this folder call, and gives numpy arrays where nothing was traced. Weights are constants,
so that walking back costs about one forward pass. A trace serves several walks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Backward = Callable[[Any], Any]
Link = tuple["Traced", Backward]
_ORDER = itertools.count()


class Traced:
    """An array of the forward pass, and how its gradient becomes those of what it was made of.

    A leaf has no links. ``value`` is never changed.
    """

    __slots__ = ("links", "order", "value")
    __array_ufunc__ = None

    def __init__(self, value: Any, links: tuple[Link, ...] = ()) -> None:
        self.value, self.links, self.order = np.asarray(value), links, next(_ORDER)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    def __add__(self, other: Any) -> Traced:
        return _pairwise(self, other, np.add, lambda g, a, b: g, lambda g, a, b: g)

    __radd__ = __add__

    def __neg__(self) -> Traced:
        return _single(self, -self.value, lambda g: -g)

    def __sub__(self, other: Any) -> Traced:
        return _pairwise(self, other, np.subtract, lambda g, a, b: g, lambda g, a, b: -g)

    def __rsub__(self, other: Any) -> Traced:
        return _single(self, other - self.value, lambda g: -g)

    def __mul__(self, other: Any) -> Traced:
        return _pairwise(self, other, np.multiply, lambda g, a, b: g * b, lambda g, a, b: g * a)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Traced:
        return _pairwise(
            self, other, np.divide, lambda g, a, b: g / b, lambda g, a, b: -g * a / (b * b)
        )

    def __rtruediv__(self, other: Any) -> Traced:
        return _single(self, other / self.value, lambda g: -g * other / (self.value * self.value))

    def __matmul__(self, other: Any) -> Traced:
        return _pairwise(
            self,
            other,
            np.matmul,
            lambda g, a, b: g @ np.swapaxes(b, -1, -2),
            lambda g, a, b: np.swapaxes(a, -1, -2) @ g,
        )

    def __getitem__(self, place: Any) -> Traced:
        """Basic indexing alone: no place is taken twice."""

        def back(g: Any) -> Any:
            out = np.zeros(self.shape, g.dtype)
            out[place] = g
            return out

        return _single(self, self.value[place], back)

    def reshape(self, *shape: Any) -> Traced:
        return _single(self, self.value.reshape(*shape), lambda g: g.reshape(self.shape))


class Tape:
    """The functions of numpy that forward passes call; of constants numpy's own answer."""

    asarray = staticmethod(np.asarray)

    def exp(self, x: Any) -> Any:
        if not isinstance(x, Traced):
            return np.exp(x)
        value = np.exp(x.value)
        return _single(x, value, lambda g: g * value)

    def sqrt(self, x: Any) -> Any:
        if not isinstance(x, Traced):
            return np.sqrt(x)
        value = np.sqrt(x.value)
        return _single(x, value, lambda g: g / (2 * value))

    def abs(self, x: Any) -> Any:
        if not isinstance(x, Traced):
            return np.abs(x)
        return _single(x, np.abs(x.value), lambda g: g * np.sign(x.value))

    def sign(self, x: Any) -> Any:
        """A constant: its gradient is 0 almost everywhere."""
        return np.sign(value_of(x))

    def amax(self, x: Any, *, axis: int, keepdims: bool) -> Any:
        """A constant: forward passes subtract it where any number would do."""
        return np.amax(value_of(x), axis=axis, keepdims=keepdims)

    def sum(self, x: Any, *, axis: int, keepdims: bool = False) -> Any:
        if not isinstance(x, Traced):
            return np.sum(x, axis=axis, keepdims=keepdims)
        value = np.sum(x.value, axis=axis, keepdims=keepdims)

        def back(g: Any) -> Any:
            return np.broadcast_to(g if keepdims else np.expand_dims(g, axis), x.shape)

        return _single(x, value, back)

    def mean(self, x: Any, *, axis: int, keepdims: bool = False) -> Any:
        if not isinstance(x, Traced):
            return np.mean(x, axis=axis, keepdims=keepdims)
        return self.sum(x, axis=axis, keepdims=keepdims) * np.float32(1 / x.shape[axis])

    def swapaxes(self, x: Any, a: int, b: int) -> Any:
        if not isinstance(x, Traced):
            return np.swapaxes(x, a, b)
        return _single(x, np.swapaxes(x.value, a, b), lambda g: np.swapaxes(g, a, b))

    def stack(self, parts: Any, axis: int) -> Any:
        if not any(isinstance(part, Traced) for part in parts):
            return np.stack(parts, axis)
        value = np.stack([value_of(part) for part in parts], axis)

        def place(n: int) -> Backward:
            return lambda g: np.take(g, n, axis)

        return Traced(
            value,
            tuple((part, place(n)) for n, part in enumerate(parts) if isinstance(part, Traced)),
        )

    def concatenate(self, parts: Any, axis: int) -> Any:
        if not any(isinstance(part, Traced) for part in parts):
            return np.concatenate(parts, axis)
        value = np.concatenate([value_of(part) for part in parts], axis)
        ends = np.cumsum([value_of(part).shape[axis] for part in parts])

        def section(begin: int, end: int) -> Backward:
            return lambda g: np.take(g, range(begin, end), axis)

        return Traced(
            value,
            tuple(
                (part, section(int(end) - part.shape[axis], int(end)))
                for part, end in zip(parts, ends, strict=True)
                if isinstance(part, Traced)
            ),
        )


TAPE = Tape()


def value_of(x: Any) -> Any:
    """The array of ``x``, traced or not."""
    return x.value if isinstance(x, Traced) else x


def walk_back(result: Traced, seed: Any) -> Iterator[tuple[Traced, Any]]:
    """(array, gradient of Σ seed·result with respect to it) of all that ``result`` was made of,
    last ones first; a gradient is complete when it is given, and forgotten after.

    Args:
        seed: of the shape of ``result``.
    """
    pending: dict[int, tuple[Traced, Any]] = {result.order: (result, seed)}
    while pending:
        node, gradient = pending.pop(max(pending))
        yield node, gradient
        for parent, back in node.links:
            part = back(gradient)
            held = pending.get(parent.order)
            pending[parent.order] = (parent, part if held is None else held[1] + part)


def _single(x: Traced, value: Any, back: Backward) -> Traced:
    return Traced(value, ((x, back),))


def _pairwise(
    a: Traced, b: Any, forward: Any, to_a: Callable[..., Any], to_b: Callable[..., Any]
) -> Traced:
    x, y = a.value, value_of(b)
    value = forward(x, y)
    links: list[Link] = [(a, lambda g: _unbroadcast(to_a(g, x, y), x.shape))]
    if isinstance(b, Traced):
        links.append((b, lambda g: _unbroadcast(to_b(g, x, y), y.shape)))
    return Traced(value, tuple(links))


def _unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """``g`` summed over the axes that numpy had stretched."""
    if g.shape == shape:
        return g
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(n for n, size in enumerate(shape) if size == 1 and g.shape[n] != 1)
    return g.sum(axis=stretched, keepdims=True) if stretched else g
