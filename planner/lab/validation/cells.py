"""Numbers in the cells of published tables: inside what hardware and engines can be set to."""

from __future__ import annotations

from planner.lab.validation.records import NotCoveredError

MOST_DEVICES = 1 << 16
MOST_REQUESTS = 1 << 24
MOST_TOKENS = 1 << 21
MOST_THREADS = 1 << 16
MOST_NAME = 400
MOST_DIGITS, BEYOND = 9, 10**9
LEAST_VALUE, MOST_VALUE = 1e-9, 1e15
"""Settings and results outside of these are not read as such: the cell is malformed."""


def positive(text: str, most: float = MOST_VALUE) -> float:
    """The number in ``text``, from LEAST_VALUE to ``most``.

    Raises:
        NotCoveredError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        raise NotCoveredError("malformed row") from None
    if not LEAST_VALUE <= value <= most:
        raise NotCoveredError("malformed row")
    return value


def not_negative(text: str) -> float:
    """The number in ``text``, 0 or as :func:`positive` reads it.

    Raises:
        NotCoveredError: it is none.
    """
    return 0.0 if text.strip() in ("0", "0.0") else positive(text)


def count(text: str, most: int) -> int:
    """The whole number in ``text``, 1 … ``most``; published means such as 291.7 are cut.

    Raises:
        NotCoveredError: it is none.
    """
    value = int(positive(text, most))
    if value < 1:
        raise NotCoveredError("malformed row")
    return value


def parse_int(digits: str) -> int:
    """The number that ``digits`` write; BEYOND for more than MOST_DIGITS of them, which is more
    than any count or part of a version; Python refuses to read thousands of digits."""
    return int(digits) if len(digits) <= MOST_DIGITS else BEYOND


def threads(text: str) -> int | None:
    """The threads that a cell tells, 0 for an empty one; None where it is no number of threads."""
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal()):
        return None
    return number if (number := parse_int(text)) <= MOST_THREADS else None


def tokens(text: str, default: int) -> int:
    """A length [tokens]; ``default`` for an empty cell (0: the row has to state it).

    Raises:
        NotCoveredError: neither a number nor a default.
    """
    if text.strip():
        return count(text, MOST_TOKENS)
    if default < 1:
        raise NotCoveredError("setting not stated")
    return default
