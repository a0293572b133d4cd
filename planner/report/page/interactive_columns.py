"""Columns of numbers as text: each entry a fixed number of digits in base 64.

A text that many rows share stands once in a table, and rows hold its number. The page's script
reads both back (``templates/interactive_data.js``).
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Sequence
from typing import Any

DIGITS = string.digits + string.ascii_letters + "-_"
"""The digits from 0 to 63: none that JSON or HTML would escape."""
FIGURES = 7
"""Decimal figures of a packed number: more than any text of the page shows."""
MANTISSA, NUMBER = 4, 5
"""Characters of ten to the figures, and with the power of ten in front."""
POWERS = len(DIGITS) // 2
SEPARATOR = "|"


class Numbered:
    """Values in the order of their first use."""

    def __init__(self) -> None:
        self.of: dict[Any, int] = {}

    def __call__(self, value: Any) -> int:
        return self.of.setdefault(value, len(self.of))

    def __len__(self) -> int:
        return len(self.of)

    @property
    def all(self) -> list[Any]:
        """The values by number."""
        return list(self.of)


def packed(numbers: Iterable[int], size: int) -> str:
    """Whole numbers below ``size``, each as wide as the largest needs."""
    width = 1
    while len(DIGITS) ** width < size:
        width += 1
    return "".join(_digits(number, width) for number in numbers)


def packed_number(value: float) -> str:
    """A number from 0 with :data:`FIGURES` decimal figures: its power of ten, then the figures."""
    if value == 0:
        return _digits(0, NUMBER)
    power = math.floor(math.log10(value)) - FIGURES + 1
    whole = round(value / 10.0**power)
    return _digits(power + POWERS, 1) + _digits(whole, MANTISSA)


def joined(texts: Sequence[Any]) -> str | list[Any]:
    """A table of texts as one; as it is where entries are no texts, or hold the separator."""
    if any(not isinstance(text, str) or SEPARATOR in text for text in texts):
        return list(texts)
    return SEPARATOR.join(texts)


def _digits(number: int, width: int) -> str:
    out = ""
    for _ in range(width):
        number, digit = divmod(number, len(DIGITS))
        out = DIGITS[digit] + out
    return out
