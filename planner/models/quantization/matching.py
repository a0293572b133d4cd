"""Which modules a list of a quantisation configuration names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from planner.errors import DataError
from planner.models.strict_json import shown
from planner.records import record

MAX_NAMES = 2**20
MAX_PATTERN = 512
# A repeated group can take exponential time in Python's engine, k open repetitions time n^k.
_REPEATED_GROUP = r"\)[*+{]"
_AMBIGUOUS = r"\[(?:\[|\^?\]?[^\]\[]*(?:--|&&|~~|\|\|))"
"""What Python warns of, once escapes are taken out: it may mean a set within a set one day."""
_OPEN = r"(?<!\\)(?:\*|\+|,\})"
_MAX_OPEN = 4
MAX_EXPRESSIONS = 256


@record
class Names:
    """A set of module names, patterns and path components; ``covers`` tests one module."""

    exact: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]

    def covers(self, module: str) -> bool:
        """Whether ``module``, a module it is in, or a run of its components is in the list."""
        if any(pattern.match(module) for pattern in self.patterns):
            return True
        parts = module.split(".")
        return any(
            ".".join(parts[start:end]) in self.exact
            for start in range(len(parts))
            for end in range(start + 1, len(parts) + 1)
        )

    def __bool__(self) -> bool:
        return bool(self.exact or self.patterns)


def wildcards(names: Iterable[str], place: str) -> Names:
    """Names in which ``*`` stands for any run of characters, and ``re:`` begins an expression.

    A name covers the modules below it too. A name without a dot covers every module that has it as
    one of its components (``gate`` is not ``gate_proj``).

    Raises:
        DataError: an expression that is not one, too long, or of unbounded cost; too many names.
    """
    exact: set[str] = set()
    patterns: list[re.Pattern[str]] = []
    for name in names:
        if len(name) > MAX_PATTERN:
            raise DataError(
                f"{place}: {shown(name)} is longer than {MAX_PATTERN} characters",
                hint="shorten the lists of modules in quantization_config",
            )
        if name.startswith("re:"):
            patterns.append(expression(name[3:], place))
        elif "*" in name:
            text = re.sub(r"\*+", "*", name)
            if text.count("*") > _MAX_OPEN:
                raise DataError(
                    f"{place}: {shown(name)} has more than {_MAX_OPEN} wildcards",
                    hint="shorten the lists of modules in quantization_config",
                )
            body = ".*".join(map(re.escape, text.split("*")))
            patterns.append(re.compile(body + r"(\..*)?$"))
        else:
            exact.add(name)
    if len(exact) > MAX_NAMES or len(patterns) > MAX_EXPRESSIONS:
        raise DataError(
            f"{place}: more than {MAX_NAMES} names or {MAX_EXPRESSIONS} patterns",
            hint="shorten the lists of modules in quantization_config",
        )
    return Names(frozenset(exact), tuple(patterns))


def expression(text: str, place: str) -> re.Pattern[str]:
    """``text`` as an expression of bounded cost.

    Raises:
        DataError: it is none, or repeats too much.
    """
    if re.search(_REPEATED_GROUP, text) or len(re.findall(_OPEN, text)) > _MAX_OPEN:
        raise DataError(
            f"{place}: {shown(text)} repeats too much for its cost to be bounded",
            hint="shorten the lists of modules in quantization_config",
        )
    try:
        if re.search(_AMBIGUOUS, re.sub(r"\\.", "", text, flags=re.DOTALL)):
            raise re.error("a set within a set, which Pythons need not read alike")
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise DataError(
            f"{place}: {shown(text)} is not an expression: {error}",
            hint="correct the expression, or name the modules one by one",
        ) from None
