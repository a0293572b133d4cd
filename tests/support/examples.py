"""How many random examples a law is tried on."""

from hypothesis import settings


def thorough() -> bool:
    """Whether this is `make exhaustive`."""
    return settings().max_examples >= 1000


def examples(few: int, many: int | None = None) -> int:
    """``few``, and in `make exhaustive` ``many``, absent: ten times as many. An explicit number
    replaces the profile's own."""
    if not thorough():
        return few
    return many if many is not None else 10 * few
