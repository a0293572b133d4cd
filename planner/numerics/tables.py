"""Lookup tables of the narrow formats, built from the reference and cached.

The encode table has one entry per upper half of a float32. An odd upper half stands for every
input strictly between its even neighbours (the lower half folded into a sticky bit): in a format of
at most five mantissa bits no rounding boundary has that bit set, so all of them share one code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from planner.formats.elements import element
from planner.numerics.policies import Policy, resolve_policy
from planner.numerics.reference import decode_exact, decode_reference, encode_exact

# Upper halves on which the code is a monotone function: zero, finite, infinity, NaN; per sign.
_SPANS = ((0x0000, 0x0000), (0x0001, 0x7F7F), (0x7F80, 0x7F80), (0x7F81, 0x7FFF),
          (0x8000, 0x8000), (0x8001, 0xFF7F), (0xFF80, 0xFF80), (0xFF81, 0xFFFF))  # fmt: skip


@cache
def decode_table(format: str) -> npt.NDArray[np.float32]:
    """float32 value of every byte; codes beyond the format's width decode to NaN."""
    fmt = element(format)
    values = [decode_reference(c, fmt.id) for c in range(1 << fmt.bits)]
    table = np.full(256, np.nan, dtype=np.float32)
    table[: len(values)] = np.array(values, dtype=np.float64)
    table.setflags(write=False)
    return table


@cache
def pair_table(format: str) -> npt.NDArray[np.uint64]:
    """The values of two neighbouring bytes at once, as one 64-bit word, by their 16-bit word."""
    pairs = np.arange(65536, dtype=np.uint16).view(np.uint8)
    table = decode_table(format)[pairs].view(np.uint64)
    table.setflags(write=False)
    return table


def encode_table(format: str, policy: str | Policy) -> npt.NDArray[np.uint8]:
    """Code of every upper half with sticky bit [65,536]."""
    fmt = element(format)
    return table_of(fmt.id, resolve_policy(policy, fmt))


@cache
def table_of(format: str, policy: Policy) -> npt.NDArray[np.uint8]:
    """:func:`encode_table` [65,536] of a format's id and a resolved policy."""
    fmt, single = element(format), element("fp32")

    @cache
    def code(upper: int) -> int:
        return encode_exact(decode_exact(upper << 16, single), fmt, policy)

    table = np.empty(65536, dtype=np.uint8)
    for low, high in _SPANS:
        for start, stop in _runs(code, low, high):
            table[start:stop] = code(start)
    table.setflags(write=False)
    return table


def _runs(code: Callable[[int], int], low: int, high: int) -> Iterator[tuple[int, int]]:
    """Half-open runs of constant ``code`` over [low, high], on which it is monotone."""
    if code(low) == code(high):
        yield low, high + 1
        return
    middle = (low + high) // 2
    yield from _runs(code, low, middle)
    yield from _runs(code, middle + 1, high)


@cache
def value_table(format: str, policy: Policy) -> npt.NDArray[np.float32]:
    """The decoded value of every entry of the encode table [65,536]."""
    table: npt.NDArray[np.float32] = decode_table(format)[table_of(format, policy)]
    table.setflags(write=False)
    return table
